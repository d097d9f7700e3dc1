"""Each kind of decision: what it changes, what it says, what it refuses."""

from __future__ import annotations

import pytest

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
)
from flukeprint.catalogue.draft import Decision
from flukeprint.catalogue.history import Counts
from flukeprint.errors import FlukeprintError
from flukeprint.records import Box
from tests.catalogue.small import cells, photo, placed

START = {
    1: (1, "imported"),
    2: (1, "imported"),
    3: (2, "imported"),
    4: (None, None),
    5: (None, None),
}


def refused(book: Catalogue, decision: Decision, **options: int) -> str:
    before = cells(book.path), book.revision
    with pytest.raises(FlukeprintError) as caught:
        book.decide(decision, who="Bo", seen=options.get("seen"), ranking=options.get("ranking"))
    assert (cells(book.path), book.revision) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_start(book: Catalogue) -> None:
    assert placed(book) == START
    assert book.individuals() == {1: "A", 2: "B"}
    assert book.counts() == Counts(5, 5, 2, 2, 0)
    assert book.conflicts() == []


def test_same(book: Catalogue) -> None:
    reported = book.decide(Same(4, 2), who="Bo", why="the notch")
    assert reported.lines == (
        "photo 4 (4.jpg): unidentified -> B (individual 2)",
        "photo 4 (4.jpg): state none -> confirmed",
    )
    assert (reported.event, reported.revision, book.revision) == (2, 2, 2)
    assert placed(book) == START | {4: (2, "confirmed")}
    _, entry = book.photo_history(4)
    assert (entry.event.who, entry.event.why, entry.event.kind) == ("Bo", "the notch", "same")
    assert (entry.event.details, entry.undone) == ('{"photo": 4, "individual": 2}', None)
    assert refused(book, Same(4, 1)).startswith("photo 4 (4.jpg) is confirmed as B (individual 2)")
    assert "by event 2 (same, Bo, " in refused(book, Same(4, 2))


def test_same_confirms_an_imported_label(book: Catalogue) -> None:
    reported = book.decide(Same(1, 1), who="Bo")
    assert reported.lines == ("photo 1 (1.jpg): state imported -> confirmed",)


def test_different(book: Catalogue) -> None:
    book.decide(Different(4, 1), who="Bo")
    reported = book.decide(Different(1, 1), who="Bo")
    assert reported.lines == (
        "photo 1 (1.jpg): is not A (individual 1)",
        "photo 1 (1.jpg): A (individual 1) -> unidentified",
        "photo 1 (1.jpg): state imported -> none",
    )
    assert placed(book) == START | {1: (None, None)}
    assert book.photo(4).not_individuals == (1,)
    assert refused(book, Different(4, 1)) == "different: that is so already; nothing to change"
    book.decide(Same(4, 1), who="Bo")  # a person may think again
    assert book.photo(4).not_individuals == ()


def test_new(book: Catalogue) -> None:
    reported = book.decide(New(5, " C "), who="Bo")
    assert reported.lines[:2] == (
        "C (individual 3): comes into being",
        "C (individual 3): name none -> C",
    )
    assert placed(book) == START | {5: (3, "confirmed")}
    assert book.find("C") == 3
    assert refused(book, New(4, "A")) == (
        "'A' is the name of individual 1; names are given once, choose another"
    )
    for name in ("  ", "a\nb", "x" * 201):
        assert "cannot be a name" in refused(book, New(4, name))


def test_a_photo_without_a_whale(book: Catalogue) -> None:
    assert book.decide(NoWhale(1), who="Bo").lines == (
        "photo 1 (1.jpg): A (individual 1) -> unidentified",
        "photo 1 (1.jpg): state imported -> no whale",
    )
    book.decide(NoWhale(4), who="Bo")
    assert placed(book) == START | {1: (None, "no whale"), 4: (None, "no whale")}
    assert "nothing to change" in refused(book, NoWhale(1))
    assert book.counts() == Counts(5, 5, 2, 1, 0, 2)
    assert [one.number for one in book.photos() if one.unidentified] == [5]
    book.add_photos([photo(1, "B"), photo(4, "B")], who="Ann")  # a sheet does not overrule a person
    assert placed(book)[1] == placed(book)[4] == (None, "no whale")
    book.decide(Undo(3), who="Bo")
    book.decide(Same(1, 1), who="Bo")
    assert placed(book)[1] == (1, "confirmed")
    book.decide(Undo(4), who="Bo")
    assert placed(book)[4] == (None, None)  # a label that came meanwhile counts when it comes again
    book.add_photos([photo(4, "B")], who="Ann")
    assert placed(book)[4] == (2, "imported")
    assert check(book.path).whole


