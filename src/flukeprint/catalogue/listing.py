"""What an owner tells of files: a labelled collection, a sheet with columns of their own, a pile.

A sheet's columns are known by the names that the field uses (Darwin Core, Wildbook, plain English),
upper case, spaces and punctuation aside; others are named by the owner.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from flukeprint.catalogue.draft import checked_name
from flukeprint.catalogue.facts import PARTS, checked_fact, date_text
from flukeprint.catalogue.state import FACTS
from flukeprint.cells import unguard
from flukeprint.errors import FlukeprintError
from flukeprint.records import NEW_WHALE, Failure, Table, label_of
from flukeprint.tables import csv_header, csv_rows, photo_of
from flukeprint.wording import plural

FIELDS = ("path", "identity", *FACTS, *PARTS)
COLUMNS: dict[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "filepath", "image", "photo", "encountermediaasset0"),
    "identity": (
        *("identity", "individual", "individualid", "id", "whale", "whaleid", "label"),
        *("animal", "animalid", "catalogid", "catalogueid", "organismname"),
        *("markedindividualindividualid", "encounterindividualid"),
    ),
    "date": ("date", "eventdate", "datetime", "taken", "datetaken", "datetimeoriginal"),
    "place": ("place", "location", "locality", "site", "area", "encounterverbatimlocality"),
    "latitude": ("latitude", "lat", "decimallatitude", "encounterdecimallatitude"),
    "longitude": ("longitude", "lon", "long", "decimallongitude", "encounterdecimallongitude"),
    "photographer": (
        *("photographer", "recordedby", "observer", "credit"),
        *("encounterphotographer0fullname", "encounterphotographer0emailaddress"),
    ),
    "encounter": (
        *("encounter", "encounterid", "sighting", "sightingid", "occurrenceid", "eventid"),
        "encountersightingid",
    ),
    "year": ("year", "encounteryear"),
    "month": ("month", "encountermonth"),
    "day": ("day", "encounterday"),
    "time": ("time", "eventtime", "timeofday", "timetaken"),
    "hour": ("hour", "encounterhour"),
    "minutes": ("minutes", "minute", "encounterminutes"),
}
"""Column names that are known, in lower case, letters and digits only."""
NEEDS = {
    "month": ("year",),
    "day": ("month",),
    "time": ("date", "year"),
    "hour": ("date", "year"),
    "minutes": ("hour",),
}
"""Of which fields one has to be there for a part of a date to tell anything."""
INSTEAD = {"date": "year", "year": "date", "time": "hour", "hour": "time"}
"""What tells the same: where the one is known, the other is not looked for."""
MEDIA = re.compile(r"encountermediaasset(\d+)")
"""A Wildbook's columns of the photos of one row."""

NOBODY = (
    *("unknown", "unidentified", "unnamed", "unk", "unid", "none", "null", "nil"),
    *("na", "n/a", "nan", "?", "-"),
)

MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Listed:
    """A photo's file and what its owner tells: ``label``, and facts by name (``state.FACTS``)."""

    path: Path
    label: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


def without_names(listed: Iterable[Listed], labels: Iterable[str]) -> list[Listed]:
    """The same photos, where each of these labels, in upper or lower case, names no whale."""
    none = {label.strip().casefold() for label in labels}
    return [
        replace(one, label=NEW_WHALE) if one.label.strip().casefold() in none else one
        for one in listed
    ]


def doubtful_names(listed: Iterable[Listed]) -> dict[str, int]:
    """Labels that many a sheet gives photos of whales that nobody has named, with their counts."""
    labels = Counter(one.label.strip() for one in listed)
    return {label: count for label, count in labels.items() if label.casefold() in NOBODY}


def from_table(table: Table) -> list[Listed]:
    """A labelled collection's photos; one with several labels is listed with each."""
    return [
        Listed(row.path, row.individual, _facts({"date": row.date, "encounter": row.encounter}))
        for row in table.rows
    ]


def read_sheet(
    sheet: Path, columns: Mapping[str, str] | None = None, dates: str = ""
) -> tuple[list[Listed], list[Failure]]:
    """A CSV's photos, whose paths are relative to it, and those that it lists but are not there.

    ``columns`` says for a field (``FIELDS``) which column holds it, or "" for none; the others are
    found by their names. Only ``path`` has to be there. ``dates`` says in which order those are
    written that end with their year (``facts.ORDERS``). What a row tells holds for all its photos
    (``MEDIA``), but not ``hour`` and ``minutes`` where it has several.

    Raises:
        FlukeprintError: it is no CSV, has no column of paths, two that may be meant, or a date or
            degrees that cannot be understood; then up to ``MOST_NAMED`` such lines are named.
    """
    chosen = columns_of(sheet, columns or {})
    listed, missing, wrong = [], [], []
    for line, row in csv_rows(sheet, (chosen["path"],)):
        named = {name: unguard(row[column]).strip() for name, column in chosen.items()}
        cells = [named.pop(name) for name in chosen if name not in FIELDS or name == "path"]
        if not any(cells):
            missing.append(Failure(sheet, f"line {line} names no photo"))
            continue
        photos = [photo_of(sheet, cell) for cell in filter(None, cells)]
        there = [path for path in photos if os.path.isfile(path)]
        missing += [
            Failure(path, f"listed in {sheet.name}, line {line}, but not there")
            for path in photos
            if path not in there
        ]
        if not there:
            continue
        if len(photos) > 1:  # taken one after another, and not all in that minute
            named |= {"hour": "", "minutes": ""}
        label = named.pop("identity", "")
        try:
            label = label_of(checked_name(label)) if label else ""
            facts = _facts(_whole(named), dates)
        except FlukeprintError as error:
            wrong.append((line, str(error)))
        else:
            listed += [Listed(path, label, facts) for path in there]
    if wrong:
        raise FlukeprintError(_wrong_lines(sheet, wrong))
    if not (listed or missing):
        raise FlukeprintError(f"{sheet}: lists no photos")
    if not listed:
        sought = [one.path for one in missing if one.path != sheet]
        tried = f", so {str(sought[0])!r} was looked for" if sought else ""
        raise FlukeprintError(
            f"{sheet}: no photo that it lists is there; paths start at the CSV{tried}"
        )
    return listed, missing


