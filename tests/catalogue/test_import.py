"""Photos come in: known by content, found again, labels that disagree kept for a person."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from flukeprint.catalogue import (
    Arrived,
    Catalogue,
    CorrectBox,
    Describe,
    Different,
    Incoming,
    Listed,
    Merge,
    Move,
    New,
    NoWhale,
    Rename,
    Same,
    Undo,
    Unsure,
    arrive,
    bring_in,
    check,
    columns_of,
    from_files,
    from_table,
    photos_in,
    read_sheet,
)
from flukeprint.catalogue.facts import ORDERS, checked_fact, year_first
from flukeprint.catalogue.history import Counts
from flukeprint.errors import FlukeprintError
from flukeprint.exif import Details
from flukeprint.records import Box
from flukeprint.tables import read_table
from tests.catalogue.small import cells, content, photo, placed

ANN = "Ann"


def test_importing_again_changes_nothing(book: Catalogue) -> None:
    before = book.path.read_bytes()
    reported = book.add_photos([photo(1, "A"), photo(3, "B"), photo(4)], who=ANN)
    assert reported.event is None
    assert reported.arrived == Arrived(known=3)
    assert book.path.read_bytes() == before


def test_a_preview_of_an_import(book: Catalogue) -> None:
    before = book.path.read_bytes()
    reported = book.add_photos([photo(6, "C")], who=ANN, dry_run=True)
    assert reported.arrived == Arrived(photos=1, files=1, individuals=1)
    assert book.path.read_bytes() == before


def test_a_file_and_its_copy_are_one_photo(book: Catalogue) -> None:
    (book.root / "4.jpg").touch()
    book.add_photos([photo(4, path="copy/4.jpg"), photo(6), photo(6, path="6 too.jpg")], who=ANN)
    assert book.photo(4).paths == ("4.jpg", "copy/4.jpg")
    assert book.photo(6).paths == ("6.jpg", "6 too.jpg")
    assert book.counts() == Counts(8, 6, 2, 3, 0)


def test_a_moved_photo_is_found_again(book: Catalogue) -> None:
    reported = book.add_photos([photo(4, path="2020/4.jpg")], who=ANN)
    assert reported.arrived == Arrived(files=1, moved=1)
    assert book.photo(4).paths == ("2020/4.jpg",)
    assert book.counts() == Counts(5, 5, 2, 2, 0)
    book.add_photos([photo(4)], who=ANN)  # and back
    assert book.photo(4).paths == ("4.jpg",)


def test_another_photo_in_place_of_one(book: Catalogue) -> None:
    book.add_photos([photo(6, path="4.jpg")], who=ANN)
    assert (book.photo(4).paths, book.photo(6).paths) == ((), ("4.jpg",))


def test_labels_that_disagree_wait_for_a_person(book: Catalogue) -> None:
    reported = book.add_photos([photo(1, "B"), photo(6, "C"), photo(6, "A")], who=ANN)
    assert reported.arrived.conflicts == (
        "photo 1 (1.jpg): labelled B (individual 2), before A (individual 1)",
        "photo 6 (6.jpg): labelled A (individual 1), before C (individual 3)",
    )
    assert (placed(book)[1], placed(book)[6]) == ((None, "conflict"), (None, "conflict"))
    assert (book.photo(1).labels, book.photo(6).labels) == ((1, 2), (1, 3))
    assert book.conflicts() == [1, 6]
    assert book.counts().label_conflicts == 2
    book.decide(Same(1, 2), who="Bo")
    assert book.conflicts() == [6]
    assert book.add_photos([photo(1, "A"), photo(1, "B")], who=ANN).event is None
    assert placed(book)[1] == (2, "confirmed")
    book.decide(Merge(3, 1), who="Bo")  # now all labels of photo 6 name one individual
    assert placed(book)[6] == (3, "imported")


def test_a_label_for_a_photo_without_a_whale_is_told(book: Catalogue) -> None:
    book.decide(NoWhale(3), who="Bo")
    came = book.add_photos([photo(3, "A")], who=ANN)
    assert came.arrived.conflicts == (
        "photo 3 (3.jpg): labelled A (individual 1), before said to show no whale",
    )
    assert placed(book)[3] == (None, "no whale")
    assert book.add_photos([photo(3, "A")], who=ANN).arrived.conflicts == ()  # told once


def test_a_label_never_overrules_a_person(book: Catalogue) -> None:
    book.decide(Same(4, 1), who="Bo")
    book.decide(Different(5, 2), who="Bo")
    book.decide(Unsure(3), who="Bo")
    book.add_photos([photo(4, "B"), photo(5, "B"), photo(3, "A")], who=ANN)
    now = placed(book)
    assert (now[4], now[5], now[3]) == ((1, "conflict"), (None, "conflict"), (2, "unsure"))
    book.decide(Same(4, 1), who="Bo")
    assert placed(book)[4] == (1, "confirmed")


def test_a_label_that_comes_again_names_nothing_that_a_person_took_away(book: Catalogue) -> None:
    book.decide(Move(1, 2), who="Bo")
    book.decide(Different(1, 2), who="Bo")
    assert placed(book)[1] == (None, None)
    assert book.add_photos([photo(1, "A")], who=ANN).event is None
    assert placed(book)[1] == (None, None)
    for event in (3, 2):
        book.decide(Undo(event), who="Bo")
    assert placed(book)[1] == (1, "imported")


def test_one_of_two_labels_does_not_win_when_the_other_was_denied(book: Catalogue) -> None:
    given = [photo(6, "A"), photo(6, "B", path="copy/6.jpg")]
    book.add_photos(given, who=ANN)
    book.decide(Same(6, 2), who="Bo")
    book.decide(Different(6, 2), who="Bo")
    assert book.add_photos(given, who=ANN).event is None
    assert placed(book)[6] == (None, None)
    assert check(book.path).whole


def test_a_new_label_of_what_a_person_left_open_waits_for_a_person(book: Catalogue) -> None:
    book.decide(Different(4, 1), who="Bo")
    preview = book.add_photos([photo(4, "B")], who=ANN, dry_run=True).arrived
    done = book.add_photos([photo(4, "B")], who=ANN).arrived
    assert preview == done
    assert done.conflicts == (
        "photo 4 (4.jpg): labelled B (individual 2), before said not to be A (individual 1)",
    )
    assert (placed(book)[4], book.conflicts()) == ((None, "conflict"), [4])
    book.decide(Same(4, 2), who="Bo")
    assert (placed(book)[4], book.conflicts()) == ((2, "confirmed"), [])


def test_a_denial_that_was_undone_counts_no_longer(book: Catalogue) -> None:
    book.decide(Different(4, 1), who="Bo")
    book.decide(Undo(2), who="Bo")
    book.add_photos([photo(4, "B")], who=ANN)
    assert placed(book)[4] == (2, "imported")
    book.decide(Different(5, 1), who="Bo")
    book.add_photos([photo(5, "B")], who=ANN)
    for event in (6, 5):  # the label too, so that it is new again
        book.decide(Undo(event), who="Bo")
    book.add_photos([photo(5, "B")], who=ANN)
    assert placed(book)[5] == (2, "imported")


def test_a_merge_of_its_labels_does_not_name_what_a_person_left_open(book: Catalogue) -> None:
    book.decide(Different(4, 1), who="Bo")
    book.add_photos([photo(4, "B"), photo(4, "C")], who=ANN)
    book.decide(Merge(2, 3), who="Bo")
    assert (placed(book)[4], book.photo(4).labels) == ((None, "conflict"), (2,))


def test_a_label_finds_an_individual_by_its_alias(book: Catalogue) -> None:
    book.decide(Rename(1, "Notch"), who="Bo")
    book.decide(Merge(1, 2), who="Bo")
    book.add_photos([photo(4, "A"), photo(5, "B")], who=ANN)
    assert (placed(book)[4], placed(book)[5]) == ((1, "imported"), (1, "imported"))
    assert book.add_photos([photo(1, "A"), photo(3, "B")], who=ANN).event is None


def test_facts_and_those_that_disagree(book: Catalogue) -> None:
    reported = {"date": "2020-05-12", "place": "bay", "photographer": "Cy", "encounter": "e1"}
    book.add_photos([photo(4, **reported)], who=ANN)
    assert book.photo(4).facts == reported
    again = book.add_photos([photo(4, encounter="e2")], who=ANN)
    assert again.arrived.conflicts == ("photo 4 (4.jpg): encounter e2, before e1",)
    assert book.photo(4).facts == reported
    assert book.conflicts() == [4]
    book.decide(Move(4, encounter="e2"), who="Bo")
    assert (book.photo(4).facts["encounter"], book.conflicts()) == ("e2", [])
    assert book.add_photos([photo(4, encounter="e2")], who=ANN).event is None


def test_photos_that_get_facts_are_counted(book: Catalogue) -> None:
    given = [photo(4, date="2020", place="bay"), photo(5, date="2020"), photo(6, date="2020")]
    preview = book.add_photos(given, who=ANN, dry_run=True)
    done = book.add_photos(given, who=ANN)
    assert preview.arrived == done.arrived == Arrived(photos=1, files=1, known=2, described=3)
    assert book.add_photos(given, who=ANN).arrived == Arrived(known=3)
    again = book.add_photos([photo(4, place="sound"), photo(5, date="2020-01")], who=ANN).arrived
    assert (again.described, len(again.conflicts)) == (1, 1)


def test_known_photos_that_a_label_names_are_counted(book: Catalogue) -> None:
    """Photo 4 alone: 5 and 7 get labels that do not agree, 6 is new, 1 was named before."""
    book.add_photos([photo(7, "new_whale")], who=ANN)
    labels = [(4, "A"), (4, "A"), (5, "A"), (5, "B"), (6, "B"), (1, "A"), (7, "C")]
    given = [photo(number, label) for number, label in labels]
    preview = book.add_photos(given, who=ANN, dry_run=True).arrived
    done = book.add_photos(given, who=ANN).arrived
    assert preview == done
    assert (done.named, len(done.conflicts), done.known, done.photos) == (1, 2, 6, 1)
    assert book.add_photos(given, who=ANN).arrived == Arrived(known=7)


def test_a_date_that_says_less_is_no_conflict(book: Catalogue) -> None:
    book.add_photos([photo(4, date="2026-01-02")], who=ANN)
    for date in ("2026", "2026-01", "2026-01-02"):
        assert book.add_photos([photo(4, date=date)], who=ANN).event is None
    again = book.add_photos([photo(4, date="2026-02")], who=ANN)
    assert again.arrived.conflicts == ("photo 4 (4.jpg): date 2026-02, before 2026-01-02",)
    assert book.photo(4).facts == {"date": "2026-01-02"}


def test_a_date_that_says_more_takes_the_place_of_an_imports(book: Catalogue) -> None:
    first = book.add_photos([photo(4, date="2026-01")], who=ANN).event
    finer = book.add_photos(
        [photo(4, date="2026-01-02"), photo(4, date="2026-01-02 10:00")], who=ANN
    )
    assert (finer.arrived.conflicts, book.conflicts()) == ((), [])
    assert book.photo(4).facts == {"date": "2026-01-02T10:00:00"}
    assert book.rebuild() == []
    assert first and finer.event
    with pytest.raises(FlukeprintError, match=f"stand on it: event {finer.event} "):
        book.decide(Undo(first), who="Bo")
    book.decide(Undo(finer.event), who="Bo")
    assert book.photo(4).facts == {"date": "2026-01"}
    assert check(book.path).whole


def test_a_sheet_that_says_less_may_come_again(book: Catalogue) -> None:
    """Whatever a person says of the date meanwhile."""
    for date in ("2026-01", "2026-01-02"):
        book.add_photos([photo(4, date=date)], who=ANN)
    book.decide(Describe(4, date="2025"), who="Bo")
    for date in ("2026-01", "2026-01-02"):
        assert book.add_photos([photo(4, date=date)], who=ANN).event is None


def test_another_picture_in_a_photos_place_is_told(kaggle: Path, tmp_path: Path) -> None:
    """Not where the photo lies elsewhere, or two have changed places."""
    files = [kaggle / "train" / f"{number}.jpg" for number in (1, 3, 5)]
    with Catalogue.create(tmp_path / "book", root=kaggle) as book:
        bring_in(book, from_files(files, {}), who=ANN)
        one, three = files[0].read_bytes(), files[1].read_bytes()
        files[0].write_bytes(three)
        files[1].write_bytes(one)
        done = bring_in(book, from_files(files, {}), who=ANN)
        assert (done.counts.replaced, done.counts.files) == ((), 2)
        files[2].write_bytes(one)
        for preview in (True, False):
            done = bring_in(book, from_files(files, {}), who=ANN, dry_run=preview)
            assert done.counts.replaced == ((3, "train/5.jpg"),)
        assert book.photo(1).paths == ("train/3.jpg", "train/5.jpg")
        assert book.photo(3).paths == ()


def test_a_date_by_a_person_is_made_no_finer(book: Catalogue) -> None:
    book.add_photos([photo(4, date="2026-01-02")], who=ANN)
    book.decide(Describe(4, date="2026-01"), who="Bo")
    assert book.add_photos([photo(4, date="2026-01-02")], who=ANN).event is None  # settled
    again = book.add_photos([photo(4, date="2026-01-03")], who=ANN)
    assert again.arrived.conflicts == ("photo 4 (4.jpg): date 2026-01-03, before 2026-01",)
    assert book.photo(4).facts == {"date": "2026-01"}


@pytest.mark.parametrize(
    ("path", "label", "said"),
    [
        ("/abs.jpg", "", "not a path from the catalogue's root"),
        ("a//b.jpg", "", "not a path from the catalogue's root"),
        ("a/../b.jpg", "", "not a path from the catalogue's root"),
        ("", "", "not a path from the catalogue's root"),
        ("a\0b.jpg", "", "not a path from the catalogue's root"),
        ("a\udcff.jpg", "", "its name is not valid Unicode; rename the file"),
        ("6.jpg", "a\nb", "6.jpg: 'a\\nb' cannot be a name"),
    ],
)
def test_one_bad_photo_and_none_is_imported(
    book: Catalogue, path: str, label: str, said: str
) -> None:
    before = cells(book.path), book.counts()
    with pytest.raises(FlukeprintError) as caught:
        book.add_photos([photo(7, "C"), Incoming(content(6), path, 1, label=label)], who=ANN)
    assert said in str(caught.value)
    assert (cells(book.path), book.counts()) == before


def test_the_root_moves_with_the_catalogue(tmp_path: Path) -> None:
    (tmp_path / "a" / "photos").mkdir(parents=True)
    Catalogue.create(tmp_path / "a" / "book", root=tmp_path / "a" / "photos").close()
    (tmp_path / "a").rename(tmp_path / "stick")
    with Catalogue.open(tmp_path / "stick" / "book") as book:
        assert book.root == tmp_path / "stick" / "photos"
    with Catalogue.open(tmp_path / "stick" / "book", root=tmp_path) as book:
        assert book.root == tmp_path


def test_a_collection_on_disk(kaggle: Path, tmp_path: Path) -> None:
    """1.jpg and 2.jpg are the same bytes; 5.jpg and 6.jpg are labelled new_whale."""
    (kaggle / "train" / "4.jpg").write_bytes(b"")
    listed = from_table(read_table(kaggle))
    with Catalogue.create(tmp_path / "book", root=kaggle) as book:
        preview = bring_in(book, listed, who=ANN, dry_run=True)
        assert (preview.events, book.counts().photos) == ((), 0)
        done = bring_in(book, listed, who=ANN)
        assert [failure.path.name for failure in done.skipped] == ["4.jpg"]
        assert done.counts == preview.counts == Arrived(photos=5, files=6, individuals=2)
        assert book.counts() == Counts(6, 5, 2, 2, 0)
        assert book.photo(1).paths == ("train/1.jpg", "train/2.jpg")
        again = bring_in(book, listed, who=ANN)
        assert (again.events, again.counts) == ((), Arrived(known=6))


def test_a_collection_elsewhere_is_kept_by_relative_path(kaggle: Path, tmp_path: Path) -> None:
    (tmp_path / "office").mkdir()
    with Catalogue.create(tmp_path / "office" / "book") as book:
        bring_in(book, from_table(read_table(kaggle)), who=ANN)
        (path, *_) = book.photo(2).paths
        assert path.startswith("../")
        assert (book.root / path).samefile(kaggle / "train" / "3.jpg")


def test_a_batch_that_was_noted_stays(
    kaggle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off after the second of three batches, the import goes on behind them."""
    monkeypatch.setattr(arrive, "BATCH", 3)
    listed = from_table(read_table(kaggle))
    with Catalogue.create(tmp_path / "book", root=kaggle) as book:
        monkeypatch.setattr(book, "add_photos", _cut_off(book, after=2))
        with pytest.raises(KeyboardInterrupt):
            bring_in(book, listed, who=ANN)
        assert book.counts().files == 6
        monkeypatch.undo()
        for row in listed[:6]:  # known by path, size and time: not read again
            size, stamp = row.path.stat().st_size, row.path.stat().st_mtime_ns
            row.path.write_bytes(bytes(size))
            os.utime(row.path, ns=(stamp, stamp))
        done = bring_in(book, listed, who=ANN)
        assert (done.counts.known, done.skipped) == (6, ())
        assert check(book.path).whole


