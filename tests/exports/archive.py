"""A strict reader of Darwin Core archives, written from the standards' text.

Sources: TDWG "Darwin Core Text Guide" and tdwg_dwc_text.xsd; the terms of the occurrence core as
TDWG lists them (dwc_occurrence_core_horizontal.csv); GBIF's Multimedia 1.0; GBIF's data quality
requirements; GBIF Metadata Profile 1.3 (eml-gbif-profile.xsd).
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from datetime import date, datetime
from pathlib import Path
from xml.etree import ElementTree

TEXT, DWC, DCTERMS = (
    "{http://rs.tdwg.org/dwc/text/}",
    "http://rs.tdwg.org/dwc/terms/",
    "http://purl.org/dc/terms/",
)
TERMS = {
    "basisOfRecord", "occurrenceID", "recordedBy", "individualCount", "occurrenceStatus",
    "associatedMedia", "organismID", "organismName", "eventID", "eventDate", "eventTime",
    "locality", "decimalLatitude", "decimalLongitude", "geodeticDatum", "identifiedBy",
    "identificationVerificationStatus", "identificationRemarks", "scientificName", "kingdom",
    "taxonRank",
}  # fmt: skip
MULTIMEDIA = {
    "type", "format", "identifier", "references", "title", "description", "created", "creator",
    "contributor", "publisher", "audience", "source", "license", "rightsHolder",
}  # fmt: skip
REQUIRED = ("occurrenceID", "basisOfRecord", "scientificName", "eventDate")
BASES = ("HumanObservation", "MachineObservation")
ATTRIBUTES = {
    "encoding": "UTF-8", "fieldsTerminatedBy": ",", "linesTerminatedBy": "\\n",
    "fieldsEnclosedBy": '"', "ignoreHeaderLines": "1",
}  # fmt: skip
ORDER = [
    "title", "creator", "metadataProvider", "pubDate", "language", "abstract",
    "intellectualRights", "contact",
]  # fmt: skip
"""Of the elements that the profile knows, those used, in its sequence."""
NEEDED = {"title", "creator", "pubDate", "abstract", "contact"}

Rows = list[dict[str, str]]


def read(path: Path) -> tuple[Rows, Rows]:
    """An archive's occurrences and media, keys without namespaces; AssertionError if not valid."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    top = ElementTree.fromstring(files["meta.xml"])
    assert top.tag == f"{TEXT}archive"
    assert top.attrib == {"metadata": "eml.xml"}
    eml(files["eml.xml"])
    assert [one.tag for one in top][:1] == [f"{TEXT}core"]
    assert all(one.tag == f"{TEXT}extension" for one in top[1:])
    named = {one.findtext(f"{TEXT}files/{TEXT}location") for one in top}
    assert named | {"meta.xml", "eml.xml"} == set(files)
    core = _table(top[0], files, "id", f"{DWC}Occurrence", DWC, TERMS)
    _occurrences(core)
    media: Rows = []
    for extension in top[1:]:
        row_type = "http://rs.gbif.org/terms/1.0/Multimedia"
        media += _table(extension, files, "coreid", row_type, DCTERMS, MULTIMEDIA)
    assert {row["coreid"] for row in media} <= {row["occurrenceID"] for row in core}
    for row in media:
        assert re.fullmatch(r"https?://[!-~]+", row["identifier"])
        assert row["type"] == "StillImage"
    return core, media


def _table(
    element: ElementTree.Element,
    files: dict[str, bytes],
    key: str,
    row_type: str,
    namespace: str,
    terms: set[str],
) -> Rows:
    """A file's rows; each index is one column, and each column has the name of its term."""
    attributes = dict(element.attrib)
    assert attributes.pop("rowType") == row_type
    assert attributes == ATTRIBUTES
    children = [child.tag.removeprefix(TEXT) for child in element]
    assert children[:2] == ["files", key]
    assert set(children[2:]) == {"field"}
    assert element[1].attrib == {"index": "0"}
    text = files[element.findtext(f"{TEXT}files/{TEXT}location") or ""].decode("utf-8")
    assert "\r" not in text
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert len(set(header)) == len(header)
    fields = {int(field.attrib["index"]): field.attrib["term"] for field in element[2:]}
    assert len(fields) == len(element) - 2
    first = 0 if key == "id" else 1
    assert sorted(fields) == list(range(first, len(header)))
    assert len(set(fields.values())) == len(fields)
    for index, term in fields.items():
        assert term == namespace + header[index]
        assert header[index] in terms
    assert all(len(row) == len(header) for row in rows)
    return [dict(zip(header, row, strict=True)) for row in rows]


def _occurrences(rows: Rows) -> None:
    assert len({row["occurrenceID"] for row in rows}) == len(rows)
    for row in rows:
        assert all(row[term] for term in REQUIRED)
        assert row["basisOfRecord"] in BASES
        assert row["occurrenceStatus"] in ("present", "absent")
        is_date(row["eventDate"])
        degrees = row["decimalLatitude"], row["decimalLongitude"]
        assert all(degrees) == any(degrees) == bool(row["geodeticDatum"])
        if all(degrees):
            assert abs(float(degrees[0])) <= 90
            assert abs(float(degrees[1])) <= 180
        assert bool(row["organismID"]) == bool(row["organismName"])
        for cell in row.values():
            assert cell.isprintable()
    names = {row["organismID"]: row["organismName"] for row in rows}
    assert all(row["organismName"] == names[row["organismID"]] for row in rows)


def is_date(text: str) -> None:
    """ISO 8601-1 extended format: a year, month, day or a time of a day with or without zone."""
    found = re.fullmatch(r"(\d{4})(-\d\d)?(-\d\d)?(T\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)?)?", text)
    assert found, text
    year, month, day, time, _ = found.groups()
    assert not day or month
    assert not time or day
    date.fromisoformat(year + (month or "-01") + (day or "-01"))
    if time:
        datetime.fromisoformat(text)


def eml(raw: bytes) -> ElementTree.Element:
    """The metadata, checked against the profile's sequence; agents are organisations only."""
    top = ElementTree.fromstring(raw)
    assert top.tag == "{https://eml.ecoinformatics.org/eml-2.2.0}eml"
    assert {"packageId", "system", "scope"} <= set(top.attrib)
    assert top.attrib["scope"] == "system"
    assert [one.tag for one in top] == ["dataset"]
    dataset = top[0]
    tags = [one.tag for one in dataset]
    places = [ORDER.index(tag) for tag in tags]
    assert places == sorted(places)
    assert set(tags) >= NEEDED
    for agent in ("creator", "metadataProvider", "contact"):
        for one in dataset.findall(agent):
            assert [child.tag for child in one] == ["organizationName"]
            assert (one[0].text or "").strip()
    assert (dataset.findtext("title") or "").strip()
    assert [one.tag for one in dataset.findall("abstract/*")] == ["para"]
    date.fromisoformat(dataset.findtext("pubDate") or "")
    return top
