"""Read what can be read of a file, however damaged, without writing to it or beside it.

Where SQLite would have to roll back a decision that was cut off, or does not open the file at all,
a copy in the temporary folder is read instead; a copy's header may be mended first.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from flukeprint.catalogue.schema import APPLICATION_ID, LOGGED, MIGRATIONS
from flukeprint.catalogue.store import (
    BESIDE,
    HEADER_BYTES,
    MAGIC,
    PAGE_BYTES,
    connect,
    migrate,
    plain_errors,
)
from flukeprint.errors import FlukeprintError

CUT_OFF = (
    "the last change was cut off before it was acknowledged; it will be taken back when the "
    "catalogue is next opened where it can be written"
)
NOT_TAKEN_IN = (
    "another program left changes in a file beside it; they will be taken in when the catalogue is "
    "next opened where it can be written"
)
LEFT_BESIDE = dict(zip(BESIDE, (CUT_OFF, NOT_TAKEN_IN), strict=True))
"""What a file beside the catalogue says, by the end of its name; neither is damage."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
AT_ONCE = 4_096  # rows read at a time; halved where some of them cannot be read
BLOCK = 32  # rows that count as lost where the first, the middle and the last cannot be read
MOST_BAD = 64  # times AT_ONCE without a row, until a table whose end is lost is taken to be over
LEAST_ROW_BYTES = 8  # bounds the row numbers of a table whose end cannot be read


@contextmanager
def at_rest(
    path: Path, newest: int = len(MIGRATIONS)
) -> Iterator[tuple[sqlite3.Connection, list[str]]]:
    """A file open to be read, and what had to be done for that. Nothing of it is written to.

    A sound file is read where it lies, and others' decisions wait until that is done.

    Raises:
        FlukeprintError: there is no such file, it is another program's or of a version above
            ``newest``, or nothing of it can be read.
    """
    if not path.is_file():
        raise FlukeprintError(f"{path}: no such catalogue; check the spelling")
    with plain_errors(path), ExitStack() as stack:
        notes: list[str] = []
        real = Path(os.path.realpath(path))  # a journal lies beside the file, not beside a link
        link = _in_place(real)
        if link is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="flukeprint-"))
            link = _copied(real, Path(folder) / "copy.db", notes)
        stack.enter_context(closing(link))
        link.text_factory = lambda text: text.decode(errors="replace")
        _is_ours(link, path, newest)
        yield link, notes


def _is_ours(link: sqlite3.Connection, path: Path, newest: int) -> None:
    tables = link.execute("SELECT count(*) FROM sqlite_master WHERE name IN ('event', 'effect')")
    if not tables.fetchone()[0]:
        raise FlukeprintError(f"{path}: another program's file, not a catalogue")
    version = link.execute("PRAGMA user_version").fetchone()[0]
    if version > newest:
        raise FlukeprintError(f"{path}: made by a newer flukeprint; update flukeprint")


def _in_place(path: Path) -> sqlite3.Connection | None:
    """The file itself, where reading it needs no writing; others may read it, too."""
    with path.open("rb") as stream:
        if stream.read(HEADER_BYTES)[18:20] != b"\1\1":  # a WAL file: reading makes more files
            return None
    try:
        link = connect(path, read_only=True)
    except FlukeprintError:
        return None
    try:
        link.execute("BEGIN")  # decisions have to wait while it is read
        link.execute("SELECT id FROM event LIMIT 1").fetchone()
    except sqlite3.Error:
        link.close()
        return None
    return link


def _copied(path: Path, copy: Path, notes: list[str]) -> sqlite3.Connection:
    try:
        # The journal first: should another program roll it back meanwhile, then twice is as once.
        for end, says in LEFT_BESIDE.items():
            if Path(f"{path}{end}").exists():
                shutil.copyfile(f"{path}{end}", f"{copy}{end}")
                notes.append(says)
        shutil.copyfile(path, copy)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise FlukeprintError(
            f"{path}: can be looked at in a copy only, and {copy.parent.parent} has no room for it"
            "; name a folder that has some in $TMPDIR"
        ) from None
    try:
        return connect(copy)
    except FlukeprintError:
        notes.append("its beginning or its length is wrong, so that SQLite does not open it")
    for end in BESIDE:
        Path(f"{copy}{end}").unlink(missing_ok=True)
    for mend in (_mend_header, _mend_schema):
        mend(copy)
        try:
            return connect(copy)
        except FlukeprintError:
            continue
    raise FlukeprintError(f"{path}: nothing of it can be read; use a backup")