def test_a_denied_whale_does_not_come_back_to_a_photo_without_one(book: Catalogue) -> None:
    book.decide(Same(1, 1), who="Bo")
    book.add_photos([photo(1, "B")], who="Ann")  # confirmed as A, in conflict
    book.decide(Different(1, 1), who="Bo")
    book.decide(NoWhale(1), who="Bo")
    with pytest.raises(FlukeprintError, match=r"event 4 .* cannot be undone .* event 5 \(no whale"):
        book.decide(Undo(4), who="Bo")


def test_unsure_keeps_the_individual(book: Catalogue) -> None:
    assert book.decide(Unsure(1), who="Bo").lines == ("photo 1 (1.jpg): state imported -> unsure",)
    assert placed(book) == START | {1: (1, "unsure")}
    assert "nothing to change" in refused(book, Unsure(1))
    book.decide(Same(1, 2), who="Bo")
    assert placed(book) == START | {1: (2, "confirmed")}


def test_move(book: Catalogue) -> None:
    book.decide(Same(4, 1), who="Bo")
    book.decide(Move(4, 2, "12 May, bay"), who="Bo")
    assert placed(book) == START | {4: (2, "confirmed")}
    assert book.photo(4).facts == {"encounter": "12 May, bay"}
    assert "nothing to change" in refused(book, Move(4, 2))
    assert "nothing to change" in refused(book, Move(4))


def test_box_and_facts(book: Catalogue) -> None:
    box = Box(0.1, 0.2, 0.9, 0.8)
    reported = book.decide(CorrectBox(4, box), who="Bo")
    assert reported.lines == ("photo 4 (4.jpg): box none -> [0.1, 0.2, 0.9, 0.8]",)
    book.decide(Describe(4, date="2020-05-12", place="bay", photographer="Cy"), who="Bo")
    now = book.photo(4)
    assert now.box == box
    assert now.facts == {"date": "2020-05-12", "place": "bay", "photographer": "Cy"}


def test_names_that_differ_by_capitals_alone(book: Catalogue) -> None:
    note = "{!r} and {!r} (individual {}) are whales of their own; merge them if they are one"
    new = book.decide(New(4, "a"), who="Bo")
    assert new.notes == (note.format("a", "A", 1),)
    renamed = book.decide(Rename(2, "Zoë"), who="Bo")
    assert renamed.notes == ()
    other = book.decide(New(5, "ZOË"), who="Bo")
    assert other.notes == (note.format("ZOË", "Zoë", 2),)
    assert book.decide(Rename(2, "zoë"), who="Bo").notes == (note.format("zoë", "ZOË", 4),)


def test_merge(book: Catalogue) -> None:
    book.decide(Different(4, 2), who="Bo")
    reported = book.decide(Merge(1, 2), who="Bo")
    assert reported.lines == (
        "photo 3 (3.jpg): B (individual 2) -> A (individual 1)",
        "photo 3 (3.jpg): no longer noted: imported as B (individual 2)",
        "photo 3 (3.jpg): imported as A (individual 1)",
        "photo 4 (4.jpg): no longer noted: is not B (individual 2)",
        "photo 4 (4.jpg): is not A (individual 1)",
        "A (individual 1): also known as B",
        "B (individual 2): is no more",
        "B (individual 2): merged into A (individual 1)",
    )
    assert placed(book) == START | {3: (1, "imported")}
    assert book.individuals() == {1: "A"}
    assert book.find("B") == 1
    assert book.individual(1).aliases == ("B",)
    assert (book.individual(2).alive, book.individual(2).merged_into) == (False, 1)
    assert refused(book, Same(5, 2)) == (
        "individual 2 was merged into A (individual 1); name that one"
    )
    assert "'B' is an alias of individual 1" in refused(book, New(5, "B"))
    assert "cannot be merged into itself" in refused(book, Merge(1, 1))


def test_merge_against_a_verdict(book: Catalogue) -> None:
    book.decide(Different(3, 1), who="Cy")
    for decision in (Merge(1, 2), Merge(2, 1)):
        assert refused(book, decision).startswith(
            "photo 3 (3.jpg) is not A (individual 1), by event 2 (different, Cy, "
        )


