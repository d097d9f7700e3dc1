"""Decisions about one photo: whose fluke it shows, what else is known of it, where the fluke is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import flukeprint.catalogue.state as state
from flukeprint.catalogue.draft import Draft
from flukeprint.catalogue.facts import checked_fact
from flukeprint.catalogue.log import Key, read_event
from flukeprint.catalogue.state import CONFIRMED, CONFLICT, FACTS, NO_WHALE, UNSURE
from flukeprint.errors import FlukeprintError
from flukeprint.records import Box


@dataclass(frozen=True, slots=True)
class Same:
    """The photo shows this individual."""

    kind: ClassVar[str] = "same"
    photo: int
    individual: int

    def plan(self, draft: Draft) -> None:
        """Refused where the photo is confirmed already: that is a move."""
        photo, individual = draft.photo(self.photo), draft.individual(self.individual)
        _not_confirmed(draft, photo)
        _confirm(draft, photo, individual)


@dataclass(frozen=True, slots=True)
class Different:
    """The photo does not show this individual; if it was put with it, it no longer is."""

    kind: ClassVar[str] = "different"
    photo: int
    individual: int

    def plan(self, draft: Draft) -> None:
        """Refused where that was said already."""
        photo, individual = draft.photo(self.photo), draft.individual(self.individual)
        draft.set(1, "p", photo, "not", individual)
        if draft.get("p", photo, "individual") == individual:
            draft.set(None, "p", photo, "individual")
            if draft.get("p", photo, "state") != CONFLICT:
                draft.set(None, "p", photo, "state")


@dataclass(frozen=True, slots=True)
class New:
    """The photo shows an individual that the catalogue does not have; it gets this name.

    Without a name one is made up, such as ``whale-12``.
    """

    kind: ClassVar[str] = "new"
    photo: int
    name: str = ""

    def plan(self, draft: Draft) -> None:
        """Refused where the photo is confirmed already, or the name is taken."""
        photo = draft.photo(self.photo)
        _not_confirmed(draft, photo)
        name = draft.free_name(self.name) if self.name else draft.made_up_name()
        _confirm(draft, photo, draft.new_individual(name))


@dataclass(frozen=True, slots=True)
class Unsure:
    """Someone looked and could not tell. Whom the photo was put with, it stays with."""

    kind: ClassVar[str] = "unsure"
    photo: int

    def plan(self, draft: Draft) -> None:
        """Refused where that was said already."""
        draft.set(UNSURE, "p", draft.photo(self.photo), "state")


@dataclass(frozen=True, slots=True)
class NoWhale:
    """The photo shows no whale: a boat, a bird. It is no evidence and waits for nobody."""

    kind: ClassVar[str] = "no whale"
    photo: int

    def plan(self, draft: Draft) -> None:
        """Refused where that was said already."""
        photo = draft.photo(self.photo)
        draft.set(None, "p", photo, "individual")
        draft.set(NO_WHALE, "p", photo, "state")


@dataclass(frozen=True, slots=True)
class Move:
    """A photo goes to another individual, to another encounter, or to both."""

    kind: ClassVar[str] = "move"
    photo: int
    individual: int | None = None
    encounter: str | None = None

    def plan(self, draft: Draft) -> None:
        """Refused where the photo is there already."""
        photo = draft.photo(self.photo)
        if self.individual is not None:
            _confirm(draft, photo, draft.individual(self.individual))
        if self.encounter is not None:
            _settle(draft, photo, "encounter", self.encounter)


@dataclass(frozen=True, slots=True)
class Describe:
    """What is known of a photo, settled: when and where it was taken, in degrees, and by whom."""

    kind: ClassVar[str] = "describe"
    photo: int
    date: str | None = None
    place: str | None = None
    latitude: str | None = None
    longitude: str | None = None
    photographer: str | None = None

    def plan(self, draft: Draft) -> None:
        """Refused where it was known already."""
        photo = draft.photo(self.photo)
        for field in FACTS:
            value = getattr(self, field, None)
            if value is not None:
                _settle(draft, photo, field, value)


@dataclass(frozen=True, slots=True)
class CorrectBox:
    """Where the fluke lies, by a person; it counts more than any model's look."""

    kind: ClassVar[str] = "box"
    photo: int
    box: Box

    def plan(self, draft: Draft) -> None:
        """Refused where the box is that already."""
        draft.set(state.box_text(self.box.corners), "p", draft.photo(self.photo), "box")


def _not_confirmed(draft: Draft, photo: int) -> None:
    held = draft.held(Key("p", photo, "state"))
    individual = draft.get("p", photo, "individual")
    if held.value == CONFIRMED and isinstance(individual, int):
        raise FlukeprintError(
            f"{state.photo_words(draft.link, photo)} is confirmed as {draft.name(individual)} "
            f"by {read_event(draft.link, held.owner)}; move it if that is wrong"
        )


def _confirm(draft: Draft, photo: int, individual: int) -> None:
    draft.set(individual, "p", photo, "individual")
    draft.set(CONFIRMED, "p", photo, "state")
    draft.set(None, "p", photo, "not", individual)


def _settle(draft: Draft, photo: int, field: str, value: str) -> None:
    """Take one value of a fact; other values stay noted, as settled."""
    before = draft.get("p", photo, field)
    draft.set(checked_fact(field, value), "p", photo, field)
    others = set(state.items(draft.link, "p", photo, f"other {field}"))
    if before is not None and before != draft.get("p", photo, field):
        others.add(before)  # a sheet that says it may come again
    for other in sorted(others, key=str):
        draft.set("settled", "p", photo, f"other {field}", other)
