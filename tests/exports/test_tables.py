"""The exports that are one CSV file: their exact texts, and what they tell."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.catalogue import Catalogue, Merge, Move, New, Same, Shown, Undo
from flukeprint.catalogue.draft import checked_name
from flukeprint.cells import csv_text, unguard
from flukeprint.errors import FlukeprintError
from flukeprint.exports import FORMATS
from flukeprint.exports.exporting import Exporting
from flukeprint.tables import read_table
from tests.catalogue.small import photo as made
from tests.exports.made import exporting, photo

PRINTED = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029")


def _is_name(text: str) -> bool:
    try:
        return checked_name(text) == text
    except FlukeprintError:
        return False


NAME = st.text(st.sampled_from("=+-@'\",;|/\t ") | PRINTED, min_size=1, max_size=12).filter(
    _is_name
)


def test_captures_by_year(tmp_path: Path) -> None:
    out = tmp_path / "h.csv"
    notes = FORMATS["capture-history"](exporting(probabilities={1: 0.9, 2: 1 / 3, 3: 0.25}), out)
    assert out.read_text() == (
        '"individual","2018","2019","2020"\n"\'=Pepper, ""the"" one",0,1,0\n"Salt",1,0,1\n'
    )
    assert (tmp_path / "h-matches.csv").read_text() == (
        '"individual","occasion","photos","state","probability"\n'
        '"\'=Pepper, ""the"" one","2019",1,"unsure",0.25\n'
        '"Salt","2018",2,"confirmed",0.9\n'
        '"Salt","2020",1,"confirmed",""\n'
    )
    assert notes == (
        f"2 individuals, 3 occasions: {out} and h-matches.csv",
        "h.csv: 1 cell begins with ' lest a spreadsheet runs them",
        "h-matches.csv: 1 cell begins with ' lest a spreadsheet runs them",
        "left out 1 photo, trip/7.JPG: no date, or none that tells the year",
        "left out 2 photos, such as trip/4.JPG: unidentified; their occasions have a column",
        "left out 1 individual: no photo tells when it was met",
    )


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("month", '"individual","2018-07","2019-08","2020-01"\n"\'=Pepper, ""the"" one",0,1,0\n'
                  '"Salt",1,0,1\n'),
        ("day", '"individual","2018-07-01","2020-01-02"\n"Salt",1,1\n'),
        ("encounter", '"individual","e1"\n"Salt",1\n'),
    ],
)  # fmt: skip
def test_captures_by_other_occasions(tmp_path: Path, by: str, expected: str) -> None:
    FORMATS["capture-history"](exporting(by=by), tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text() == expected


def test_encounters_come_in_the_order_of_their_first_dates(tmp_path: Path) -> None:
    photos = (
        photo(1, 1, encounter="late", date="2020"),
        photo(2, 1, encounter="never"),
        photo(3, 3, encounter="late", date="2018"),
        photo(4, 1, encounter="=then", date="2019"),
    )
    FORMATS["capture-history"](exporting(*photos, by="encounter"), tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text() == (
        '"individual","late","\'=then","never"\n"Salt",1,1,1\n"Ænima",1,0,0\n'
    )


def test_an_unknown_occasion(tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match="no occasion is called 'week'; say year, month"):
        FORMATS["capture-history"](exporting(by="week"), tmp_path / "h.csv")
    assert not list(tmp_path.iterdir())


def test_what_a_decision_rested_on(book: Catalogue) -> None:
    first, new, third, wrong = book.keep_rankings(
        "m",
        [
            Shown(1, ((1, 0.75), (2, 0.125)), 0.125),
            Shown(4, ((1, 0.25),), 0.5),
            Shown(5, ((2, 0.375), (1, 0.0625)), 0.5),
            Shown(2, ((2, 0.9),), 0.1),
        ],
    )
    book.decide(Same(1, 1), who="Ann", ranking=first)  # imported as that before
    book.decide(New(4, "C"), who="Ann", ranking=new)
    book.decide(Same(5, 1), who="Ann", ranking=third)
    book.decide(Same(2, 1), who="Ann", ranking=wrong)  # which did not show individual 1
    assert book.match_probabilities() == {1: 0.75, 4: 0.5, 5: 0.0625}
    event = book.decide(Move(5, 2), who="Ann", ranking=third).event
    assert book.match_probabilities() == {1: 0.75, 4: 0.5, 5: 0.375}
    merge = _merge(book, kept=2, gone=1)
    assert book.match_probabilities() == {1: 0.75, 4: 0.5, 5: 0.375}
    for undone in (merge, event):
        assert undone is not None
        book.decide(Undo(undone), who="Ann")
    assert book.match_probabilities() == {1: 0.75, 4: 0.5, 5: 0.0625}
    book.decide(Move(1, 2), who="Ann")  # nothing was on the screen
    assert book.match_probabilities() == {4: 0.5, 5: 0.0625}


def test_labels_that_a_merge_made_one_rest_on_no_decision(tmp_path: Path) -> None:
    with Catalogue.create(tmp_path / "book") as book:
        book.add_photos([made(1, "A"), made(1, "B", "copy.jpg"), made(2, "B")], who="Ann")
        _merge(book, kept=1, gone=2)
        assert book.photo(1).individual == 1
        assert book.match_probabilities() == {}
        (shown,) = book.keep_rankings("m", [Shown(1, ((1, 0.75),), 0.25)])
        book.decide(Same(1, 1), who="Ann", ranking=shown)
        assert book.match_probabilities() == {1: 0.75}


def _merge(book: Catalogue, *, kept: int, gone: int) -> int | None:
    return book.decide(Merge(kept, gone), who="Ann").event


def test_the_photos_table(tmp_path: Path) -> None:
    out = tmp_path / "photos.csv"
    notes = FORMATS["photos"](exporting(), out)
    assert out.read_text() == (
        '"image_id","path","identity","date"\n'
        '1,"trip/1.JPG","Salt","2018-07-01T10:20:30"\n'
        '2,"trip/2.JPG","Salt","2018-07-01T11:00:00+0200"\n'
        '3,"trip/3.JPG","\'=Pepper, ""the"" one","2019-08"\n'
        '4,"trip/4.JPG","unknown","2020-01-02"\n'
        '5,"trip/5.JPG","unknown","2019"\n'
        '7,"trip/7.JPG","Ænima",""\n'
    )
    assert notes == (
        f"6 photos, 2 of them unknown: {out}",
        "photos.csv: 1 cell begins with ' lest a spreadsheet runs them",
        "left out 1 photo, photo 6: no file of it is known any more",
    )
    with pytest.raises(FlukeprintError, match="an individual is named 'unknown'"):
        FORMATS["photos"](exporting(names={1: "unknown"}), out)


def test_a_photos_table_without_unknown_ones_is_a_collection(tmp_path: Path) -> None:
    """What the documents advise where file names repeat."""
    photos = (photo(1, 1, path="2024/x.JPG"), photo(2, 3, path="2025/x.JPG", date="2025"), photo(3))
    for one in photos:
        (tmp_path / one.paths[0]).parent.mkdir(exist_ok=True)
        (tmp_path / one.paths[0]).touch()
    out = tmp_path / "train-photos.csv"
    FORMATS["photos"](exporting(*photos), out)
    header, *rows = out.read_text().splitlines()
    out.write_text("\n".join([header, *(row for row in rows if '"unknown"' not in row)]))
    assert [(row.name, row.individual, row.date) for row in read_table(out).rows] == [
        ("2024/x.JPG", "Salt", ""),
        ("2025/x.JPG", "Ænima", "2025"),
    ]


def test_the_competitions_table(tmp_path: Path) -> None:
    out = tmp_path / "train.csv"
    twins = (photo(8, 1, path="a/x.JPG"), photo(9, 3, path="b/X.jpg"), photo(10, 3, "conflict"))
    # Labelled with names that disagree, and new_whale besides: no line tells all of that.
    torn = replace(photo(11, None, "conflict"), labels=(1, 3), unnamed=True)
    notes = FORMATS["competition"](exporting(*exporting().photos, *twins, torn), out)
    assert out.read_text() == (
        '"Image","Id"\n"1.JPG","Salt"\n"2.JPG","Salt"\n"3.JPG","\'=Pepper, ""the"" one"\n'
        '"5.JPG","new_whale"\n"7.JPG","Ænima"\n"10.JPG","Ænima"\n'
    )
    assert notes == (
        f"6 photos: {out}",
        "train.csv: 1 cell begins with ' lest a spreadsheet runs them",
        "left out 1 photo, trip/11.JPG: its labels disagree",
        "left out 1 photo, trip/4.JPG: unidentified",
        "left out 1 photo, photo 6: no file of it is known any more",
        "left out 2 photos, such as a/x.JPG: another photo's file has the same name, and in one "
        "folder they cannot be told apart; rename one and import again",
    )


def test_a_catalogue_goes_out_as_it_came_in(book: Catalogue, tmp_path: Path) -> None:
    """From a real catalogue's own API, and with nothing in it at all."""
    photos, names, shares = book.moment()
    assert (photos, names, shares) == (book.photos(), book.individuals(), {})
    given = Exporting(photos, names, book.root, shares)
    FORMATS["photos"](given, tmp_path / "p.csv")
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert [row["identity"] for row in rows] == ["A", "A", "B", "unknown", "unknown"]
    for name, write in FORMATS.items():
        notes = write(Exporting((), {}, tmp_path / "nowhere"), tmp_path / f"empty-{name}")
        assert notes[0].startswith("0 ")


@given(st.lists(st.tuples(NAME, NAME), max_size=4))
def test_names_come_back_from_a_csv(rows: list[tuple[str, str]]) -> None:
    text, changed = csv_text(("a", "b"), rows)
    back = list(csv.reader(io.StringIO(text, newline="")))
    assert [tuple(unguard(cell) for cell in row) for row in back[1:]] == rows
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for row in back for cell in row)
    assert changed == sum(one != other for row, old in zip(back[1:], rows, strict=True)
                          for one, other in zip(row, old, strict=True))  # fmt: skip
