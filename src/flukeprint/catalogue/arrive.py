"""Bring photos in from the disk: hashed, decoded to see that they are whole, noted batch by batch.

Each batch is an event of its own, so an import that was cut off keeps what it had noted; run again,
it goes on behind that. A file whose size and time are as they were is not read again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from flukeprint.catalogue.catalogue import Catalogue
from flukeprint.catalogue.listing import Listed
from flukeprint.catalogue.photos_in import Arrived, Incoming, path_from
from flukeprint.catalogue.state import KnownFile
from flukeprint.exif import read_details
from flukeprint.photos import read_photo
from flukeprint.progress import Progress, no_progress
from flukeprint.records import Failure

BATCH = 2_000
AHEAD = 32  # files that threads read while those before them are noted; more get in their way
MOST_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brought. ``events`` are its numbers, none where all was known already."""

    events: tuple[int, ...]
    counts: Arrived
    skipped: tuple[Failure, ...]


def bring_in(
    catalogue: Catalogue,
    listed: Sequence[Listed],
    *,
    who: str,
    why: str = "",
    dry_run: bool = False,
    progress: Progress = no_progress,
) -> Imported:
    """Import what is listed; photos that cannot be read are skipped and named.

    Raises:
        FlukeprintError: the catalogue cannot be written to; batches noted before that stay.
    """
    skipped: list[Failure] = []
    step = progress("importing", len(listed))

    def arriving() -> Iterator[Incoming]:
        for found, count in _read(listed, catalogue.root, catalogue.files()):
            if isinstance(found, Failure):
                skipped.append(found)
            else:
                yield from found
            step(count)

    waiting = arriving()
    # A preview in batches would meet each batch's new whales again as new ones.
    size = len(listed) if dry_run else BATCH
    events: list[int] = []
    counts = Arrived()
    while batch := list(islice(waiting, size)):
        outcome = catalogue.add_photos(batch, who=who, why=why, dry_run=dry_run)
        events += [outcome.event] if outcome.event else []
        counts = counts.and_then(outcome.arrived)
    if counts.replaced and not dry_run:  # a later batch may have found them elsewhere
        lost = [(one, path) for one, path in counts.replaced if not catalogue.photo(one).paths]
        counts = replace(counts, replaced=tuple(dict(lost).items()))
    return Imported(tuple(events), counts, tuple(skipped))


def replaced_files(catalogue: Catalogue, progress: Progress = no_progress) -> frozenset[str]:
    """The paths from the root where another picture lies now than when it was imported.

    A file whose size and time are as they were is not read, and one that is not there is none.
    """
    replaced, doubtful = set(), []
    for path, known in catalogue.files().items():
        try:
            stamp = os.stat(catalogue.root / path)
        except (OSError, ValueError):
            continue
        if stamp.st_size != known.size_bytes:
            replaced.add(path)
        elif not known.is_as(stamp):
            doubtful.append((path, known.sha256))
    step = progress("comparing files", len(doubtful))
    for path, sha256 in doubtful:
        with suppress(OSError), (catalogue.root / path).open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != sha256:
                replaced.add(path)
        step(1)
    return frozenset(replaced)


def _read(
    listed: Sequence[Listed], root: Path, known: Mapping[str, KnownFile]
) -> Iterator[tuple[list[Incoming] | Failure, int]]:
    """Each file once, with all that is listed of it; and how many of ``listed`` that was."""
    listed_of: dict[Path, list[Listed]] = {}
    for one in listed:
        listed_of.setdefault(one.path, []).append(one)
    waiting = iter(listed_of)

    @cache
    def folder_of(folder: Path) -> PurePosixPath:
        return PurePosixPath(path_from(root, folder / "file")).parent

    def name_of(path: Path) -> str:
        return (folder_of(path.parent) / path.name).as_posix()

    with ThreadPoolExecutor(max_workers=4) as pool:  # Pillow decodes outside Python's lock

        def ahead() -> tuple[list[Path], Iterator[Incoming | Failure]]:
            some = list(islice(waiting, AHEAD))
            return some, pool.map(lambda path: _one(path, name_of(path), known), some)

        then = ahead()
        while then[0]:
            now, then = then, ahead()  # read on while these are noted
            for path, found in zip(*now, strict=True):
                if isinstance(found, Failure):
                    yield found, len(listed_of[path])
                else:
                    yield (
                        [_with(found, one) for one in listed_of[path]],
                        len(listed_of[path]),
                    )


def _with(found: Incoming, row: Listed) -> Incoming:
    facts: dict[str, Any] = dict(row.facts)
    return replace(found, label=row.label, **facts)


def _one(path: Path, name: str, known: Mapping[str, KnownFile]) -> Incoming | Failure:
    """A file as it is, or why it cannot be read; ``name`` is its path from the root."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return Failure(path, "its name is not valid Unicode; rename the file")
    try:
        stamp = os.stat(path)
    except (OSError, ValueError) as error:
        return Failure(path, f"cannot be read: {getattr(error, 'strerror', None) or error}")
    before = known.get(name)
    if before and before.is_as(stamp):
        return Incoming(before.sha256, name, stamp.st_size, stamp.st_mtime_ns)
    photo = read_photo(path)
    if isinstance(photo, Failure):
        return photo
    if before and before.sha256 == photo.sha256:  # touched, and the same: it was decoded before
        return Incoming(photo.sha256, name, len(photo.data), stamp.st_mtime_ns)
    details = read_details(photo)
    if isinstance(details, Failure):
        return details
    size = len(photo.data)
    # A time that SQLite cannot hold is none: the file is read again next time.
    mtime_ns = stamp.st_mtime_ns if abs(stamp.st_mtime_ns) <= MOST_NS else None
    return Incoming(photo.sha256, name, size, mtime_ns, details)
