"""Of a damaged catalogue everything that can be read is saved, and what is lost is told."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.catalogue import (
    Catalogue,
    CorrectBox,
    Describe,
    Different,
    Merge,
    Move,
    New,
    NoWhale,
    Rename,
    Same,
    Shown,
    Split,
    Undo,
    Unsure,
    check,
    rescue,
)
from flukeprint.catalogue.lines import write_lines
from flukeprint.catalogue.plausible import last_likely
from flukeprint.catalogue.salvage import CUT_OFF, NOT_TAKEN_IN
from flukeprint.errors import FlukeprintError
from flukeprint.exports import FORMATS, Exporting
from flukeprint.records import Box, Embeddings
from tests.catalogue.small import cells, content, cut_off, photo, placed, query, small
from tests.tiny import seen

PAGE = 4_096


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """300 photos and 40 decisions, closed."""
    path = tmp_path / "book"
    with Catalogue.create(path) as book:
        book.add_photos([photo(n, f"w{n % 20}") for n in range(300)], who="Ann")
        for n in range(1, 41):
            book.decide(Same(n, book.photo(n).individual or 0), who="Bo", why="x" * 300)
    return path


def damage(path: Path, table: str, sql: str = "") -> None:
    """Overwrite what the table's last leaf page holds, or run SQL with the rules removed."""
    if sql:
        for verb in ("update", "delete"):
            query(path, f"DROP TRIGGER {table}_never_{verb}")
        query(path, sql)
        return
    text = path.read_bytes()
    place = text.rindex(b"x" * 300) // PAGE * PAGE
    path.write_bytes(text[:place] + b"\xa5" * PAGE + text[place + PAGE :])


def test_of_a_whole_catalogue_all_is_saved(long: Path, tmp_path: Path) -> None:
    before = long.read_bytes()
    found = rescue(long, tmp_path / "new", who="Cy")
    assert long.read_bytes() == before
    assert (found.damaged, found.lines) == ((), ())
    assert query(tmp_path / "new", "SELECT kind, who, why FROM event WHERE id = 42") == [
        ("rescue", "Cy", "book was damaged")
    ]
    assert found.rows["photo"] == 300 and found.rows["event"] == 41
    assert cells(tmp_path / "new") == cells(long)
    assert check(tmp_path / "new").whole


def test_a_page_of_events_is_lost(long: Path, tmp_path: Path) -> None:
    state = cells(long)
    damage(long, "event")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    report = check(long)
    assert not report.whole
    assert 0 < report.savable["event"] < 41
    assert report.savable["effect"] == query(long, "SELECT count(*) FROM effect")[0][0]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    found = rescue(long, tmp_path / "new", who="Cy")
    assert long.read_bytes() == before[long]
    lost = 41 - report.savable["event"]
    assert sum("is lost" in line for line in found.lines) == lost
    assert len(found.damaged) >= lost
    assert cells(tmp_path / "new") == state  # what the lost events did is in their effects
    assert check(tmp_path / "new").whole
    with Catalogue.open(tmp_path / "new") as book:
        assert book.revision == 42
        assert book.decide(New(300, "Z"), who="Cy").event == 43
        book.decide(Undo(43), who="Cy")
    assert check(tmp_path / "new").whole


def test_lost_effects_of_a_beginning(tmp_path: Path) -> None:
    path = tmp_path / "book"
    with small(path) as book:
        book.decide(New(4, "C"), who="Bo")
        book.decide(Same(5, 3), who="Bo")
    damage(path, "effect", "DELETE FROM effect WHERE event = 2")
    found = rescue(path, tmp_path / "new", who="Cy")
    assert found.damaged == (2,)
    with Catalogue.open(tmp_path / "new") as book:
        assert book.individuals() == {1: "A", 2: "B", 3: "rescued 3"}
        assert placed(book)[5] == (3, "confirmed")
        with pytest.raises(FlukeprintError, match=r"event 4 \(rescue.*cannot be undone while"):
            book.decide(Undo(4), who="Cy")
    assert check(tmp_path / "new").whole


