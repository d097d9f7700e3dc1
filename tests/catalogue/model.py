"""What a catalogue should hold, by a model that is too simple to be wrong.

Events that are in force are replayed in the order of their numbers, each setting its cells. An
event may be undone where it was the last in force to set each of its cells, and redone where those
before it are as they were; and the state has to be sound.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Cell = tuple[str, int, str, int | str]
State = dict[Cell, int | str | None]


class Refused(Exception):
    """The catalogue must refuse this."""


@dataclass
class Noted:
    """An event: what it sets, upon which events, and for an undo what it undoes."""

    sets: State
    upon: dict[Cell, int] = field(default_factory=dict)
    undoes: int | None = None


class Model:
    """Photos 1 to N, none of them identified."""

    def __init__(self) -> None:
        self.events: dict[int, Noted] = {}
        self.last = 0
        self.made = 0
        self.known: tuple[int, State] = (0, {})  # the state at an event: to replay takes time

    def active(self, event: int) -> bool:
        undoes = [n for n, noted in self.events.items() if noted.undoes == event]
        return not any(self.active(undo) for undo in undoes)

    def in_force(self) -> list[int]:
        return [n for n in sorted(self.events) if not self.events[n].undoes and self.active(n)]

    def replay(self, events: list[int]) -> State:
        state: State = {}
        for number in events:
            state.update(self.events[number].sets)
        return {cell: value for cell, value in state.items() if value is not None}

    @property
    def state(self) -> State:
        if self.known[0] != self.last:
            self.known = self.last, self.replay(self.in_force())
        return dict(self.known[1])

    def top(self, cell: Cell, events: list[int]) -> int:
        return max((n for n in events if cell in self.events[n].sets), default=0)

    def alive(self, individual: int) -> bool:
        return self.state.get(("i", individual, "alive", "")) == 1

    def members(self, individual: int) -> set[int]:
        found = {("individual", individual)}
        return {c[1] for c, v in self.state.items() if (c[2], v) in found}

    def taken(self, name: str) -> set[tuple[int, str]]:
        found = {(c[1], "name") for c, v in self.state.items() if c[2] == "name" and v == name}
        found |= {(c[1], "alias") for c in self.state if c[2] == "alias" and c[3] == name}
        return {(individual, how) for individual, how in found if self.alive(individual)}

    def was_confirmed(self, number: int) -> bool:
        """Whether a photo was confirmed before what its state now stands by."""
        cell, force = ("p", number, "state", ""), self.in_force()
        top = self.top(cell, force)
        return self.replay([n for n in force if n < top]).get(cell) == "confirmed"

    def note(self, sets: State) -> None:
        state = self.state
        sets = {cell: value for cell, value in sets.items() if state.get(cell) != value}
        if not sets:
            raise Refused
        self.last += 1
        upon = {cell: self.top(cell, self.in_force()) for cell in sets}
        self.events[self.last] = Noted(sets, upon)

    def undo(self, event: int) -> None:
        if event not in self.events or not self.active(event):
            raise Refused
        root, removed = event, True
        while (target := self.events[root].undoes) is not None:
            root, removed = target, not removed
        noted, force = self.events[root], self.in_force()
        if removed != (root in force):
            raise Refused
        if any(self.top(c, force) != (root if removed else noted.upon[c]) for c in noted.sets):
            raise Refused
        after = [n for n in force if n != root] if removed else sorted([*force, root])
        if not sound(self.replay(after)):
            raise Refused
        self.last += 1
        self.events[self.last] = Noted({}, {}, event)


def sound(state: State) -> bool:
    """Nobody names who is not there, no name twice, nothing said and denied, no photo half."""
    alive = {cell[1] for cell in state if cell[2] == "alive"}
    names: list[int | str | None] = []
    for (_, subject, what, item), value in state.items():
        named = value if what == "individual" else item if what in ("label", "not") else None
        if named is not None and named not in alive:
            return False
        if what == "individual" and ("p", subject, "not", value) in state:
            return False
        if what == "alias" and subject not in alive:
            return False
        if what == "individual" and ("p", subject, "state", "") not in state:
            return False
        if what == "individual" and state.get(("p", subject, "state", "")) == "no whale":
            return False
        if value in ("imported", "confirmed") and ("p", subject, "individual", "") not in state:
            return False
        if what in ("name", "alias") and subject in alive:
            names.append(value if what == "name" else item)
    return len(names) == len(set(names))