def test_a_file_that_was_touched_is_not_decoded_again(
    book: Catalogue, kaggle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = from_table(read_table(kaggle))
    bring_in(book, listed, who=ANN)
    for row in listed:
        os.utime(row.path, ns=(1, 1))
    monkeypatch.setattr(arrive, "read_details", lambda photo: pytest.fail(f"decoded {photo.path}"))
    done = bring_in(book, listed, who=ANN)
    assert (done.events, done.counts.known, done.skipped) == ((), len(listed), ())


def _cut_off(book: Catalogue, after: int) -> Callable[..., object]:
    """``add_photos`` that is interrupted once so many calls are done."""
    plain, calls = book.add_photos, iter(range(after))

    def add(*given: Any, **named: Any) -> object:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return plain(*given, **named)

    return add


def test_a_label_beside_new_whale_waits_for_a_person(book: Catalogue) -> None:
    """The photo stays with the individual that a label names; either order of labels."""
    book.add_photos([photo(1, "new_whale"), photo(4, "new_whale"), photo(4, "B")], who=ANN)
    now = placed(book)
    assert (now[1], now[4]) == ((1, "conflict"), (2, "conflict"))
    assert book.photo(4).unnamed and book.counts().label_conflicts == 2
    book.decide(Same(4, 2), who="Bo")
    assert book.add_photos([photo(4, "new_whale"), photo(4, "B")], who=ANN).event is None
    assert placed(book)[4] == (2, "confirmed")
    book.add_photos([photo(5, "new_whale")], who=ANN)
    assert (placed(book)[5], book.photo(5).unnamed) == ((None, None), True)


def test_a_sheet_with_its_owners_columns(kaggle: Path, tmp_path: Path) -> None:
    sheet = kaggle / "sheet.csv"
    sheet.write_text(
        "Encounter.mediaAsset0,Animal,Event Date,Lat,Lon,Photographer,sighting ID\n"
        "train/1.jpg,Notch,2019:05:12 10:30:00,-64.500,-62.25,Cy,s1\n"
        "train/3.jpg,,2019-05,,,,\n"
        "train/gone.jpg,Notch,2019,,,,\n"
    )
    listed, missing = read_sheet(sheet, {"identity": "Animal"})
    assert [(one.path.name, one.reason) for one in missing] == [
        ("gone.jpg", "listed in sheet.csv, line 4, but not there")
    ]
    with Catalogue.create(tmp_path / "book", root=kaggle) as book:
        bring_in(book, listed, who=ANN)
        one, other = book.photo(1), book.photo(2)
    assert one.facts == {
        "date": "2019-05-12T10:30:00", "latitude": "-64.5", "longitude": "-62.25",
        "photographer": "Cy", "encounter": "s1",
    }  # fmt: skip
    assert (one.individual, one.position) == (1, (-64.5, -62.25))
    assert (other.individual, other.date, other.position) == (None, "2019-05", None)


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        ("", {}, "sheet.csv: the first line is empty; it has to name the columns"),
        (";;\n", {"path": "a"}, "sheet.csv: the first line is empty; it has to name the columns"),
        ("a,b\n", {}, "no column is known to hold the photos' paths; it has a, b"),
        ("path,when\n", {"date": "day"}, "has no column 'day'; it has path, when"),
        ("path,when\n", {"colour": "when"}, "no field is called 'colour'"),
        ("path,whale,id\n", {}, "whale and id may each be the identity"),
        ("path,date\ntrain/1.jpg,3.5.18\n", {}, "line 2: '3.5.18' is not a date"),
        ("path,date\ntrain/1.jpg,3.5.2018\n", {}, "YYYY-MM (import --dates dmy or mdy reads such)"),
        ("path,date\ntrain/1.jpg,2018-02-30\n", {}, "line 2: '2018-02-30' is not a date"),
        ("path,lat\ntrain/1.jpg,95\n", {}, "line 2: '95' is not a latitude"),
        (f"path,site\ntrain/1.jpg,{'x' * 201}\n", {}, "line 2: place: 'xxxxx"),
        ("path\nnowhere.jpg\n", {}, "no photo that it lists is there"),
        ("path\n", {}, "lists no photos"),
    ],
)
def test_a_sheet_that_cannot_be_understood(
    kaggle: Path, text: str, columns: dict[str, str], said: str
) -> None:
    (kaggle / "sheet.csv").write_text(text)
    with pytest.raises(FlukeprintError) as caught:
        read_sheet(kaggle / "sheet.csv", columns)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("count", "end"), [(2, ""), (5, ""), (6, "; and 1 line more"), (9, "; and 4 lines more")]
)
def test_all_lines_of_a_sheet_that_cannot_be_understood(kaggle: Path, count: int, end: str) -> None:
    sheet = kaggle / "sheet.csv"
    sheet.write_text("path,date\n" + "train/1.jpg,unknown\n" * count + "train/1.jpg,2020\n")
    with pytest.raises(FlukeprintError) as caught:
        read_sheet(sheet)
    why = "'unknown' is not a date; write YYYY-MM-DD, or YYYY, or YYYY-MM"
    named = "; ".join(f"line {line}: {why}" for line in range(2, 2 + min(count, 5)))
    assert str(caught.value) == f"{sheet}: {count} lines cannot be understood; {named}{end}"


