"""The log: events, what each changed, and the seal that shows a changed byte.

An event's seal is the SHA-256 over the seal of the event before it and everything the event noted:
who, when, why, its effects, the photos, files and individuals that it added and the ranking it
cites. SQLite itself does not notice a flipped bit inside a row; the seals do.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Container, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

Value = int | str | None
FIRST_SEAL = bytes(32)
COLUMNS = "id, at, who, why, kind, details, ranking, undoes, seal"
EFFECT = "event, kind, subject, field, item, before, before_owner, after, after_owner"
SEALED = {
    "effect": EFFECT,
    "individual": "event, id",
    "photo": "event, id, sha256, size_bytes, width_px, height_px, taken, latitude, longitude,"
    " camera",
    "file": "event, id, path, photo, mtime_ns",
}
"""What else belongs to an event, by its column ``event``."""
_ENCODER = json.JSONEncoder(default=bytes.hex)


class Key(NamedTuple):
    """A cell's name: ``kind`` p or i, the subject's number, field, and which of several."""

    kind: str
    subject: int
    field: str
    item: int | str = ""


class Held(NamedTuple):
    """A cell's value and the event it stands by; owner 0 means never set, or undone."""

    value: Value
    owner: int


EMPTY = Held(None, 0)


class Effect(NamedTuple):
    """What one event did to one cell."""

    key: Key
    before: Held
    after: Held


class Event(NamedTuple):
    """Who decided what, when (UTC, ISO 8601) and why."""

    id: int
    at: str
    who: str
    why: str
    kind: str
    details: str
    ranking: int | None
    undoes: int | None
    seal: bytes

    def __str__(self) -> str:
        return f"event {self.id} ({self.kind}, {self.who}, {self.at})"


def revision(link: sqlite3.Connection) -> int:
    """The number of the last event, 0 for none."""
    return int(link.execute("SELECT coalesce(max(id), 0) FROM event").fetchone()[0])


def read_event(link: sqlite3.Connection, number: int) -> Event | None:
    """One event, or None where there is none of that number."""
    row = link.execute(f"SELECT {COLUMNS} FROM event WHERE id = ?", (number,)).fetchone()
    return None if row is None else Event(*row)


def effects_of(link: sqlite3.Connection, number: int) -> list[Effect]:
    """What an event changed, in the order in which it did."""
    rows = link.execute(f"SELECT {EFFECT} FROM effect WHERE event = ? ORDER BY id", (number,))
    return [effect_from(row) for row in rows]


def effect_from(row: tuple[int, str, int, str, int | str, Value, int, Value, int]) -> Effect:
    """An effect from its columns as ``EFFECT`` names them."""
    _, kind, subject, field, item, before, before_owner, after, after_owner = row
    key = Key(kind, subject, field, item)
    return Effect(key, Held(before, before_owner), Held(after, after_owner))


def undone_by(link: sqlite3.Connection, number: int, without: Container[int] = ()) -> int | None:
    """The event by which this one is undone at present, if it is.

    Undos that are in ``without`` count as undone themselves.
    """
    waiting, undos = [number], []
    while waiting:  # undos of undos can be many: a loop has no limit to its depth
        target = waiting.pop()
        query = "SELECT id FROM event WHERE undoes = ? AND id > ?"
        later = [int(undo) for (undo,) in link.execute(query, (target, target))]
        waiting += later
        undos += [(undo, target) for undo in later]
    by: dict[int, int] = {}
    for undo, target in sorted(undos, reverse=True):  # from the last one on, each is in force ...
        if undo not in by and undo not in without:  # ... unless a later one in force undoes it
            by.setdefault(target, undo)
    return by.get(number)


def now() -> str:
    """The time as events note it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def append(
    link: sqlite3.Connection,
    number: int,
    *,
    kind: str,
    who: str,
    why: str,
    details: str,
    effects: list[Effect],
    ranking: int | None = None,
    undoes: int | None = None,
) -> None:
    """Write event ``number`` with its effects, and the cells as they then are.

    What else belongs to it (``SEALED``) was inserted before, in the same transaction.
    """
    row = (number, now(), who, why, kind, details, ranking, undoes)
    link.executemany(
        f"INSERT INTO effect ({EFFECT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((number, *effect.key, *effect.before, *effect.after) for effect in effects),
    )
    seal = seal_of(link, _seal_before(link, number), row)
    link.execute(f"INSERT INTO event ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, seal))
    write_cells(link, ((effect.key, effect.after) for effect in effects))


def write_cells(link: sqlite3.Connection, cells: Iterator[tuple[Key, Held]]) -> None:
    """Put cells into the present state; one that nobody set any more is not kept."""
    written = list(cells)
    link.executemany(
        "DELETE FROM cell WHERE kind = ? AND subject = ? AND +field = ? AND item = ?",
        (key for key, held in written if held == EMPTY),
    )
    link.executemany(
        "INSERT OR REPLACE INTO cell VALUES (?, ?, ?, ?, ?, ?)",
        ((*key, *held) for key, held in written if held != EMPTY),
    )


def is_as_written(link: sqlite3.Connection, event: Event) -> bool:
    """Whether an event, and all that belongs to it, is what its seal was made of."""
    return seal_of(link, _seal_before(link, event.id), event[:-1]) == event.seal


def _seal_before(link: sqlite3.Connection, number: int) -> bytes:
    before = link.execute("SELECT seal FROM event WHERE id = ?", (number - 1,)).fetchone()
    return before[0] if before else FIRST_SEAL


def seal_of(link: sqlite3.Connection, before: bytes, row: tuple[object, ...]) -> bytes:
    """The 32 bytes that seal an event: ``row`` are its columns without the seal itself.

    ``before`` is the seal of the event before it.
    """
    number, ranking = row[0], row[6]
    digest = hashlib.sha256(before)
    digest.update(_line("event", row))
    digest.update(_line("ranking", _shown(link, ranking)))
    for table, columns in SEALED.items():
        query = f"SELECT {columns} FROM {table} WHERE event = ? ORDER BY id"
        for part in link.execute(query, (number,)):
            digest.update(_line(table, part))
    return digest.digest()


def _shown(link: sqlite3.Connection, ranking: object) -> tuple[object, ...]:
    """A ranking's columns, for the seal of the event that cites it; nothing where none is cited.

    The last, ``revision``, is sealed where there is one: rankings of earlier versions have none.
    """
    row = link.execute("SELECT * FROM ranking WHERE id = ?", (ranking,)).fetchone()
    if row is None:
        return ()
    return tuple(row) if row[-1] is not None else tuple(row[:-1])


def _line(table: str, row: tuple[object, ...]) -> bytes:
    return _ENCODER.encode((table, *row)).encode() + b"\n"
