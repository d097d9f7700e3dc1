"""Which photos a model may learn from, compare with, and be asked about.

Protocols: ``closed-set`` (every query's whale is in the gallery), ``open-set`` (whole whales held
out until a chosen share of the queries is new), ``kfold`` (every whale with two photos or more is
in every fold's gallery), ``other-catalogue`` (gallery and queries both of whales never trained
on). Twins and encounters move as one, so they never lie on both sides of query and gallery.

The order of a lottery comes from SHA-256 of the seed and a photo's name: it is the same on every
platform and does not change when photos are listed in another order.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flukeprint.errors import FlukeprintError
from flukeprint.files import write_text
from flukeprint.records import NEW_WHALE, LabelledPhoto, Split, Table
from flukeprint.tables import fingerprint

PROTOCOLS = ("open-set", "closed-set", "kfold", "other-catalogue")
COMPETITION_NEW_SHARE = 0.328


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
    parent: dict[str, str] = {}

    def find(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    rows = [row for row in table.rows if row.name in twin_group]
    for row in rows:
        links = [f"twin {twin_group[row.name]}"]
        if row.encounter:
            links.append(f"encounter {row.encounter}")
        for link in links:
            parent[find(link)] = find(f"photo {row.name}")
    members = defaultdict(list)
    for row in rows:
        members[find(f"photo {row.name}")].append(row)
    # A set of twins by the place of its first name: its number depends on the rows' order.
    place = {name: number for number, name in enumerate(sorted(twin_group))}
    first: dict[int, int] = {}
    for name in place:
        first.setdefault(twin_group[name], place[name])
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


def make_splits(
    table: Table,
    twin_group: dict[str, int],
    protocol: str,
    *,
    seed: int = 0,
    queries: float = 0.1,
    new_share: float = COMPETITION_NEW_SHARE,
    folds: int = 5,
) -> list[Split]:
    """Split a table by a named protocol; ``kfold`` gives ``folds`` splits, the others one.

    ``queries`` is the share of photos to ask about (``other-catalogue``: the share of photos whose
    whales are held out), ``new_share`` the share of queries whose whale is not in the gallery.

    Raises:
        FlukeprintError: no such protocol, shares out of range, or too few whales or photos.
    """
    if protocol not in PROTOCOLS:
        raise FlukeprintError(f"no protocol {protocol!r}; choose one of {', '.join(PROTOCOLS)}")
    if not 0.0 < queries < 1.0 or not 0.0 <= new_share < 1.0 or folds < 2:
        raise FlukeprintError(
            "queries must lie between 0 and 1, new share from 0 to below 1, folds be 2 or more"
        )
    bundles = bundle(table, twin_group)
    lottery = _Lottery(bundles, seed)
    total = sum(len(item.names) for item in bundles)
    if protocol == "kfold":
        sides = [lottery.fold(fold, folds) for fold in range(folds)]
    elif protocol == "other-catalogue":
        sides = [lottery.other_catalogue(queries * total, new_share)]
    else:
        share = new_share if protocol == "open-set" else 0.0
        sides = [lottery.open_set(queries * total, share)]
    settings = {"queries": queries, "new_share": new_share, "folds": float(folds)}
    made = []
    for fold, (train, gallery, asked) in enumerate(sides):
        made.append(
            Split(
                protocol,
                seed,
                fingerprint(table),
                _names(train, everything=True),
                _names(gallery, everything=True),
                _names(asked, everything=False),
                fold,
                settings,
            )
        )
        check_leaks(made[-1], table, twin_group)
    return made


def other_catalogue_of(split: Split, table: Table, twin_group: dict[str, int]) -> Split:
    """The ``other-catalogue`` split among the whales that ``split`` kept from training.

    Raises:
        FlukeprintError: ``split`` holds out no whale with two bundles of photos or more.
    """
    trained = set(split.train)
    known = {row.individual for row in table.rows if row.name in trained} - {NEW_WHALE}
    outside = Table(
        table.source,
        tuple(row for row in table.rows if row.name not in trained and row.individual not in known),
    )
    lottery = _Lottery(bundle(outside, twin_group), split.seed)
    gallery, asked = lottery.within(split.settings.get("new_share", COMPETITION_NEW_SHARE))
    if not asked or not gallery:
        raise FlukeprintError("the split holds out too few whales for another catalogue")
    return Split(
        "other-catalogue",
        split.seed,
        split.fingerprint,
        split.train,
        _names(gallery, everything=True),
        _names(asked, everything=False),
        split.fold,
        split.settings,
    )


Sides = tuple[list[Bundle], list[Bundle], list[Bundle]]


class _Lottery:
    """Draws bundles by the seed's order."""

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
        place: dict[str, int] = {}
        for number, whale in enumerate(self._whales()):
            for item in self._of_whale[whale]:
                place.setdefault(item.key, (number := number + 1) % folds)
        here = [item for item in self._bundles if place[item.key] == fold]
        asked = self._known(here, float("inf"))
        gallery = [item for item in self._bundles if item.key not in asked]
        return gallery, gallery, list(asked.values())

    def other_catalogue(self, wanted: float, new_share: float) -> Sides:
        held = self._hold_out(wanted)
        gone = {whale for item in held.values() for whale in item.whales}
        train = [item for item in self._bundles if item.key not in held and not item.whales & gone]
        gallery, asked = _Lottery(list(held.values()), self._seed).within(new_share)
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


