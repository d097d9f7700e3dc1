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
COUNTED = ("individual", "merged into", "alive", "label", "not", "alias", state.UNNAMED)
"""The fields whose cells hold a number; all others hold a text."""
NEAR, COMPANY = 100, 4  # rows of one page have neighbouring numbers, a damaged number has none

Row = Mapping[str, object]


class Column(NamedTuple):
    """A table's column: its name and declared type."""

    name: str
    declared: str


def columns_of(link: sqlite3.Connection, table: str) -> list[Column]:
    """A table's columns, in their order."""
    return [Column(row[1], row[2]) for row in link.execute(f"PRAGMA table_info({table})")]


def last_likely(numbers: Iterable[object]) -> int:
    """The highest of these numbers that is none by damage; 0 for none.

    Numbers are given in turn: one far above the count of all is likely only where it has company.
    """
    ordered = sorted({one for one in numbers if isinstance(one, int) and one > 0})
    for place, number in reversed(list(enumerate(ordered))):
        company = place - bisect_left(ordered, number - NEAR)
        if number <= 2 * len(ordered) or company >= COMPANY:
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
    if row["field"] in ("individual", "merged into"):
        yield from (row[when] for when in ("before", "after") if row[when] is not None)


def is_box(corners: object) -> bool:
    """Whether these are a box's corners x0, y0, x1, y1, in shares of the photo's sides."""
    if not isinstance(corners, list) or len(corners) != 4:
        return False
    x0, y0, x1, y1 = (one if isinstance(one, int | float) else -1.0 for one in corners)
    return bool(0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1)


def common_sizes(vectors: Iterable[tuple[object, object, object]]) -> dict[object, int]:
    """How many numbers most vectors of each model have; ``vectors`` are (model, dtype, bytes)."""
    sizes: dict[object, Counter[int]] = {}
    for model, dtype, vector in vectors:
        sizes.setdefault(model, Counter())[size_of(dtype, vector)] += 1
    return {model: counted.most_common(1)[0][0] for model, counted in sizes.items()}


def size_of(dtype: object, vector: object) -> int:
    """How many numbers a vector has, -1 where it is none."""
    width = {"<f2": 2, "<f4": 4}.get(str(dtype))
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
    return all(
        _is_one(row[f"{when}_owner"], last["event"]) and _can_be(str(row["field"]), row[when])
        for when in ("before", "after")
        if row[when] is not None
    )


def _before(event: Row) -> int:
    """The number of the event before: the last that this one can undo."""
    return event["id"] - 1 if isinstance(event["id"], int) else 0


def _is_one(number: object, last: int) -> bool:
    return isinstance(number, int) and 0 < number <= last


def _can_be(field: str, value: object) -> bool:
    """Whether a cell of this field may have had this value."""
    if not isinstance(value, int if field in COUNTED else str):
        return False
    if field in MOST_DEGREES:
        try:
            return checked_fact(field, str(value)) == value
        except FlukeprintError:
            return False
    if field == "box":
        try:
            return is_box(json.loads(str(value)))
        except ValueError:
            return False
    return True