@pytest.mark.parametrize(
    ("text", "columns", "dates"),
    [
        ("path,Year,MONTH,day\n{},2018,7,1\n{},2018,07,\n{},2018,,\n", {},
         ["2018-07-01", "2018-07", "2018"]),
        ("path,Encounter.year,Encounter.month,Encounter.day\n{},2018.0,7.0,31.0\n{},,,\n", {},
         ["2018-07-31", None]),
        ("path,year,month,day,hour,minutes\n{},2018,7,1,9,5\n{},2018,7,1,9,\n{},2018,7,,,\n", {},
         ["2018-07-01T09:05:00", "2018-07-01", "2018-07"]),
        ("path,Date,Time\n{},2018-07-01,10:30\n{},2018-07-01,\n{},,10:30\n", {},
         ["2018-07-01T10:30:00", "2018-07-01", None]),
        ("path,eventDate,eventTime\n{},2018-07-01,7:08:09 PM\n", {}, ["2018-07-01T19:08:09"]),
        ("path,year,month,day,time\n{},2018,7,1,0708\n", {}, ["2018-07-01T07:08:00"]),
        ("path,Jahr,Monat,Tag,Uhr\n{},2018,7,1,7:08\n",
         {"year": "Jahr", "month": "Monat", "day": "Tag", "time": "Uhr"}, ["2018-07-01T07:08:00"]),
        ("path,date,year,month\n{},2018-07-01,1999,x\n", {}, ["2018-07-01"]),
        ("path,date,year\n{},summer,2018\n", {"date": ""}, ["2018"]),
        ("path,date,season\n{},summer,2018\n", {"year": "season"}, ["2018"]),
        ("path,date,time,hour,minutes\n{},2018-07-01,noon,12,5\n", {"hour": "hour"},
         ["2018-07-01T12:05:00"]),
        ("path,date,time\n{},2018-07-01,noon\n", {"time": ""}, ["2018-07-01"]),
        ("path,month,day,time\n{},x,y,z\n", {}, [None]),
    ],
)  # fmt: skip
def test_dates_in_columns_of_their_own(
    kaggle: Path, text: str, columns: dict[str, str], dates: list[str | None]
) -> None:
    names = ["train/1.jpg", "train/3.jpg", "train/4.jpg"]
    (kaggle / "sheet.csv").write_text(text.format(*names))
    listed, missing = read_sheet(kaggle / "sheet.csv", columns)
    assert ([one.facts.get("date") for one in listed], missing) == (dates, [])


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        ("year,month\n,7\n", {}, "line 2: month 7 without a year"),
        ("year,month,day\n2018,,7\n", {}, "line 2: day 7 without a month"),
        ("year,month\n2018,July\n", {}, "line 2: month: 'July' is not a number; mend it, or leave "
         "that column aside with --columns month="),
        ("year,month,day\n2018,2,30\n", {}, "line 2: '2018-02-30' is not a date"),
        ("year,month\n18,2\n", {}, "line 2: '18-02' is not a date"),
        ("date,time\n2018-02-03,noon\n", {}, "line 2: 'noon' is not a time of day; write HH:MM, or "
         "leave that column aside with --columns time="),
        ("year,month,day,hour,minutes\n2018,2,3,25,0\n", {}, "line 2: '25:00' is not a time of "
         "day; write HH:MM, or leave that column aside with --columns hour="),
        ("date,time\n2018-02-03 07:08,7:09\n", {}, "line 2: '2018-02-03 07:08' tells a time, and "
         "'7:09' another; leave that column aside with --columns time="),
        ("date,time\n2018-02,7:09\n", {}, "line 2: '2018-02 7:09' is not a date"),
        ("date,Y\n2018,2018\n", {"date": "date", "year": "Y"}, "date and year tell the same; name"),
        ("when,M\n2018,2\n", {"month": "M"}, "the month tells nothing without the year"),
        ("when,T\n2018,2\n", {"time": "T"}, "the time tells nothing without the date or the year"),
        ("Year,Encounter.year\n2018,2018\n", {"year": ""}, None),
    ],
)  # fmt: skip
def test_dates_in_columns_of_their_own_that_cannot_be_understood(
    kaggle: Path, text: str, columns: dict[str, str], said: str | None
) -> None:
    header, row = text.splitlines()
    (kaggle / "sheet.csv").write_text(f"path,{header}\ntrain/1.jpg,{row}\n")
    if said is None:
        assert not read_sheet(kaggle / "sheet.csv", columns)[0][0].facts
        return
    with pytest.raises(FlukeprintError) as caught:
        read_sheet(kaggle / "sheet.csv", columns)
    assert said in str(caught.value)


