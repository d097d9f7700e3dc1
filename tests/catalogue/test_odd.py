"""Odd sequences of decisions, odd names, odd disks: each of these once went wrong."""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flukeprint.catalogue import (
    Catalogue,
    CorrectBox,
    Describe,
    Different,
    Listed,
    Merge,
    Move,
    New,
    Rename,
    Same,
    Shown,
    Split,
    Undo,
    Unsure,
    bring_in,
    check,
    rescue,
)
from flukeprint.catalogue.backup import KEPT
from flukeprint.catalogue.draft import Decision
from flukeprint.catalogue.photos_in import path_from
from flukeprint.catalogue.salvage import CUT_OFF
from flukeprint.errors import FlukeprintError
from flukeprint.records import Box, Embeddings
from tests.catalogue.small import cells, content, cut_off, photo, placed, query, small
from tests.tiny import seen

FLIPS = 400 if "FLUKEPRINT_SLOW" in os.environ else 25


def decide(book: Catalogue, *decisions: Decision) -> None:
    for decision in decisions:
        book.decide(decision, who="Bo")


def refused(book: Catalogue, decision: Decision) -> str:
    with pytest.raises(FlukeprintError) as caught:
        book.decide(decision, who="Bo")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_second_label_does_not_overrule_a_person_either(book: Catalogue) -> None:
    decide(book, Same(4, 1))
    for label in "BC":
        book.add_photos([photo(4, label)], who="Ann")
        assert placed(book)[4] == (1, "conflict")
    decide(book, Same(5, 1))
    book.add_photos([photo(5, "B"), photo(5, "C")], who="Ann")  # both in one import
    assert placed(book)[5] == (1, "conflict")
    book.add_photos([photo(3, "new_whale"), photo(3, "C")], who="Ann")  # only labels placed it
    assert placed(book)[3] == (None, "conflict")


def test_an_undo_leaves_no_photo_confirmed_as_nobody(book: Catalogue) -> None:
    decide(book, Same(4, 2))
    book.add_photos([photo(4, "A")], who="Ann")
    decide(book, Different(4, 2))
    assert "stand on it: event 4 (different" in refused(book, Undo(3))
    decide(book, Undo(4), Undo(3))
    assert placed(book)[4] == (2, "confirmed")


def test_check_sees_half_a_photo(book: Catalogue) -> None:
    query(book.path, "DELETE FROM cell WHERE field = 'individual' AND subject = 1")
    query(book.path, "DELETE FROM cell WHERE field = 'state' AND subject = 3")
    query(book.path, "INSERT INTO cell VALUES ('i', 9, 'alias', 'Z', 1, 1)")
    problems = check(book.path).problems
    assert "photo 1 is imported, but as no individual" in problems
    assert "photo 3 is of individual 2, but has no state" in problems
    assert "individual 9 is not there, but its alias 'Z' is" in problems


def test_an_individual_that_took_in_another_cannot_go(book: Catalogue) -> None:
    decide(book, New(4, "C"), New(5, "D"), Move(4, 1), Merge(4, 3))
    assert "stand on it: event 5 (merge" in refused(book, Undo(3))
    decide(book, Undo(5), Undo(3))
    assert "stand on it: event 7 (undo" in refused(book, Undo(6))  # the merge, into nobody
    assert book.find("C") == 3


def test_a_merge_settles_what_only_labels_of_the_kept_one_were_against(book: Catalogue) -> None:
    decide(book, Same(4, 2))
    book.add_photos([photo(4, "A")], who="Ann")
    decide(book, Merge(1, 2))
    assert placed(book)[4] == (1, "confirmed")


def test_a_fact_that_a_person_put_right_stays_so_when_the_sheet_comes_again(
    book: Catalogue,
) -> None:
    book.add_photos([photo(4, date="2020", encounter="e1")], who="Ann")
    decide(book, Describe(4, date="2021"), Move(4, encounter="e2"))
    assert book.add_photos([photo(4, date="2020", encounter="e1")], who="Ann").event is None
    assert (book.conflicts(), book.photo(4).facts) == ([], {"date": "2021", "encounter": "e2"})


def test_undone_and_redone_again_and_again(book: Catalogue) -> None:
    """Deeper than Python calls itself."""
    book._link.execute("PRAGMA synchronous = OFF")
    decide(book, Same(4, 1), *(Undo(event) for event in range(2, 602)))
    assert placed(book)[4] == (1, "confirmed")
    assert "event 3 (undo" in refused(book, Undo(3))
    decide(book, Undo(2))
    assert "is undone already, by event 603 (undo" in refused(book, Undo(2))


@pytest.mark.parametrize("decision", [New(4, "new_whale"), Rename(1, " new_whale ")])
def test_nobody_is_called_new_whale(book: Catalogue, decision: Decision) -> None:
    assert refused(book, decision) == (
        "'new_whale' stands for a whale without a name; choose another"
    )
    assert "choose another" in refused(book, Split(1, (2,), "new_whale"))