def _mend_header(copy: Path) -> None:
    """Give a copy the header that its length asks for, whatever it has."""
    with copy.open("rb+") as stream:
        version = struct.unpack(">I", stream.read(HEADER_BYTES).ljust(HEADER_BYTES)[60:64])[0]
        pages = -(-stream.seek(0, 2) // PAGE_BYTES)
        stream.truncate(pages * PAGE_BYTES)
        stream.seek(0)
        stream.write(MAGIC + struct.pack(">HBBBBBB", PAGE_BYTES, 1, 1, 0, 64, 32, 32))
        version = version if 0 < version <= len(MIGRATIONS) else len(MIGRATIONS)
        # change counter, pages, no free pages, schema cookie and format, cache, vacuum, UTF-8
        stream.write(struct.pack(">12I", 1, pages, 0, 0, 1, 4, 0, 0, 1, version, 0, APPLICATION_ID))
        stream.write(bytes(20) + struct.pack(">II", 1, sqlite3.sqlite_version_info[0] * 1_000_000))


def _mend_schema(copy: Path) -> None:
    """Give a copy the list of tables of a new catalogue, whose tables begin on the same pages."""
    fresh = copy.with_name("fresh.db")
    fresh.touch()
    with closing(connect(fresh)) as link:
        migrate(link, fresh, MIGRATIONS)
        begins = {page for (page,) in link.execute("SELECT rootpage FROM sqlite_master")}
    data = fresh.read_bytes()
    with copy.open("rb+") as stream:
        stream.truncate(max(len(data), stream.seek(0, 2)))  # SQLite misses tables behind the end
        for page in range(1, len(data) // PAGE_BYTES + 1):
            if page not in begins:
                stream.seek((page - 1) * PAGE_BYTES)
                stream.write(data[(page - 1) * PAGE_BYTES : page * PAGE_BYTES])
    _mend_header(copy)


def readable(link: sqlite3.Connection) -> dict[str, int]:
    """How many rows of each table can be read."""
    return {table: sum(1 for _ in rows_of(link, table)) for table in LOGGED}


def rows_of(link: sqlite3.Connection, table: str) -> Iterator[tuple[object, ...]]:
    """The rows of a table that can be read, in the order of their numbers, all columns."""
    try:
        last, most_bad = int(link.execute(f"SELECT max(id) FROM {table}").fetchone()[0] or 0), 0
    except (sqlite3.Error, ValueError, TypeError):
        # where the table ends is lost: read on while there is something
        try:
            pages = link.execute("PRAGMA page_count").fetchone()[0]
        except sqlite3.Error:
            return
        last, most_bad = pages * PAGE_BYTES // LEAST_ROW_BYTES, MOST_BAD
    bad, first = 0, 1
    while first <= last:
        found = list(_range(link, table, first, min(first + AT_ONCE - 1, last)))
        yield from found
        bad = 0 if found else bad + 1
        if most_bad and bad == most_bad:
            return
        first = _next(link, table, first + AT_ONCE, last)


def _next(link: sqlite3.Connection, table: str, first: int, last: int) -> int:
    """Where to read on: a damaged number may be far above all others."""
    query = f"SELECT min(id) FROM {table} NOT INDEXED WHERE id BETWEEN ? AND ?"
    try:
        found = link.execute(query, (first, last)).fetchone()[0]
    except (sqlite3.Error, UnicodeDecodeError):
        return first
    return found if isinstance(found, int) and found >= first else first


def _range(
    link: sqlite3.Connection, table: str, first: int, last: int
) -> Iterator[tuple[object, ...]]:
    rows = _read(link, table, first, last)
    if rows is not None:
        yield from rows
    elif last - first < BLOCK and all(
        _read(link, table, number, number) is None for number in {first, (first + last) // 2, last}
    ):
        return  # one damaged page holds many rows: asking for each would take hours
    elif first < last:
        middle = (first + last) // 2
        yield from _range(link, table, first, middle)
        yield from _range(link, table, middle + 1, last)


def _read(
    link: sqlite3.Connection, table: str, first: int, last: int
) -> list[tuple[object, ...]] | None:
    """Rows with these numbers, None where one of them lies on a damaged page."""
    query = f"SELECT * FROM {table} NOT INDEXED WHERE id BETWEEN ? AND ? ORDER BY id"
    try:
        return link.execute(query, (first, last)).fetchall()
    except (sqlite3.Error, UnicodeDecodeError):  # even SQLite's message may hold damaged bytes
        return None
