"""Sheets for the bulk import of a Wildbook: one row an encounter, 200 rows a sheet.

Source: Wildbook documentation, "Bulk Import" (docs.wildme.org, 2025). There an encounter is one
individual met once, and what an owner calls an encounter is a sighting; hence photos of one
encounter and individual are the media assets of one row, and the row names its sighting. Of
columns that mean the same, Wildbook takes one only: ``MarkedIndividual.individualID``, which its
documentation prefers. Columns without anything in them have to be left away.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from flukeprint.catalogue.history import PhotoNow
from flukeprint.cells import Cell, csv_text
from flukeprint.errors import FlukeprintError
from flukeprint.exports.cells import apostrophes
from flukeprint.exports.exporting import (
    NO_FILE,
    Exporting,
    example,
    file_name,
    left_out,
    shared_names,
)
from flukeprint.files import make_folder, write_text
from flukeprint.wording import plural

MOST_ROWS = 200
GENUS, EPITHET = "Megaptera", "novaeangliae"
DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d))?)?)?")
DATE_COLUMNS = tuple(f"Encounter.{part}" for part in ("year", "month", "day", "hour", "minutes"))
PLAIN_NAME = re.compile(r"[A-Za-z0-9. ]+")
"""What Wildbook keeps of a file's name."""
NOT_IN_ID = re.compile(r"[^A-Za-z0-9_-]+")
SIGHTING = "Encounter.sightingID"
PHOTOGRAPHER = "Encounter.photographer0.fullName"

Row = dict[str, Cell]


def write_wildbook(exporting: Exporting, out: Path) -> tuple[str, ...]:
    """Write ``wildbook-1.csv`` and so on into the folder ``out``.

    Raises:
        FlukeprintError: sheets lie there already, or cannot be written.
    """
    if any(out.glob("wildbook-*.csv")):
        raise FlukeprintError(f"{out}: holds sheets already, which may be of more; name another")
    photos, notes = _fit(exporting.photos)
    rows = [_row(group, exporting) for group in _encounters(photos)]
    make_folder(out)
    sheets = [rows[first : first + MOST_ROWS] for first in range(0, len(rows), MOST_ROWS)]
    places = [out / f"wildbook-{number}.csv" for number in range(1, len(sheets) + 1)]
    try:
        for sheet, place in zip(sheets, places, strict=True):
            header = _header(sheet)
            cells = [[row.get(key, "") for key in header] for row in sheet]
            text, changed = csv_text(header, cells)
            write_text(place, text)
            notes += apostrophes(changed, place.name)
    except BaseException:  # a full disk, Ctrl-C: some of the sheets would look like all of them
        for place in places:
            place.unlink(missing_ok=True)
        raise
    done = f"{plural(len(photos), 'photo')} in {plural(len(rows), 'encounter')}"
    return (f"{done}, {plural(len(sheets), 'sheet')}: {out}", *notes, *_remarks(photos, rows))


def _fit(photos: Sequence[PhotoNow]) -> tuple[list[PhotoNow], list[str]]:
    """The photos that Wildbook can take, and lines on the others."""
    gone = [photo for photo in photos if not photo.paths]
    undated = [photo for photo in photos if photo.paths and not photo.date]
    dated = [photo for photo in photos if photo.paths and photo.date]
    shared = shared_names(dated)
    double = [photo for photo in dated if file_name(photo).casefold() in shared]
    notes = [
        *left_out(gone, NO_FILE),
        *left_out(undated, "no date, and Wildbook asks for a year at least"),
        *left_out(double, "another photo's file has the same name; rename one and import again"),
    ]
    return [photo for photo in dated if file_name(photo).casefold() not in shared], notes


def _encounters(photos: Sequence[PhotoNow]) -> list[list[PhotoNow]]:
    """Photos of one encounter and individual together; unidentified ones may be of several."""
    groups: dict[tuple[object, ...], list[PhotoNow]] = {}
    for photo in photos:
        encounter = photo.facts.get("encounter")
        together = encounter is not None and photo.individual is not None
        key = (encounter, photo.individual) if together else (photo.number,)
        groups.setdefault(key, []).append(photo)
    return [
        sorted(group, key=lambda photo: (photo.date, photo.number)) for group in groups.values()
    ]


def _row(group: Sequence[PhotoNow], exporting: Exporting) -> Row:
    """A row's cells, those not known left away; of several photos the first that tells counts."""
    row: Row = {
        f"Encounter.mediaAsset{place}": file_name(photo) for place, photo in enumerate(group)
    }
    found = DATE.match(group[0].date)
    parts = found.groups() if found else ()
    row |= {
        key: int(part) for key, part in zip(DATE_COLUMNS, parts, strict=False) if part is not None
    }
    row |= {"Encounter.genus": GENUS, "Encounter.specificEpithet": EPITHET}
    position = next((photo.position for photo in group if photo.position), None)
    if position is not None:
        row["Encounter.decimalLatitude"], row["Encounter.decimalLongitude"] = position
    facts = {key: value for photo in reversed(group) for key, value in photo.facts.items()}
    row |= _named(facts, exporting.name(group[0]))
    return row


def _named(facts: Mapping[str, str], individual: str | None) -> Row:
    sighting = facts.get("encounter")
    cells = {
        "Encounter.verbatimLocality": facts.get("place"),
        PHOTOGRAPHER: facts.get("photographer"),
        "MarkedIndividual.individualID": individual,
        SIGHTING: None if sighting is None else sighting_id(sighting),
    }
    return {key: cell for key, cell in cells.items() if cell}


def sighting_id(encounter: str) -> str:
    """An encounter's name in the letters that Wildbook allows, told apart by its SHA-256."""
    plain = NOT_IN_ID.sub("-", encounter)
    if plain == encounter:
        return encounter
    return f"{plain.strip('-')}-{hashlib.sha256(encounter.encode()).hexdigest()[:8]}".lstrip("-")


def _header(rows: Sequence[Row]) -> list[str]:
    assets = max(sum(key.startswith("Encounter.mediaAsset") for key in row) for row in rows)
    rest = (
        *DATE_COLUMNS,
        *("Encounter.genus", "Encounter.specificEpithet", "Encounter.decimalLatitude"),
        *("Encounter.decimalLongitude", "Encounter.verbatimLocality", PHOTOGRAPHER),
        *("MarkedIndividual.individualID", SIGHTING),
    )
    used = {key for row in rows for key in row}
    media = [f"Encounter.mediaAsset{place}" for place in range(assets)]
    return [*media, *(key for key in rest if key in used)]


def _remarks(photos: Sequence[PhotoNow], rows: Sequence[Row]) -> list[str]:
    """What Wildbook will not take as it is."""
    notes = []
    odd = [photo for photo in photos if not PLAIN_NAME.fullmatch(file_name(photo))]
    if odd:
        notes.append(
            f"{plural(len(odd), 'file name')}, {example(odd)}: Wildbook takes letters a to z, "
            "digits, points and spaces only; rename the files and import them again first"
        )
    nowhere = sum(
        "Encounter.verbatimLocality" not in row and "Encounter.decimalLatitude" not in row
        for row in rows
    )
    if nowhere:
        notes.append(f"{plural(nowhere, 'encounter')} without a place; Wildbook asks for one")
    if any(PHOTOGRAPHER in row for row in rows):
        notes.append(
            "Wildbook keeps photographers' names only beside Encounter.photographer0.emailAddress, "
            "which no catalogue knows; add that column to keep them"
        )
    return notes