def test_split(book: Catalogue) -> None:
    book.decide(Merge(1, 2), who="Bo")
    reported = book.decide(Split(1, (3, 3), "B"), who="Bo")
    assert reported.lines[0] == "A (individual 1): no longer known as B"
    assert placed(book) == START | {3: (3, "confirmed")}
    assert (book.find("B"), book.individual(1).aliases) == (3, ())
    assert "is not one of A (individual 1)'s" in refused(book, Split(1, (3,), "C"))
    for photos in ((), (1, 2)):
        assert "not none and not all" in refused(book, Split(1, photos, "C"))


def test_rename_keeps_the_old_name_as_an_alias(book: Catalogue) -> None:
    reported = book.decide(Rename(1, "Notch"), who="Bo")
    assert reported.lines == (
        "Notch (individual 1): name A -> Notch",
        "Notch (individual 1): also known as A",
    )
    assert (book.find("A"), book.find("Notch")) == (1, 1)
    book.decide(Rename(1, "A"), who="Bo")
    assert (book.individual(1).name, book.individual(1).aliases) == ("A", ("Notch",))
    assert "'B' is the name of individual 2" in refused(book, Rename(1, "B"))
    assert "nothing to change" in refused(book, Rename(1, "A"))


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        (Same(9, 1), "no photo has the number 9"),
        (Same(4, 9), "no individual has the number 9"),
        (Same(10**30, 1), "a number is too large"),
        (Split(1, (9,), "C"), "no photo has the number 9"),
        (New(4, "\udcff"), "cannot be a name"),
    ],
)
def test_what_is_not_there(book: Catalogue, decision: Decision, said: str) -> None:
    assert said in refused(book, decision)


def test_who_has_to_be_named_and_a_revision_has_to_be_one(book: Catalogue) -> None:
    with pytest.raises(FlukeprintError, match="needs a name of who decides"):
        book.decide(Same(4, 1), who=" ")
    assert "revision 2 is not one of this catalogue's 1" in refused(book, Same(4, 1), seen=2)
    with pytest.raises(FlukeprintError, match="no individual is named 'Z'"):
        book.find("Z")


def test_a_preview_says_the_same_and_notes_nothing(book: Catalogue) -> None:
    before = book.path.read_bytes()
    for decision in (Same(4, 1), New(5, "C"), Merge(1, 2), Split(1, (2,), "D"), Rename(1, "E")):
        preview = book.decide(decision, who="Bo", dry_run=True)
        assert book.path.read_bytes() == before
        reported = book.decide(decision, who="Bo")
        assert reported.lines == preview.lines
        assert (preview.event, preview.revision) == (None, reported.revision - 1)
        before = book.path.read_bytes()


@pytest.mark.parametrize(
    ("others", "decision", "said"),
    [
        (Same(4, 1), Same(4, 2), "photo 4 (4.jpg) changed since you looked, by event 2 (same, Cy,"),
        (Unsure(4), New(4, "C"), "photo 4 (4.jpg) changed since you looked, by event 2 (unsure"),
        (Rename(1, "Z"), Same(4, 1), "individual 1 changed since you looked, by event 2 (rename"),
        (Merge(2, 1), Same(4, 1), "individual 1 changed since you looked, by event 2 (merge"),
        (Same(4, 1), Merge(1, 2), "the photos of A (individual 1) changed since you looked, by e"),
        (Same(4, 2), Merge(1, 2), "the photos of B (individual 2) changed since you looked, by e"),
        (Move(1, 2), Split(1, (2,), "C"), "the photos of A (individual 1) changed since you look"),
    ],
)
def test_a_decision_on_a_state_that_changed(
    book: Catalogue, others: Decision, decision: Decision, said: str
) -> None:
    seen = book.revision
    book.decide(others, who="Cy", seen=seen)
    assert refused(book, decision, seen=seen).startswith(said)


def test_what_others_did_elsewhere_is_no_matter(book: Catalogue) -> None:
    seen = book.revision
    book.decide(Same(4, 1), who="Cy", seen=seen)
    book.decide(Same(5, 1), who="Bo", seen=seen)
    book.decide(Unsure(3), who="Bo", seen=seen)
    book.decide(New(4 - 3, "C"), who="Bo", seen=seen)
    assert placed(book)[5] == (1, "confirmed")


