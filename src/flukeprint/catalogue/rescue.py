"""Save what can be saved of a damaged catalogue to a new file, and write down what is lost.

Rows go over with their numbers. The place of an event that is lost is held by a stand-in, so that
numbers stay what they were; the present state is derived again from what is left of the log. A last
event, ``rescue``, names the events that are lost or no longer as they were written.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import flukeprint.catalogue.state as state
from flukeprint.catalogue.check import MOST_NAMED, Finding, inspect
from flukeprint.catalogue.draft import Draft
from flukeprint.catalogue.log import EMPTY, Key, append, now
from flukeprint.catalogue.plausible import (
    NUMBERED,
    columns_of,
    common_sizes,
    last_likely,
    makes_sense,
    named_by,
    size_of,
)
from flukeprint.catalogue.salvage import at_rest, rows_of
from flukeprint.catalogue.schema import MIGRATIONS
from flukeprint.catalogue.store import connect, fresh_file, migrate, transaction
from flukeprint.errors import FlukeprintError

ORDER = ("event", "individual", "photo", "file", "model", "look", "embedding", "ranking", "effect")
NAMES_EVENT = ("effect", "photo", "file", "individual")
NEEDS = {
    "file": (("photo", "photo"),),
    "look": (("photo", "photo"), ("model", "model")),
    "embedding": (("photo", "photo"), ("model", "model")),
    "ranking": (("photo", "photo"), ("model", "model")),
}
"""Columns without whose row in another table a row is of no use."""


@dataclass(frozen=True, slots=True)
class Rescued:
    """What was saved: rows by table, the events that are lost or damaged, and all in words."""

    path: Path
    rows: dict[str, int]
    damaged: tuple[int, ...]
    lines: tuple[str, ...]


def rescue(path: Path, new: Path, *, who: str) -> Rescued:
    """Save what can be read of ``path`` to ``new``, which must not be there yet.

    Raises:
        FlukeprintError: nothing can be read, or ``new`` is there or cannot be written.
    """
    with (
        at_rest(path) as (damaged, notes),
        fresh_file(new) as temporary,
        closing(connect(temporary)) as link,
    ):
        migrate(link, new, MIGRATIONS)
        link.execute("PRAGMA foreign_keys = OFF")
        with transaction(link, new, write=True):
            last = _last_likely(damaged, link)
            rows = {table: _copy(damaged, link, table, last) for table in ORDER}
            if not rows["event"] and not rows["effect"]:
                raise FlukeprintError(f"{path}: no decision can be read; use a backup")
            _copy_meta(damaged, link)
            _restore_individuals(link)
            lost = _stand_in(link)
            state.rebuild(link)
            bad, lines = _settle(link, path, who, lost)
    return Rescued(new, rows, bad, (*notes, *lines))


def _last_likely(source: sqlite3.Connection, target: sqlite3.Connection) -> dict[str, int]:
    """The number of the last event, photo and individual, as far as they can be known.

    Stand-ins up to a damaged number would fill the disk, and the next one would get one above it.
    """
    told: dict[str, dict[str, set[object]]] = {"event": {}, "photo": {}, "individual": {}}
    for table in ORDER:
        for row in _rows(source, target, table):
            for what, by_table in told.items():
                numbers = by_table.setdefault(table, set())
                numbers.add(row.get("id" if what == table else what))
            if table == "effect":
                if row["kind"] in NUMBERED:
                    told[NUMBERED[row["kind"]]][table].add(row["subject"])
                told["individual"][table].update(named_by(row))
    events = set().union(*told["event"].values())  # one source: to stand in for years of them ...
    told["event"] = {"event": events}  # ... takes more than two rows that say so
    return {what: last_likely(*by_table.values()) for what, by_table in told.items()}


def _copy(
    source: sqlite3.Connection, target: sqlite3.Connection, table: str, last: Mapping[str, int]
) -> int:
    """Copy the rows that can be read and that make sense; how many."""
    columns = columns_of(target, table)
    marks = ", ".join("?" * len(columns))
    sizes = common_sizes(_rows(source, target, table)) if table == "embedding" else {}
    copied = 0
    for row in _rows(source, target, table):
        if not makes_sense(table, row, columns, last):
            continue
        if any(row[column] is not None and not _is(target, other, row[column])
               for column, other in NEEDS.get(table, ())):  # fmt: skip
            continue
        if sizes and not 0 < size_of(row) == sizes[row["model"]]:
            continue
        try:
            target.execute(f"INSERT INTO {table} VALUES ({marks})", tuple(row.values()))
            copied += 1
        except sqlite3.Error:  # against the table's rules: its bytes are damaged
            continue
    return copied


def _rows(
    source: sqlite3.Connection, target: sqlite3.Connection, table: str
) -> Iterator[dict[str, object]]:
    """The rows that can be read by the names of their columns; later versions' are empty."""
    names = [column.name for column in columns_of(target, table)]
    for values in rows_of(source, table):
        if len(values) <= len(names):
            yield dict.fromkeys(names) | dict(zip(names, values, strict=False))


