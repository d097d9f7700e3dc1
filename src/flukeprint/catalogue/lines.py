"""A whole catalogue as text, one row a line, and back: to read, to compare, to outlive SQLite.

JSON Lines (jsonlines.org), ASCII. The first line names the version and the settings, each further
one a row with its table, the last how many rows there are. Bytes are ``{"base64": ...}``. The
present state is not written: reading derives it from the log again.

Each line ends with ``sum``, the first 16 hexadecimal digits of the SHA-256 over the ``sum`` of the
line before and the line itself up to there; so a changed, lost or moved line is found where it is.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import flukeprint.catalogue.state as state
from flukeprint.catalogue.check import inspect
from flukeprint.catalogue.schema import LOGGED, MIGRATIONS
from flukeprint.catalogue.store import (
    connect,
    fresh_file,
    migrate,
    read_header,
    transaction,
)
from flukeprint.errors import FlukeprintError
from flukeprint.files import writing

ORDER = ("model", "photo", "file", "individual", "look", "embedding", "ranking", "event", "effect")
"""Each table after those that its rows name, but for what SQLite checks at the end only."""
SUMMED = re.compile(rb'(.*),"sum":"([0-9a-f]{16})"\}\n', re.DOTALL)
FIRST_SUM = "0" * 16
FORMAT = "flukeprint catalogue"
MOST_BYTES = 64 * 1024 * 1024  # of a line: a file that is no text may have no line ends

assert set(ORDER) == set(LOGGED)


def write_lines(catalogue: Path, out: Path, *, embeddings: bool = True) -> dict[str, int]:
    """Write a catalogue as lines; returns how many rows of each table.

    Without ``embeddings``, which a model can compute again, the file is much smaller.

    Raises:
        FlukeprintError: the catalogue cannot be read, or the file cannot be written.
    """
    version = read_header(catalogue, len(MIGRATIONS))
    if os.path.realpath(out) == os.path.realpath(catalogue):
        raise FlukeprintError(f"{out}: is the catalogue itself; name another")
    tables = [table for table in ORDER if embeddings or table != "embedding"]
    rows = dict.fromkeys(tables, 0)
    before = FIRST_SUM
    with (
        closing(connect(catalogue, read_only=True)) as link,
        transaction(link, catalogue, write=False),
        writing(out) as stream,
    ):
        for line in _lines(link, version, tables):
            body = json.dumps(line, separators=(",", ":"))[:-1]
            before = _sum(before, body.encode())
            stream.write(f'{body},"sum":"{before}"}}\n'.encode())
            if "table" in line:
                rows[line["table"]] += 1
    return rows


def _lines(link: sqlite3.Connection, version: int, tables: list[str]) -> Iterator[dict[str, Any]]:
    settings = dict(link.execute("SELECT key, value FROM meta ORDER BY key"))
    yield {"format": FORMAT, "version": version, "meta": settings}
    count = 0
    for table in tables:
        cursor = link.execute(f"SELECT * FROM {table} ORDER BY id")
        names = [column[0] for column in cursor.description]
        for row in cursor:
            count += 1
            cells = {
                name: {"base64": base64.b64encode(cell).decode()}
                if isinstance(cell, bytes)
                else cell
                for name, cell in zip(names, row, strict=True)
            }
            yield {"table": table, "row": cells}
    yield {"rows": count}


def read_lines(lines: Path, new: Path) -> dict[str, int]:
    """Make a catalogue of what :func:`write_lines` wrote, equal to it; rows by table.

    An older version's lines give a catalogue of this version.

    Raises:
        FlukeprintError: a line was changed or is missing, its number is named; or the log in them
            is not as it was written; or ``new`` is there already. Then there is no ``new``.
    """
    found = _checked(lines)
    version, settings = _head(lines, next(found, (1, {})))
    with fresh_file(new) as temporary, closing(connect(temporary)) as link:
        migrate(link, new, MIGRATIONS[:version])
        with transaction(link, new, write=True):
            link.executemany("INSERT INTO meta VALUES (?, ?)", sorted(settings.items()))
            rows, events = _insert(link, lines, found)
            state.rebuild(link)
        migrate(link, new, MIGRATIONS)
        for finding in inspect(link, MIGRATIONS):
            line = events.get(finding.event or 0)
            where = f"{lines}, line {line}" if line else f"{lines}"
            raise FlukeprintError(f"{where}: {finding.text}; rescue the catalogue it came from")
    return rows


def _checked(lines: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines' objects with their numbers, each line compared with its sum."""
    before, number, rows = FIRST_SUM, 0, None
    try:
        with lines.open("rb") as stream:
            for number, raw in enumerate(iter(lambda: stream.readline(MOST_BYTES), b""), 1):
                found = SUMMED.fullmatch(raw)
                before = _sum(before, found[1]) if found else ""
                if rows is not None or found is None or found[2].decode() != before:
                    raise FlukeprintError(
                        f"{lines}, line {number}: not as it was written, or a line before it is "
                        "missing; export the catalogue again"
                    )
                line = json.loads(found[1] + b"}")
                rows = line.get("rows")
                if rows is None:
                    yield number, line
    except OSError as error:
        raise FlukeprintError(f"{lines}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError, AttributeError):
        raise FlukeprintError(f"{lines}, line {number}: not a line of a catalogue") from None
    if rows != number - 2:
        raise FlukeprintError(
            f"{lines}, line {number + 1}: the lines end before this one, too early; "
            "export the catalogue again"
        )


def _head(lines: Path, first: tuple[int, dict[str, Any]]) -> tuple[int, dict[str, str]]:
    """The version and the settings that the first line names."""
    line = first[1]
    version, settings = line.get("version"), line.get("meta")
    if line.get("format") != FORMAT or not isinstance(version, int) or version < 1:
        raise FlukeprintError(f"{lines}, line 1: not a catalogue's lines")
    if version > len(MIGRATIONS):
        raise FlukeprintError(
            f"{lines}: made by a newer flukeprint (version {version}, this one knows "
            f"{len(MIGRATIONS)}); update flukeprint"
        )
    if not isinstance(settings, dict):
        raise FlukeprintError(f"{lines}, line 1: not a catalogue's lines")
    return version, settings


def _insert(
    link: sqlite3.Connection, lines: Path, found: Iterator[tuple[int, dict[str, Any]]]
) -> tuple[dict[str, int], dict[int, int]]:
    """Insert all rows; returns how many by table, and the line of each event."""
    columns = {
        table: [row[1] for row in link.execute(f"PRAGMA table_info({table})")] for table in ORDER
    }
    rows, events = dict.fromkeys(ORDER, 0), {}
    for number, line in found:
        table, row = line.get("table"), line.get("row")
        if table not in columns or not isinstance(row, dict) or list(row) != columns[table]:
            raise FlukeprintError(f"{lines}, line {number}: not a row of a catalogue")
        marks = ", ".join("?" * len(row))
        try:
            link.execute(f"INSERT INTO {table} VALUES ({marks})", [_cell(c) for c in row.values()])
        except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
            raise FlukeprintError(f"{lines}, line {number}: no {table} is so: {error}") from None
        rows[table] += 1
        if table == "event":
            events[row["id"]] = number
    return rows, events


def _cell(cell: Any) -> Any:
    return base64.b64decode(cell["base64"], validate=True) if isinstance(cell, dict) else cell


def _sum(before: str, body: bytes) -> str:
    return hashlib.sha256(before.encode() + body).hexdigest()[:16]
