"""A disk that is full, or refuses at any page: one clear line, nothing lost, go on afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flukeprint.catalogue import Catalogue, Merge, New, Same, Split, Undo, check
from flukeprint.errors import FlukeprintError
from tests.catalogue.small import cells, photo, query, small

resource = pytest.importorskip("resource", reason="Windows limits no file's size")
PAGE = 4_096

WORK: dict[str, Callable[[Catalogue], object]] = {
    "verdict": lambda book: book.decide(New(4, "C"), who="Bo", why="x" * 3 * PAGE),
    "merge": lambda book: book.decide(Merge(1, 2), who="Bo"),
    "split": lambda book: book.decide(Split(1, (2,), "C"), who="Bo"),
    "undo": lambda book: book.decide(Undo(2), who="Bo"),
    "import": lambda book: book.add_photos([photo(n, f"w{n}") for n in range(9, 99)], who="Ann"),
}


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Every write beyond ``size`` fails, as it would on a disk that has no room there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def refused(work: Callable[[Catalogue], object], book: Catalogue) -> bool:
    """Whether the work could not be done; then the catalogue is as it was before."""
    before = cells(book.path), book.revision
    try:
        work(book)
    except FlukeprintError as error:
        assert str(error).startswith(f"{book.path}: ") and "\n" not in str(error)
        assert str(error).endswith("nothing was written")
    else:
        return False
    return (cells(book.path), book.revision) == before or pytest.fail("it is not as it was")


@pytest.mark.parametrize("what", WORK)
def test_a_write_that_fails_at_any_page(what: str, tmp_path: Path) -> None:
    with small(tmp_path / "book") as book:
        book.decide(Same(4, 1), who="Bo", why="to be undone")
        if what == "verdict":
            book.decide(Undo(2), who="Bo")
        done = next(
            number
            for number, limit in enumerate(range(0, 200 * PAGE, PAGE))
            if not _limited(limit, WORK[what], book)
        )
        assert done > 9  # one more page each time, until even the last one could be written
        assert book.revision == (4 if what == "verdict" else 3)
        book.decide(Same(5, 1), who="Bo")
    assert check(tmp_path / "book").whole
    assert os.listdir(tmp_path) == ["book"]


def _limited(limit: int, work: Callable[[Catalogue], object], book: Catalogue) -> bool:
    """As :func:`refused`; a journal that could not be rolled back is, once there is room."""
    before = cells(book.path), book.revision
    try:
        with no_file_longer_than(limit):
            work(book)
    except FlukeprintError as error:
        assert str(error).startswith(f"{book.path}: ") and "\n" not in str(error)
        assert str(error).endswith("nothing was written")
    else:
        return False
    assert check(book.path).whole
    assert (cells(book.path), book.revision) == before
    assert check(book.path).whole
    return True


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, pages: int) -> None:
    """Leave room for so many pages."""
    (disk / "filler").unlink(missing_ok=True)
    with (disk / "filler").open("wb", buffering=0) as stream:
        try:
            while stream.write(bytes(PAGE)) == PAGE:
                pass
        except OSError:
            pass
        stream.truncate(max(0, stream.tell() // PAGE - pages) * PAGE)


@pytest.mark.parametrize("what", WORK)
def test_a_full_disk_with_room_for_some_pages(what: str, disk: Path) -> None:
    with small(disk / "book") as book:
        book.decide(Same(4, 1), who="Bo", why="to be undone")
        if what == "verdict":
            book.decide(Undo(2), who="Bo")
        for room in range(99):
            fill(disk, room)
            if not refused(WORK[what], book):
                break
            assert check(book.path).whole
            assert sorted(os.listdir(disk)) == ["book", "filler"]
        assert 1 < room < 98
        (disk / "filler").unlink()
        book.decide(Same(5, 1), who="Bo")
    assert check(disk / "book").whole


def test_an_import_that_fills_the_disk_goes_on_behind_what_was_noted(disk: Path) -> None:
    batches = [[photo(n, f"w{n}") for n in range(first, first + 40)] for first in range(0, 800, 40)]
    with Catalogue.create(disk / "book") as book:
        fill(disk, 60)
        noted: list[int | None] = []
        with pytest.raises(FlukeprintError, match="book: the disk is full; nothing was written"):
            for batch in batches:
                noted.append(book.add_photos(batch, who="Ann").event)
        assert noted == list(range(1, len(noted) + 1)) and noted
        assert (book.revision, book.counts().photos) == (len(noted), 40 * len(noted))
        with pytest.raises(FlukeprintError, match="No space left on device|the disk is full"):
            book.backup(disk / "copy")
        assert sorted(os.listdir(disk)) == ["book", "filler"]
        assert check(book.path).whole
        (disk / "filler").unlink()
        events = [book.add_photos(batch, who="Ann").event for batch in batches]
        assert events == [None] * len(noted) + list(range(len(noted) + 1, len(batches) + 1))
        assert query(book.path, "SELECT count(*) FROM photo") == [(800,)]
    assert check(disk / "book").whole
