"""Bundles of photos that must stay together, and the lottery that draws them for a split.

The order comes from SHA-256 of the seed and a photo's name: it is the same on every platform and
does not change when photos are listed in another order.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flukeprint.errors import FlukeprintError
from flukeprint.records import NEW_WHALE, LabelledPhoto, Table
from flukeprint.twins import groups


@dataclass(frozen=True, slots=True)
class Bundle:
    """Photos that must stay on one side: twins, and photos of one encounter.

    ``names`` holds one photo for each set of twins in it that carries a single label: those may be
    asked about. ``all_names`` holds every photo. ``whales`` are the individuals in it, a photo
    labelled ``new_whale`` counting as a whale of its own.
    """

    key: str
    names: tuple[str, ...]
    all_names: tuple[str, ...]
    whales: frozenset[str]


def bundle(table: Table, twin_group: dict[str, int]) -> list[Bundle]:
    """Join the table's photos into bundles.

    ``twin_group`` numbers each photo name's set of twins, as :func:`flukeprint.twins.twin_groups`
    does; photos it leaves out could not be read and are in no bundle.
    """
    rows = [row for row in table.rows if row.name in twin_group]
    first_with: dict[str, int] = {}
    links = []
    for place, row in enumerate(rows):
        shared = [f"photo {row.name}", f"twin {twin_group[row.name]}"]
        if row.encounter:
            shared.append(f"encounter {row.encounter}")
        links += [(first_with.setdefault(link, place), place) for link in shared]
    members = defaultdict(list)
    for row, group in zip(rows, groups(len(rows), links).tolist(), strict=True):
        members[group].append(row)
    # A set of twins by the place of its first name: its number depends on the rows' order.
    first: dict[int, int] = {}
    for number, name in enumerate(sorted(twin_group)):
        first.setdefault(twin_group[name], number)
    twins_of = {name: first[group] for name, group in twin_group.items()}
    return sorted((_bundle_of(part, twins_of) for part in members.values()), key=lambda b: b.key)


def _bundle_of(rows: list[LabelledPhoto], twin_group: dict[str, int]) -> Bundle:
    sets = defaultdict(list)
    for row in rows:
        sets[twin_group[row.name]].append(row)
    askable = [
        min(row.name for row in twins)
        for twins in sets.values()
        if len({row.individual for row in twins}) == 1
    ]
    names = sorted({row.name for row in rows})
    whales = frozenset(_whale(row, twin_group) for row in rows)
    return Bundle(names[0], tuple(sorted(askable)), tuple(names), whales)


def _whale(row: LabelledPhoto, twin_group: dict[str, int]) -> str:
    if row.individual == NEW_WHALE:
        return f"{NEW_WHALE} {twin_group[row.name]}"
    return row.individual


Sides = tuple[list[Bundle], list[Bundle], list[Bundle]]


class Lottery:
    """Draws bundles by the seed's order; each protocol's sides come from one of its methods."""

    def __init__(self, bundles: Sequence[Bundle], seed: int) -> None:
        self._seed = seed
        self._bundles = sorted(bundles, key=lambda item: self._draw(item.key))
        self._of_whale: dict[str, list[Bundle]] = defaultdict(list)
        for item in self._bundles:
            for whale in sorted(item.whales):
                self._of_whale[whale].append(item)

    def _draw(self, key: str) -> bytes:
        return hashlib.sha256(f"{self._seed}\0{key}".encode(errors="surrogatepass")).digest()

    def _whales(self) -> list[str]:
        return sorted(self._of_whale, key=self._draw)

    def _hold_out(self, wanted: float) -> dict[str, Bundle]:
        """Take whole whales until the photos of whales wholly taken number ``wanted``.

        A whale with a bundle that may not be asked about (twins under several labels) stays: that
        bundle would have to go to the gallery, and the whale would not be new.
        """
        held: dict[str, Bundle] = {}
        for whale in self._whales():
            if self._wholly(held) >= wanted:
                break
            if all(item.names for item in self._of_whale[whale]):
                held.update({item.key: item for item in self._of_whale[whale]})
        return held

    def _wholly(self, held: dict[str, Bundle]) -> int:
        """Photos in ``held`` of whales that have all their photos there."""
        return sum(
            len(item.names)
            for item in held.values()
            if all(other.key in held for whale in item.whales for other in self._of_whale[whale])
        )

    def _known(self, bundles: Iterable[Bundle], wanted: float) -> dict[str, Bundle]:
        """Take bundles whose every whale keeps another, until their photos number ``wanted``."""
        left = {
            whale: sum(1 for item in items if item.names) for whale, items in self._of_whale.items()
        }
        taken: dict[str, Bundle] = {}
        count = 0
        for item in bundles:
            if count >= wanted:
                break
            if item.names and all(
                left[whale] > 1 and not whale.startswith(f"{NEW_WHALE} ") for whale in item.whales
            ):
                taken[item.key] = item
                count += len(item.names)
                for whale in item.whales:
                    left[whale] -= 1
        return taken

    def open_set(self, wanted: float, new_share: float) -> Sides:
        """Training and gallery alike, and about ``wanted`` queries, ``new_share`` of them new."""
        new = self._hold_out(wanted * new_share) if new_share else {}
        gone = {whale for item in new.values() for whale in item.whales}
        rest = [item for item in self._bundles if item.key not in new and not item.whales & gone]
        new_count = self._wholly(new)
        known = self._known(rest, new_count / new_share - new_count if new_share else wanted)
        if not known:
            raise FlukeprintError(
                "no whale has two photos that are not twins: nothing can be asked about; "
                "collect more photos per whale"
            )
        asked = new | known
        gallery = [item for item in self._bundles if item.key not in asked]
        return gallery, gallery, list(asked.values())

    def fold(self, fold: int, folds: int) -> Sides:
        """One of ``folds`` parts as queries, all of whose whales keep a bundle in the gallery."""
        place: dict[str, int] = {}
        for number, whale in enumerate(self._whales()):
            for item in self._of_whale[whale]:
                place.setdefault(item.key, (number := number + 1) % folds)
        here = [item for item in self._bundles if place[item.key] == fold]
        asked = self._known(here, float("inf"))
        gallery = [item for item in self._bundles if item.key not in asked]
        return gallery, gallery, list(asked.values())

    def other_catalogue(self, wanted: float, new_share: float) -> Sides:
        """Hold whales with about ``wanted`` photos out; gallery and queries are among them."""
        held = self._hold_out(wanted)
        gone = {whale for item in held.values() for whale in item.whales}
        train = [item for item in self._bundles if item.key not in held and not item.whales & gone]
        gallery, asked = Lottery(list(held.values()), self._seed).within(new_share)
        if not asked or not train:
            raise FlukeprintError("too few whales for another catalogue; raise --queries")
        return train, gallery, asked

    def within(self, new_share: float) -> tuple[list[Bundle], list[Bundle]]:
        """Gallery and queries among these bundles alone, the queries as many as can be."""
        singles = [
            item
            for item in self._bundles
            if item.names and all(len(self._of_whale[whale]) == 1 for whale in item.whales)
        ]
        known = self._known(self._bundles, float("inf"))
        count = sum(len(item.names) for item in known.values())
        new: dict[str, Bundle] = {}
        for item in singles:
            total = sum(len(other.names) for other in new.values())
            if total >= count * new_share / (1.0 - new_share):
                break
            new[item.key] = item
        asked = known | new
        return [item for item in self._bundles if item.key not in asked], list(asked.values())
