"""Copies that are whole: made while others decide, checked, and only then given their name."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from flukeprint.catalogue.check import Finding, inspect
from flukeprint.catalogue.log import FIRST_SEAL, revision
from flukeprint.catalogue.schema import Migration
from flukeprint.catalogue.store import connect, fresh_file, plain_errors, transaction
from flukeprint.errors import FlukeprintError
from flukeprint.files import make_folder

KEPT = 10
BACKUP, BACKUPS = ".backup", ".backups"
"""How the names of copies end, and of the folder beside a catalogue that keeps them."""
EVIDENCE = ("model", "look", "embedding", "ranking")
FORGOTTEN_S = 86_400.0  # no backup takes a day: what is older and has no name is left over


class _Overtaken(Exception):
    """Others noted something since it was settled under which name the copy would be kept."""


def copy_whole(
    link: sqlite3.Connection,
    target: Path,
    migrations: tuple[Migration, ...],
    unchanged: Callable[[], bool] = lambda: True,
) -> int:
    """Copy an open catalogue to ``target``, which must not be there yet; the copy's revision.

    All pages are copied in one read: copying in parts would begin again with each decision that
    others make meanwhile, and might never end. Others' decisions wait for that, and not until the
    copy was checked, which takes longer. ``unchanged`` is asked in the same read.

    Raises:
        FlukeprintError: the copy cannot be written, or is not whole.
    """
    with fresh_file(target) as temporary:
        with closing(sqlite3.connect(temporary)) as copy:
            copy.execute("PRAGMA journal_mode = OFF")  # it has no name yet: nothing to roll back to
            with transaction(link, target, write=False):
                if not unchanged():
                    raise _Overtaken
                link.backup(copy)
        with closing(connect(temporary)) as copy:
            found = inspect(copy, migrations)
            if found:
                raise FlukeprintError(_not_whole(target, found))
            return revision(copy)


def _not_whole(target: Path, found: list[Finding]) -> str:
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"{target}: no copy was made, the catalogue is not whole: {found[0].text}{more}"


def keep_backup(
    link: sqlite3.Connection,
    path: Path,
    folder: Path,
    migrations: tuple[Migration, ...],
    every: int = 1,
) -> Path | None:
    """Back up to ``folder`` under a name with the revision.

    None where fewer than ``every`` events came since the last backup kept there; where ``every`` is
    1, None only where nothing at all came: what models said is kept, too, and no event.

    Of the earlier backups under its name the last ``KEPT`` stay; nothing else is touched.

    Raises:
        FlukeprintError: the copy cannot be written, or is not whole; older ones stay then.
    """
    while True:
        with transaction(link, path, write=False):
            number = revision(link)
            kept = _kept(make_folder(folder), path)
            for newest, file in kept[-1:]:
                ours = newest <= number and _read(file, _seal, newest) == _seal(link, newest)
                if every > 1 and ours and number < newest + every:
                    return None
            mark = _mark(link, number)
        if any(_read(file, _mark, number) == mark for newest, file in kept if newest == number):
            return None
        target = folder / f"{path.stem}.r{number}{BACKUP}"
        if target.exists():
            # Made before a model said more; or of another catalogue of that name, or of a past that
            # was given up for a backup of it.
            target = target.with_name(f"{path.stem}.r{number}.{mark}{BACKUP}")
        try:
            copy_whole(link, target, migrations, partial(_is_at, link, number, mark))
        except _Overtaken:
            continue
        except FlukeprintError:
            if target.exists() and _read(target, _mark, number) == mark:
                return None  # another was faster
            raise
        break
    older = [(number, file) for number, file in _kept(folder, path) if file != target]
    with plain_errors(folder):
        for _, old in older[: -(KEPT - 1)]:
            old.unlink(missing_ok=True)
        _clear_parts(folder, path)
    return target


def _clear_parts(folder: Path, path: Path) -> None:
    """Remove what killed backups left."""
    begin = f".{path.stem}.r"[:41]
    for part in folder.iterdir():
        with suppress(FileNotFoundError):  # another's backup is done
            if part.name.startswith(begin) and time.time() - part.stat().st_mtime > FORGOTTEN_S:
                part.unlink()


def _kept(folder: Path, path: Path) -> list[tuple[int, Path]]:
    """The backups of catalogues with this name that are kept in a folder, first made first.

    By time: after going back to an old backup, low revisions are newer than high ones.
    """
    ours = re.compile(re.escape(path.stem) + r"\.r(\d+)(\.[0-9a-f]{8})?\.backup")
    with plain_errors(folder):
        files = list(folder.iterdir())
    found = []
    for file in files:
        made = ours.fullmatch(file.name)
        with suppress(FileNotFoundError):  # another process removed it
            if made:
                found.append((file.stat().st_mtime_ns, int(made[1]), file))
    return [(number, file) for _, number, file in sorted(found)]


def _seal(link: sqlite3.Connection, number: int) -> str:
    """What tells apart two logs of the same length, whatever happened in them."""
    row = link.execute("SELECT seal FROM event WHERE id = ?", (number,)).fetchone()
    return (row[0] if row else FIRST_SEAL).hex()[:8]


def _mark(link: sqlite3.Connection, number: int) -> str:
    """What tells apart two catalogues with so many events, by these and by what models said.

    Rows are never changed, so the last number of each table says which there are; the last ranking
    was shown at one time in one past only.
    """
    last = [link.execute(f"SELECT max(id) FROM {table}").fetchone() for table in EVIDENCE]
    at = link.execute("SELECT at FROM ranking ORDER BY id DESC LIMIT 1").fetchone()
    return hashlib.sha256(repr((_seal(link, number), last, at)).encode()).hexdigest()[:8]


def _is_at(link: sqlite3.Connection, number: int, mark: str) -> bool:
    """Whether this is still the last event, and models said no more."""
    return revision(link) == number and _mark(link, number) == mark


def _read(backup: Path, what: Callable[[sqlite3.Connection, int], str], number: int) -> str | None:
    """What is asked of an earlier backup whose last event this is, None where it cannot be had."""
    try:
        with closing(connect(backup, read_only=True)) as link:
            return what(link, number) if revision(link) == number else None
    except (FlukeprintError, sqlite3.Error):
        return None
