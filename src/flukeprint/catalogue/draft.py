"""A decision while it is being planned: what it would change, in words, before it is written.

A draft reads the present state, lays its own changes over it, and refuses whatever was changed by
others since the maker of the decision looked. Preview and decision are the same draft; only the
decision is written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import flukeprint.catalogue.state as state
from flukeprint.catalogue.log import (
    COLUMNS,
    EMPTY,
    Effect,
    Event,
    Held,
    Key,
    Value,
    read_event,
    revision,
)
from flukeprint.errors import FlukeprintError
from flukeprint.records import NEW_WHALE, label_of, spelled

LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a decision changed, or in a preview would change, one line for each cell.

    ``event`` is its number, None in a preview. ``revision`` is the catalogue's last event.
    ``notes`` say what the decision left as it is and a person should look at.
    """

    event: int | None
    revision: int
    lines: tuple[str, ...]
    notes: tuple[str, ...] = ()


class Decision(Protocol):
    """What a person can decide; each kind is a dataclass whose fields say about what."""

    @property
    def kind(self) -> str:
        """The event's kind."""

    def plan(self, draft: Draft) -> None:
        """Lay the decision's changes over the draft's state, or say why it cannot be."""


class Draft:
    """The present state with a decision's changes over it.

    ``seen`` is the revision that the decision's maker saw, None for the present one; ``number`` is
    the event that it would become.
    """

    def __init__(self, link: sqlite3.Connection, seen: int | None) -> None:
        self.link = link
        last = revision(link)
        if seen is not None and not 0 <= seen <= last:
            raise FlukeprintError(f"revision {seen} is not one of this catalogue's {last}")
        self.seen = last if seen is None else seen
        self.number = last + 1
        self.undoes: int | None = None
        self.notes: list[str] = []
        self._changes: dict[Key, tuple[Held, Held]] = {}
        self._touched: dict[tuple[str, int, str], list[Key]] = {}
        self.born: list[int] = []
        self._last_individual: int | None = None
        self.first_photo: int | None = None  # from this number on photos are new

    def held(self, key: Key) -> Held:
        """A cell with the draft's own changes."""
        return self._changes[key][1] if key in self._changes else self._kept(key)

    def _kept(self, key: Key) -> Held:
        """A cell as it was before; what the draft itself brings had none."""
        new = self.first_photo if key.kind == "p" else self.born[0] if self.born else None
        return EMPTY if new is not None and key.subject >= new else state.held(self.link, key)

    def get(self, kind: str, subject: int, field: str, item: int | str = "") -> Value:
        """A cell's value with the draft's own changes."""
        return self.held(Key(kind, subject, field, item)).value

    def set(self, value: Value, kind: str, subject: int, field: str, item: int | str = "") -> None:
        """Give a cell a value, which from then on stands by this decision."""
        key = Key(kind, subject, field, item)
        if self.held(key).value != value:
            self.put(key, Held(value, self.number))

    def put(self, key: Key, after: Held) -> None:
        """Give a cell a value together with the event that it stands by."""
        if key in self._changes:
            before = self._changes[key][0]
        else:
            before = self._kept(key)
            self._touched.setdefault(key[:3], []).append(key)
        self._changes[key] = (before, after)

    @property
    def effects(self) -> list[Effect]:
        """What the draft changes, cells that end as they were left out."""
        return [
            Effect(key, before, after)
            for key, (before, after) in self._changes.items()
            if before.value != after.value
        ]

    def changed_cells(self) -> Iterator[Key]:
        """The cells that the draft touches."""
        return iter(self._changes)

    def changed(self, kind: str, subject: int, field: str) -> list[Key]:
        """The cells of one field that the draft touches."""
        return self._touched.get((kind, subject, field), [])

    def photo(self, number: int) -> int:
        """A photo that the decision is about.

        Raises:
            FlukeprintError: there is none, or it was changed since the decision's maker looked.
        """
        known = self.link.execute("SELECT id FROM photo WHERE id = ?", (number,)).fetchone()
        if known is None or not isinstance(number, int):  # SQLite takes "4" for 4, a cell does not
            raise FlukeprintError(f"no photo has the number {number}")
        self._unchanged("p", number, state.photo_words(self.link, number))
        return number

    def individual(self, number: int) -> int:
        """An individual that the decision names. Raises as :meth:`photo` does."""
        self._unchanged("i", number, f"individual {number}")
        if not isinstance(number, int) or self.get("i", number, "alive") is None:
            raise FlukeprintError(self.gone(number))
        return number

    def gone(self, individual: int) -> str:
        """Why an individual is not to be had."""
        into = self.get("i", individual, "merged into")
        if isinstance(into, int):
            return f"individual {individual} was merged into {self.name(into)}; name that one"
        return f"no individual has the number {individual}"

    def members(self, individual: int) -> list[int]:
        """An individual's photos; refused where one joined or left since the maker looked."""
        row = self.link.execute(
            f"SELECT {COLUMNS} FROM event WHERE id > ? AND id IN (SELECT event FROM effect"
            " WHERE event > ? AND field = 'individual' AND (before = ? OR after = ?)) ORDER BY id",
            (self.seen, self.seen, individual, individual),
        ).fetchone()
        if row:
            raise FlukeprintError(
                f"the photos of {self.name(individual)} changed since you looked, "
                f"by {Event(*row)}; look again"
            )
        return state.members(self.link, individual)

    def _unchanged(self, kind: str, subject: int, words: str) -> None:
        row = self.link.execute(
            "SELECT event FROM effect WHERE kind = ? AND subject = ? AND event > ? ORDER BY event",
            (kind, subject, self.seen),
        ).fetchone()
        if row:
            raise FlukeprintError(
                f"{words} changed since you looked, by {read_event(self.link, row[0])}; look again"
            )

    def new_individual(self, name: str) -> int:
        """Make an individual; its number was never used before."""
        number = self._next_individual()
        self.born.append(number)
        self.set(1, "i", number, "alive")
        self.set(name, "i", number, "name")
        return number

    def _next_individual(self) -> int:
        if self._last_individual is None:
            self._last_individual = last_number(self.link, "individual")
        return self._last_individual + 1 + len(self.born)

    def made_up_name(self) -> str:
        """A name for an individual that nobody gave one yet."""
        number = self._next_individual()
        while state.holders(self.link, f"whale-{number}"):
            number += 1
        return f"whale-{number}"

    def free_name(self, name: str, *, of: int | None = None) -> str:
        """A name that an individual may get; an alias of individual ``of`` is free, too.

        Raises:
            FlukeprintError: it is empty or unprintable, or another goes by it.
        """
        name = checked_name(name)
        if label_of(name) == NEW_WHALE:
            raise FlukeprintError(f"{name!r} stands for a whale without a name; choose another")
        for holder, field in state.holders(self.link, name):
            if (holder, field) != (of, "alias"):
                raise FlukeprintError(
                    f"{name!r} is {'an alias' if field == 'alias' else 'the name'} of individual "
                    f"{holder}; names are given once, choose another"
                )
        for holder, other in state.names_alike(self.link, name):
            if holder != of:
                self.notes.append(
                    f"{name!r} and {other!r} (individual {holder}) are whales of their own; "
                    "merge them if they are one"
                )
        return name

    def name(self, individual: int) -> str:
        """An individual as people read of it: its name with its number."""
        name = self.get("i", individual, "name")
        if name is None:  # undone or about to be: what it was called before
            held = self._changes.get(Key("i", individual, "name"), (EMPTY, EMPTY))[0]
            name = held.value
        return f"{name} (individual {individual})" if name else f"individual {individual}"


def last_number(link: sqlite3.Connection, table: str) -> int:
    """The highest number that a ``photo`` or an ``individual`` ever had; 0 for none.

    A rescue may have lost the row of one of which events still tell: another must not get them.
    """
    query = (
        f"SELECT max(coalesce((SELECT max(id) FROM {table}), 0),"
        " coalesce((SELECT max(subject) FROM effect WHERE kind = ?), 0))"
    )
    return int(link.execute(query, (table[0],)).fetchone()[0])


def checked_name(name: str) -> str:
    """A name as it is kept: without white space around it, an accent in the one form of NFC.

    Raises:
        FlukeprintError: it is empty, too long, or holds what cannot be printed.
    """
    name = spelled(name)
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise FlukeprintError(
            f"{name[:40]!r} cannot be a name; give 1 to {LONGEST_NAME} printable characters"
        )
    return name
