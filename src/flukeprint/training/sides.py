"""Which photos a run learns from, validates with, and keeps for the end."""

from __future__ import annotations

from dataclasses import replace

from flukeprint.collection import Collection
from flukeprint.errors import FlukeprintError
from flukeprint.evaluate import HASH_DIGITS
from flukeprint.records import EVERYTHING, Split, Table
from flukeprint.splits import half_of, make_splits, random_split
from flukeprint.tables import fingerprint
from flukeprint.training.config import TrainConfig


def part_of(collection: Collection, config: TrainConfig) -> Collection:
    """The collection, or the half of its whales that a run is about."""
    if config.whales == "all":
        return collection
    table = half_of(
        collection.table,
        collection.twin_group,
        second=config.whales == "second-half",
        seed=config.seed,
    )
    there = {row.name for row in table.rows}
    return replace(
        collection,
        table=table,
        twin_group={name: group for name, group in collection.twin_group.items() if name in there},
    )


def gives_away(seen: set[str], collection: Collection, outer: Split) -> bool:
    """Whether a photo that a run keeps for the end is among ``seen``, first digits of hashes."""
    return any(collection.hashes[name][:HASH_DIGITS] in seen for name in outer.queries)


def split_for_training(collection: Collection, config: TrainConfig) -> tuple[Split, Split]:
    """The outer split, whose queries nobody sees, and the split of its gallery for validation.

    With protocol "everything" both are all photos that can be read, and ask nothing.

    Raises:
        FlukeprintError: there are too few photos for both.
    """
    part = part_of(collection, config)
    if config.protocol == EVERYTHING:
        names = tuple(sorted(part.twin_group))
        whole = Split(EVERYTHING, config.seed, fingerprint(collection.table), names, names, ())
        return whole, whole
    outer = _split(part.table, part, config, config.query_share)
    side = set(outer.gallery)
    rows = tuple(row for row in part.table.rows if row.name in side)
    inside = Table(part.table.source, rows)
    try:
        inner = _split(inside, part, config, config.validation_share, validating=True)
    except FlukeprintError as error:
        raise FlukeprintError(
            f"{collection.table.source}: {len(outer.queries)} photos are kept for the end, and the "
            f"other {len(side)} are too few to validate with while training: {error}"
        ) from None
    return replace(outer, fingerprint=fingerprint(collection.table)), inner


def _split(
    table: Table,
    collection: Collection,
    config: TrainConfig,
    queries: float,
    *,
    validating: bool = False,
) -> Split:
    """Split a table as the config's protocol does.

    A fold validates on a closed set, so that every whale with two photos or more is trained on.
    """
    if config.protocol == "random":
        readable = [row.name for row in table.rows if row.name in collection.twin_group]
        return random_split(table, readable, seed=config.seed, queries=queries)
    protocol = "closed-set" if config.protocol == "kfold" and validating else config.protocol
    made = make_splits(
        table,
        collection.twin_group,
        protocol,
        seed=config.seed,
        queries=queries,
        folds=config.folds,
    )
    return made[config.fold if protocol == "kfold" else 0]
