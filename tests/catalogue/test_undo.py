"""Undo restores exactly what an event changed, or names the later events in the way."""

from __future__ import annotations

import re

import pytest

from flukeprint.catalogue import (
    Catalogue,
    CorrectBox,
    Different,
    Merge,
    Move,
    New,
    NoWhale,
    Rename,
    Same,
    Split,
    Undo,
    Unsure,
)
from flukeprint.catalogue.draft import Decision
from flukeprint.errors import FlukeprintError
from flukeprint.records import Box
from tests.catalogue.small import cells, photo, placed


def decide(book: Catalogue, *decisions: Decision) -> None:
    for decision in decisions:
        book.decide(decision, who="Bo")


def in_way(book: Catalogue, event: int) -> list[int]:
    """The events that a refused undo names, each with its kind."""
    before = cells(book.path), book.revision
    with pytest.raises(FlukeprintError) as caught:
        book.decide(Undo(event), who="Bo")
    assert (cells(book.path), book.revision) == before
    assert "cannot be undone while later ones stand on it" in str(caught.value)
    return [int(n) for n in re.findall(r"event (\d+) \(", str(caught.value).partition(" it: ")[2])]


@pytest.mark.parametrize(
    "decision",
    [
        Same(4, 1),
        Different(1, 1),
        New(4, "C"),
        Unsure(1),
        NoWhale(1),
        Move(1, 2, "May"),
        CorrectBox(4, Box(0.1, 0.2, 0.3, 0.4)),
        Merge(1, 2),
        Split(1, (2,), "C"),
        Rename(1, "Z"),
    ],
)
def test_each_kind_and_back_and_forth(book: Catalogue, decision: Decision) -> None:
    before = cells(book.path)
    decide(book, decision)
    after = cells(book.path)
    for event, there in ((2, before), (3, after), (4, before), (5, after)):
        decide(book, Undo(event))
        assert cells(book.path) == there
    assert book.rebuild() == []


def test_an_undo_says_what_it_put_back(book: Catalogue) -> None:
    decide(book, Rename(1, "Z"))
    reported = book.decide(Undo(2), who="Cy", why="a slip")
    assert reported.lines == (
        "A (individual 1): name Z -> A",
        "A (individual 1): no longer known as A",
    )
    entries = book.individual_history(1)
    assert [(entry.event.kind, entry.undone) for entry in entries] == [
        ("import", None), ("rename", 3), ("undo", None),
    ]  # fmt: skip


def test_out_of_order(book: Catalogue) -> None:
    decide(book, Same(4, 1), Same(5, 2), Different(3, 1), Different(3, 2), Rename(2, "Z"))
    decide(book, Undo(2), Undo(4))
    assert placed(book)[4] == (None, None)
    assert placed(book)[5] == (2, "confirmed")
    assert book.photo(3).not_individuals == (2,)
    assert book.individuals() == {1: "A", 2: "Z"}


def test_a_later_verdict_is_in_the_way_until_it_is_undone(book: Catalogue) -> None:
    decide(book, Same(4, 1), Move(4, 2), Move(4, 1))
    assert in_way(book, 2) == [4, 3]  # though the photo is where event 2 put it
    assert in_way(book, 3) == [4]
    decide(book, Undo(4))
    assert in_way(book, 2) == [3]
    decide(book, Undo(3), Undo(2))
    assert placed(book)[4] == (None, None)


def test_an_individual_that_others_name_cannot_go(book: Catalogue) -> None:
    decide(book, New(4, "C"), Same(5, 3), Different(1, 3))
    assert in_way(book, 2) == [4, 3]
    decide(book, Undo(3), Undo(4), Undo(2))
    assert book.individuals() == {1: "A", 2: "B"}
    assert book.decide(New(4, "C"), who="Bo").lines[0] == "C (individual 4): comes into being"


def test_back_to_an_individual_that_is_no_more(book: Catalogue) -> None:
    decide(book, Move(3, 1), Merge(1, 2))
    assert in_way(book, 2) == [3]
    decide(book, Undo(3), Undo(2))
    assert placed(book)[3] == (2, "imported")


def test_a_name_that_was_given_again(book: Catalogue) -> None:
    decide(book, New(4, "C"), Undo(2), New(5, "C"))
    assert in_way(book, 3) == [4]
    decide(book, Undo(4), Undo(3))
    assert book.individuals() == {1: "A", 2: "B", 3: "C"}
    decide(book, Merge(1, 2), Split(1, (3,), "B"))
    assert in_way(book, 7) == [8]


def test_undoing_a_verdict_that_a_denial_contradicts(book: Catalogue) -> None:
    decide(book, Move(1, 2), Different(1, 1))
    assert in_way(book, 2) == [3]


