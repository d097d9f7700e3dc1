"""A catalogue's photos, small enough to write their exports down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flukeprint.catalogue.history import PhotoNow
from flukeprint.exif import Details
from flukeprint.exports import Exporting
from tests.catalogue.small import content

NAMES = {1: "Salt", 2: '=Pepper, "the" one', 3: "Ænima"}


def photo(
    number: int,
    individual: int | None = None,
    state: str | None = None,
    *,
    path: str | None = "",
    taken: str | None = None,
    at: tuple[float, float] | None = None,
    unnamed: bool = False,
    labels: tuple[int, ...] = (),
    **facts: str,
) -> PhotoNow:
    """A photo ``trip/NUMBER.JPG``; one with an individual is confirmed unless ``state`` says so."""
    paths = () if path is None else (path or f"trip/{number}.JPG",)
    latitude, longitude = at or (None, None)
    return PhotoNow(
        number,
        content(number),
        paths,
        individual,
        state or (None if individual is None else "confirmed"),
        labels,
        (),
        None,
        facts,
        1_000,
        Details(taken=taken, latitude=latitude, longitude=longitude),
        unnamed,
        {},
    )


PHOTOS = (
    photo(
        1, 1, taken="2018-07-01T10:20:30", encounter="e1", place="Bay; north", photographer="Ann"
    ),
    photo(2, 1, "imported", date="2018-07-01T11:00:00+0200", encounter="e1"),
    photo(3, 2, "unsure", date="2019-08", at=(-64.5, -62.25)),
    photo(4, taken="2020-01-02"),
    photo(5, unnamed=True, date="2019", latitude="1.5", longitude="-2"),
    photo(6, 1, date="2020-01-02", path=None),
    photo(7, 3),
)


def exporting(*photos: PhotoNow, root: Path = Path("root"), **chosen: Any) -> Exporting:
    """The small catalogue, or these photos of it."""
    chosen = {"names": NAMES, "published": "2026-01-02", **chosen}
    return Exporting(photos=photos or PHOTOS, root=root, **chosen)
