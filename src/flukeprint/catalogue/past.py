"""What happened to a photo or an individual, oldest first."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import flukeprint.catalogue.state as state
from flukeprint.catalogue.individuals import Merge, merged
from flukeprint.catalogue.log import COLUMNS, Event, Key, undone_by
from flukeprint.catalogue.schema import NAMED, NAMING
from flukeprint.catalogue.words import line

_PATH = (
    "(SELECT path FROM file p WHERE p.photo = {} AND NOT EXISTS"
    " (SELECT 1 FROM file later WHERE later.path = p.path AND later.id > p.id)"
    " ORDER BY p.id LIMIT 1)"
)
_OF_EVENT = (
    f"{', '.join(f'e.{column}' for column in COLUMNS.split(', '))},"
    " (SELECT max(u.id) FROM event u WHERE u.undoes = e.id)"
)


def _rows(order: int, cell: str, path: str, table: str, where: str, join: str = "LEFT") -> str:
    """A part of a question: rows of a table with their events; ``order`` sorts within an event."""
    return (
        f"SELECT t.event, {order}, t.id, {cell}, {_OF_EVENT}, {path}"
        f" FROM {table} t {join} JOIN event e ON e.id = t.event WHERE {where}"
    )


_CELL = "t.kind, t.subject, t.field, t.item, t.before, t.after"
OF_PHOTO = " UNION ALL ".join(
    (
        _rows(0, "'p', t.id, 'photo', '', 0, 1", _PATH.format("?1"), "photo", "t.id = ?1"),
        _rows(1, "'p', t.photo, 'file', t.path, 0, 1", "NULL", "file", "t.photo = ?1"),
        _rows(2, _CELL, "NULL", "effect", "t.kind = 'p' AND t.subject = ?1"),
    )
)
"""That it came, and each of its files, is told like a cell. Its path has the first row alone."""
_OF_PHOTOS = _PATH.format("t.subject")
_SAID = (
    "(+t.field = 'not' AND t.item = ?1 OR +t.field = 'state' AND NOT EXISTS"
    " (SELECT 1 FROM effect f WHERE f.event = t.event AND +f.field = 'individual'))"
)
"""What a verdict about an individual says beside the photos that come to it and leave it."""
OF_INDIVIDUAL = " UNION ALL ".join(
    (
        _rows(0, _CELL, "NULL", "effect", "t.kind = 'i' AND t.subject = ?1"),
        _rows(1, _CELL, _OF_PHOTOS, "effect", "t.after = ?1 AND t.field = 'individual'"),
        _rows(1, _CELL, _OF_PHOTOS, "effect", "t.before = ?1 AND t.field = 'individual'"),
    )
)
"""Each part has an index of its own: asked with OR, SQLite reads the whole table."""
IS_NAMED = f"SELECT 1 FROM event WHERE {NAMED} = ? AND {NAMING} LIMIT 1"
OF_VERDICTS = _rows(2, _CELL, _OF_PHOTOS, "effect", f"{NAMED} = ?1 AND e.{NAMING} AND {_SAID}", "")
OF_UNDOS = _rows(2, _CELL, _OF_PHOTOS, "effect", f"e.undoes = ?2 AND {_SAID}", "")

_FIRST_OF_ALL, _EVENT = itemgetter(0, 1, 2), itemgetter(0)
_KIND = 9 + COLUMNS.split(", ").index("kind")


Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as far as it concerns what was asked about; ``undone`` is by which event.

    ``about`` names the individuals that were merged into the one asked about, where some of the
    lines are of their past.
    """

    event: Event
    undone: int | None
    lines: tuple[str, ...]
    about: tuple[str, ...] = ()


def photo_history(link: sqlite3.Connection, number: int) -> list[Entry]:
    """Every event by which a photo or a file of it came, or that changed something about it."""
    return _entries(link, link.execute(OF_PHOTO, (number,)).fetchall(), {})


def individual_history(link: sqlite3.Connection, number: int) -> list[Entry]:
    """Every event that changed an individual, by which a photo came or left, or that named it.

    So, too, of the individuals that were merged into it: they are one.
    """
    rows = _of_individual(link, number)
    others = _merged_into(link, number, rows)
    whose: dict[int, int] = {}
    for other in others:  # grows by those merged into this one before
        told = {row[2] for row in rows}  # a merge tells of both
        theirs = [row for row in _of_individual(link, other) if row[2] not in told]
        whose.update((row[2], other) for row in theirs)
        others += [one for one in _merged_into(link, other, theirs) if one not in others]
        rows += theirs
    return _entries(link, rows, whose)


def _of_individual(link: sqlite3.Connection, number: int) -> list[Row]:
    rows: list[Row] = link.execute(OF_INDIVIDUAL, (number,)).fetchall()
    if link.execute(IS_NAMED, (number,)).fetchone() is None:
        return rows  # as most: to plan the longer question takes its time
    said: list[Row] = link.execute(OF_VERDICTS, (number,)).fetchall()
    undone = _undone(said)
    for event in undone:  # grows by undos that were undone themselves
        undos = link.execute(OF_UNDOS, (number, event)).fetchall()
        undone += [one for one in _undone(undos) if one not in undone]  # damage makes circles
        said += undos
    return rows + said


def _undone(rows: list[Row]) -> list[int]:
    """The events of these rows that were ever undone."""
    return list(dict.fromkeys(row[0] for row in rows if row[-2] is not None))


def _merged_into(link: sqlite3.Connection, number: int, rows: list[Row]) -> list[int]:
    """The individuals that are merged into one, by what the merges themselves did to it."""
    merges = {row[0]: row for row in rows if row[1] == 0 and row[_KIND] == Merge.kind}
    found = []
    for event, row in merges.items():
        gone, kept = merged(link, event)
        if kept == number and (row[-2] is None or undone_by(link, event) is None):
            found.append(gone)
    return found


def _entries(link: sqlite3.Connection, rows: list[Row], whose: dict[int, int]) -> list[Entry]:
    """An entry for each event, what it did to the subject itself first.

    ``whose`` says by the number of an effect which other individual's past it is.
    """
    rows.sort(key=_FIRST_OF_ALL)
    names = _Names(link).__getitem__
    # One question for all: a question for each of thousands of photos takes its time.
    called: dict[int, str] = {}
    for row in rows:
        if row[3] == "p" and row[4] not in called:  # the first row has the path
            called[row[4]] = state.photo_called(row[4], row[-1])
    photos = called.__getitem__
    entries = []
    for event, group in groupby(rows, key=_EVENT):
        mine = list(group)
        *columns, undo, _ = mine[0][9:]
        if columns[0] is None:
            raise LookupError(f"event {event} is missing")
        effects = [line(Key(*row[3:7]), row[7], row[8], names, photos) for row in mine]
        undone = None if undo is None else undone_by(link, event)
        others = [whose[row[2]] for row in mine if row[2] in whose] if whose else ()
        about = tuple(map(names, dict.fromkeys(others))) if others else ()
        entries.append(Entry(Event(*columns), undone, tuple(effects), about))
    return entries


class _Names(dict[int, str]):
    """Individuals as people read of them, each looked up once."""

    def __init__(self, link: sqlite3.Connection) -> None:
        self._link = link

    def __missing__(self, individual: int) -> str:
        name = self[individual] = name_of(self._link, individual)
        return name


def name_of(link: sqlite3.Connection, individual: int) -> str:
    """An individual as people read of it, by its last name where it was undone and has none."""
    name = state.value(link, "i", individual, "name") or state.last_name(link, individual)
    return f"{name} (individual {individual})" if name else f"individual {individual}"