def test_a_lost_ranking(tmp_path: Path) -> None:
    path = tmp_path / "book"
    with small(path) as book:
        (shown,) = book.keep_rankings("m", [Shown(4, ((1, 0.5),), 0.5)])
        book.decide(Same(4, 1), who="Bo", ranking=shown)
    damage(path, "ranking", "DELETE FROM ranking")
    found = rescue(path, tmp_path / "new", who="Cy")
    assert found.damaged == (2,)
    assert "event 2 is not as it was written" in found.lines
    with Catalogue.open(tmp_path / "new") as book:
        assert placed(book)[4] == (1, "confirmed")
        assert book.ranking(shown) is None
        assert book.match_probabilities() == {}
        with pytest.raises(FlukeprintError, match="no ranking has the number 1"):
            book.decide(New(5), who="Cy", ranking=shown)
    report = check(tmp_path / "new")
    assert report.whole
    assert report.rescued == (2,)
    assert check(path).rescued == ()


@pytest.fixture
def two_photos_lost(tmp_path: Path) -> Path:
    """What is rescued of a small catalogue whose first two photos are lost."""
    path = tmp_path / "book"
    small(path).close()
    damage(path, "photo", "DELETE FROM photo WHERE id < 3")
    rescue(path, tmp_path / "new", who="Cy")
    return tmp_path / "new"


def test_lost_photos_are_not_counted(two_photos_lost: Path) -> None:
    with Catalogue.open(two_photos_lost) as book:
        counts = book.counts()
    assert (counts.photos, counts.unidentified) == (3, 2)


@pytest.mark.parametrize("sql", ["", " WHERE id = 3", " WHERE id < 3"])
def test_lost_individuals_come_back_with_their_numbers(tmp_path: Path, sql: str) -> None:
    """The effects of the events that made them tell; nobody else gets their numbers."""
    path = tmp_path / "book"
    with small(path) as book:
        book.decide(New(4, "C"), who="Bo")
        book.decide(New(5, "D"), who="Bo")
        book.decide(Undo(3), who="Bo")
        names, kept = book.individuals(), query(path, "SELECT * FROM individual")
    damage(path, "individual", f"DELETE FROM individual{sql}")
    assert any("is not there, but its " in line for line in check(path).problems)
    found = rescue(path, tmp_path / "new", who="Cy")
    assert (found.damaged, found.lines) == ((), ())
    assert query(tmp_path / "new", "SELECT * FROM individual") == kept
    with Catalogue.open(tmp_path / "new") as book:
        assert book.individuals() == names == {1: "A", 2: "B", 3: "C"}
        book.decide(New(5, "E"), who="Cy")
        assert book.individuals() == {**names, 5: "E"}
    assert check(tmp_path / "new").whole


def test_individuals_without_a_trace_but_a_name(tmp_path: Path) -> None:
    """Row and beginning are lost, no photo names it: its number is not given again."""
    path = tmp_path / "book"
    with small(path) as book:
        book.decide(New(4, "C"), who="Bo")
        book.decide(Rename(3, "Cc"), who="Bo")
        book.decide(Move(4, 1), who="Bo")
    damage(path, "individual", "DELETE FROM individual WHERE id = 3")
    damage(path, "effect", "DELETE FROM effect WHERE event = 2")
    rescue(path, tmp_path / "new", who="Cy")
    with Catalogue.open(tmp_path / "new") as book:
        assert book.individuals() == {1: "A", 2: "B"}
        book.decide(New(5, "D"), who="Cy")
        assert book.individuals() == {1: "A", 2: "B", 4: "D"}
    assert check(tmp_path / "new").whole


