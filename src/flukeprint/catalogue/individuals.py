"""Decisions about individuals: two are one, one is two, a name is another."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import ClassVar

import flukeprint.catalogue.state as state
from flukeprint.catalogue.draft import Draft, checked_name
from flukeprint.catalogue.log import Key, read_event
from flukeprint.catalogue.state import CONFIRMED, CONFLICT, IMPORTED
from flukeprint.errors import FlukeprintError
from flukeprint.wording import plural


@dataclass(frozen=True, slots=True)
class Merge:
    """Individual ``gone`` is ``kept``: its photos go there, its names become aliases there.

    Each photo's cell is changed rather than looked up through a pointer, so that the event itself
    says exactly which photos it moved, and undoing it moves exactly those back.
    """

    kind: ClassVar[str] = "merge"
    kept: int
    gone: int

    def plan(self, draft: Draft) -> None:
        """Refused where a person said that a photo of the one is not the other."""
        kept, gone = draft.individual(self.kept), draft.individual(self.gone)
        if kept == gone:
            raise FlukeprintError(f"{draft.name(kept)} cannot be merged into itself")
        photos = draft.members(gone)
        _no_contradiction(draft, draft.members(kept), gone)
        _no_contradiction(draft, photos, kept)
        for photo in photos:
            draft.set(kept, "p", photo, "individual")
        noted = state.noted(draft.link, gone)
        for key in noted:
            draft.set(None, *key)
            draft.set(1, *key[:3], kept)
        for photo in sorted({*photos, *(key.subject for key in noted if key.field == "label")}):
            _settle_conflict(draft, photo, kept, gone)
        for alias in (*state.items(draft.link, "i", gone, "alias"), _name(draft, gone)):
            draft.set(None, "i", gone, "alias", alias)
            draft.set(1, "i", kept, "alias", alias)
        draft.set(None, "i", gone, "alive")
        draft.set(kept, "i", gone, "merged into")


def merged(link: sqlite3.Connection, event: int) -> tuple[int, int]:
    """Who was merged into whom, by what the merge itself did; zeros where that is lost."""
    row = link.execute(
        "SELECT subject, after FROM effect WHERE event = ? AND kind = 'i'"
        " AND +field = 'merged into' AND after IS NOT NULL",
        (event,),
    ).fetchone()
    return row or (0, 0)


@dataclass(frozen=True, slots=True)
class Split:
    """Some photos of an individual are another one, which is new and gets a name.

    Without a name one is made up, such as ``whale-12``.
    """

    kind: ClassVar[str] = "split"
    individual: int
    photos: tuple[int, ...]
    name: str = ""

    def plan(self, draft: Draft) -> None:
        """Refused where a photo is not the individual's, or none would be left."""
        individual = draft.individual(self.individual)
        photos = sorted({draft.photo(photo) for photo in self.photos})
        members = draft.members(individual)
        strange = sorted(set(photos) - set(members))
        if strange:
            raise FlukeprintError(
                f"{state.photo_words(draft.link, strange[0])} is not one of "
                f"{draft.name(individual)}'s; only its own photos can be split off"
            )
        if not photos or len(photos) == len(members):
            raise FlukeprintError(
                f"{draft.name(individual)} has {plural(len(members), 'photo')}; "
                "name some of them to split off, not none and not all"
            )
        name = draft.made_up_name()
        if self.name:
            name = draft.free_name(self.name, of=individual)
        draft.set(None, "i", individual, "alias", name)  # what a merge brought may go again
        new = draft.new_individual(name)
        for photo in photos:
            draft.set(new, "p", photo, "individual")
            draft.set(CONFIRMED, "p", photo, "state")
            draft.set(None, "p", photo, "not", new)


@dataclass(frozen=True, slots=True)
class Rename:
    """An individual gets another name; the old one stays as an alias."""

    kind: ClassVar[str] = "rename"
    individual: int
    name: str

    def plan(self, draft: Draft) -> None:
        """Refused where another individual goes by that name, or it is the present one."""
        individual = draft.individual(self.individual)
        old = _name(draft, individual)
        if checked_name(self.name) == old:
            return
        name = draft.free_name(self.name, of=individual)
        draft.set(name, "i", individual, "name")
        draft.set(None, "i", individual, "alias", name)
        draft.set(1, "i", individual, "alias", old)


def _name(draft: Draft, individual: int) -> str:
    return str(draft.get("i", individual, "name"))


def _no_contradiction(draft: Draft, photos: list[int], individual: int) -> None:
    for photo in photos:
        said = draft.held(Key("p", photo, "not", individual))
        if said.value is not None:
            raise FlukeprintError(
                f"{state.photo_words(draft.link, photo)} is not {draft.name(individual)}, "
                f"by {read_event(draft.link, said.owner)}; undo that first if it is wrong"
            )


def _settle_conflict(draft: Draft, photo: int, kept: int, gone: int) -> None:
    """A photo whose labels all name the merged individual is in conflict no more.

    Unless a person said whom it does not show: then labels alone do not name it.
    """
    labels = set(state.items(draft.link, "p", photo, "label")) - {gone} | {kept}
    decided = draft.get("p", photo, "individual")
    unnamed = draft.get("p", photo, state.UNNAMED) is not None
    if draft.get("p", photo, "state") != CONFLICT or labels != {kept} or unnamed:
        return
    if decided is None:
        if state.items(draft.link, "p", photo, "not"):
            return
        draft.set(kept, "p", photo, "individual")
        draft.set(IMPORTED, "p", photo, "state")
    elif decided == kept:
        draft.set(CONFIRMED, "p", photo, "state")
