"""What is so now of photos and individuals, and how much there is of all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import flukeprint.catalogue.state as state
from flukeprint.catalogue.log import Value
from flukeprint.errors import FlukeprintError
from flukeprint.exif import Details
from flukeprint.records import Box

PHOTO = "id, sha256, size_bytes, width_px, height_px, taken, latitude, longitude, camera"


@dataclass(frozen=True, slots=True)
class PhotoNow:
    """A photo at present. ``individual`` is None while unidentified or in conflict.

    ``labels`` are the individuals it was imported as, ``not_individuals`` those that a person said
    it is not; ``unnamed`` says that it was imported as ``new_whale``. ``facts`` hold what its owner
    said (``state.FACTS``), where known, ``disputed`` what else was said of them and nobody settled,
    and ``details`` what the file tells.
    """

    number: int
    sha256: str
    paths: tuple[str, ...]
    individual: int | None
    state: str | None
    labels: tuple[int, ...]
    not_individuals: tuple[int, ...]
    box: Box | None
    facts: dict[str, str]
    size_bytes: int
    details: Details
    unnamed: bool
    disputed: dict[str, tuple[str, ...]]

    @property
    def called(self) -> str:
        """Its first file's path from the root; its number where no file is known any more."""
        return self.paths[0] if self.paths else f"photo {self.number}"

    @property
    def no_whale(self) -> bool:
        """Whether a person said that it shows no whale."""
        return self.state == state.NO_WHALE

    @property
    def in_conflict(self) -> bool:
        """Whether its labels disagree and nobody settled that."""
        return self.state == state.CONFLICT

    @property
    def unidentified(self) -> bool:
        """Whether it waits for somebody to say whom it shows."""
        return self.individual is None and not self.no_whale

    @property
    def date(self) -> str:
        """When it was taken, ISO 8601: its owner's, else the camera's; empty if unknown."""
        return self.facts.get("date") or self.details.taken or ""

    @property
    def position(self) -> tuple[float, float] | None:
        """Latitude and longitude in decimal degrees: its owner's, else the camera's."""
        if "latitude" in self.facts and "longitude" in self.facts:
            return float(self.facts["latitude"]), float(self.facts["longitude"])
        if self.details.latitude is None or self.details.longitude is None:
            return None
        return self.details.latitude, self.details.longitude


@dataclass(frozen=True, slots=True)
class IndividualNow:
    """An individual at present; ``merged_into`` says where its photos went."""

    number: int
    name: str
    aliases: tuple[str, ...]
    alive: bool
    merged_into: int | None
    photos: tuple[int, ...]


