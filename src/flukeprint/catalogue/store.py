"""One SQLite file: opened, locked, written whole or not at all.

Why no write-ahead log: before SQLite 3.51.3 two connections that checkpoint a WAL file at once can
corrupt it, and Python brings older versions (3.40.1 here). WAL also keeps decisions in a second
file, which someone who copies the catalogue to a stick leaves behind. So the journal is a rollback
journal, mode DELETE: between decisions there is exactly one file.

Why ``synchronous=EXTRA``: it is FULL and also syncs the folder once the journal is deleted. With
FULL alone a power cut just after a decision can bring the journal back, and roll back a decision
that was already acknowledged.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from types import TracebackType

from flukeprint.catalogue.schema import APPLICATION_ID, Migration
from flukeprint.errors import FlukeprintError
from flukeprint.files import umask

BUSY_S = 60.0
MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
PAGE_BYTES = 4_096
SYNCHRONOUS = "EXTRA"
BESIDE = ("-journal", "-wal")
HINT = "look at it with check; nothing was written"


class plain_errors:  # in lower case: called as a function; one of a generator takes longer
    """Turn what SQLite and the disk say about ``path`` into one line for its owner."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: object, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        match error:
            case sqlite3.Error():
                said = _plain(error)
            case OSError():
                said = error.strerror or str(error)
            case OverflowError():
                said = "a number is too large for the catalogue"
            case UnicodeDecodeError():  # even SQLite's message holds damaged bytes
                said = f"damaged; {HINT}"
            case UnicodeEncodeError():
                said = "a name to be written is not valid Unicode"
            case _:
                return
        raise FlukeprintError(f"{self.path}: {said}") from error


def _plain(error: sqlite3.Error) -> str:
    exactly = getattr(error, "sqlite_errorcode", 0)
    if exactly == sqlite3.SQLITE_READONLY_ROLLBACK:
        return "a decision was cut off; open it once where it can be written, to take that back"
    code = exactly & 0xFF
    known = {
        sqlite3.SQLITE_BUSY: "another program is using it for too long; try again",
        sqlite3.SQLITE_LOCKED: "another program is using it for too long; try again",
        sqlite3.SQLITE_READONLY: "read-only; nothing was written",
        sqlite3.SQLITE_FULL: "the disk is full; nothing was written",
        sqlite3.SQLITE_IOERR: f"the disk does not read or write it ({error}); nothing was written",
        sqlite3.SQLITE_CANTOPEN: "cannot be opened; are the file and its folder yours to write?",
        sqlite3.SQLITE_CORRUPT: f"damaged; {HINT}",
        sqlite3.SQLITE_NOTADB: f"not a catalogue, or damaged at its beginning; {HINT}",
    }
    return known.get(code, f"the catalogue cannot be used ({error}); {HINT}")


def read_header(path: Path, newest: int) -> int:
    """The version of the catalogue at ``path``, from its first 100 bytes.

    Raises:
        FlukeprintError: there is no such file, it is no catalogue, or newer than ``newest``.
    """
    if not os.path.exists(path):
        raise FlukeprintError(f"{path}: no such catalogue; check the spelling")
    if not os.path.isfile(path):
        raise FlukeprintError(f"{path}: not a file, so not a catalogue")
    with plain_errors(path), path.open("rb") as stream:
        head = stream.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES or not head.startswith(MAGIC):
        raise FlukeprintError(f"{path}: not a catalogue, or damaged at its beginning; {HINT}")
    version, application = struct.unpack(">I", head[60:64])[0], struct.unpack(">I", head[68:72])[0]
    if application != APPLICATION_ID:
        raise FlukeprintError(f"{path}: another program's file, not a catalogue")
    if version > newest:
        raise FlukeprintError(
            f"{path}: made by a newer flukeprint (version {version}, this one knows {newest}); "
            "update flukeprint"
        )
    return int(version)


def uri_of(path: PurePath) -> str:
    """An absolute path as SQLite takes it: a Windows share's name stands in the path.

    Source: SQLite, "Uniform Resource Identifiers", section 3.1: an authority is an error.
    """
    uri = path.as_uri()
    return uri if uri.startswith("file:///") else uri.replace("file:", "file://", 1)