def test_a_name_is_one_name_however_its_accents_are_written(book: Catalogue) -> None:
    decide(book, New(4, "e\u0301"))  # as macOS writes it
    assert "is the name of individual 3" in refused(book, New(5, "\u00e9"))
    assert book.find("e\u0301") == book.find(" \u00e9") == 3
    book.add_photos([photo(5, "e\u0301")], who="Ann")
    assert placed(book)[5] == (3, "imported")


@pytest.mark.parametrize("decision", [Same("4", 1), Same(4, "1"), Move(4, 1.0)])  # type: ignore[arg-type]
def test_numbers_have_to_be_numbers(book: Catalogue, decision: Decision) -> None:
    assert "has the number" in refused(book, decision)


def test_a_file_name_is_no_command_to_the_terminal(book: Catalogue) -> None:
    book.add_photos([photo(6, path="a\n\x1b[2Jb.jpg")], who="Ann")
    assert book.photo(6).paths == ("a\n\x1b[2Jb.jpg",)
    reported = book.decide(Same(6, 1), who="Bo")
    assert reported.lines[1] == "photo 6 (a\ufffd\ufffd[2Jb.jpg): state none -> confirmed"
    assert "photo 6 (a\ufffd\ufffd[2Jb.jpg) is confirmed" in refused(book, Same(6, 1))


def test_files_that_cannot_be_noted_do_not_stop_an_import(kaggle: Path, tmp_path: Path) -> None:
    train = kaggle / "train"
    late = train / "late.jpg"
    shutil.copy(train / "3.jpg", late)
    os.utime(late, ns=(0, 2**63))  # SQLite's numbers end before
    listed = [Listed(train / "1.jpg"), Listed(late)]
    bad = train / os.fsdecode(b"caf\xe9.jpg")
    try:
        shutil.copy(train / "4.jpg", bad)
    except OSError:
        pytest.skip("a file system with Unicode names only")
    with Catalogue.create(tmp_path / "book", root=kaggle) as book:
        done = bring_in(book, [Listed(bad), *listed], who="Ann")
        assert [failure.reason for failure in done.skipped] == [
            "its name is not valid Unicode; rename the file"
        ]
        assert [one.paths for one in book.photos()] == [("train/1.jpg",), ("train/late.jpg",)]
        assert bring_in(book, listed, who="Ann").events == ()
        assert bring_in(book, [], who="Ann").events == ()
        assert bring_in(book, [], who="Ann", dry_run=True).counts.photos == 0


def test_a_catalogue_behind_a_link(book: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "desk").mkdir()
    link = tmp_path / "desk" / "link"
    link.symlink_to(Path("..") / book.path.name)
    with Catalogue.open(link) as linked:
        assert linked.root == book.root
        linked.decide(Same(4, 1), who="Bo")
    assert placed(book)[4] == (1, "confirmed")
    assert sorted(os.listdir(tmp_path)) == ["desk", "whales.fpc"]
    book.add_photos([photo(n, f"w{n}") for n in range(10, 300)], who="Ann")
    cut_off(book.path)  # a journal lies beside the file itself
    assert check(link) == replace(check(book.path), path=link)
    assert check(link).notes == (CUT_OFF,)


def test_two_spellings_of_one_folder(tmp_path: Path) -> None:
    (tmp_path / "disk" / "photos").mkdir(parents=True)
    (tmp_path / "home").symlink_to("disk")
    root, inside = tmp_path / "home" / "photos", tmp_path / "disk" / "photos" / "1.jpg"
    assert path_from(root, root / "1.jpg") == path_from(root, inside) == "1.jpg"
    assert path_from(root, tmp_path / "other" / "1.jpg") == "../../other/1.jpg"


def test_a_journal_that_was_left_over_is_not_rolled_back_into_a_new_catalogue(
    book: Catalogue, tmp_path: Path
) -> None:
    for end in ("-journal", "-wal"):
        (tmp_path / f"new{end}").write_bytes(b"old")
        with pytest.raises(FlukeprintError, match=f"new{end}: left of a catalogue that lay there"):
            Catalogue.create(tmp_path / "new")
        with pytest.raises(FlukeprintError, match=f"new{end}: left of a catalogue that lay there"):
            book.backup(tmp_path / "new")
        (tmp_path / f"new{end}").unlink()
    Catalogue.create(tmp_path / "new").close()


def test_backups_of_another_past(book: Catalogue, tmp_path: Path) -> None:
    """Someone went back to a backup: the same numbers are other decisions now."""
    kept = tmp_path / "kept"
    for number in range(KEPT):
        decide(book, Rename(1, f"name {number}"))
        book.keep_backup(kept)
    shutil.copy(kept / "whales.r2.backup", tmp_path / "back")
    (tmp_path / "back").replace(book.path)
    with Catalogue.open(book.path) as back:
        assert back.keep_backup(kept) is None
        decide(back, Rename(1, "another"))
        made = back.keep_backup(kept)
        assert made and made.name.startswith("whales.r3.")
        assert cells(made) == cells(book.path)
        assert back.keep_backup(kept) is None
    assert len(list(kept.iterdir())) == KEPT
    assert check(made).whole


