"""Which photos a model may learn from, compare with, and be asked about.

Protocols: ``closed-set`` (every query's whale is in the gallery), ``open-set`` (whole whales held
out until a chosen share of the queries is new), ``kfold`` (every whale with two photos or more is
in every fold's gallery), ``other-catalogue`` (gallery and queries both of whales never trained
on). Twins and encounters move as one, so they never lie on both sides of query and gallery.

:func:`random_split` is what the two student papers did, photo by photo: twins do lie on both sides,
so its figures are for comparison with theirs alone, and nothing but the bench of papers scores it.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flukeprint.errors import FlukeprintError
from flukeprint.files import write_text
from flukeprint.lottery import Bundle, Lottery, bundle
from flukeprint.records import (
    COMPETITION_NEW_SHARE,
    NEW_WHALE,
    LabelledPhoto,
    Split,
    Table,
    check_recipe,
    whale_apart,
)
from flukeprint.tables import fingerprint

PROTOCOLS = ("open-set", "closed-set", "kfold", "other-catalogue")


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
    lottery = Lottery(bundles, seed)
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
    empty = sum(not split.queries for split in made)
    if empty:
        raise FlukeprintError(
            f"{empty} of {folds} folds have nothing to ask: too few whales have photos to spare; "
            "use fewer folds"
        )
    return made


def other_catalogues(split: Split, table: Table, twin_group: dict[str, int]) -> list[Split]:
    """The ``other-catalogue`` split beside an open-set one; none where it holds out too little."""
    try:
        return (
            [other_catalogue_of(split, table, twin_group)] if split.protocol == "open-set" else []
        )
    except FlukeprintError:
        return []


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
    lottery = Lottery(bundle(outside, twin_group), split.seed)
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


def random_split(table: Table, readable: Iterable[str], *, seed: int, queries: float) -> Split:
    """Each readable photo to one side or the other, whatever it shows.

    Raises:
        FlukeprintError: a side is left without a photo.
    """

    def draw(name: str) -> bytes:
        return hashlib.sha256(f"{seed}\0photo\0{name}".encode(errors="surrogatepass")).digest()

    names = sorted(set(readable), key=draw)
    asked = round(queries * len(names))
    if not 0 < asked < len(names):
        raise FlukeprintError(f"{table.source}: {len(names)} photos are too few to split")
    gallery = tuple(sorted(names[asked:]))
    return Split(
        "random",
        seed,
        fingerprint(table),
        gallery,
        gallery,
        tuple(sorted(names[:asked])),
        settings={"queries": queries},
    )


def half_of(table: Table, twin_group: dict[str, int], *, second: bool, seed: int) -> Table:
    """The photos of one half of the whales, to learn on one and transfer to the other.

    A photo labelled ``new_whale`` counts as a whale. The second half leaves out photos that have a
    twin in the first or share an encounter with it, so that nothing of it has been seen there.
    """

    def whale(row: LabelledPhoto) -> str:
        return whale_apart(row.individual, row.name)

    def draw(name: str) -> bytes:
        return hashlib.sha256(f"{seed}\0half\0{name}".encode(errors="surrogatepass")).digest()

    whales = sorted({whale(row) for row in table.rows}, key=draw)
    first = set(whales[: len(whales) // 2])
    side = tuple(row for row in table.rows if whale(row) in first)
    if not second:
        return Table(table.source, side)
    twins = {twin_group[row.name] for row in side if row.name in twin_group}
    encounters = {row.encounter for row in side} - {""}
    return Table(
        table.source,
        tuple(
            row
            for row in table.rows
            if whale(row) not in first
            and twin_group.get(row.name) not in twins
            and row.encounter not in encounters
        ),
    )


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
        split = Split(**raw)
        check_recipe(asdict(split))
        if not isinstance(split.fingerprint, str) or type(split.fold) is not int:
            raise ValueError(f"fingerprint {split.fingerprint!r}, fold {split.fold!r}")
        return split
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FlukeprintError(f"{path}: not a split that flukeprint wrote: {error}") from None
