"""A labelled collection read, hashed and with its twins found: what splitting it needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flukeprint.progress import Progress, no_progress
from flukeprint.records import Failure, Table
from flukeprint.tables import read_table
from flukeprint.twins import glance_all, twin_groups


@dataclass(frozen=True, slots=True)
class Collection:
    """A labelled collection ready to be split: ``twin_group`` holds the photos that can be read."""

    table: Table
    twin_group: dict[str, int]
    hashes: dict[str, str]
    failures: tuple[Failure, ...]


def read_collection(data: Path, progress: Progress = no_progress) -> Collection:
    """Read a labelled collection and find its twins."""
    table = read_table(data)
    paths = {row.name: row.path for row in table.rows}
    seen = glance_all(list(paths.values()), progress("reading", len(paths)))
    good = [(name, g) for name, g in zip(paths, seen, strict=True) if not isinstance(g, Failure)]
    group = twin_groups([g for _, g in good])
    return Collection(
        table,
        {name: int(number) for (name, _), number in zip(good, group, strict=True)},
        {name: g.sha256 for name, g in good},
        tuple(g for g in seen if isinstance(g, Failure)),
    )
