"""Is a catalogue whole? Its pages, its rules, the seals, the state, and whether it makes sense."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import flukeprint.catalogue.state as state
from flukeprint.catalogue.log import COLUMNS, FIRST_SEAL, seal_of
from flukeprint.catalogue.salvage import LEFT_BESIDE, at_rest, readable
from flukeprint.catalogue.schema import APPLICATION_ID, MIGRATIONS, Migration
from flukeprint.errors import FlukeprintError
from flukeprint.wording import terminal_line

MOST_NAMED = 20


class Finding(NamedTuple):
    """Something wrong, and the event it lies in where it lies in one."""

    text: str
    event: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What ``check`` found. ``savable`` is how many rows of each table can be read.

    ``rescued`` are the events that a rescue could not save, or not as they were written: known of,
    and no problem any more. ``notes`` tell of a catalogue that is whole what will be done to it
    when it is next opened, such as that a change that was cut off is taken back.
    """

    path: Path
    problems: tuple[str, ...]
    savable: dict[str, int]
    rescued: tuple[int, ...]
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check(path: Path, migrations: tuple[Migration, ...] = MIGRATIONS) -> Report:
    """Look at everything in a catalogue. Writes nothing to it or beside it.

    Where a change was cut off, a copy in the temporary folder is looked at, from which SQLite has
    taken it back.

    Raises:
        FlukeprintError: there is no such file, it was never a catalogue, or there is no room for
            the copy.
    """
    with at_rest(path, len(migrations)) as (link, notes):
        left = tuple(note for note in notes if note in LEFT_BESIDE.values())
        problems = [note for note in notes if note not in left]
        problems += [finding.text for finding in inspect(link, migrations)]
        savable, rescued = readable(link), tuple(sorted(_accepted(link)))
    if not problems:  # SQLite has taken back in a copy what it will take back in the file
        return Report(path, (), savable, rescued, left)
    if not any(savable.values()):
        raise FlukeprintError(f"{path}: nothing of it can be read; no catalogue, or use a backup")
    return Report(path, (*left, *problems), savable, rescued)


def inspect(link: sqlite3.Connection, migrations: tuple[Migration, ...]) -> list[Finding]:
    """All that is wrong in an open catalogue; what a rescue already reported is left out."""
    findings = []
    for look in (_pages, lambda link: _rules(link, migrations), _seals, _state, _sense):
        try:
            findings += list(look(link))
        except (sqlite3.Error, ValueError, TypeError) as error:
            findings.append(Finding(f"damaged: {error}"))
    accepted = _accepted(link)
    distinct = dict.fromkeys(Finding(terminal_line(text), event) for text, event in findings)
    return [finding for finding in distinct if finding.event not in accepted]


def _accepted(link: sqlite3.Connection) -> set[int]:
    """Events that a rescue could not save whole, as it noted itself; none where that is damaged."""
    try:
        rows = link.execute("SELECT details FROM event WHERE kind = 'rescue'")
        return {number for (details,) in rows for number in json.loads(details)["damaged"]}
    except (sqlite3.Error, ValueError, TypeError, KeyError):
        return set()


def _pages(link: sqlite3.Connection) -> Iterator[Finding]:
    for (text,) in link.execute(f"PRAGMA integrity_check({MOST_NAMED})"):
        if text != "ok":
            yield Finding(" ".join(str(text).split()))
    for table, row, parent, _ in link.execute("PRAGMA foreign_key_check").fetchmany(MOST_NAMED):
        text = f"{table} {row}: names a {parent} that is not there"
        yield Finding(text, row if table == "event" else None)


def _rules(link: sqlite3.Connection, migrations: tuple[Migration, ...]) -> Iterator[Finding]:
    """Tables, indices and the triggers that forbid changes are as this version made them."""
    query = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"
    if link.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        yield Finding("its header names another program")
    version = link.execute("PRAGMA user_version").fetchone()[0]
    with closing(sqlite3.connect(":memory:")) as fresh:
        for migration in migrations[:version]:
            for statement in migration:
                fresh.execute(statement)
        wanted = {(kind, name): sql for kind, name, sql in fresh.execute(query)}
    there = {(kind, name): sql for kind, name, sql in link.execute(query)}
    for kind, name in sorted(wanted.keys() | there.keys()):
        if wanted.get((kind, name)) != there.get((kind, name)):
            yield Finding(f"the {kind} {name} is not as flukeprint made it")


