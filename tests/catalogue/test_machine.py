"""Random decisions, undos and rebuilds against a simple model in memory."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flukeprint.catalogue import (
    Catalogue,
    CorrectBox,
    Different,
    Merge,
    Move,
    New,
    NoWhale,
    Rename,
    Same,
    Split,
    Undo,
    Unsure,
    check,
    store,
)
from flukeprint.catalogue.draft import Decision
from flukeprint.catalogue.undo import MOST_NAMED
from flukeprint.errors import FlukeprintError
from flukeprint.records import NEW_WHALE, Box
from tests.catalogue.model import Model, Refused, State
from tests.catalogue.small import cells, photo

PHOTOS = 3
SLOW = "FLUKEPRINT_SLOW" in os.environ
photos = st.integers(1, PHOTOS)
individuals = st.integers(0, 8)
names = st.sampled_from("ABCDEF")
encounters = st.sampled_from("xy")


class Decisions(RuleBasedStateMachine):
    """Each rule gives the same decision to a catalogue and to the model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="flukeprint-test-"))
        self.book = Catalogue.create(self.folder / "book")
        self.book.add_photos([photo(n) for n in range(1, PHOTOS + 1)], who="Ann")
        self.model = Model()
        self.model.last = 1  # the import, which changed no cell
        self.new(1, "A")
        self.new(2, "B")

    def teardown(self) -> None:
        assert check(self.book.path).problems == ()
        self.book.close()
        shutil.rmtree(self.folder)

    def both(self, decision: Decision, model: Callable[[], None]) -> None:
        before, last = self.model.state, self.model.last
        try:
            model()
        except Refused:
            with pytest.raises(FlukeprintError):
                self.book.decide(decision, who="Bo")
            assert (self.model.state, self.model.last) == (before, last)
        else:
            self.book.decide(decision, who="Bo")

    def confirm(self, number: int, individual: int) -> State:
        return {
            ("p", number, "individual", ""): individual,
            ("p", number, "state", ""): "confirmed",
            ("p", number, "not", individual): None,
        }

    def whom(self, drawn: int) -> int:
        """Mostly an individual that there is."""
        alive = [number for number in range(1, self.model.made + 1) if self.model.alive(number)]
        return alive[drawn % len(alive)] if alive and drawn else self.model.made + 1 - drawn % 2

    def require(self, *individuals: int) -> None:
        if not all(self.model.alive(individual) for individual in individuals):
            raise Refused

    def born(self, name: str) -> tuple[int, State]:
        number = self.model.made + 1
        return number, {("i", number, "alive", ""): 1, ("i", number, "name", ""): name}

    def denied(self, number: int) -> bool:
        """Whether a person said of somebody that a photo does not show it."""
        return any(cell[:3] == ("p", number, "not") for cell in self.model.state)

    def open_to_verdicts(self, number: int) -> None:
        if self.model.state.get(("p", number, "state", "")) == "confirmed":
            raise Refused

    @rule(number=photos, name=names)
    def new(self, number: int, name: str) -> None:
        def model() -> None:
            self.open_to_verdicts(number)
            if self.model.taken(name):
                raise Refused
            individual, sets = self.born(name)
            self.model.note(sets | self.confirm(number, individual))
            self.model.made += 1

        self.both(New(number, name), model)

    @rule(number=photos, individual=individuals)
    def same(self, number: int, individual: int) -> None:
        individual = self.whom(individual)

        def model() -> None:
            self.require(individual)
            self.open_to_verdicts(number)
            self.model.note(self.confirm(number, individual))

        self.both(Same(number, individual), model)

    @rule(number=photos, individual=individuals)
    def move(self, number: int, individual: int) -> None:
        individual = self.whom(individual)

        def model() -> None:
            self.require(individual)
            self.model.note(self.confirm(number, individual))

        self.both(Move(number, individual), model)

    @rule(number=photos, individual=individuals)
    def different(self, number: int, individual: int) -> None:
        individual = self.whom(individual)

        def model() -> None:
            self.require(individual)
            sets: State = {("p", number, "not", individual): 1}
            if self.model.state.get(("p", number, "individual", "")) == individual:
                sets["p", number, "individual", ""] = None
                if self.model.state.get(("p", number, "state", "")) != "conflict":
                    sets["p", number, "state", ""] = None
            self.model.note(sets)

        self.both(Different(number, individual), model)

    @rule(number=photos)
    def unsure(self, number: int) -> None:
        self.both(Unsure(number), lambda: self.model.note({("p", number, "state", ""): "unsure"}))

    @rule(number=photos)
    def no_whale(self, number: int) -> None:
        sets: State = {
            ("p", number, "individual", ""): None,
            ("p", number, "state", ""): "no whale",
        }
        self.both(NoWhale(number), lambda: self.model.note(sets))

    @rule(individual=individuals, name=names)
    def rename(self, individual: int, name: str) -> None:
        individual = self.whom(individual)

        def model() -> None:
            self.require(individual)
            if self.model.taken(name) - {(individual, "alias")}:
                raise Refused
            old = self.model.state["i", individual, "name", ""]
            assert isinstance(old, str)
            self.model.note(
                {
                    ("i", individual, "name", ""): name,
                    ("i", individual, "alias", name): None,
                    ("i", individual, "alias", old): 1,
                }
            )

        self.both(Rename(individual, name), model)

    @rule(kept=individuals, gone=individuals)
    def merge(self, kept: int, gone: int) -> None:
        kept, gone = self.whom(kept), self.whom(kept + gone)

        def model() -> None:
            self.require(kept, gone)
            state = self.model.state
            ours, theirs = self.model.members(kept), self.model.members(gone)
            if kept == gone or any(("p", n, "not", gone) in state for n in ours):
                raise Refused
            if any(("p", n, "not", kept) in state for n in theirs):
                raise Refused
            sets: State = {("p", n, "individual", ""): kept for n in theirs}
            sets |= {("i", gone, "alive", ""): None, ("i", gone, "merged into", ""): kept}
            sets[("i", kept, "alias", str(state["i", gone, "name", ""]))] = 1
            for kind, subject, what, item in state:
                if what in ("not", "label") and item == gone:
                    sets |= {(kind, subject, what, gone): None, (kind, subject, what, kept): 1}
                if what == "alias" and subject == gone:
                    sets |= {(kind, gone, what, item): None, (kind, kept, what, item): 1}
            after = {cell: v for cell, v in {**state, **sets}.items() if v is not None}
            labelled = {cell[1] for cell in state if cell[2:] == ("label", gone)}
            for number in labelled | theirs:
                labels = {cell[3] for cell in after if cell[:3] == ("p", number, "label")}
                how = after.get(("p", number, "state", ""))
                now = after.get(("p", number, "individual", ""))
                waits = ("p", number, "unnamed", "") in after
                waits = waits or (now is None and self.denied(number))
                if how == "conflict" and labels == {kept} and not waits and now in (None, kept):
                    sets["p", number, "individual", ""] = kept
                    sets["p", number, "state", ""] = "confirmed" if now else "imported"
            self.model.note(sets)

        self.both(Merge(kept, gone), model)

    @rule(number=photos, name=names)
    def imported(self, number: int, name: str) -> None:
        sets: State = {}
        known = [individual for individual, _ in self.model.taken(name)]
        individual = known[0] if known else self.model.made + 1
        if not known:
            individual, sets = self.born(name)
        state = self.model.state
        now = state.get(("p", number, "individual", ""))
        how = state.get(("p", number, "state", ""))
        denied = self.denied(number)
        labelled = ("p", number, "label", individual) in state
        if not labelled or (now is None and how is None and not denied):
            sets["p", number, "label", individual] = 1
            if how is None and not denied:
                sets |= self.confirm(number, individual)
                unnamed = ("p", number, "unnamed", "") in state
                sets["p", number, "state", ""] = "conflict" if unnamed else "imported"
            elif how not in ("unsure", "no whale") and now != individual:
                sets["p", number, "state", ""] = "conflict"
                if how != "confirmed" and not self.model.was_confirmed(number):
                    sets["p", number, "individual", ""] = None
        reported = self.book.add_photos([photo(number, name)], who="Ann")
        if sets:
            self.model.note(sets)
            self.model.made += not known
        assert reported.event == (self.model.last if sets else None)

    @rule(number=photos)
    def imported_unnamed(self, number: int) -> None:
        state, sets = self.model.state, State()
        if ("p", number, "unnamed", "") not in state:
            sets["p", number, "unnamed", ""] = 1
            if state.get(("p", number, "state", "")) == "imported":
                sets["p", number, "state", ""] = "conflict"
        reported = self.book.add_photos([photo(number, NEW_WHALE)], who="Ann")
        if sets:
            self.model.note(sets)
        assert reported.event == (self.model.last if sets else None)

    @rule(number=photos, encounter=encounters)
    def imported_encounter(self, number: int, encounter: str) -> None:
        state, sets = self.model.state, State()
        known = state.get(("p", number, "encounter", ""))
        if known is None:
            sets["p", number, "encounter", ""] = encounter
        elif known != encounter and ("p", number, "other encounter", encounter) not in state:
            sets["p", number, "other encounter", encounter] = "open"
        reported = self.book.add_photos([photo(number, encounter=encounter)], who="Ann")
        if sets:
            self.model.note(sets)
        assert reported.event == (self.model.last if sets else None)

    @rule(number=photos, individual=st.none() | individuals, encounter=encounters)
    def move_to_encounter(self, number: int, individual: int | None, encounter: str) -> None:
        whom = None if individual is None else self.whom(individual)

        def model() -> None:
            state, sets = self.model.state, State()
            if whom is not None:
                self.require(whom)
                sets |= self.confirm(number, whom)
            known = state.get(("p", number, "encounter", ""))
            others = {cell[3] for cell in state if cell[:3] == ("p", number, "other encounter")}
            others |= {known} - {encounter} if isinstance(known, str) else set()
            sets |= {("p", number, "other encounter", other): "settled" for other in others}
            sets["p", number, "encounter", ""] = encounter
            self.model.note(sets)

        self.both(Move(number, whom, encounter), model)

    @rule(number=photos, right=st.sampled_from([0.5, 0.75]))
    def box(self, number: int, right: float) -> None:
        sets: State = {("p", number, "box", ""): f"[0.0, 0.0, {right}, 1.0]"}
        self.both(CorrectBox(number, Box(0.0, 0.0, right, 1.0)), lambda: self.model.note(sets))

    @rule(individual=individuals, number=photos, cut=st.integers(0, 2), name=names)
    def split(self, individual: int, number: int, cut: int, name: str) -> None:
        individual = self.whom(individual)
        some = {*sorted(self.model.members(individual))[:cut]} or {number}

        def model() -> None:
            self.require(individual)
            if not some < self.model.members(individual):
                raise Refused
            if self.model.taken(name) - {(individual, "alias")}:
                raise Refused
            new, sets = self.born(name)
            sets[("i", individual, "alias", name)] = None
            for one in some:
                sets |= self.confirm(one, new)
            self.model.note(sets)
            self.model.made += 1

        self.both(Split(individual, tuple(some), name), model)

    @precondition(lambda self: self.model.last > 1)
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        event = data.draw(st.integers(1, self.model.last))
        self.both(Undo(event), lambda: self.model.undo(event))

    @precondition(lambda self: self.model.last > 1)
    @rule(back=st.integers(0, 2))
    def undo_a_late_one(self, back: int) -> None:
        event = max(1, self.model.last - back)
        self.both(Undo(event), lambda: self.model.undo(event))

    @precondition(lambda self: self.model.in_force())
    @rule(back=st.integers(0, 1))
    def undo_one_in_force(self, back: int) -> None:
        force = self.model.in_force()
        event = force[max(0, len(force) - 1 - back)]
        self.both(Undo(event), lambda: self.model.undo(event))

    @precondition(lambda self: self.model.last > 1)
    @rule(data=st.data())
    def undo_as_advised(self, data: st.DataObject) -> None:
        """What is named, undone in that order, never refuses, and makes the undo succeed."""
        event = data.draw(st.integers(1, self.model.last))
        while True:  # of many events in the way only the first are named
            try:
                self.book.decide(Undo(event), who="Bo", dry_run=True)
            except FlukeprintError as error:
                said = str(error).partition(" stand on it: ")[2]
            else:
                said = ""
            named = [int(number) for number in re.findall(r"event (\d+) \(", said)]
            for number in named:
                self.model.undo(number)
                self.book.decide(Undo(number), who="Bo")
            if " more; undo those first" not in said:
                break
            assert len(named) == MOST_NAMED
        if named:
            self.model.undo(event)
            self.book.decide(Undo(event), who="Bo")

    @rule()
    def rebuild(self) -> None:
        assert self.book.rebuild() == []

    @invariant()
    def same_state(self) -> None:
        kept = {tuple(row[:4]): row[4] for row in cells(self.book.path)}
        assert kept == self.model.state
        assert self.book.revision == self.model.last


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut off here: thousands of synced decisions would take minutes."""
    monkeypatch.setattr(store, "SYNCHRONOUS", "OFF")


TestDecisions = Decisions.TestCase
TestDecisions.settings = settings(
    max_examples=130 if SLOW else 40,  # 10,400 steps
    stateful_step_count=80,
    deadline=None,
    derandomize=not SLOW,
)