def _names(bundles: Iterable[Bundle], *, everything: bool) -> tuple[str, ...]:
    return tuple(
        sorted(name for item in bundles for name in (item.all_names if everything else item.names))
    )


def check_leaks(split: Split, table: Table, twin_group: dict[str, int]) -> None:
    """Fail loudly where a split gives an answer away.

    Raises:
        FlukeprintError: the split was made from another table, a query or a twin or an encounter
            of one is in the gallery or in training, (``other-catalogue``) a whale is, or it
            names a photo that the table does not.
    """
    if split.fingerprint != fingerprint(table):
        raise FlukeprintError(f"this split was made from another table than {table.source}")
    rows = defaultdict(list)
    for row in table.rows:
        rows[row.name].append(row)
    unknown = sorted({*split.train, *split.gallery, *split.queries} - set(rows))
    if unknown:
        raise FlukeprintError(f"the split names {unknown[0]!r}, which {table.source} does not")
    checks: list[tuple[str, Callable[[str], set[Any]]]] = [
        ("a photo", lambda name: {name}),
        # A photo that could not be read here has no twins that are known.
        ("a set of twins", lambda name: {twin_group[name]} if name in twin_group else set()),
        ("an encounter", lambda name: {row.encounter for row in rows[name]} - {""}),
    ]
    for what, keys in checks:
        queried = {key for name in split.queries for key in keys(name)}
        for side in (split.gallery, split.train):
            leaked = sorted(name for name in side if keys(name) & queried)
            if leaked:
                raise FlukeprintError(
                    f"leak: {len(leaked)} photos share {what} with a query, such as {leaked[0]!r}"
                )
    if split.protocol == "other-catalogue":
        trained = {row.individual for name in split.train for row in rows[name]} - {NEW_WHALE}
        asked = (*split.gallery, *split.queries)
        both = sorted(trained & {row.individual for name in asked for row in rows[name]})
        if both:
            raise FlukeprintError(f"leak: {len(both)} whales were trained on, such as {both[0]!r}")


def write_split(split: Split, path: Path) -> None:
    """Write a split as JSON."""
    write_text(path, json.dumps(asdict(split), indent=1) + "\n")


def read_split(path: Path) -> Split:
    """Read what :func:`write_split` wrote.

    Raises:
        FlukeprintError: the file is not a split.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        for side in ("train", "gallery", "queries"):
            if not all(isinstance(name, str) for name in raw[side]) or isinstance(raw[side], str):
                raise ValueError(f"{side} must be a list of names")
            raw[side] = tuple(raw[side])
        return Split(**raw)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FlukeprintError(f"{path}: not a split that flukeprint wrote: {error}") from None