def connect(path: Path, *, read_only: bool = False, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """Open a file that is there, transactions left to :func:`transaction`.

    Raises:
        FlukeprintError: SQLite cannot use it.
    """
    uri = f"{uri_of(Path(os.path.abspath(path)))}?mode={'ro' if read_only else 'rw'}"
    with plain_errors(path):
        link = sqlite3.connect(uri, uri=True, timeout=busy_s, isolation_level=None)
        try:
            link.execute("PRAGMA trusted_schema = OFF")
            link.execute("PRAGMA foreign_keys = ON")
            link.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
            mode = link.execute("PRAGMA journal_mode").fetchone()[0]
            if mode != "delete" and not read_only:
                mode = link.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
                if mode != "delete":
                    raise FlukeprintError(f"{path}: another program holds it open; close that one")
            link.execute("SELECT count(*) FROM sqlite_master").fetchone()  # is it whole at all?
        except BaseException:
            link.close()
            raise
    return link


@contextmanager
def transaction(link: sqlite3.Connection, path: Path, *, write: bool) -> Iterator[None]:
    """All of what happens inside, or nothing; a writer is the only one from the first line on.

    Raises:
        FlukeprintError: the file stays locked, is read-only or damaged, or the disk is full.
    """
    with plain_errors(path):
        link.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        try:
            yield
            link.execute("COMMIT" if write else "ROLLBACK")
        except BaseException:
            if link.in_transaction:
                link.execute("ROLLBACK")
            raise


def migrate(link: sqlite3.Connection, path: Path, migrations: tuple[Migration, ...]) -> None:
    """Bring a catalogue, or an empty file, to the newest version, or leave it as it was.

    Raises:
        FlukeprintError: another program uses the file, or it cannot be written.
    """
    link.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # of an empty file; later it changes nothing
    with transaction(link, path, write=True):
        version = link.execute("PRAGMA user_version").fetchone()[0]  # maybe another was faster
        for number, migration in enumerate(migrations[version:], version + 1):
            for statement in migration:
                link.execute(statement)
            link.execute(f"PRAGMA user_version = {number}")
        link.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def upgraded_copy(
    link: sqlite3.Connection, path: Path, migrations: tuple[Migration, ...]
) -> sqlite3.Connection:
    """A catalogue of an older version as one of the newest, in memory, to read only.

    Raises:
        FlukeprintError: it cannot be read.
    """
    copy = sqlite3.connect(":memory:", isolation_level=None)
    try:
        with plain_errors(path):
            link.backup(copy)
        migrate(copy, path, migrations)
        copy.execute("PRAGMA query_only = ON")
    except BaseException:
        copy.close()
        raise
    return copy


@contextmanager
def fresh_file(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to build a file under; at the end it gets its name, synced.

    Raises:
        FlukeprintError: something lies at ``path`` already, or the folder cannot be written to.
    """
    if os.path.lexists(path):
        raise FlukeprintError(f"{path}: is there already; name another")
    for end in BESIDE:
        if os.path.lexists(f"{path}{end}"):  # SQLite would roll it back into the new file
            raise FlukeprintError(
                f"{path}{end}: left of a catalogue that lay there; name another, or move it away"
            )
    temporary: Path | None = None
    with plain_errors(path):
        try:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
            os.close(handle)
            temporary = Path(name)
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o666 & ~umask())
            _give_name(temporary, path)
        finally:
            if temporary is not None:
                for left in (temporary, Path(f"{temporary}-journal")):
                    left.unlink(missing_ok=True)


def _give_name(temporary: Path, path: Path) -> None:
    """Rename without ever replacing what someone else put there meanwhile."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise FlukeprintError(f"{path}: is there already; name another") from None
    except OSError:  # a stick's file system has no hard links
        if os.path.lexists(path):
            raise FlukeprintError(f"{path}: is there already; name another") from None
        os.rename(temporary, path)
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