def test_of_all_individuals_nothing_but_their_photos_is_left(tmp_path: Path) -> None:
    path = tmp_path / "book"
    with small(path) as book:
        before = placed(book)
    damage(path, "individual", "DELETE FROM individual")
    damage(path, "effect", "DELETE FROM effect WHERE kind = 'i'")
    rescue(path, tmp_path / "new", who="Cy")
    with Catalogue.open(tmp_path / "new") as book:
        assert placed(book) == before
        assert book.individuals() == {1: "rescued 1", 2: "rescued 2"}
    assert check(tmp_path / "new").whole


@given(st.sets(st.integers(1, 60)), st.sets(st.integers(10**6, 10**9), max_size=3))
def test_a_number_far_above_all_others_is_damaged(there: set[int], odd: set[int]) -> None:
    """Unless another table tells it, or numbers right below it are there: then some are lost."""
    least = max((one for one in there if one <= 2 * len(there)), default=0)
    assert least <= last_likely([*there, *odd, "x", None, -5]) <= max(there, default=0)
    assert last_likely([*there, *range(10**6, 10**6 + 5)]) == 10**6 + 4
    assert last_likely([*there, 10**6], [*odd, 10**6, 2 * 10**9]) == 10**6


def test_the_last_photos_of_many_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "book"
    with Catalogue.create(path) as book:
        book.add_photos([photo(n) for n in range(1, 45)], who="Ann")
    damage(path, "photo", "DELETE FROM photo WHERE id < 41")
    damage(path, "file", "DELETE FROM file WHERE id < 41")
    rescue(path, tmp_path / "new", who="Cy")
    with Catalogue.open(tmp_path / "new") as book:
        assert [one.number for one in book.photos()] == [41, 42, 43, 44]


def test_lost_photos_leave_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "book"
    with small(path) as book:
        book.add_photos([photo(6, "A"), photo(6, "B")], who="Ann")  # labels that disagree
        assert book.conflicts() == [6]
    damage(path, "photo", "DELETE FROM photo WHERE id IN (1, 6)")
    found = rescue(path, tmp_path / "new", who="Cy")
    assert found.lines[0] == "photos that are lost: 2; bring them in again: 1, 6"
    with Catalogue.open(tmp_path / "new") as book:
        assert (book.conflicts(), book.counts().unidentified) == ([], 2)
        assert [one.number for one in book.photos()] == [2, 3, 4, 5]
        assert book.individual(1).photos == (2,)
        book.add_photos([photo(6, "A")], who="Ann")
        assert book.find_photo(photo(6).sha256) == 7  # 6 is what the log tells of another
        assert book.individual(1).photos == (2, 7)
    assert check(tmp_path / "new").whole


@pytest.mark.parametrize("head", [16, 100, 4_096, 12_288])
def test_a_lost_beginning(long: Path, tmp_path: Path, head: int) -> None:
    state, data = cells(long), long.read_bytes()
    long.write_bytes(b"\0" * head + data[head:])
    assert "its beginning or its length is wrong" in check(long).problems[0]
    rescue(long, tmp_path / "new", who="Cy")
    with Catalogue.open(tmp_path / "new") as book:
        assert book.counts().photos >= 290
    assert check(tmp_path / "new").whole
    assert head > PAGE or cells(tmp_path / "new") == state


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
def test_a_truncated_catalogue(long: Path, tmp_path: Path, share: float) -> None:
    data = long.read_bytes()
    long.write_bytes(data[: int(len(data) * share)])
    assert not check(long).whole
    try:
        found = rescue(long, tmp_path / "new", who="Cy")
    except FlukeprintError as error:
        assert "\n" not in str(error)
        assert os.listdir(tmp_path) == ["book"]
        return
    assert found.lines
    assert check(tmp_path / "new").whole


def test_a_change_that_was_cut_off_is_no_damage(long: Path, tmp_path: Path) -> None:
    """The check looks at a copy from which it is taken back, and leaves file and journal alone."""
    state, rows = cells(long), check(long).savable
    cut_off(long)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    report = check(long)
    assert (report.problems, report.notes, report.savable) == ((), (CUT_OFF,), rows)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert sorted(path.name for path in before) == ["book", "book-journal"]
    rescue(long, tmp_path / "new", who="Cy")
    assert cells(tmp_path / "new") == state
    with Catalogue.open(long):
        pass
    assert (cells(long), check(long).notes) == (state, ())


