"""What happened to a photo or an individual, oldest first."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import flukeprint.catalogue.state as state
from flukeprint.catalogue.log import COLUMNS, Event, Key, undone_by
from flukeprint.catalogue.words import line

_PATH = (
    "(SELECT path FROM file p WHERE p.photo = {} AND NOT EXISTS"
    " (SELECT 1 FROM file later WHERE later.path = p.path AND later.id > p.id)"
    " ORDER BY p.id LIMIT 1)"
)
_PAST = (
    ", f.id, f.kind, f.subject, f.field, f.item, f.before, f.after,"
    f" {', '.join(f'e.{column}' for column in COLUMNS.split(', '))},"
    " (SELECT max(u.id) FROM event u WHERE u.undoes = e.id), {}"
    " FROM effect f LEFT JOIN event e ON e.id = f.event"
)
OF_PHOTO = (
    f"SELECT f.event, 0{_PAST.format(_PATH.format('?1'))} WHERE f.kind = 'p' AND f.subject = ?1"
)
"""The path does not hang on the row, so SQLite looks for it once."""
OF_INDIVIDUAL = " UNION ALL ".join(
    (
        f"SELECT f.event, 0{_PAST.format('NULL')} WHERE f.kind = 'i' AND f.subject = ?1",
        *(
            f"SELECT f.event, 1{_PAST.format(_PATH.format('f.subject'))}"
            f" WHERE f.{side} = ?1 AND f.field = 'individual'"
            for side in ("after", "before")
        ),
    )
)
"""Each part has an index of its own: asked with OR, SQLite reads the whole table."""

_FIRST_OF_ALL, _EVENT = itemgetter(0, 1, 2), itemgetter(0)


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as far as it concerns what was asked about; ``undone`` is by which event."""

    event: Event
    undone: int | None
    lines: tuple[str, ...]


def photo_history(link: sqlite3.Connection, number: int) -> list[Entry]:
    """Every event that changed something about a photo, oldest first."""
    return _entries(link, OF_PHOTO, number)


def individual_history(link: sqlite3.Connection, number: int) -> list[Entry]:
    """Every event that changed an individual, or by which a photo came to it or left it."""
    return _entries(link, OF_INDIVIDUAL, number)


def _entries(link: sqlite3.Connection, query: str, number: int) -> list[Entry]:
    """An entry for each event, what it did to the subject itself first."""
    rows = link.execute(query, (number,)).fetchall()
    rows.sort(key=_FIRST_OF_ALL)
    names = _Names(link).__getitem__
    # One question for all: a question for each of thousands of photos takes its time.
    paths = {subject: path for _, _, _, kind, subject, *_, path in rows if kind == "p"}
    photos = {photo: state.photo_called(photo, path) for photo, path in paths.items()}.__getitem__
    entries = []
    for event, group in groupby(rows, key=_EVENT):
        mine = list(group)
        *columns, undo, _ = mine[0][9:]
        if columns[0] is None:
            raise LookupError(f"event {event} is missing")
        effects = [line(Key(*row[3:7]), row[7], row[8], names, photos) for row in mine]
        undone = None if undo is None else undone_by(link, event)
        entries.append(Entry(Event(*columns), undone, tuple(effects)))
    return entries


class _Names(dict[int, str]):
    """Individuals as people read of them, each looked up once."""

    def __init__(self, link: sqlite3.Connection) -> None:
        self._link = link

    def __missing__(self, individual: int) -> str:
        name = self[individual] = name_of(self._link, individual)
        return name


def name_of(link: sqlite3.Connection, individual: int) -> str:
    """An individual as people read of it."""
    name = state.value(link, "i", individual, "name")
    return f"{name} (individual {individual})" if name else f"individual {individual}"