def test_the_history_of_an_individual(book: Catalogue) -> None:
    book.decide(Same(4, 2), who="Bo")
    book.decide(Same(5, 1), who="Bo")
    assert [entry.event.id for entry in book.individual_history(1)] == [1, 3]
    book.decide(Merge(1, 2), who="Bo")
    assert [entry.event.id for entry in book.individual_history(2)] == [1, 2, 4]
    assert book.individual_history(2)[1].lines == (
        "photo 4 (4.jpg): unidentified -> B (individual 2)",
    )
    book.decide(Undo(4), who="Bo")
    assert [entry.event.id for entry in book.individual_history(1)] == [1, 3, 4, 5]


def told(book: Catalogue, individual: int) -> dict[int, tuple[str, ...]]:
    """Each event of an individual's history with the others that it is about."""
    entries = book.individual_history(individual)
    assert len({entry.event.id for entry in entries}) == len(entries)
    return {entry.event.id: entry.about for entry in entries}


def test_the_history_of_an_individual_holds_that_of_those_merged_into_it(book: Catalogue) -> None:
    book.decide(Same(4, 2), who="Bo")
    book.decide(New(5, "C"), who="Bo")
    book.decide(Merge(2, 3), who="Cy")
    book.decide(Merge(1, 2), who="Cy")
    b, c = "B (individual 2)", "C (individual 3)"
    assert told(book, 1) == {1: (b,), 2: (b,), 3: (c,), 4: (b, c), 5: (b,)}
    assert book.individual_history(1)[1].lines == (f"photo 4 (4.jpg): unidentified -> {b}",)
    assert book.individual_history(1)[4].lines == (
        f"{b}: no longer known as C",
        "A (individual 1): also known as C",
        "A (individual 1): also known as B",
        f"{b}: is no more",
        f"{b}: merged into A (individual 1)",
        f"photo 3 (3.jpg): {b} -> A (individual 1)",
        f"photo 4 (4.jpg): {b} -> A (individual 1)",
        f"photo 5 (5.jpg): {b} -> A (individual 1)",
    )
    assert told(book, 2) == {1: (), 2: (), 3: (c,), 4: (c,), 5: ()}
    book.decide(Undo(5), who="Cy")
    assert told(book, 1) == {1: (), 5: (), 6: ()}
    book.decide(Undo(6), who="Cy")
    assert told(book, 1) == {1: (b,), 2: (b,), 3: (c,), 4: (b, c), 5: (b,), 6: (b,), 7: (b,)}


def test_the_history_of_an_individual_holds_verdicts_that_moved_no_photo(book: Catalogue) -> None:
    book.decide(Same(1, 1), who="Bo")  # confirms its label
    book.decide(Different(4, 1), who="Bo")
    book.decide(Unsure(2), who="Bo")  # of nobody
    book.decide(Different(2, 1), who="Bo")
    book.decide(Same(4, 1), who="Bo")
    book.decide(Move(1, 1, "May"), who="Bo")  # nothing new of whom it shows
    assert [(entry.event.id, entry.lines) for entry in book.individual_history(1)[1:]] == [
        (2, ("photo 1 (1.jpg): state imported -> confirmed",)),
        (3, ("photo 4 (4.jpg): is not A (individual 1)",)),
        (
            5,
            (
                "photo 2 (2.jpg): A (individual 1) -> unidentified",
                "photo 2 (2.jpg): is not A (individual 1)",
            ),
        ),
        (
            6,
            (
                "photo 4 (4.jpg): unidentified -> A (individual 1)",
                "photo 4 (4.jpg): no longer noted: is not A (individual 1)",
            ),
        ),
    ]
    assert [entry.event.id for entry in book.individual_history(2)] == [1]


def test_verdicts_that_moved_no_photo_are_undone_in_the_history_too(book: Catalogue) -> None:
    book.decide(Same(1, 1), who="Bo")
    book.decide(Different(4, 1), who="Bo")
    for event in (2, 3, 4):  # the last confirms the label again
        book.decide(Undo(event), who="Bo")
    entries = book.individual_history(1)
    assert [(entry.event.id, entry.undone) for entry in entries] == [
        *((1, None), (2, None), (3, 5), (4, 6), (5, None), (6, None))
    ]
    assert entries[3].lines == ("photo 1 (1.jpg): state confirmed -> imported",)
    assert entries[4].lines == ("photo 4 (4.jpg): no longer noted: is not A (individual 1)",)
    assert entries[5].lines == ("photo 1 (1.jpg): state imported -> confirmed",)


