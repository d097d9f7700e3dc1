"""Darwin Core archives are valid, exact and stable."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dwca.read import DwCAReader
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.catalogue import Catalogue, Different, Unsure
from flukeprint.cells import unguard
from flukeprint.errors import FlukeprintError
from flukeprint.exports import FORMATS
from flukeprint.exports.darwin_core import event_date
from tests.catalogue.small import content
from tests.catalogue.small import photo as small
from tests.exports.archive import eml, is_date, read
from tests.exports.made import PHOTOS, exporting, photo
from tests.exports.test_tables import NAME

write = FORMATS["darwin-core"]


def test_the_whole_archive(tmp_path: Path) -> None:
    out = tmp_path / "a.zip"
    notes = write(exporting(), out)
    core, media = read(out)
    assert media == []
    with zipfile.ZipFile(out) as archive:
        assert archive.read("occurrence.csv").decode().splitlines()[:2] == [
            '"occurrenceID","basisOfRecord","occurrenceStatus","scientificName","kingdom",'
            '"taxonRank","eventDate","eventID","organismID","organismName","decimalLatitude",'
            '"decimalLongitude","geodeticDatum","locality","recordedBy","associatedMedia",'
            '"identificationVerificationStatus","identificationRemarks"',
            f'"flukeprint:sha256:{content(1)}","HumanObservation","present",'
            '"Megaptera novaeangliae (Borowski, 1781)","Animalia","species","2018-07-01T10:20:30",'
            '"e1","individual:1","Salt","","","","Bay; north","Ann","trip/1.JPG","verified",'
            '"individual confirmed by a person from the photo"',
        ]
    assert [row["eventDate"] for row in core] == [
        *("2018-07-01T10:20:30", "2018-07-01T11:00:00+02:00", "2019-08", "2019", "2020-01-02")
    ]
    assert [row["identificationVerificationStatus"] for row in core] == [
        *("verified", "verification required", "verification required", "verification required"),
        "verified",
    ]
    assert [(row["decimalLatitude"], row["geodeticDatum"]) for row in core] == [
        *(("", ""), ("", ""), ("-64.5", "EPSG:4326"), ("1.5", "not recorded"), ("", ""))
    ]
    assert unguard(core[2]["organismName"]) == '=Pepper, "the" one'
    assert core[4]["associatedMedia"] == ""
    assert notes == (
        f"5 occurrences: {out}",
        "left out 1 photo, trip/4.JPG: nobody said of it that it shows a whale",
        "left out 1 photo, trip/7.JPG: no date, which an occurrence has to have",
        "occurrence.csv: 1 cell begins with ' lest a spreadsheet runs them",
        "eml.xml names no publisher; give one before you publish the archive",
        "eml.xml names no licence; GBIF takes none without: cc0, cc-by or cc-by-nc",
    )


def test_only_photos_that_somebody_said_show_a_whale(book: Catalogue, tmp_path: Path) -> None:
    """Photos 4 and 5 came without a label; unsure of it, or not a certain one, names no whale."""
    book.add_photos([*(small(n, date="2020") for n in range(1, 7)), small(6, "new_whale")], who="A")
    book.decide(Unsure(3), who="Bo")
    book.decide(Unsure(4), who="Bo")
    book.decide(Different(1, 1), who="Bo")
    book.decide(Different(5, 1), who="Bo")
    _, photos, names = book.present()
    notes = write(exporting(*photos, names=names), tmp_path / "a.zip")
    core, _ = read(tmp_path / "a.zip")
    assert [row["occurrenceID"][-64:] for row in core] == [content(n) for n in (1, 2, 3, 6)]
    said = "left out 2 photos, such as 4.jpg: nobody said of it that it shows a whale"
    assert said in notes


def test_media_under_an_address(tmp_path: Path) -> None:
    odd = photo(9, 1, path="a b/ü#?.png", date="2020")
    chosen = exporting(*PHOTOS, odd, media_url="https://example.org/p")
    write(chosen, tmp_path / "a.zip")
    core, media = read(tmp_path / "a.zip")
    assert len(media) == 5
    assert media[-1] == {
        "coreid": f"flukeprint:sha256:{content(9)}",
        "type": "StillImage",
        "format": "image/png",
        "identifier": "https://example.org/p/a%20b/%C3%BC%23%3F.png",
        "created": "2020",
        "creator": "",
    }
    assert core[-1]["associatedMedia"] == media[-1]["identifier"]


def test_a_reader_of_others_finds_the_same(tmp_path: Path) -> None:
    out = tmp_path / "a.zip"
    write(exporting(*PHOTOS, media_url="https://example.org/p"), out)
    core, media = read(out)
    with DwCAReader(str(out)) as archive:
        assert archive.descriptor.core.type == "http://rs.tdwg.org/dwc/terms/Occurrence"
        assert archive.metadata.findtext("dataset/title") == "Humpback whales known by their flukes"
        rows = list(archive.rows)
        addresses = [(row.id, one.data) for row in rows for one in row.extensions]
    assert [(row.id, _without_namespace(row.data)) for row in rows] == [
        (one["occurrenceID"], one) for one in core
    ]
    assert [{"coreid": of, **_without_namespace(data)} for of, data in addresses] == media


def _without_namespace(row: dict[str, str]) -> dict[str, str]:
    return {term.rpartition("/")[2]: cell for term, cell in row.items()}


@pytest.mark.parametrize("path", ["../ann/IMG 1.JPG", "/home/ann/IMG 1.JPG"])
def test_a_photo_outside_the_root_has_no_address(path: str, tmp_path: Path) -> None:
    chosen = exporting(photo(9, 1, path=path, date="2020"), media_url="https://example.org/p")
    write(chosen, tmp_path / "a.zip")
    core, media = read(tmp_path / "a.zip")
    assert (core[0]["associatedMedia"], media) == ("", [])


def test_the_same_catalogue_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        write(exporting(), tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    write(exporting(*(replace(one, number=one.number + 70) for one in PHOTOS)), tmp_path / "c.zip")
    ids = [[row["occurrenceID"] for row in read(tmp_path / n)[0]] for n in ("a.zip", "c.zip")]
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("licence", "url"),
    [
        ("cc0", "http://creativecommons.org/publicdomain/zero/1.0/legalcode"),
        ("cc-by", "http://creativecommons.org/licenses/by/4.0/legalcode"),
        ("cc-by-nc", "http://creativecommons.org/licenses/by-nc/4.0/legalcode"),
    ],
)
def test_whose_data_these_are(tmp_path: Path, licence: str, url: str) -> None:
    out = tmp_path / "a.zip"
    notes = write(exporting(title="A <b> & c", publisher="Whales & Co", licence=licence), out)
    assert not any("eml.xml" in line for line in notes)
    top = eml(zipfile.ZipFile(out).read("eml.xml"))
    assert top.findtext("dataset/title") == "A <b> & c"
    assert top.findtext("dataset/contact/organizationName") == "Whales & Co"
    link = top.find("dataset/intellectualRights/para/ulink")
    assert link is not None
    assert link.attrib == {"url": url}


@pytest.mark.parametrize(
    ("chosen", "message"),
    [({"licence": "gpl"}, "say cc0, cc-by"), ({"title": "a\nb"}, "without line breaks")],
)
def test_what_cannot_be_said(tmp_path: Path, chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(FlukeprintError, match=message):
        write(exporting(**chosen), tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["2020-13", "2020-1", "20200101", "2020-01-01T10:00", "x"])
def test_the_strict_reader_is_strict(text: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        is_date(text)


@given(st.dictionaries(st.integers(1, 5), NAME, min_size=1), st.data())
def test_any_catalogue_is_valid(
    tmp_path_factory: pytest.TempPathFactory, names: dict[int, str], data: st.DataObject
) -> None:
    degrees = st.tuples(st.floats(-90, 90), st.floats(-180, 180))
    photos = [
        photo(
            number,
            data.draw(st.none() | st.sampled_from(sorted(names))),
            taken=data.draw(st.sampled_from([None, "2020-02-29", "2021-01-01T23:59:59"])),
            at=data.draw(st.none() | degrees),
            unnamed=True,
            place=data.draw(NAME),
            encounter=data.draw(NAME),
        )
        for number in range(1, 4)
    ]
    out = tmp_path_factory.mktemp("dwc") / "a.zip"
    write(exporting(*photos, names=names, media_url="http://x"), out)
    core, media = read(out)
    dated = [one for one in photos if one.date]
    assert [row["occurrenceID"][-64:] for row in core] == [one.sha256 for one in dated]
    assert [unguard(row["organismName"]) for row in core] == [
        "" if one.individual is None else names[one.individual] for one in dated
    ]
    assert len(media) == len(core)


def test_zones_get_their_colon() -> None:
    assert event_date(photo(1, date="2018-07-01T11:00:00-0330")) == "2018-07-01T11:00:00-03:30"
    assert event_date(photo(1, date="2018-07-01T11:00:00Z")) == "2018-07-01T11:00:00Z"