def test_several_photos_in_a_row_of_a_sheet(kaggle: Path) -> None:
    sheet = kaggle / "sheet.csv"
    sheet.write_text(
        "Encounter.mediaAsset0,Encounter.mediaAsset1,Encounter.mediaAsset10,Encounter.mediaAsset2,"
        "Encounter.year,Encounter.month,Encounter.day,Encounter.hour,Encounter.minutes,"
        "MarkedIndividual.individualID,Encounter.sightingID\n"
        "train/1.jpg,train/3.jpg,,train/gone.jpg,2018,7,1,10,20,Salt,e1\n"
        "train/4.jpg,,,,2019,,,,,,\n"
        ",train/5.jpg,,,2019,8,2,6,5,,\n"
    )
    assert list(columns_of(sheet, {}).items())[-3:] == [
        ("path 2", "Encounter.mediaAsset1"),
        ("path 3", "Encounter.mediaAsset2"),
        ("path 11", "Encounter.mediaAsset10"),
    ]
    listed, missing = read_sheet(sheet)
    met = {"date": "2018-07-01", "encounter": "e1"}  # at 10:20 the encounter began
    assert [(one.path.name, one.label, dict(one.facts)) for one in listed] == [
        ("1.jpg", "Salt", met),
        ("3.jpg", "Salt", met),
        ("4.jpg", "", {"date": "2019"}),
        ("5.jpg", "", {"date": "2019-08-02T06:05:00"}),
    ]
    assert [(one.path.name, one.reason) for one in missing] == [
        ("gone.jpg", "listed in sheet.csv, line 2, but not there")
    ]
    assert "path 2" not in columns_of(sheet, {"path": "MarkedIndividual.individualID"})


