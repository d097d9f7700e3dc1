"""Does a row of a damaged catalogue still make sense? One that does not counts as lost.

A page that SQLite can read may hold any bytes. A number that became a text, a place that became
noise or an event's number a thousand times above all others would not stop a rescue, but would stop
whoever works with what it saved.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import flukeprint.catalogue.state as state
from flukeprint.catalogue.facts import MOST_DEGREES, checked_fact
from flukeprint.errors import FlukeprintError
from flukeprint.records import Box

HOLDS: dict[str, tuple[type, ...]] = {
    "INTEGER": (int,),
    "REAL": (int, float),
    "TEXT": (str,),
    "BLOB": (bytes,),
    "": (int, str),
}
"""What a column of each declared type holds, beside nothing."""
NUMBERED: dict[object, str] = {"p": "photo", "i": "individual"}
"""The table that numbers an effect's subjects, by its kind."""
NAMING = ("individual", "merged into")
MARKS = ("alive", "label", "not", "alias", state.UNNAMED)
"""The fields whose cells hold the number of an individual, and those whose cells hold a 1 as a
mark; all others hold a text."""
NEAR, COMPANY = 100, 4  # rows of one page have neighbouring numbers, a damaged number has none

Row = Mapping[str, object]


class Column(NamedTuple):
    """A table's column: its name and declared type."""

    name: str
    declared: str


def columns_of(link: sqlite3.Connection, table: str) -> list[Column]:
    """A table's columns, in their order."""
    return [Column(row[1], row[2]) for row in link.execute(f"PRAGMA table_info({table})")]


def last_likely(*sources: Iterable[object]) -> int:
    """The highest number that is none by damage, of those that each source tells; 0 for none.

    Numbers are given in turn: one far above the count of all is likely only where several sources
    tell it, or it has company.
    """
    told = Counter(
        one for numbers in sources for one in {*numbers} if isinstance(one, int) and one > 0
    )
    ordered = sorted(told)
    for place, number in reversed(list(enumerate(ordered))):
        company = place - bisect_left(ordered, number - NEAR)
        if number <= 2 * len(ordered) or told[number] > 1 or company >= COMPANY:
            return number
    return 0


def makes_sense(table: str, row: Row, columns: Iterable[Column], last: Mapping[str, int]) -> bool:
    """Whether a row's values are of the kinds and in the ranges that flukeprint writes.

    ``last`` gives the highest likely number of an ``event``, a ``photo`` and an ``individual``.
    """
    if any(
        row[column.name] is not None and not isinstance(row[column.name], HOLDS[column.declared])
        for column in columns
    ):
        return False
    if table in last and not _is_one(row["id"], last[table]):
        return False
    if "event" in row and not _is_one(row["event"], last["event"]):
        return False
    if table == "event":
        return row["undoes"] is None or _is_one(row["undoes"], _before(row))
    if table == "look":
        return is_box([row[name] for name in ("x0", "y0", "x1", "y1")])
    if table == "ranking":
        return _is_ranking(row["candidates"])
    return table != "effect" or _effect_makes_sense(row, last)


def named_by(row: Row) -> Iterator[object]:
    """The individuals that an effect names, its subject aside."""
    if row["field"] in ("label", "not"):
        yield row["item"]
    if row["field"] in NAMING:
        yield from (row[when] for when in ("before", "after") if row[when] is not None)


def is_box(corners: object) -> bool:
    """Whether these are a box's corners x0, y0, x1, y1, in shares of the photo's sides."""
    try:
        Box(*corners)  # type: ignore[misc]  # whatever a damaged row holds
    except (TypeError, ValueError):
        return False
    return True


def common_sizes(embeddings: Iterable[Row]) -> dict[object, int]:
    """How many numbers most embeddings by each model have."""
    sizes: dict[object, Counter[int]] = {}
    for row in embeddings:
        sizes.setdefault(row["model"], Counter())[size_of(row)] += 1
    return {model: counted.most_common(1)[0][0] for model, counted in sizes.items()}


def size_of(embedding: Row) -> int:
    """How many numbers an embedding has, -1 where it is none."""
    vector = embedding["vector"]
    width = {"<f2": 2, "<f4": 4}.get(str(embedding["dtype"]))
    if width is None or not isinstance(vector, bytes) or len(vector) % width:
        return -1
    return len(vector) // width


def _is_ranking(candidates: object) -> bool:
    """Whether this is a list of whom a photo may show, as a ranking holds it."""
    try:
        listed = json.loads(str(candidates))
    except ValueError:
        return False
    return isinstance(listed, list) and all(
        isinstance(one, list)
        and [type(part) for part in one[:2]] == [int, str]
        and len(one) == 3
        and isinstance(one[2], int | float)
        for one in listed
    )


def _effect_makes_sense(row: Row, last: Mapping[str, int]) -> bool:
    whose = NUMBERED.get(row["kind"])
    if whose is None or not _is_one(row["subject"], last[whose]):
        return False
    if not all(_is_one(individual, last["individual"]) for individual in named_by(row)):
        return False
    # An undo gives a cell back with its owner from before, so that no owner is a later event.
    owners, event = (row["before_owner"], row["after_owner"]), row["event"]
    if not isinstance(event, int) or not all(one == 0 or _is_one(one, event) for one in owners):
        return False
    return all(
        row[when] is None or (row[f"{when}_owner"] != 0 and _can_be(str(row["field"]), row[when]))
        for when in ("before", "after")
    )


def _before(event: Row) -> int:
    """The number of the event before: the last that this one can undo."""
    return event["id"] - 1 if isinstance(event["id"], int) else 0


def _is_one(number: object, last: int) -> bool:
    return isinstance(number, int) and 0 < number <= last


def _can_be(field: str, value: object) -> bool:
    """Whether a cell of this field may have had this value."""
    if field in NAMING:
        return isinstance(value, int)
    if field in MARKS:
        return value == 1
    if not isinstance(value, str):
        return False
    if field in MOST_DEGREES:
        try:
            return checked_fact(field, value) == value
        except FlukeprintError:
            return False
    if field == "box":
        try:
            return is_box(json.loads(value))
        except ValueError:
            return False
    return field != "state" or value in state.STATES
