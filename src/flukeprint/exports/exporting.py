"""What every export is given, and how it tells what it left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from flukeprint.catalogue.history import PhotoNow
from flukeprint.wording import plural, terminal_line

CONFIRMED_FIRST = ("confirmed", "imported", "unsure", "conflict")
"""States of a photo that is put with an individual, the surest first."""


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


NO_FILE = "no file of it is known any more"
"""Why a photo has no row that would name its file."""


@dataclass(frozen=True, slots=True)
class Exporting:
    """A catalogue as it is now, and what the user chose.

    ``photos`` in number order, ``names`` of the individuals there are, ``root`` the folder that
    photos' paths start from; ``probabilities`` are those that decisions rested on, by photo number
    (``Catalogue.match_probabilities``).

    ``by`` says what an occasion of a capture history is (``capture_history.BY``). ``sidecars``
    names XMP files ``full`` (IMG.JPG.xmp) or ``bare`` (IMG.xmp); ``in_place`` writes them beside
    the photos. ``title``, ``publisher``, ``licence`` (``archive_xml.LICENCES``) and ``media_url``,
    the address under which the photos can be had by their paths, go into a Darwin Core archive;
    so does ``published``, YYYY-MM-DD.
    """

    photos: Sequence[PhotoNow]
    names: Mapping[int, str]
    root: Path
    probabilities: Mapping[int, float] = field(default_factory=dict)
    by: str = "year"
    sidecars: str = "full"
    in_place: bool = False
    title: str = "Humpback whales known by their flukes"
    publisher: str = ""
    licence: str = ""
    media_url: str = ""
    published: str = field(default_factory=_today)

    def name(self, photo: PhotoNow) -> str | None:
        """The individual's name, None while a photo is unidentified."""
        return None if photo.individual is None else self.names[photo.individual]


def is_inside(path: str) -> bool:
    """Whether a photo's path, as the catalogue has it, lies below the catalogue's root."""
    return not Path(path).is_absolute() and ".." not in PurePosixPath(path).parts


def left_out(photos: Sequence[PhotoNow], why: str) -> list[str]:
    """A line on photos that an export has no place for; none if there are none."""
    if not photos:
        return []
    return [f"left out {plural(len(photos), 'photo')}, {example(photos)}: {why}"]


def example(photos: Sequence[PhotoNow]) -> str:
    """The first of some photos, as people read of it."""
    first = terminal_line(photos[0].called)
    return first if len(photos) == 1 else f"such as {first}"


def shared_names(photos: Iterable[PhotoNow]) -> set[str]:
    """File names, folders left aside, that several photos go by; case does not tell them apart."""
    counts = Counter(file_name(photo).casefold() for photo in photos)
    return {name for name, count in counts.items() if count > 1}


def file_name(photo: PhotoNow) -> str:
    """The name of a photo's first file, its folders left aside."""
    return PurePosixPath(photo.paths[0]).name