def _is(link: sqlite3.Connection, table: str, number: object) -> bool:
    return bool(link.execute(f"SELECT 1 FROM {table} WHERE id = ?", (number,)).fetchone())


def _copy_meta(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    try:
        rows = source.execute("SELECT key, value FROM meta").fetchall()
    except sqlite3.Error:
        rows = []
    target.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", [("root", "."), *rows])


def _restore_individuals(link: sqlite3.Connection) -> None:
    """Write the rows again of individuals whose beginning the effects tell."""
    link.execute(
        "INSERT OR IGNORE INTO individual SELECT subject, min(event) FROM effect"
        " WHERE kind = 'i' AND field = 'alive' AND after = 1 GROUP BY subject"
    )


def _stand_in(link: sqlite3.Connection) -> list[int]:
    """Hold the places of events that are lost; their numbers."""
    numbers = {number for (number,) in link.execute("SELECT id FROM event")}
    named = {
        number
        for table in NAMES_EVENT
        for (number,) in link.execute(f"SELECT DISTINCT event FROM {table}")
    }
    last = max(numbers | named, default=0)
    lost = sorted(set(range(1, last + 1)) - numbers)
    row = (now(), "rescue", "the event is lost", "lost", "{}", None, None, bytes(32))
    link.executemany(
        "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", ((number, *row) for number in lost)
    )
    return lost


def _settle(
    link: sqlite3.Connection, path: Path, who: str, lost: list[int]
) -> tuple[tuple[int, ...], list[str]]:
    """Append the event that tells what is lost.

    Before it, what is still said of photos that are lost is taken back, and individuals without a
    beginning are given one.
    """
    photos = _forget_photos(link, who)
    _revive_individuals(link, who)
    findings = inspect(link, MIGRATIONS)
    bad = sorted({finding.event for finding in findings if finding.event is not None} | {*lost})
    _note(Draft(link, None), who, f"{path.name} was damaged", lost, bad)
    return tuple(bad), [*photos, *_words(findings, lost)]


def _forget_photos(link: sqlite3.Connection, who: str) -> list[str]:
    """Take back what is said of photos whose rows are lost; a line of which they are."""
    draft = Draft(link, None)
    gone = "SELECT DISTINCT subject FROM effect WHERE kind = 'p' EXCEPT SELECT id FROM photo"
    numbers = [number for (number,) in link.execute(gone)]
    for row in link.execute(
        f"SELECT kind, subject, field, item FROM cell WHERE kind = 'p' AND subject IN ({gone})"
    ).fetchall():
        draft.put(Key(*row), EMPTY)
    if draft.effects:
        _note(draft, who, "photos that are lost", [], [])
    if not numbers:
        return []
    shown = ", ".join(map(str, numbers[:MOST_NAMED])) + (" ..." if numbers[MOST_NAMED:] else "")
    return [f"photos that are lost: {len(numbers):,}; bring them in again: {shown}"]


def _revive_individuals(link: sqlite3.Connection, who: str) -> None:
    """Give a number that is used its row again, whom a photo is said to be life, and all a name."""
    draft = Draft(link, None)
    named = (
        "SELECT value FROM cell WHERE field = 'individual' AND value IS NOT NULL"
        " UNION SELECT item FROM cell WHERE field IN ('label', 'not') AND value IS NOT NULL"
    )
    # Born by the event that comes next, whichever that is.
    link.execute(
        "INSERT OR IGNORE INTO individual SELECT number, ? FROM"
        f" (SELECT subject AS number FROM effect WHERE kind = 'i' UNION {named})",
        (draft.number,),
    )
    for (number,) in link.execute(named).fetchall():
        draft.set(1, "i", number, "alive")
    alive = {
        number
        for (number,) in link.execute(
            "SELECT subject FROM cell WHERE kind = 'i' AND field = 'alive' AND value = 1"
        )
    }
    for number in sorted(alive.union(key.subject for key in draft.changed_cells())):
        if draft.get("i", number, "name") is None:
            draft.set(f"rescued {number}", "i", number, "name")
    if draft.effects:
        _note(draft, who, "individuals whose beginning is lost", [], [])


def _note(draft: Draft, who: str, why: str, lost: list[int], damaged: list[int]) -> None:
    append(
        draft.link, draft.number, kind="rescue", who=who, why=why,
        details=json.dumps({"lost": lost, "damaged": damaged}), effects=draft.effects,
    )  # fmt: skip


def _words(findings: list[Finding], lost: list[int]) -> list[str]:
    lines = [f"event {number} is lost" for number in lost]
    return lines + [f.text for f in findings if f.event is None or f.event not in lost]