def test_a_change_that_was_cut_off_in_a_damaged_catalogue(long: Path, tmp_path: Path) -> None:
    damage(long, "event")
    found = check(long).problems
    cut_off(long)
    assert check(long).problems == (CUT_OFF, *found)
    assert not check(long).whole


def test_what_another_program_left_beside_it_is_no_damage(long: Path) -> None:
    with closing(sqlite3.connect(long)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("UPDATE meta SET value = 'photos'")
        other.commit()
        files = {path: path.read_bytes() for path in (long, Path(f"{long}-wal"))}
    for path, data in files.items():
        path.write_bytes(data)
    report = check(long)
    assert (report.problems, report.notes) == ((), (NOT_TAKEN_IN,))
    with Catalogue.open(long) as book:
        assert book.root.name == "photos"
    assert (check(long).problems, check(long).notes) == ((), ())


def test_no_room_for_the_copy_that_a_check_looks_at(
    long: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    cut_off(long)
    monkeypatch.setattr("shutil.copyfile", full)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(FlukeprintError) as caught:
        check(long)
    assert str(caught.value) == (
        f"{long}: can be looked at in a copy only, and {tmp_path} has no room for it; name a "
        "folder that has some in $TMPDIR"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["book", "book-journal"]


def test_what_cannot_be_rescued(tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match="no such catalogue"):
        check(tmp_path / "book")
    for data in (b"", b"a text", b"\0" * 100_000):
        (tmp_path / "book").write_bytes(data)
        with pytest.raises(FlukeprintError, match="can be read; use a backup|not a catalogue"):
            rescue(tmp_path / "book", tmp_path / "new", who="Cy")
        assert os.listdir(tmp_path) == ["book"]
    small(tmp_path / "good").close()
    with pytest.raises(FlukeprintError, match="book: is there already; name another"):
        rescue(tmp_path / "good", tmp_path / "book", who="Cy")


@pytest.mark.parametrize(
    "sql",
    ["UPDATE effect SET subject = 'A' WHERE kind = 'i'", "UPDATE effect SET after = 'x'"],
)
def test_numbers_that_became_texts_stop_no_rescue(tmp_path: Path, sql: str) -> None:
    path = tmp_path / "book"
    with small(path) as book:
        book.decide(New(4, "C"), who="Bo")
    damage(path, "effect", sql)
    rescue(path, tmp_path / "new", who="Cy")
    assert check(tmp_path / "new").whole


def test_what_a_rescue_gave_up_is_not_undone(two_photos_lost: Path) -> None:
    """Decisions would be back on photos that are not there."""
    refused = pytest.raises(FlukeprintError, match="tells what is lost; no undo brings that back")
    with Catalogue.open(two_photos_lost) as book, refused:
        book.decide(Undo(2), who="Cy")


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue with something in every table, and a decision of every kind."""
    path = tmp_path_factory.mktemp("rich") / "book"
    with small(path) as book:
        book.keep_looks("m", {content(n): seen(slope=0.125) for n in (1, 2)})
        book.keep_embeddings(Embeddings(np.eye(2, dtype=np.float32), (content(1), content(2)), "m"))
        (shown,) = book.keep_rankings("m", [Shown(4, ((1, 0.5),), 0.5)])
        coming = [photo(6, "A", date="2002"), photo(6, "B", "6b.jpg", date="2003")]
        book.add_photos([*coming, photo(7, "new_whale"), photo(8, "B", encounter="e")], who="Ann")
        for decision, ranking in (
            (Same(4, 1), shown),
            (New(5, "C"), None),
            (Merge(1, 3), None),
            (Split(1, (2,), "D"), None),
            (Rename(2, "E"), None),
            (Different(3, 1), None),
            (Different(1, 1), None),
            (CorrectBox(3, Box(0.1, 0.2, 0.6, 0.7)), None),
            (Describe(3, date="2001-02-03", latitude="1.5", longitude="2.5", place="bay"), None),
            (Undo(7), None),
            (NoWhale(2), None),
            (Unsure(7), None),
            (Move(8, 1), None),
        ):
            book.decide(decision, who="Bo", ranking=ranking)
    return path


ODD = ("7", "-1", "0.25", "'x'", "0", "1099511627776", "x'ff00'", "NULL")
TABLES = ("event", "effect", "photo", "file", "individual", "ranking", "look", "embedding")


@pytest.mark.parametrize("table", TABLES)
def test_whatever_became_of_a_column_the_rescued_can_be_worked_with(
    table: str, rich: Path, tmp_path: Path
) -> None:
    """In the table's last row, and in all of them."""
    columns = [row[1] for row in query(rich, f"PRAGMA table_info({table})")]
    done = 0
    for column, value in itertools.product(columns, ODD):
        change = f"UPDATE {table} SET {column} = {value}"
        done += _rescued(rich, tmp_path, table, change)
        done += _rescued(
            rich, tmp_path, table, f"{change} WHERE id = (SELECT max(id) FROM {table})"
        )
    assert done > len(columns)


def test_whatever_became_of_an_effect_the_rescued_can_be_worked_with(
    rich: Path, tmp_path: Path
) -> None:
    """Each that a decision had, in turn."""
    for (number,) in query(rich, "SELECT id FROM effect"):
        for change in (
            "DELETE FROM effect",
            "UPDATE effect SET after = 'x'",
            "UPDATE effect SET after = 7",
            "UPDATE effect SET after_owner = 1099511627776",
        ):
            assert _rescued(rich, tmp_path, "effect", f"{change} WHERE id = {number}")


def _rescued(rich: Path, folder: Path, table: str, sql: str) -> bool:
    """Damage a copy, rescue it and work with what is saved; False where nothing could be saved."""
    path, new = folder / "book", folder / "new"
    for left in (path, new):
        left.unlink(missing_ok=True)
    shutil.copyfile(rich, path)
    try:
        damage(path, table, sql)
        rescue(path, new, who="Cy")
    except sqlite3.IntegrityError:  # the file itself cannot hold that
        return False
    except FlukeprintError as error:
        assert "no decision can be read" in str(error)
        return False
    _work_with(new)
    return True


def _work_with(path: Path) -> None:
    """Look at everything and try every undo: whole, and in words that say what is wrong."""
    assert check(path).whole, check(path).problems
    with Catalogue.open(path) as book:
        assert book.rebuild() == []
        book.embeddings("m")
        photos, names, shares = book.moment()
        out = path.with_name("out")
        for form in ("capture-history", "darwin-core", "wildbook", "competition", "photos"):
            exporting = Exporting(photos, names, book.root, shares, media_url="https://example.org")
            with contextlib.suppress(FlukeprintError):  # none of them is left to export
                FORMATS[form](exporting, out / form)
        shutil.rmtree(out, ignore_errors=True)
        for one in photos:
            assert one.individual is None or names[one.individual]
            book.photo_history(one.number)
            book.look(one.number, "m")
        for number in book.all_names():
            assert number < 100, "the next whale's number is as large"
            book.individual_history(number)
            book.individual(number)
        for number in range(book.revision, 0, -1):
            with contextlib.suppress(FlukeprintError):  # something stands on it
                book.decide(Undo(number), who="Cy")
        book.add_photos([photo(50, "Z")], who="Cy")
        book.decide(New(book.find_photo(content(50)) or 0, "Y"), who="Cy")
    assert check(path).whole, check(path).problems
    write_lines(path, path.with_name("lines"))
    path.with_name("lines").unlink()
