"""Photos, catalogues and whole states small enough to write down."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from flukeprint.catalogue import Catalogue, Incoming
from flukeprint.catalogue.log import COLUMNS, FIRST_SEAL, seal_of
from flukeprint.catalogue.store import connect

Rows = list[tuple[Any, ...]]


def content(number: int) -> str:
    """The SHA-256 of a made-up photo."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def photo(number: int, label: str = "", path: str = "", **facts: str) -> Incoming:
    """A photo ``NUMBER.jpg`` whose bytes are its own."""
    bare = Incoming(content(number), path or f"{number}.jpg", 1_000, 5, label=label)
    return replace(bare, **facts)  # type: ignore[arg-type]


def small(path: Path) -> Catalogue:
    """Photos 1 and 2 of A (individual 1), 3 of B (individual 2), 4 and 5 unidentified: event 1."""
    catalogue = Catalogue.create(path)
    catalogue.add_photos(
        [photo(1, "A"), photo(2, "A"), photo(3, "B"), photo(4), photo(5)], who="Ann"
    )
    return catalogue


def placed(catalogue: Catalogue) -> dict[int, tuple[int | None, str | None]]:
    """Each photo's individual and state."""
    found = [catalogue.photo(number) for number in range(1, catalogue.counts().photos + 1)]
    return {one.number: (one.individual, one.state) for one in found}


def cells(path: Path) -> Rows:
    """The whole present state, owners left out."""
    return query(path, "SELECT kind, subject, field, item, value FROM cell WHERE value NOT NULL")


def as_of_version(path: Path, version: int) -> None:
    """Make a catalogue what an earlier version would have made of the same."""
    if version < 3:
        query(path, "ALTER TABLE ranking DROP COLUMN revision")
        _seal_anew(path)
    if version < 2:
        for name in ("event_named", "effect_unnamed"):
            query(path, f"DROP INDEX {name}")
    query(path, f"PRAGMA user_version = {version}")


def _seal_anew(path: Path) -> None:
    """Write the events' seals over what they note now."""
    (rule,) = query(path, "SELECT sql FROM sqlite_master WHERE name = 'event_never_update'")
    query(path, "DROP TRIGGER event_never_update")
    seal = FIRST_SEAL
    with closing(connect(path)) as link:
        for row in link.execute(f"SELECT {COLUMNS} FROM event ORDER BY id").fetchall():
            seal = seal_of(link, seal, row[:-1])
            link.execute("UPDATE event SET seal = ? WHERE id = ?", (seal, row[0]))
    query(path, rule[0])


def cut_off(path: Path) -> None:
    """Leave the file and the journal of a decision that was cut off while it wrote."""
    with closing(connect(path)) as link:
        link.execute("PRAGMA cache_size = 1")
        link.execute("BEGIN IMMEDIATE")
        link.execute("UPDATE cell SET owner = owner + 1")
        link.execute("CREATE TABLE large AS SELECT zeroblob(100000)")  # more than it keeps back
        torn, journal = path.read_bytes(), Path(f"{path}-journal").read_bytes()
        link.execute("ROLLBACK")
    path.write_bytes(torn)
    Path(f"{path}-journal").write_bytes(journal)


def query(path: Path, sql: str) -> Rows:
    """Ask a file behind the catalogue's back."""
    with closing(sqlite3.connect(path)) as link, link:
        return link.execute(sql).fetchall()
