"""Copies that are whole: made while others decide, checked, and only then given their name."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from flukeprint.catalogue.check import Finding, inspect
from flukeprint.catalogue.log import revision
from flukeprint.catalogue.schema import Migration
from flukeprint.catalogue.store import connect, fresh_file
from flukeprint.errors import FlukeprintError
from flukeprint.files import make_folder

KEPT = 10


def copy_whole(link: sqlite3.Connection, target: Path, migrations: tuple[Migration, ...]) -> int:
    """Copy an open catalogue to ``target``, which must not be there yet; the copy's revision.

    All pages are copied in one read: copying in parts would begin again with each decision that
    others make meanwhile, and might never end.

    Raises:
        FlukeprintError: the copy cannot be written, or is not whole.
    """
    with fresh_file(target) as temporary:
        with closing(sqlite3.connect(temporary)) as copy:
            copy.execute("PRAGMA journal_mode = OFF")  # it has no name yet: nothing to roll back to
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
    link: sqlite3.Connection, path: Path, folder: Path, migrations: tuple[Migration, ...]
) -> Path | None:
    """Back up to ``folder`` under a name with the revision; None where that one is kept already.

    Of its own earlier backups the last ``KEPT`` stay; nothing else in the folder is touched.

    Raises:
        FlukeprintError: the copy cannot be written, or is not whole; older ones stay then.
    """
    target = make_folder(folder) / f"{path.stem}.r{revision(link)}.backup"
    if target.exists():
        return None
    copy_whole(link, target, migrations)
    ours = re.compile(re.escape(path.stem) + r"\.r(\d+)\.backup")
    kept = [(int(m[1]), file) for file in folder.iterdir() if (m := ours.fullmatch(file.name))]
    for _, old in sorted(kept)[:-KEPT]:
        old.unlink(missing_ok=True)
    return target