def test_merges_in_a_chain(book: Catalogue) -> None:
    decide(book, New(4, "C"), Merge(2, 3), Merge(1, 2))
    assert in_way(book, 3) == [4]
    assert in_way(book, 2) == [4, 3]
    decide(book, Undo(4), Undo(3))
    assert book.individuals() == {1: "A", 2: "B", 3: "C"}


def test_what_was_done_and_undone_since_is_not_in_the_way(book: Catalogue) -> None:
    decide(book, New(4, "Zora"), Same(5, 3), New(1, "Pepper"), Merge(4, 3), Undo(5))
    assert in_way(book, 2) == [3]
    decide(book, Undo(3), Undo(2))
    assert book.individuals() == {1: "A", 2: "B", 4: "Pepper"}


def test_what_comes_back_by_an_undo_is_in_the_way_too(book: Catalogue) -> None:
    """Undoing the merge puts photo 5 back to the individual that would go."""
    decide(book, New(4, "C"), Same(5, 3), Merge(1, 3))
    assert in_way(book, 2) == [4, 3]
    decide(book, Undo(4), Undo(3), Undo(2))
    assert book.individuals() == {1: "A", 2: "B"}


def test_an_undo_in_the_way_of_one_in_the_way(book: Catalogue) -> None:
    """Photo 5 goes back to C only while there is a C."""
    decide(book, New(4, "C"), Same(5, 2), Move(5, 3), Move(5, 1), Undo(2))
    assert in_way(book, 4) == [6, 5]
    decide(book, Undo(6), Undo(5), Undo(4))
    assert placed(book)[5] == (2, "confirmed")


def test_of_several_verdicts_the_last_is_in_the_way(book: Catalogue) -> None:
    decide(book, New(4, "C"), Same(5, 3), Move(5, 1), Move(5, 3))
    assert in_way(book, 2) == [5]
    decide(book, Undo(5), Undo(2))
    assert placed(book)[5] == (1, "confirmed")


def test_of_many_in_the_way_the_first_to_undo_are_named(book: Catalogue) -> None:
    decide(book, *(Rename(1, f"name {number}") for number in range(14)))
    assert in_way(book, 2) == [15, 14, 13, 12, 11, 10, 9, 8, 7, 6]
    with pytest.raises(FlukeprintError, match="and at least 3 more; undo those first, in this"):
        decide(book, Undo(2))
    decide(book, *(Undo(event) for event in range(15, 5, -1)))
    assert in_way(book, 2) == [5, 4, 3]


def test_a_photo_that_came_after_the_merge_stays(book: Catalogue) -> None:
    decide(book, Move(5, 1), Merge(1, 2), Same(4, 1))
    preview = book.decide(Undo(3), who="Bo", dry_run=True)
    done = book.decide(Undo(3), who="Bo")
    assert placed(book)[3] == (2, "imported")
    assert placed(book)[4] == (1, "confirmed")
    (note,) = done.notes
    assert preview.notes == done.notes
    assert note.startswith("photo 4 (4.jpg) came to A (individual 1) by event 4 (same, Bo, ")
    assert note.endswith(
        "while the two were one, and stays there; move it if it shows B (individual 2)"
    )


def test_of_many_photos_that_came_after_the_merge_some_are_named(book: Catalogue) -> None:
    decide(book, Merge(1, 2))
    book.add_photos([photo(number, "B") for number in range(10, 22)], who="Ann")
    notes = book.decide(Undo(2), who="Bo").notes
    assert len(notes) == 11
    assert notes[9].startswith("photo 15 (19.jpg) came to A (individual 1) by event 3 (import, ")
    assert notes[10] == "so did 2 more photos of A (individual 1)"


def test_an_import_is_undone_and_its_photos_stay_known(book: Catalogue) -> None:
    book.add_photos([photo(4, "B"), photo(5, "C"), photo(6, "C", date="2020")], who="Ann")
    decide(book, Undo(2))
    assert book.individuals() == {1: "A", 2: "B"}
    assert book.counts().photos == 6
    assert book.photo(6).facts == {}
    decide(book, Undo(3))
    assert placed(book)[6] == (3, "imported")


def test_what_cannot_be_undone(book: Catalogue) -> None:
    decide(book, Same(4, 1), Undo(2))
    with pytest.raises(FlukeprintError, match=r"event 2 \(same.*is undone already, by event 3"):
        decide(book, Undo(2))
    with pytest.raises(FlukeprintError, match="there is no event 9; the last is 3"):
        decide(book, Undo(9))
    book.add_photos([photo(6)], who="Ann")
    with pytest.raises(FlukeprintError, match="changed nothing that could be put back"):
        decide(book, Undo(4))


def test_a_redo_on_another_ground_is_refused(book: Catalogue) -> None:
    decide(book, Same(4, 1), Move(4, 2), Undo(3), Undo(2))
    assert in_way(book, 4) == [5]