def _seals(link: sqlite3.Connection) -> Iterator[Finding]:
    seal, last = FIRST_SEAL, 0
    for row in link.execute(f"SELECT {COLUMNS} FROM event ORDER BY id"):
        number = row[0]
        if number != last + 1:
            yield Finding(f"events {last + 1} to {number - 1} are missing", number)
        if seal_of(link, seal, row[:-1]) != row[-1]:
            yield Finding(f"event {number} is not as it was written", number)
        seal, last = row[-1], number
    highest = link.execute("SELECT coalesce(max(event), 0) FROM effect").fetchone()[0]
    if highest > last:
        yield Finding(f"events {last + 1} to {highest} are missing", highest)


def _state(link: sqlite3.Connection) -> Iterator[Finding]:
    broken: dict[int, str] = {}
    for line in state.differences(link, broken):
        yield Finding(f"the state is not what the log gives: {line}")
    for event, text in broken.items():
        yield Finding(f"event {event} {text}", event)


def _sense(link: sqlite3.Connection) -> Iterator[Finding]:
    """Nothing refers to what is not there, names are given once, nothing contradicts itself."""
    alive = "SELECT subject FROM cell WHERE kind = 'i' AND field = 'alive' AND value = 1"
    for query, text in (
        (
            "SELECT owner, subject, value FROM cell WHERE field = 'individual'"
            f" AND value IS NOT NULL AND value NOT IN ({alive})",
            "photo {} is of individual {}, which is not there",
        ),
        (
            "SELECT owner, subject, item FROM cell WHERE field IN ('label', 'not')"
            f" AND value IS NOT NULL AND item NOT IN ({alive})",
            "photo {} names individual {}, which is not there",
        ),
        (
            "SELECT a.owner, a.subject, a.value FROM cell a JOIN cell b ON b.kind = 'p'"
            " AND b.subject = a.subject AND b.field = 'not' AND b.item = a.value"
            " AND b.value IS NOT NULL WHERE a.field = 'individual'",
            "photo {} is of individual {} and is said not to be",
        ),
        (
            "SELECT s.owner, s.subject, s.value FROM cell s LEFT JOIN cell i ON i.kind = 'p'"
            " AND i.subject = s.subject AND i.field = 'individual' AND i.value IS NOT NULL"
            " WHERE s.kind = 'p' AND s.field = 'state' AND s.value IN ('imported', 'confirmed')"
            " AND i.subject IS NULL",
            "photo {} is {}, but as no individual",
        ),
        (
            "SELECT s.owner, s.subject, i.value FROM cell s JOIN cell i ON i.kind = 'p'"
            " AND i.subject = s.subject AND i.field = 'individual' AND i.value IS NOT NULL"
            f" WHERE s.kind = 'p' AND s.field = 'state' AND s.value = '{state.NO_WHALE}'",
            "photo {} shows no whale, but is of individual {}",
        ),
        (
            "SELECT i.owner, i.subject, i.value FROM cell i LEFT JOIN cell s ON s.kind = 'p'"
            " AND s.subject = i.subject AND s.field = 'state' AND s.value IS NOT NULL"
            " WHERE i.kind = 'p' AND i.field = 'individual' AND i.value IS NOT NULL"
            " AND s.subject IS NULL",
            "photo {} is of individual {}, but has no state",
        ),
        (
            "SELECT owner, subject, item FROM cell WHERE kind = 'i' AND field = 'alias'"
            f" AND value IS NOT NULL AND subject NOT IN ({alive})",
            "individual {} is not there, but its alias {!r} is",
        ),
        (
            "SELECT owner, subject, field FROM cell WHERE kind = 'p'"
            " AND subject NOT IN (SELECT id FROM photo)",
            "photo {} is not there, but its {} is",
        ),
        (
            "SELECT owner, subject, field FROM cell WHERE kind = 'i'"
            " AND subject NOT IN (SELECT id FROM individual)"
            # Earlier versions' rescues left such, and said so.
            " AND NOT EXISTS (SELECT 1 FROM event WHERE kind = 'rescue')",
            "individual {} is not there, but its {} is",
        ),
        (
            "SELECT NULL, photo, model FROM look WHERE NOT"
            " (x0 >= 0 AND x0 < x1 AND x1 <= 1 AND y0 >= 0 AND y0 < y1 AND y1 <= 1)",
            "what was seen in photo {} by model {} is no box",
        ),
        (
            "SELECT max(owner), text, group_concat(subject) FROM (SELECT owner, subject,"
            " CASE field WHEN 'name' THEN value ELSE item END AS text FROM cell"
            " WHERE kind = 'i' AND field IN ('name', 'alias') AND value IS NOT NULL"
            f" AND subject IN ({alive})) GROUP BY text HAVING count(*) > 1",
            "{!r} is the name of several individuals: {}",
        ),
    ):
        for owner, one, other in link.execute(query):
            yield Finding(text.format(one, other), owner)