def _wrong_lines(sheet: Path, wrong: Sequence[tuple[int, str]]) -> str:
    """All in one: who mends a sheet wants to see at once how much there is to mend."""
    if len(wrong) == 1:
        return f"{sheet}, line {wrong[0][0]}: {wrong[0][1]}"
    named = [f"line {line}: {error}" for line, error in wrong[:MOST_NAMED]]
    if len(wrong) > MOST_NAMED:
        named.append(f"and {plural(len(wrong) - MOST_NAMED, 'line')} more")
    return f"{sheet}: {len(wrong):,} lines cannot be understood; {'; '.join(named)}"


def from_files(paths: Iterable[Path], facts: Mapping[str, str]) -> list[Listed]:
    """Photos without labels, with the same facts each."""
    same = _facts(facts)
    return [Listed(path, facts=same) for path in paths]


def _whole(cells: Mapping[str, str]) -> dict[str, str]:
    """The cells of facts, those of a date's parts put together."""
    facts = {name: text for name, text in cells.items() if name not in PARTS}
    return {**facts, "date": date_text(cells)}


def _facts(cells: Mapping[str, str], dates: str = "") -> dict[str, str]:
    return {name: checked_fact(name, text, dates) for name, text in cells.items() if text.strip()}


def columns_of(sheet: Path, named: Mapping[str, str]) -> dict[str, str]:
    """Which of a CSV's columns holds which field. See :func:`read_sheet`.

    Those of further photos are called ``path 2`` and so on.
    """
    header = csv_header(sheet)
    if not header:
        raise FlukeprintError(f"{sheet}: the first line is empty; it has to name the columns")
    for name, column in named.items():
        if name not in FIELDS:
            raise FlukeprintError(f"no field is called {name!r}; there are {', '.join(FIELDS)}")
        if column and column not in header:
            raise FlukeprintError(f"{sheet}: has no column {column!r}; it has {', '.join(header)}")
    chosen = {name: column for name, column in named.items() if column}
    for one, other in INSTEAD.items():
        if {one, other} <= chosen.keys():
            raise FlukeprintError(f"--columns: {one} and {other} tell the same; name one of them")
    taken = set(chosen.values())
    for name in FIELDS:
        if name in named or not _tells(name, chosen):
            continue
        found = [c for c in header if _plain(c) in COLUMNS[name] and c not in taken]
        exact = [c for c in found if _plain(c) == name]
        if len({*(exact or found)}) < len(exact or found):
            raise FlukeprintError(f"{sheet}: the first line names {found[0]!r} twice; rename one")
        if len(exact or found) > 1:
            raise FlukeprintError(
                f"{sheet}: {' and '.join(exact or found)} may each be the {name}; "
                f"say which with --columns {name}=COLUMN"
            )
        chosen.update((name, column) for column in exact or found)
    if "path" not in chosen:
        raise FlukeprintError(
            f"{sheet}: no column is known to hold the photos' paths; it has {', '.join(header)}; "
            "say which with --columns path=COLUMN"
        )
    useless = next((name for name in named if name in chosen and not _tells(name, chosen)), None)
    if useless:
        needed = " or the ".join(NEEDS[useless])
        raise FlukeprintError(f"{sheet}: the {useless} tells nothing without the {needed}")
    return chosen | _further_photos(header, chosen)


def _tells(name: str, chosen: Mapping[str, str]) -> bool:
    """Whether a column of this field would tell anything beside those that are chosen."""
    needed = NEEDS.get(name, ())
    return INSTEAD.get(name) not in chosen and (not needed or not chosen.keys().isdisjoint(needed))


def _further_photos(header: Sequence[str], chosen: Mapping[str, str]) -> dict[str, str]:
    """The columns of a row's other photos, where the first is a Wildbook's."""
    if not MEDIA.fullmatch(_plain(chosen["path"])):
        return {}
    taken = set(chosen.values())
    found = {int(asset[1]): c for c in header if (asset := MEDIA.fullmatch(_plain(c)))}
    return {
        f"path {number + 1}": found[number]
        for number in sorted(found)
        if found[number] not in taken
    }


def _plain(column: str) -> str:
    return "".join(letter for letter in column.lower() if letter.isalnum())
