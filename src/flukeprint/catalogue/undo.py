"""Undo an event, in any order: exactly what it changed, or not at all.

An undo is an event of its own. It gives each cell that the event changed its value from before,
together with the event that value stood by. That is allowed where each of these cells still stands
by the event, and where the state stays sound: nothing refers to an individual that would go, no
name is taken, nothing that a person said contradicts it. Otherwise the later events in the way are
named. An undo can be undone in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import flukeprint.catalogue.state as state
from flukeprint.catalogue.draft import Draft
from flukeprint.catalogue.individuals import Merge
from flukeprint.catalogue.log import (
    Effect,
    Event,
    Key,
    effects_of,
    read_event,
    undone_by,
)
from flukeprint.catalogue.state import CONFIRMED, IMPORTED, NO_WHALE
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
        effects = effects_of(draft.link, event.id)
        if not effects:
            raise FlukeprintError(f"{event} changed nothing that could be put back")
        in_way: set[int] = set()
        for effect in effects:
            if draft.held(effect.key) != effect.after:
                in_way.update(_later(draft, event, effect.key))
            draft.put(effect.key, effect.before)
        clashes = set(_clashes(draft, effects))
        in_way.update(number for number in clashes if number > event.id)
        in_way = in_way or clashes  # only where a rescue left a log with gaps are they earlier
        if in_way:
            numbers = sorted(in_way, reverse=True)  # in the order in which they can be undone
            named = [str(read_event(draft.link, number)) for number in numbers[:MOST_NAMED]]
            more = f" and {len(numbers) - MOST_NAMED} more" if len(numbers) > MOST_NAMED else ""
            raise FlukeprintError(
                f"{event} cannot be undone while later ones stand on it: "
                f"{', '.join(named)}{more}; undo those first, in this order"
            )
        draft.undoes = event.id
        if event.kind == Merge.kind:
            draft.notes += _came_since(draft, event)


def _came_since(draft: Draft, merge: Event) -> Iterator[str]:
    """Photos put with a merged individual while it was one: of whom, only a person can say."""
    both = json.loads(merge.details)
    rows = draft.link.execute(
        "SELECT subject, owner FROM cell WHERE kind = 'p' AND field = 'individual' AND value = ?"
        " AND owner > ? ORDER BY subject",
        (both["kept"], merge.id),
    ).fetchall()
    for photo, event in rows[:MOST_NAMED]:
        yield (
            f"{state.photo_words(draft.link, photo)} came to {draft.name(both['kept'])} by "
            f"{read_event(draft.link, event)}, while the two were one, and stays there; "
            f"move it if it shows {draft.name(both['gone'])}"
        )
    if len(rows) > MOST_NAMED:
        yield f"so did {len(rows) - MOST_NAMED:,} more photos of {draft.name(both['kept'])}"


def _later(draft: Draft, event: Event, key: Key) -> set[int]:
    """The events in force that changed a cell after ``event`` did."""
    rows = draft.link.execute(
        "SELECT e.event, v.undoes FROM effect e JOIN event v ON v.id = e.event"
        " WHERE e.kind = ? AND e.subject = ? AND +e.field = ? AND e.item = ? AND e.event > ?",
        (*key, event.id),
    ).fetchall()
    # An event and its undo, both later, cancel out.
    return {
        number
        for number, undoes in rows
        if undone_by(draft.link, number) is None and (undoes is None or undoes <= event.id)
    }


def _clashes(draft: Draft, effects: list[Effect]) -> Iterator[int]:
    """The last events to have touched what the undone state would not be sound with."""
    for key in (effect.key for effect in effects):
        for other in _unsound(draft, key):
            row = draft.link.execute(
                "SELECT max(event) FROM effect"
                " WHERE kind = ? AND subject = ? AND +field = ? AND item = ?",
                other,
            ).fetchone()
            yield int(row[0])


def _unsound(draft: Draft, key: Key) -> Iterator[Key]:
    """Cells that do not go together with this one, as the draft would leave both."""
    value = draft.held(key).value
    if key.kind == "p" and key.field in ("individual", "state"):
        yield from _half_placed(draft, key)
    if key.field == "alive":
        if value is None:
            yield from _references(draft, key.subject)
        else:
            yield from _same_names(draft, key.subject)
    elif key.field in ("name", "alias"):
        if value is not None:
            yield from _same_names(draft, key.subject)
            if draft.get("i", key.subject, "alive") is None:
                yield Key("i", key.subject, "alive")
    elif key.field in ("individual", "label", "not") and value is not None:
        individual = value if key.field == "individual" else key.item
        assert isinstance(individual, int)
        if draft.get("i", individual, "alive") is None:
            yield Key("i", individual, "alive")
        if key.field != "label":
            placed, said = Key("p", key.subject, "individual"), Key(*key[:2], "not", individual)
            if draft.held(placed).value == individual and draft.held(said).value is not None:
                yield said if key.field == "individual" else placed


def _half_placed(draft: Draft, key: Key) -> Iterator[Key]:
    """A photo that is imported or confirmed as somebody has an individual, without whale none."""
    individual, where = (draft.get("p", key.subject, field) for field in ("individual", "state"))
    if where in ((IMPORTED, CONFIRMED) if individual is None else (None, NO_WHALE)):
        yield Key("p", key.subject, "state" if key.field == "individual" else "individual")


def _references(draft: Draft, individual: int) -> Iterator[Key]:
    """What still names an individual that would be no more; a merge into it left it aliases."""
    placed = (Key("p", photo, "individual") for photo in state.members(draft.link, individual))
    aliases = state.items(draft.link, "i", individual, "alias")
    known = (Key("i", individual, "alias", alias) for alias in aliases)
    for key in (*placed, *state.noted(draft.link, individual), *known):
        now = draft.held(key).value
        if now is not None and (key.field != "individual" or now == individual):
            yield key


def _same_names(draft: Draft, individual: int) -> Iterator[Key]:
    """Names of other individuals that this one would go by, too."""
    if draft.get("i", individual, "alive") is None:
        return
    aliases = state.items(draft.link, "i", individual, "alias")
    back = {k.item for k in draft.changed("i", individual, "alias")}
    texts = {str(text) for text in {*aliases, *back} if draft.get("i", individual, "alias", text)}
    texts.add(str(draft.get("i", individual, "name")))
    for text in texts:
        for other, field in state.holders(draft.link, text):
            key = Key("i", other, "name") if field == "name" else Key("i", other, "alias", text)
            now = draft.held(key).value
            still = now == text if field == "name" else now is not None
            if other != individual and still and draft.get("i", other, "alive") is not None:
                yield key