def test_paths_of_a_sheet_that_was_made_on_windows(kaggle: Path) -> None:
    sheet = kaggle / "sheet.csv"
    sheet.write_text("path\ntrain\\1.jpg\n.\\train\\3.jpg\ntrain\\gone.jpg\n")
    listed, missing = read_sheet(sheet)
    assert [one.path for one in listed] == [kaggle / "train" / "1.jpg", kaggle / "train" / "3.jpg"]
    assert [one.path for one in missing] == [kaggle / "train" / "gone.jpg"]
    sheet.write_text("path\nfotos\\gone.jpg\n")
    with pytest.raises(FlukeprintError) as caught:
        read_sheet(sheet)
    tried = str(kaggle / "fotos" / "gone.jpg")
    assert str(caught.value).endswith(f"paths start at the CSV, so {tried!r} was looked for")


@pytest.mark.parametrize("there", ["NFC", "NFD"])
def test_paths_of_a_sheet_that_spell_accents_in_another_way(
    kaggle: Path, there: Literal["NFC", "NFD"]
) -> None:
    name = unicodedata.normalize(there, "Andr\u00e9/caf\u00e9.jpg")
    (kaggle / name).parent.mkdir()
    (kaggle / "train" / "1.jpg").rename(kaggle / name)
    sheet = kaggle / "sheet.csv"
    for listed in (unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)):
        sheet.write_text(f"path\n{listed}\n", encoding="utf-8")
        assert read_sheet(sheet) == ([Listed(kaggle / name)], [])


