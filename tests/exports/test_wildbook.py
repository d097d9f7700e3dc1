"""Sheets for Wildbook: exact texts, and none too long."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given

from flukeprint.errors import FlukeprintError
from flukeprint.exports import FORMATS, wildbook
from flukeprint.exports.wildbook import sighting_id
from tests.exports.made import exporting, photo
from tests.exports.test_tables import NAME

write = FORMATS["wildbook"]


def test_a_sheet(tmp_path: Path) -> None:
    notes = write(exporting(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["wildbook-1.csv"]
    assert (tmp_path / "wildbook-1.csv").read_text().splitlines() == [
        '"Encounter.mediaAsset0","Encounter.mediaAsset1","Encounter.year","Encounter.month",'
        '"Encounter.day","Encounter.hour","Encounter.minutes","Encounter.genus",'
        '"Encounter.specificEpithet","Encounter.decimalLatitude","Encounter.decimalLongitude",'
        '"Encounter.verbatimLocality","Encounter.photographer0.fullName",'
        '"MarkedIndividual.individualID","Encounter.sightingID"',
        '"1.JPG","2.JPG",2018,7,1,10,20,"Megaptera","novaeangliae","","","Bay; north","Ann","Salt",'
        '"e1"',
        '"3.JPG","",2019,8,"","","","Megaptera","novaeangliae",-64.5,-62.25,"","",'
        '"\'=Pepper, ""the"" one",""',
        '"4.JPG","",2020,1,2,"","","Megaptera","novaeangliae","","","","","",""',
        '"5.JPG","",2019,"","","","","Megaptera","novaeangliae",1.5,-2.0,"","","",""',
    ]
    assert notes == (
        f"5 photos in 4 encounters, 1 sheet: {tmp_path}",
        "left out 1 photo, photo 6: no file of it is known any more",
        "left out 1 photo, trip/7.JPG: no date, and Wildbook asks for a year at least",
        "wildbook-1.csv: 1 cell begins with ' lest a spreadsheet runs them",
        "1 encounter without a place; Wildbook asks for one",
        "Wildbook keeps photographers' names only beside Encounter.photographer0.emailAddress, "
        "which no catalogue knows; add that column to keep them",
    )


def test_columns_without_anything_are_left_away(tmp_path: Path) -> None:
    write(exporting(photo(1, date="2020", place="x")), tmp_path)
    assert (tmp_path / "wildbook-1.csv").read_text().splitlines()[0] == (
        '"Encounter.mediaAsset0","Encounter.year","Encounter.genus","Encounter.specificEpithet",'
        '"Encounter.verbatimLocality"'
    )


@pytest.mark.parametrize(
    "error", [FlukeprintError("the disk is full"), KeyboardInterrupt("the disk is full")]
)
def test_sheets_are_all_there_or_none(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(path: Path, text: str) -> None:
        if path.name == "wildbook-2.csv":
            raise error
        path.write_text(text)

    monkeypatch.setattr(wildbook, "write_text", stopped)
    with pytest.raises(type(error), match="disk is full"):
        write(exporting(*(photo(n, date="2020") for n in range(1, 402))), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_hundred_rows_a_sheet(tmp_path: Path) -> None:
    notes = write(exporting(*(photo(n, date="2020") for n in range(1, 402))), tmp_path)
    lines = {path.name: len(path.read_text().splitlines()) for path in tmp_path.iterdir()}
    assert lines == {"wildbook-1.csv": 201, "wildbook-2.csv": 201, "wildbook-3.csv": 2}
    assert notes[0].startswith("401 photos in 401 encounters, 3 sheets")
    with pytest.raises(FlukeprintError, match="holds sheets already"):
        write(exporting(), tmp_path)


def test_photos_that_wildbook_cannot_tell_apart(tmp_path: Path) -> None:
    photos = (
        photo(1, 1, path="a/x.jpg", date="2020"),
        photo(2, 1, path="b/X.JPG", date="2020"),
        photo(3, 1, path="é (1).jpg", date="2020", encounter="two boats"),
        photo(4, 3, path="4.jpg", date="2020", encounter="two boats"),
        photo(5, path="5.jpg", date="2020", encounter="two boats"),
        photo(6, path="6.jpg", date="2020", encounter="two boats"),
    )
    notes = write(exporting(*photos), tmp_path)
    rows = list(csv.DictReader((tmp_path / "wildbook-1.csv").open()))
    assert [row["Encounter.mediaAsset0"] for row in rows] == [
        *("é (1).jpg", "4.jpg", "5.jpg", "6.jpg")  # of unidentified ones, each its own row
    ]
    assert {row["Encounter.sightingID"] for row in rows} == {sighting_id("two boats")}
    assert any("left out 2 photos, such as a/x.jpg: another" in line for line in notes)
    assert any(line.startswith("1 file name, é (1).jpg: Wildbook takes letters") for line in notes)


@given(NAME, NAME)
def test_sightings_keep_apart_in_plain_letters(one: str, other: str) -> None:
    assert re.fullmatch("[A-Za-z0-9_-]+", sighting_id(one))
    assert (sighting_id(one) == sighting_id(other)) == (one == other)