def test_a_backup_of_what_cannot_be_read(book: Catalogue, tmp_path: Path) -> None:
    ((page,),) = query(book.path, "SELECT rootpage FROM sqlite_master WHERE name = 'event'")
    data = book.path.read_bytes()
    place = (page - 1) * 4_096
    book.path.write_bytes(data[:place] + b"\xa5" * 4_096 + data[place + 4_096 :])
    with (
        Catalogue.open(book.path) as damaged,
        pytest.raises(FlukeprintError, match="whales.fpc: damaged; look at it with check"),
    ):
        damaged.keep_backup()


def test_numbers_far_above_all_others(book: Catalogue, tmp_path: Path) -> None:
    """A flipped bit in a row's number; reading on up to it would take years."""
    far = 2**60
    query(book.path, f"INSERT INTO photo VALUES ({far}, randomblob(32), 1, 1, 1, {'NULL, ' * 4}1)")
    query(
        book.path,
        f"INSERT INTO event VALUES ({far}, 'a', 'Bo', '', 'same', '', NULL, NULL, zeroblob(32))",
    )
    query(book.path, f"INSERT INTO effect VALUES ({far}, {far}, 'p', 4, 'state', '', 0, 0, 0, 0)")
    report = check(book.path)
    assert report.savable["photo"] == 6
    rescue(book.path, tmp_path / "new", who="Cy")
    assert check(tmp_path / "new").whole
    assert query(tmp_path / "new", "SELECT max(id) FROM event") == [(2,)]
    assert query(tmp_path / "new", "SELECT count(*) FROM effect WHERE event > 2") == [(0,)]


def test_a_rescue_whose_own_note_is_damaged(book: Catalogue, tmp_path: Path) -> None:
    rescue(book.path, tmp_path / "new", who="Cy")
    query(tmp_path / "new", "DROP TRIGGER event_never_update")
    query(tmp_path / "new", "UPDATE event SET details = '{}' WHERE kind = 'rescue'")
    assert "event 2 is not as it was written" in check(tmp_path / "new").problems


def test_any_flipped_bit(tmp_path: Path) -> None:
    """Whatever bit: one clear line or an answer; and what is rescued is whole."""
    path = tmp_path / "book"
    with small(path) as book:
        book.keep_looks("model", {content(4): seen()})
        vectors = np.eye(1, 4, dtype=np.float32)
        book.keep_embeddings(Embeddings(vectors, (content(4),), "model"))
        (shown,) = book.keep_rankings("model", [Shown(4, ((2, 0.5),), 0.5)])
        book.decide(Same(4, 2), who="Bo", ranking=shown)
        decide(book, CorrectBox(3, Box(0.1, 0.2, 0.3, 0.4)), Describe(3, date="2020"))
        decide(book, Merge(1, 2), Split(1, (3,), "B"), Undo(6))
    data, lottery = path.read_bytes(), random.Random(11)
    places = [place for place, byte in enumerate(data) if byte]
    for place in lottery.sample(places, FLIPS):
        flipped = data[place] ^ 1 << lottery.randrange(8)
        path.write_bytes(data[:place] + bytes([flipped]) + data[place + 1 :])
        for use in (_check_and_rescue, _ask_everything):
            try:
                use(path)
            except FlukeprintError as error:
                assert "\n" not in str(error)
        for file in set(tmp_path.iterdir()) - {path}:
            file.unlink()


def _check_and_rescue(path: Path) -> None:
    check(path)
    rescue(path, path.with_name("new"), who="Cy")
    assert check(path.with_name("new")).problems == ()


def _ask_everything(path: Path) -> None:
    with Catalogue.open(path) as book:
        for ask in (
            *(book.photos, book.individuals, book.counts, book.conflicts, book.files),
            *(lambda: book.look(4, "model"), lambda: book.embeddings("model")),
            *(lambda: book.ranking(1), lambda: book.backup(path.with_name("backup"))),
            *(lambda: book.decide(Same(5, 1), who="Bo"), lambda: book.decide(Undo(3), who="Bo")),
        ):
            try:
                ask()
            except FlukeprintError as error:
                assert "\n" not in str(error)
        for number in range(1, 5):
            for find in (
                *(book.photo, book.individual),
                *(book.photo_history, book.individual_history),
            ):
                try:
                    find(number)
                except FlukeprintError as error:
                    assert "\n" not in str(error)


def test_an_undo_gives_back_whose_decision_it_was(book: Catalogue) -> None:
    decide(book, Same(4, 1), Unsure(4), Undo(3))
    assert "is confirmed as A (individual 1) by event 2 (same" in refused(book, Same(4, 2))