@pytest.mark.parametrize("label", ["New Whale", "NEW_WHALE", "new-whale"])
def test_new_whale_in_other_spellings(book: Catalogue, kaggle: Path, label: str) -> None:
    book.add_photos([photo(4, label)], who=ANN)
    assert (book.photo(4).unnamed, book.photo(4).unidentified) == (True, True)
    with pytest.raises(FlukeprintError, match="stands for a whale without a name"):
        book.decide(New(4, label), who="Bo")
    sheet = kaggle / "sheet.csv"
    sheet.write_text(f"path,identity\ntrain/1.jpg,{label}\n")
    assert [one.label for one in read_sheet(sheet)[0]] == ["new_whale"]
    assert [row.individual for row in read_table(sheet).rows] == ["new_whale"]


def test_a_sheet_as_a_spreadsheet_saves_it(kaggle: Path) -> None:
    """Columns without a name, and a last row of nothing."""
    sheet = kaggle / "sheet.csv"
    sheet.write_text("Photo;Whale;;\ntrain/1.jpg;A;;\n;;;\n")
    assert columns_of(sheet, {}) == {"path": "Photo", "identity": "Whale"}
    listed, missing = read_sheet(sheet)
    assert ([one.path.name for one in listed], missing) == (["1.jpg"], [])


