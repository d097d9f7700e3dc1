"""Undo an event, in any order: exactly what it changed, or not at all.

An undo is an event of its own. It gives each cell that the event changed its value from before,
together with the event that value stood by. That is allowed where each of these cells still stands
by the event, and where the state stays sound: nothing refers to an individual that would go, no
name is taken, nothing that a person said contradicts it. Otherwise the later events in the way are
named, in an order in which they can be undone. An undo can be undone in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import flukeprint.catalogue.state as state
from flukeprint.catalogue.clashes import clashes
from flukeprint.catalogue.draft import Draft
from flukeprint.catalogue.individuals import Merge, merged
from flukeprint.catalogue.log import (
    Event,
    Key,
    effects_of,
    is_as_written,
    read_event,
    undone_by,
)
from flukeprint.errors import FlukeprintError

MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Undo:
    """Take back one event, by its number."""

    kind: ClassVar[str] = "undo"
    event: int

    def plan(self, draft: Draft) -> None:
        """Refused where later events are in the way; they are named."""
        event = read_event(draft.link, self.event)
        if event is None:
            raise FlukeprintError(f"there is no event {self.event}; the last is {draft.number - 1}")
        undo = undone_by(draft.link, event.id)
        if undo is not None:
            raise FlukeprintError(f"{event} is undone already, by {read_event(draft.link, undo)}")
        if not is_as_written(draft.link, event):
            raise FlukeprintError(
                f"{event} was damaged, and what it changed is not known in full; decide anew"
            )
        if not effects_of(draft.link, event.id):
            raise FlukeprintError(f"{event} changed nothing that could be put back")
        order, more = _first(draft, event.id)
        if order:
            named = [str(read_event(draft.link, number)) for number in order[:MOST_NAMED]]
            more += len(order) - len(named)
            others = f" and at least {more:,} more" if more else ""
            raise FlukeprintError(
                f"{event} cannot be undone while later ones stand on it: "
                f"{', '.join(named)}{others}; undo those first, in this order"
            )
        if event.kind == "rescue":
            raise FlukeprintError(f"{event} tells what is lost; no undo brings that back")
        draft.undoes = event.id
        if event.kind == Merge.kind:
            draft.notes += _came_since(draft, event)


def _came_since(draft: Draft, merge: Event) -> Iterator[str]:
    """Photos put with a merged individual while it was one: of whom, only a person can say."""
    gone, kept = merged(draft.link, merge.id)
    rows = draft.link.execute(
        "SELECT subject, owner FROM cell WHERE kind = 'p' AND field = 'individual' AND value = ?"
        " AND owner > ? ORDER BY subject",
        (kept, merge.id),
    ).fetchall()
    for photo, event in rows[:MOST_NAMED]:
        yield (
            f"{state.photo_words(draft.link, photo)} came to {draft.name(kept)} by "
            f"{read_event(draft.link, event)}, while the two were one, and stays there; "
            f"move it if it shows {draft.name(gone)}"
        )
    if len(rows) > MOST_NAMED:
        yield f"so did {len(rows) - MOST_NAMED:,} more photos of {draft.name(kept)}"


def _first(draft: Draft, number: int) -> tuple[list[int], int]:
    """What to undo before an event, in this order, and how many more at least.

    Each of them is undone in the draft in turn, together with what stands on it, until the event
    itself can be: what one of them gives back may be in the way, too. In the end all that came
    after the event would be undone, so this comes to an end. Nothing to undo first: the draft holds
    the event undone.
    """
    order: list[int] = []
    waiting = [number]
    while waiting:
        in_way = _in_way(draft, waiting[-1], order)
        if not in_way:
            order.append(waiting.pop())
        elif len(order) >= MOST_NAMED:
            return order, len(_in_way(draft, number, order)) or 1
        elif max(in_way) > waiting[-1]:
            waiting.append(max(in_way))
        else:  # only where a rescue left a log with gaps
            return [*order, max(in_way)], 0
    return order[:-1], 0


def _in_way(draft: Draft, number: int, undone: list[int]) -> set[int]:
    """The events in force that an event's undo would have to wait for; if none, it is undone.

    ``undone`` are those that the draft has undone already.
    """
    effects = effects_of(draft.link, number)
    held = [draft.held(effect.key) for effect in effects]
    found: set[int] = set()
    for effect, now in zip(effects, held, strict=True):
        if now != effect.after:
            found.update(_later(draft, number, effect.key, undone))
    if found:
        return found
    for effect in effects:
        draft.put(effect.key, effect.before)
    earlier: set[int] = set()
    for cells in clashes(draft, (effect.key for effect in effects)):
        later = (_later(draft, number, key, undone) for key in cells)
        last = max(next(filter(None, later), {0}))  # by it the cell has its value
        if last:
            found.add(last)
        else:
            earlier.add(_last(draft, number, cells[0]))
    if found or earlier:
        for effect, now in zip(effects, held, strict=True):
            draft.put(effect.key, now)
    return found or earlier


def _later(draft: Draft, number: int, key: Key, undone: list[int]) -> set[int]:
    """The events in force that changed a cell after an event did."""
    rows = draft.link.execute(
        "SELECT e.event, v.undoes FROM effect e JOIN event v ON v.id = e.event"
        " WHERE e.kind = ? AND e.subject = ? AND +e.field = ? AND e.item = ? AND e.event > ?",
        (*key, number),
    ).fetchall()
    # An event and its undo, both later, cancel out.
    return {
        later
        for later, undoes in rows
        if later not in undone
        and undone_by(draft.link, later, undone) is None
        and (undoes is None or undoes <= number)
    }


def _last(draft: Draft, number: int, key: Key) -> int:
    """The last event that changed a cell that an event's undo would clash with.

    Raises:
        FlukeprintError: it is lost, as it may be after a rescue.
    """
    row = draft.link.execute(
        "SELECT max(event) FROM effect WHERE kind = ? AND subject = ? AND +field = ? AND item = ?",
        key,
    ).fetchone()
    if row[0] is None:
        raise FlukeprintError(f"event {number} cannot be undone: what it stood on is lost")
    return int(row[0])
