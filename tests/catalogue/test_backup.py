"""Backups are whole or not there; an old file is upgraded after a copy was made."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flukeprint.catalogue import Catalogue, Different, Rename, Same, Shown, backup, check, rescue
from flukeprint.catalogue.backup import KEPT
from flukeprint.catalogue.check import inspect
from flukeprint.catalogue.schema import MIGRATIONS
from flukeprint.errors import FlukeprintError
from flukeprint.records import Embeddings
from tests.catalogue.small import as_of_version, cells, content, placed, query, small
from tests.tiny import seen

NEXT = (*MIGRATIONS, ("CREATE TABLE note (id INTEGER PRIMARY KEY)", "INSERT INTO note VALUES (7)"))


def test_a_backup_is_the_catalogue(book: Catalogue, tmp_path: Path) -> None:
    book.decide(Same(4, 1), who="Bo")
    assert book.backup(tmp_path / "copy") == 2
    assert cells(tmp_path / "copy") == cells(book.path)
    assert check(tmp_path / "copy").whole
    with Catalogue.open(tmp_path / "copy") as copy:
        assert placed(copy) == placed(book)


def test_a_backup_never_replaces_and_leaves_nothing_half(book: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("mine")
    with pytest.raises(FlukeprintError, match="copy: is there already; name another"):
        book.backup(tmp_path / "copy")
    assert sorted(os.listdir(tmp_path)) == ["copy", "whales.fpc"]
    with pytest.raises(FlukeprintError, match="No such file or directory"):
        book.backup(tmp_path / "no" / "copy")


def test_a_damaged_catalogue_is_not_backed_up(book: Catalogue, tmp_path: Path) -> None:
    kept = book.keep_backup()
    query(book.path, "UPDATE cell SET value = 2 WHERE field = 'individual' AND subject = 1")
    with pytest.raises(FlukeprintError, match="no copy was made, the catalogue is not whole: "):
        book.backup(tmp_path / "copy")
    assert sorted(os.listdir(tmp_path)) == ["whales.fpc", "whales.fpc.backups"]
    assert kept and check(kept).whole


def test_the_last_backups_stay(book: Catalogue, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "whales.r1.backup.txt").write_text("mine")
    assert book.keep_backup(folder) == folder / "whales.r1.backup"
    assert book.keep_backup(folder) is None
    for number in range(KEPT + 1):
        book.decide(Rename(1, f"name {number}"), who="Bo")
        book.keep_backup(folder)
    kept = sorted(path.name for path in folder.iterdir())
    last = [f"whales.r{book.revision - back}.backup" for back in range(KEPT)]
    assert kept == sorted([*last, "whales.r1.backup.txt"])


def test_a_full_disk_while_backing_up(
    book: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FlukeprintError, match="copy: No space left on device"):
        book.backup(tmp_path / "copy")
    assert os.listdir(tmp_path) == ["whales.fpc"]


def test_a_stick_without_hard_links(
    book: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_here(*args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", none_here)
    book.backup(tmp_path / "copy")
    assert check(tmp_path / "copy").whole
    assert sorted(os.listdir(tmp_path)) == ["copy", "whales.fpc"]


def test_an_older_catalogue_is_upgraded_after_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "book"
    small(path).close()
    before = path.read_bytes()
    with Catalogue.open(path, migrations=NEXT, read_only=True) as copy:
        assert (copy.revision, placed(copy)[4]) == (1, (None, None))
        with pytest.raises(FlukeprintError, match="read-only; nothing was written"):
            copy.decide(Same(4, 1), who="Bo")
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["book"]
    with Catalogue.open(path, migrations=NEXT) as book:
        assert book.decide(Same(4, 1), who="Bo").event == 2
    assert query(path, "PRAGMA user_version") == [(len(NEXT),)]
    assert query(path, "SELECT * FROM note") == [(7,)]
    kept = f"book.v{len(MIGRATIONS)}.r1.backup"
    assert sorted(os.listdir(tmp_path)) == ["book", kept]
    assert check(path, NEXT).whole
    with Catalogue.open(tmp_path / kept) as copy:
        assert (copy.revision, placed(copy)[4]) == (1, (None, None))
    with pytest.raises(FlukeprintError, match="made by a newer flukeprint"):
        Catalogue.open(path)
    Catalogue.open(path, migrations=NEXT).close()
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("version", [1, 2])
def test_a_catalogue_of_an_earlier_version(tmp_path: Path, version: int) -> None:
    """It does not know with which revision a photo was compared; what was shown stays."""
    path = tmp_path / "book"
    with small(path) as book:
        (shown,) = book.keep_rankings("m", [Shown(4, ((1, 0.5),), 0.5)])
        book.decide(Different(4, 1), who="Bo", ranking=shown)
        now = book.ranking(shown)
    as_of_version(path, version)
    assert check(path).whole
    assert rescue(path, tmp_path / "saved", who="Bo").rows["ranking"] == 1
    with Catalogue.open(path) as book, Catalogue.open(tmp_path / "saved") as saved:
        assert [entry.event.id for entry in book.individual_history(1)] == [1, 2]
        assert now is not None
        assert book.ranking(shown) == saved.ranking(shown) == replace(now, revision=None)
    assert query(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert check(path).whole and check(tmp_path / f"book.v{version}.r2.backup").whole


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "book"
    small(path).close()
    before = path.read_bytes()
    broken = (*MIGRATIONS, ("CREATE TABLE note (id)", "CREATE TABLE note (id)"))
    with pytest.raises(FlukeprintError, match="book: "):
        Catalogue.open(path, migrations=broken)
    assert path.read_bytes() == before
    Catalogue.open(path).close()


def test_a_backup_every_so_many_events(book: Catalogue) -> None:
    """One at once, and the next three events later."""
    made = [book.keep_backup(every=3)]
    for name in "XYZ":
        book.decide(Rename(1, name), who="Ann")
        made.append(book.keep_backup(every=3))
    assert [path.name if path else None for path in made] == [
        "whales.r1.backup",
        None,
        None,
        "whales.r4.backup",
    ]


def test_what_models_said_since_is_backed_up(book: Catalogue) -> None:
    """They are no events, but a decision may rest on them; backups every so many events wait."""
    first = book.keep_backup()
    assert (first and first.name, book.keep_backup()) == ("whales.r1.backup", None)
    vectors = Embeddings(np.eye(1, 4, dtype=np.float32), (content(4),), "model")
    for say in (
        lambda: book.keep_rankings("model", [Shown(4, ((1, 0.5),), 0.5)]),
        lambda: book.keep_looks("model", {content(4): seen()}),
        lambda: book.keep_embeddings(vectors),
    ):
        say()
        assert book.keep_backup(every=2) is None
        made = book.keep_backup()
        assert made and made.name.startswith("whales.r1.") and made.name != "whales.r1.backup"
        assert book.keep_backup() is None
        for table in ("ranking", "look", "embedding", "event", "cell"):
            rows = f"SELECT * FROM {table}"
            assert query(made, rows) == query(book.path, rows)
        assert check(made).whole
    assert len(list(book.path.with_name("whales.fpc.backups").iterdir())) == 4
    book.decide(Same(4, 1), who="Bo", ranking=1)
    after = book.keep_backup()
    assert after and after.name == "whales.r2.backup"


def test_other_rankings_of_the_same_revision_are_kept_beside(
    book: Catalogue, tmp_path: Path
) -> None:
    """Someone went back to a copy and asked again: neither backup replaces the other."""
    book.backup(tmp_path / "before")
    made = []
    for share in (0.5, 0.25):
        with Catalogue.open(book.path) as again:
            again.keep_rankings("model", [Shown(4, ((1, share),), 0.5)])
            made.append(again.keep_backup())
            assert again.keep_backup() is None
        shutil.copy(tmp_path / "before", book.path)
    shares = [query(one, "SELECT candidates FROM ranking") for one in made if one]
    assert shares == [[('[[1, "A", 0.5]]',)], [('[[1, "A", 0.25]]',)]]


def test_what_a_killed_backup_left_goes_after_a_day(book: Catalogue) -> None:
    folder = book.path.with_name(f"{book.path.name}.backups")
    folder.mkdir()
    old, fresh, other = (
        folder / name for name in (".whales.r1.backup.ab", ".whales.r2.backup.cd", ".others")
    )
    for path in (old, fresh, other):
        path.touch()
    for path in (old, other):
        os.utime(path, (0, 0))
    book.keep_backup()
    assert (old.exists(), fresh.exists(), other.exists()) == (False, True, True)


def test_others_decide_while_a_copy_is_checked(
    book: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name says what is kept; where others were faster still, it is made anew."""
    copied, waiting = backup.copy_whole, [Same(5, 1), Same(4, 1)]

    def slow(*arguments: Any) -> Any:
        with Catalogue.open(book.path, busy_s=0) as other:
            other.decide(waiting.pop(), who="Cara")
        return inspect(*arguments)

    def late(*arguments: Any) -> int:
        if waiting:
            book.decide(waiting.pop(), who="Bo")
        return copied(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(backup, "inspect", slow)
        first = book.keep_backup()
    monkeypatch.setattr(backup, "copy_whole", late)
    second = book.keep_backup()
    assert first is not None and second is not None
    assert (first.name, second.name) == ("whales.r1.backup", "whales.r3.backup")
    for kept, revision in ((first, 1), (second, 3)):
        with Catalogue.open(kept, read_only=True) as copy:
            assert copy.revision == revision


def test_a_backup_knows_where_the_photos_lie(tmp_path: Path) -> None:
    """Beside the catalogue, not in the folder of the backups; also where that has a link."""
    (tmp_path / "elsewhere").mkdir()
    with small(tmp_path / "book"):
        (tmp_path / "elsewhere" / "link").symlink_to(tmp_path / "book")
    with Catalogue.open(tmp_path / "elsewhere" / "link") as book:
        kept = book.keep_backup()
    assert kept == tmp_path / "book.backups" / "book.r1.backup"
    with Catalogue.open(kept, read_only=True) as copy:
        assert copy.root == tmp_path


def test_no_backup_in_the_middle_of_decisions(book: Catalogue, tmp_path: Path) -> None:
    for back_up in (lambda: book.backup(tmp_path / "copy"), book.keep_backup):
        with book.together(), pytest.raises(FlukeprintError, match="not noted yet; back up before"):
            back_up()
    assert not (tmp_path / "copy").exists()
    assert book.backup(tmp_path / "copy") == book.revision