@pytest.mark.parametrize(
    ("reported", "kept"),
    [
        ("2018", "2018"),
        ("2018-05", "2018-05"),
        ("20180503", "2018-05-03"),
        ("2018/05/03", "2018-05-03"),
        ("2018-05-03 07:08", "2018-05-03T07:08:00"),
        ("2018-05-03 7:08", "2018-05-03T07:08:00"),
        ("20180503T0708", "2018-05-03T07:08:00"),
        ("2018-05-03T07:08:09.5Z", "2018-05-03T07:08:09Z"),
        ("2018-05-03T07:08:09+02:00", "2018-05-03T07:08:09+02:00"),
        ("2018-05-03 7:08 AM", "2018-05-03T07:08:00"),
        ("2018-05-03 7:08pm", "2018-05-03T19:08:00"),
        ("2018-05-03 12:08:09 a.m.", "2018-05-03T00:08:09"),
        ("2018-05-03 12:08 PM", "2018-05-03T12:08:00"),
    ],
)
def test_dates_are_kept_in_one_form(reported: str, kept: str) -> None:
    assert checked_fact("date", reported) == kept


@pytest.mark.parametrize(
    "reported",
    [
        *("201805", "03/05/2018", "2018-13", "2018-05-03T25:00", "20180503T708", "May", "２０１８"),
        *("2018-05-03 13:08 PM", "2018-05-03 0:08 AM", "2018-05-03 7 AM", "2018-05-03 PM"),
    ],
)
def test_dates_that_could_only_be_guessed_are_refused(reported: str) -> None:
    with pytest.raises(FlukeprintError, match="is not a date"):
        checked_fact("date", reported)


@pytest.mark.parametrize("text", ["1_1", "nan", "1e1", "1,2,3", "1.2,3", "１"])
def test_degrees_that_are_no_plain_number(text: str) -> None:
    with pytest.raises(FlukeprintError, match="is not a latitude"):
        checked_fact("latitude", text)
    assert checked_fact("latitude", "-0.00000001") == "0"
    assert checked_fact("latitude", "-12,5") == "-12.5"


@pytest.mark.parametrize(
    ("text", "dmy", "mdy"),
    [
        ("05/12/2026", "2026-12-05", "2026-05-12"),
        ("5.12.2026 10:30", "2026-12-05 10:30", "2026-05-12 10:30"),
        ("31-1-2026", "2026-01-31", "2026-31-01"),
        ("2026-12-05", "2026-12-05", "2026-12-05"),
        ("5.12-2026", "5.12-2026", "5.12-2026"),
        ("5.12.26", "5.12.26", "5.12.26"),
    ],
)
def test_dates_that_end_with_their_year(text: str, dmy: str, mdy: str) -> None:
    assert [year_first(text, order) for order in (*ORDERS, "")] == [dmy, mdy, text]


def test_a_sheet_says_which_comes_first_the_day_or_the_month(kaggle: Path) -> None:
    (kaggle / "sheet.csv").write_text("path,date\ntrain/1.jpg,05/12/2025\ntrain/3.jpg,\n")
    listed, _ = read_sheet(kaggle / "sheet.csv", dates="dmy")
    assert [dict(one.facts) for one in listed] == [{"date": "2025-12-05"}, {}]
    with pytest.raises(FlukeprintError, match="line 2: '05/12/2025' is not a date"):
        read_sheet(kaggle / "sheet.csv")