class Present(NamedTuple):
    """What a catalogue says at one moment: its last event, all photos, all individuals' names."""

    revision: int
    photos: list[PhotoNow]
    names: dict[int, str]


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is; a photo in conflict counts as unidentified while nobody decided.

    ``without_whale`` are photos that show none, as a person said; they are not unidentified.
    """

    files: int
    photos: int
    individuals: int
    unidentified: int
    label_conflicts: int
    without_whale: int = 0


def photo_now(link: sqlite3.Connection, number: int) -> PhotoNow:
    """A photo at present.

    Raises:
        FlukeprintError: there is none of that number.
    """
    row = link.execute(f"SELECT {PHOTO} FROM photo WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise FlukeprintError(f"no photo has the number {number}")
    cells = link.execute(
        "SELECT field, item, value FROM cell WHERE kind = 'p' AND subject = ? AND value NOT NULL"
        " ORDER BY field, item",
        (number,),
    )
    return _photo(row, state.paths_of(link, number), cells.fetchall())


def photos_now(link: sqlite3.Connection) -> Iterator[PhotoNow]:
    """All photos at present, in number order, in one pass over the file."""
    cells = groupby(
        link.execute(
            "SELECT subject, field, item, value FROM cell WHERE kind = 'p' AND value NOT NULL"
            " ORDER BY subject, field, item"
        ),
        key=lambda row: int(row[0]),
    )
    paths: dict[int, list[str]] = {}
    for photo, path in link.execute(
        "SELECT photo, path FROM file f WHERE photo NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM file later WHERE later.path = f.path AND later.id > f.id) ORDER BY id"
    ):
        paths.setdefault(photo, []).append(path)
    subject, rows = next(cells, (0, iter(())))
    for row in link.execute(f"SELECT {PHOTO} FROM photo ORDER BY id"):
        while subject and subject < row[0]:  # of a photo that is not there: check tells of it
            subject, rows = next(cells, (0, iter(())))
        mine = [cell[1:] for cell in rows] if subject == row[0] else []
        yield _photo(row, paths.get(row[0], []), mine)


def _photo(
    row: tuple[Any, ...], paths: list[str], cells: list[tuple[str, int | str, Value]]
) -> PhotoNow:
    number, sha256, size_bytes, *details = row
    one = {field: value for field, item, value in cells if item == ""}
    several = {
        field: tuple(int(item) for name, item, _ in cells if name == field)
        for field in ("label", "not")
    }
    individual, where, box = one.get("individual"), one.get("state"), one.get("box")
    return PhotoNow(
        number,
        sha256.hex(),
        tuple(paths),
        individual if isinstance(individual, int) else None,
        None if where is None else str(where),
        several["label"],
        several["not"],
        Box(*json.loads(box)) if isinstance(box, str) else None,
        {fact: str(one[fact]) for fact in state.FACTS if fact in one},
        size_bytes,
        Details(*details),
        state.UNNAMED in one,
        {fact: value for fact in state.FACTS if (value := _open(cells, fact))},
    )


def _open(cells: list[tuple[str, int | str, Value]], fact: str) -> tuple[str, ...]:
    """What else was said of a fact and waits for a person."""
    return tuple(
        str(item) for name, item, value in cells if (name, value) == (f"other {fact}", "open")
    )


def individual_now(link: sqlite3.Connection, number: int) -> IndividualNow:
    """An individual at present, also one that was merged or undone.

    Raises:
        FlukeprintError: there never was one of that number.
    """
    if not link.execute("SELECT 1 FROM individual WHERE id = ?", (number,)).fetchone():
        raise FlukeprintError(f"no individual has the number {number}")
    name, into = (state.value(link, "i", number, field) for field in ("name", "merged into"))
    return IndividualNow(
        number,
        "" if name is None else str(name),
        tuple(str(alias) for alias in state.items(link, "i", number, "alias")),
        state.is_alive(link, number),
        into if isinstance(into, int) else None,
        tuple(state.members(link, number)),
    )


def individuals_now(link: sqlite3.Connection) -> dict[int, str]:
    """The names of all individuals there are, by number."""
    rows = link.execute(
        "SELECT n.subject, n.value FROM cell n JOIN cell a ON a.kind = 'i'"
        " AND a.subject = n.subject AND a.field = 'alive' AND a.item = '' AND a.value = 1"
        " WHERE n.field = 'name' AND n.value IS NOT NULL AND n.kind = 'i' ORDER BY n.subject"
    )
    return dict(rows.fetchall())


def all_names(link: sqlite3.Connection) -> dict[int, str]:
    """The names of all individuals there ever were; one that was undone goes by its number."""
    rows = link.execute(
        "SELECT i.id, n.value FROM individual i LEFT JOIN cell n ON n.kind = 'i'"
        " AND n.subject = i.id AND n.field = 'name' AND n.item = ''"
    )
    return {number: name or f"individual {number}" for number, name in rows}


def conflicts(link: sqlite3.Connection) -> list[int]:
    """The photos whose labels or facts disagree and wait for a person, in number order."""
    rows = link.execute(
        "SELECT subject FROM cell WHERE value IN ('conflict', 'open') AND +kind = 'p'"
        " AND (field = 'state' OR field LIKE 'other %')"
    )
    return sorted({photo for (photo,) in rows})


def counts(link: sqlite3.Connection) -> Counts:
    """How much there is of all."""

    def count(query: str) -> int:
        return int(link.execute(f"SELECT count(*) FROM {query}").fetchone()[0])

    photos = count("photo")
    return Counts(
        count(
            "file f WHERE photo IS NOT NULL AND NOT EXISTS"
            " (SELECT 1 FROM file later WHERE later.path = f.path AND later.id > f.id)"
        ),
        photos,
        len(individuals_now(link)),
        # Not by subtraction: after a rescue, cells may be of photos that are lost.
        count(
            "photo WHERE NOT EXISTS (SELECT 1 FROM cell WHERE kind = 'p' AND subject = photo.id"
            " AND (field = 'individual' AND value IS NOT NULL"
            f" OR field = 'state' AND value = '{state.NO_WHALE}'))"
        ),
        count(
            "cell WHERE value IN ('conflict', 'open') AND value = 'conflict' AND field = 'state'"
        ),
        count(f"cell WHERE kind = 'p' AND field = 'state' AND value = '{state.NO_WHALE}'"),
    )