def test_a_denial_of_a_merged_individual_is_in_the_history(book: Catalogue) -> None:
    book.decide(Different(4, 2), who="Bo")
    book.decide(Same(3, 2), who="Bo")
    book.decide(Merge(1, 2), who="Bo")
    b = ("B (individual 2)",)
    assert told(book, 1) == {1: b, 2: b, 3: b, 4: b}


def test_the_history_of_a_photo_begins_with_how_it_came(book: Catalogue) -> None:
    (entry,) = book.photo_history(4)
    assert (entry.event.id, entry.event.who) == (1, "Ann")
    assert entry.lines == (
        "photo 4 (4.jpg): comes into the catalogue",
        "photo 4 (4.jpg): found at 4.jpg",
    )
    assert book.photo_history(1)[0].lines == (
        "photo 1 (1.jpg): comes into the catalogue",
        "photo 1 (1.jpg): found at 1.jpg",
        "photo 1 (1.jpg): imported as A (individual 1)",
        "photo 1 (1.jpg): unidentified -> A (individual 1)",
        "photo 1 (1.jpg): state none -> imported",
    )
    book.decide(Same(4, 1), who="Bo")
    book.add_photos([photo(4, path="copy\x1b/4.jpg", date="2020")], who="Cy")
    entries = book.photo_history(4)
    assert [(one.event.id, one.event.who) for one in entries] == [(1, "Ann"), (2, "Bo"), (3, "Cy")]
    name = "photo 4 (copy\ufffd/4.jpg)"
    assert entries[2].lines == (f"{name}: found at copy\ufffd/4.jpg", f"{name}: date none -> 2020")


def test_an_individual_that_was_undone_is_found_by_its_last_name(book: Catalogue) -> None:
    book.decide(New(4, "Zora"), who="Bo")
    book.decide(Rename(3, "Zita"), who="Bo")
    book.decide(New(5, "Zo\u00eb"), who="Bo")
    book.decide(Undo(3), who="Bo")
    book.decide(Undo(2), who="Bo")
    assert (book.once_called("Zora"), book.once_called("Zita")) == (3, None)
    assert book.once_called("Zo\u00eb") is None
    book.decide(Undo(4), who="Bo")
    assert book.once_called(" Zoe\u0308") == 4
    book.decide(Undo(6), who="Bo")
    assert (book.once_called("Zora"), book.find("Zora")) == (None, 3)


def test_an_individual_that_was_undone_keeps_its_last_name(book: Catalogue) -> None:
    book.decide(New(4, "Zora"), who="Bo")
    book.decide(Rename(3, "Zita"), who="Bo")
    book.decide(Undo(3), who="Bo")
    book.decide(Undo(2), who="Bo")
    assert book.photo_history(4)[-1].lines == (
        "photo 4 (4.jpg): Zora (individual 3) -> unidentified",
        "photo 4 (4.jpg): state confirmed -> none",
    )
    assert book.individual_history(3)[0].lines[1] == "Zora (individual 3): name none -> Zora"


def test_evidence_is_of_the_photo(book: Catalogue) -> None:
    (shown,) = book.keep_rankings(
        "model",
        [
            Shown(
                4,
                (
                    (2, 0.75),
                    (1, 0.125),
                ),
                0.125,
            )
        ],
    )
    assert "ranking 1 was shown for photo 4" in refused(book, Same(5, 1), ranking=shown)
    assert "no ranking has the number 7" in refused(book, Same(5, 1), ranking=7)
    book.decide(Same(4, 2), who="Bo", ranking=shown)
    _, entry = book.photo_history(4)
    assert entry.event.ranking == shown
    book.decide(Rename(2, "Notch"), who="Bo")
    seen = book.ranking(shown)
    assert seen is not None
    assert (seen.photo, seen.model_id, seen.new) == (4, "model", 0.125)
    assert seen.candidates == ((2, "B", 0.75), (1, "A", 0.125))


def test_photos_of_the_small_catalogue_are_told_by_their_content(book: Catalogue) -> None:
    assert book.find_photo(photo(3).sha256) == 3
    assert book.find_photo(photo(9).sha256) is None


def test_a_name_is_made_up_where_none_is_given(book: Catalogue) -> None:
    book.decide(Rename(1, "whale-3"), who="Bo")
    assert "name none -> whale-4" in book.decide(New(4), who="Bo").lines[1]
    book.decide(Split(1, (2,)), who="Bo")
    assert book.individuals() == {1: "whale-3", 2: "B", 3: "whale-4", 4: "whale-5"}