@pytest.mark.parametrize(
    ("text", "order", "said"),
    [
        ("13.05.2025", "mdy", "; --dates dmy reads it"),
        ("05/13/2025 7:08", "dmy", "; --dates mdy reads it"),
        ("1.5.2025 8", "dmy", "; write YYYY-MM-DD, or YYYY, or YYYY-MM"),
        ("31.31.2025", "dmy", ""),
        ("2025-13-05", "mdy", ""),
    ],
)
def test_an_error_shows_a_date_as_its_owner_wrote_it(text: str, order: str, said: str) -> None:
    with pytest.raises(FlukeprintError) as caught:
        checked_fact("date", text, order)
    assert str(caught.value).startswith(f"{text!r} is not a date")
    assert str(caught.value).endswith(said)
    assert ("--dates" in str(caught.value)) == ("--dates" in said)


def test_a_date_as_a_spreadsheet_writes_it() -> None:
    assert checked_fact("date", "1.5.2025 8:05", "dmy") == "2025-05-01T08:05:00"
    assert checked_fact("date", "5/1/2025 18:05:09", "mdy") == "2025-05-01T18:05:09"
    assert checked_fact("date", "5/1/2025 6:05:09 PM", "mdy") == "2025-05-01T18:05:09"


def test_a_folder_by_a_link_that_leads_below_the_root(kaggle: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(kaggle / "train")
    with Catalogue.create(tmp_path / "book", root=kaggle) as book:
        bring_in(book, from_files([tmp_path / "link" / "4.jpg"], {}), who=ANN)
        assert book.photo(1).paths == ("train/4.jpg",)


def test_a_name_that_cannot_be_is_refused_with_its_line(kaggle: Path) -> None:
    (kaggle / "sheet.csv").write_text("path,identity\ntrain/1.jpg,A\ntrain/3.jpg,a\tb\n")
    with pytest.raises(FlukeprintError, match=r"sheet\.csv, line 3: .* cannot be a name"):
        read_sheet(kaggle / "sheet.csv")


def test_photos_in_one_pass_are_as_one_by_one(book: Catalogue) -> None:
    (book.root / "4.jpg").touch()
    details = Details(640, 480, "2018-05-03T07:08:09", 1.5, -2.25, "Canon EOS")
    book.add_photos(
        [photo(4, path="copy/4.jpg"), replace(photo(6, "A"), details=details), photo(1, "B")],
        who=ANN,
    )
    book.decide(Different(5, 2), who="Bo")
    book.decide(CorrectBox(3, Box(0.1, 0.2, 0.5, 0.75)), who="Bo")
    found = book.photos()
    assert found == [book.photo(number) for number in range(1, 7)]
    assert found[5].details == details
    assert (found[5].date, found[5].position) == ("2018-05-03T07:08:09", (1.5, -2.25))
    assert found[2].box == Box(0.1, 0.2, 0.5, 0.75)
    assert found[4].not_individuals == (2,)


def test_a_photo_takes_less_than_2_kb(tmp_path: Path) -> None:
    with Catalogue.create(tmp_path / "book") as book:
        book.add_photos(
            [
                photo(
                    n, f"whale-{n // 4:05}", f"2019/antarctica/day-{n % 30}/IMG_{n:06}.JPG",
                    date="2019-05-12", place="Gerlache Strait", photographer="Someone Somewhere",
                    encounter=f"2019-{n // 3:05}",
                )
                for n in range(2_000)
            ],
            who=ANN,
        )  # fmt: skip
        empty = 40 * 4_096  # a page for each table and index
        assert book.path.stat().st_size - empty < 2_000 * 2_000


@pytest.mark.parametrize(
    ("reported", "said"),
    [
        ("2999", "'2999' lies in the future; mend the year"),
        ("2999-01-05", "'2999-01-05' lies in the future; mend the year"),
        ("0020-01-05", "'0020-01-05' lies before there were photos; mend the year"),
    ],
)
def test_dates_that_no_photo_has_are_refused(reported: str, said: str) -> None:
    with pytest.raises(FlukeprintError) as error:
        checked_fact("date", reported)
    assert str(error.value) == said
    assert checked_fact("date", "1826") == "1826"


def test_rows_without_a_photo_are_named(kaggle: Path) -> None:
    sheet = kaggle / "sheet.csv"
    sheet.write_text("path,date\n,2020\ntrain/1.jpg,2020\n")
    listed, missing = read_sheet(sheet)
    assert [one.path.name for one in listed] == ["1.jpg"]
    assert [(one.path, one.reason) for one in missing] == [(sheet, "line 2 names no photo")]


def test_two_columns_of_one_name(kaggle: Path) -> None:
    sheet = kaggle / "sheet.csv"
    sheet.write_text("path,whale,whale\ntrain/1.jpg,a,b\n")
    with pytest.raises(FlukeprintError, match="the first line names 'whale' twice; rename one"):
        read_sheet(sheet)


def test_a_whale_that_an_earlier_version_named_new_whale_stays(
    book: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Importing its list again changes nothing."""
    with monkeypatch.context() as earlier:
        earlier.setattr(photos_in, "label_of", str)
        book.add_photos([photo(4, "New Whale")], who=ANN)
    assert book.add_photos([photo(4, "New Whale")], who=ANN).event is None
    assert book.photo(4).state == "imported"
