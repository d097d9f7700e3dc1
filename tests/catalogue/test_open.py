"""Opening: what is no catalogue, or not whole, is one clear line, and nothing is written."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from flukeprint.catalogue import Catalogue, New, Same, Undo, check
from flukeprint.catalogue.schema import MIGRATIONS
from flukeprint.catalogue.store import uri_of
from flukeprint.errors import FlukeprintError
from tests.catalogue.small import photo, placed, query, small


def line(path: Path) -> str:
    """What opening says; the folder stays as it was, byte for byte."""
    before = {file: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}
    with pytest.raises(FlukeprintError) as caught, Catalogue.open(path) as book:
        book.decide(Same(4, 1), who="Bo")
    assert {file: file.read_bytes() for file in path.parent.iterdir() if file.is_file()} == before
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def test_where_a_catalogue_lies_as_sqlite_takes_it() -> None:
    assert uri_of(PurePosixPath("/a b/wh#.fpc")) == "file:///a%20b/wh%23.fpc"
    assert uri_of(PureWindowsPath(r"C:\whales\w.fpc")) == "file:///C:/whales/w.fpc"
    share = uri_of(PureWindowsPath(r"\\nas\whales\w.fpc"))
    assert share == "file:////nas/whales/w.fpc"
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):  # not "invalid authority"
        sqlite3.connect(f"{share}?mode=ro", uri=True).execute("SELECT 1 FROM a")


def test_what_is_no_catalogue(tmp_path: Path) -> None:
    path = tmp_path / "book"
    assert line(path) == "no such catalogue; check the spelling"
    for content in (b"", b"x", b"a text that is longer than the header of a catalogue\n" * 9):
        path.write_bytes(content)
        assert line(path).startswith("not a catalogue, or damaged at its beginning; look at it")
    (tmp_path / "folder").mkdir()
    assert line(tmp_path / "folder") == "not a file, so not a catalogue"
    query(tmp_path / "other", "CREATE TABLE mine (id)")
    assert line(tmp_path / "other") == "another program's file, not a catalogue"


def test_check_says_what_is_no_catalogue(tmp_path: Path) -> None:
    query(tmp_path / "other", "CREATE TABLE mine (id)")
    with pytest.raises(FlukeprintError, match="other: another program's file, not a catalogue"):
        check(tmp_path / "other")
    (tmp_path / "text").write_text("a text\n" * 5_000)
    with pytest.raises(FlukeprintError, match="text: nothing of it can be read; no catalogue, or"):
        check(tmp_path / "text")
    small(tmp_path / "book").close()
    query(tmp_path / "book", f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(FlukeprintError, match="book: made by a newer flukeprint"):
        check(tmp_path / "book")
    assert sorted(os.listdir(tmp_path)) == ["book", "other", "text"]


def test_a_newer_catalogue(tmp_path: Path) -> None:
    path = tmp_path / "book"
    small(path).close()
    newer = len(MIGRATIONS) + 1
    query(path, f"PRAGMA user_version = {newer}")
    said = f"made by a newer flukeprint (version {newer}, this one knows {newer - 1})"
    assert line(path).startswith(said)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.3, 0.5, 0.8, 0.95, 0.97])
def test_a_truncated_catalogue(tmp_path: Path, share: float) -> None:
    path = tmp_path / "book"
    small(path).close()
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "damaged" in line(path)


@pytest.mark.parametrize("lost", [1, 40, 4_000])
def test_a_catalogue_that_lacks_the_end_of_its_last_page(tmp_path: Path, lost: int) -> None:
    """Which holds the names of those that were undone: no decision reads it, check does."""
    path = tmp_path / "book"
    with small(path) as book:
        book.decide(New(4, "C"), who="Bo")
        book.decide(Undo(2), who="Bo")
    os.truncate(path, path.stat().st_size - lost)
    assert not check(path).whole


def test_flipped_bytes_never_crash_and_check_sees_them(tmp_path: Path) -> None:
    path = tmp_path / "book"
    small(path).close()
    data = path.read_bytes()
    for text in (b"imported", b"alive", b"1.jpg", b"Ann"):
        place = data.index(text)
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        report = check(path)
        assert not report.whole
        assert all("\n" not in problem for problem in report.problems)
    for place in (*range(0, 16_384, 4_096), *range(16_384, len(data), 16_384)):  # heads of pages
        path.write_bytes(data[:place] + b"\xff" * 8 + data[place + 8 :])
        assert not check(path).whole
        try:
            with Catalogue.open(path) as book:
                placed(book), book.individuals(), book.photo_history(1)
                book.decide(Same(4, 1), who="Bo")
        except FlukeprintError as error:
            assert "\n" not in str(error)


def test_a_read_only_catalogue_is_read_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "book"
    small(path).close()
    before = path.read_bytes()
    with Catalogue.open(path, read_only=True) as book:
        assert book.decide(Same(4, 1), who="Bo", dry_run=True).lines
        with pytest.raises(FlukeprintError, match="book: read-only; nothing was written"):
            book.decide(Same(4, 1), who="Bo")
        with pytest.raises(FlukeprintError, match="book: read-only; nothing was written"):
            book.add_photos([photo(9)], who="Bo")
        assert placed(book)[4] == (None, None)
    assert path.read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anything")
def test_a_catalogue_that_the_system_protects(tmp_path: Path) -> None:
    path = tmp_path / "book"
    small(path).close()
    path.chmod(0o444)
    assert line(path) == "read-only; nothing was written"


def test_a_catalogue_that_others_keep_locked(tmp_path: Path) -> None:
    path = tmp_path / "book"
    small(path).close()
    with closing(sqlite3.connect(path)) as other, Catalogue.open(path, busy_s=0.01) as book:
        other.execute("BEGIN IMMEDIATE")
        assert placed(book)[4] == (None, None)  # others still read
        with pytest.raises(FlukeprintError, match="another program is using it for too long"):
            book.decide(Same(4, 1), who="Bo")
        other.execute("ROLLBACK")
        book.decide(Same(4, 1), who="Bo")


def test_a_full_disk(book: Catalogue) -> None:
    book._link.execute("PRAGMA max_page_count = 1")  # SQLite's own way to have no room
    with pytest.raises(FlukeprintError, match="the disk is full; nothing was written"):
        book.add_photos([photo(n) for n in range(6, 500)], who="Bo")
    book._link.execute("PRAGMA max_page_count = 1000000")
    assert book.counts().photos == 5
    assert check(book.path).whole


def test_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "book"
    with small(path) as book:
        link = book._link
        assert link.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert link.execute("PRAGMA synchronous").fetchone() == (3,)
    assert os.listdir(tmp_path) == ["book"]
    query(path, "PRAGMA journal_mode = WAL")  # another program's doing
    Catalogue.open(path).close()
    assert path.read_bytes()[18:20] == b"\1\1"


def test_create_never_replaces(tmp_path: Path) -> None:
    for name in ("file", "link"):
        (tmp_path / "file").write_text("mine")
        if not (tmp_path / "link").is_symlink():
            (tmp_path / "link").symlink_to("nowhere")
        with pytest.raises(FlukeprintError, match="is there already; name another"):
            Catalogue.create(tmp_path / name)
    with pytest.raises(FlukeprintError, match="No such file or directory"):
        Catalogue.create(tmp_path / "no" / "folder")
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


def test_a_name_with_everything_in_it(tmp_path: Path) -> None:
    path = tmp_path / "a b?c#d%20é.db"
    with small(path) as book:
        assert placed(book)[1] == (1, "imported")
    assert check(path).whole and os.listdir(tmp_path) == [path.name]


def test_an_interrupt_leaves_nothing(book: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    before = book.path.read_bytes()
    monkeypatch.setattr("flukeprint.catalogue.log.write_cells", stop)
    with pytest.raises(KeyboardInterrupt):
        book.decide(Same(4, 1), who="Bo")
    monkeypatch.undo()
    assert book.path.read_bytes() == before
    book.decide(Same(4, 1), who="Bo")


def test_another_thread_is_told(book: Catalogue) -> None:
    said: list[str] = []

    def ask() -> None:
        try:
            book.counts()
        except FlukeprintError as error:
            said.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert len(said) == 1 and "thread" in said[0]
