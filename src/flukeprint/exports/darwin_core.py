"""A Darwin Core archive: each photo of a whale as an occurrence, for GBIF, OBIS and others.

Sources: TDWG, "Darwin Core Quick Reference Guide" (term names), and GBIF's data quality
requirements for occurrences (which are required). ``basisOfRecord`` is HumanObservation: a person
stood there and chose to take the photo; MachineObservation is for devices that record unattended,
as camera traps do.

Photos that nobody ever said a whale of are left out: imported and no more, one may show anything.
That somebody was unsure of it, or said that it is not a certain whale, does not make it one.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from flukeprint.catalogue.history import PhotoNow
from flukeprint.cells import Cell, csv_text
from flukeprint.exports.archive_xml import TableFile, eml_xml, meta_xml
from flukeprint.exports.cells import apostrophes
from flukeprint.exports.exporting import Exporting, is_inside, left_out
from flukeprint.files import writing
from flukeprint.wording import plural

DWC, DCTERMS = "http://rs.tdwg.org/dwc/terms/", "http://purl.org/dc/terms/"
ZONE = re.compile(r"([+-]\d\d)(\d\d)$")
MEDIA_TYPES = {
    **{".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".tif": "image/tiff"},
    **{".tiff": "image/tiff", ".webp": "image/webp", ".bmp": "image/bmp", ".gif": "image/gif"},
}
VERIFIED, TO_VERIFY = "verified", "verification required"
"""Of the vocabulary that Darwin Core recommends: HISPID's identification verification status."""
REMARKS = {
    None: "not identified as an individual",
    "confirmed": "individual confirmed by a person from the photo",
    "imported": "individual as its owner named it, confirmed by nobody else",
    "unsure": "a person looked and could not tell the individual",
    "conflict": "what was said of the individual disagrees",
}

Columns = Sequence[tuple[str, Callable[[PhotoNow, Exporting], Cell]]]


def occurrence_id(photo: PhotoNow) -> str:
    """An occurrence's id: the photo's content, so the same in every catalogue and every export."""
    return f"flukeprint:sha256:{photo.sha256}"


def event_date(photo: PhotoNow) -> str:
    """The photo's date as ISO 8601 has it; a zone written +0200 gets its colon."""
    return ZONE.sub(r"\1:\2", photo.date) if "T" in photo.date else photo.date


def _degrees(place: int) -> Callable[[PhotoNow, Exporting], Cell]:
    return lambda photo, _: "" if photo.position is None else photo.position[place]


def _datum(photo: PhotoNow) -> str:
    """A camera's position is WGS 84 (EXIF 2.32); of an owner's nobody wrote down which it is."""
    if photo.position is None:
        return ""
    by_owner = "latitude" in photo.facts and "longitude" in photo.facts
    return "not recorded" if by_owner else "EPSG:4326"


def media(photo: PhotoNow, exporting: Exporting) -> str:
    """The photo's URL, or without an address its path from the root as a relative reference.

    Empty for a photo outside the root: no address leads there, and its path is nobody's business.
    """
    path, base = _inside(photo), exporting.media_url
    return (f"{base.rstrip('/')}/" if base and path else "") + quote(path)


def _inside(photo: PhotoNow) -> str:
    return next(filter(is_inside, photo.paths), "")


OCCURRENCE: Columns = (
    ("occurrenceID", lambda photo, _: occurrence_id(photo)),
    ("basisOfRecord", lambda *_: "HumanObservation"),
    ("occurrenceStatus", lambda *_: "present"),
    ("scientificName", lambda *_: "Megaptera novaeangliae (Borowski, 1781)"),
    ("kingdom", lambda *_: "Animalia"),
    ("taxonRank", lambda *_: "species"),
    ("eventDate", lambda photo, _: event_date(photo)),
    ("eventID", lambda photo, _: photo.facts.get("encounter", "")),
    ("organismID", lambda p, _: "" if p.individual is None else f"individual:{p.individual}"),
    ("organismName", lambda photo, exporting: exporting.name(photo) or ""),
    ("decimalLatitude", _degrees(0)),
    ("decimalLongitude", _degrees(1)),
    ("geodeticDatum", lambda photo, _: _datum(photo)),
    ("locality", lambda photo, _: photo.facts.get("place", "")),
    ("recordedBy", lambda photo, _: photo.facts.get("photographer", "")),
    ("associatedMedia", media),
    (
        "identificationVerificationStatus",
        lambda photo, _: VERIFIED if photo.state == "confirmed" else TO_VERIFY,
    ),
    ("identificationRemarks", lambda photo, _: REMARKS[photo.state]),
)
"""Terms of the namespace ``DWC``; a cell is empty where nothing is known."""
MULTIMEDIA: Columns = (
    ("coreid", lambda photo, _: occurrence_id(photo)),
    ("type", lambda *_: "StillImage"),
    ("format", lambda photo, _: MEDIA_TYPES.get(Path(_inside(photo)).suffix.lower(), "")),
    ("identifier", media),
    ("created", lambda photo, _: event_date(photo)),
    ("creator", lambda photo, _: photo.facts.get("photographer", "")),
)
"""GBIF's extension Multimedia 1.0, terms of ``DCTERMS``; its identifier has to be a public URL."""


def write_darwin_core(exporting: Exporting, out: Path) -> tuple[str, ...]:
    """Write the archive: occurrence.csv, multimedia.csv given ``media_url``, meta.xml, eml.xml.

    Raises:
        FlukeprintError: the licence is unknown, or the file cannot be written.
    """
    photos, notes = _fit(exporting.photos)
    core = TableFile("occurrence.csv", f"{DWC}Occurrence", tuple(DWC + n for n, _ in OCCURRENCE))
    tables = {core.name: _rows(OCCURRENCE, photos, exporting)}
    extensions = []
    if exporting.media_url:
        terms = tuple(DCTERMS + name for name, _ in MULTIMEDIA)
        row_type = "http://rs.gbif.org/terms/1.0/Multimedia"
        extensions.append(TableFile("multimedia.csv", row_type, terms))
        shown = [photo for photo in photos if _inside(photo)]
        tables["multimedia.csv"] = _rows(MULTIMEDIA, shown, exporting)
    members = {name: text for name, (text, _) in tables.items()}
    members |= {
        "meta.xml": meta_xml(core, extensions),
        "eml.xml": _eml(exporting, len(photos), members[core.name]),
    }
    _write_zip(out, members)
    for name, (_, changed) in tables.items():
        notes += apostrophes(changed, name)
    return (f"{plural(len(photos), 'occurrence')}: {out}", *notes, *_to_fill_in(exporting))


def _rows(columns: Columns, photos: Sequence[PhotoNow], exporting: Exporting) -> tuple[str, int]:
    rows = [[cell(photo, exporting) for _, cell in columns] for photo in photos]
    return csv_text([name for name, _ in columns], rows)


def _fit(photos: Sequence[PhotoNow]) -> tuple[list[PhotoNow], list[str]]:
    """The photos that are occurrences, and lines on the others."""
    whales: list[PhotoNow] = []
    undated: list[PhotoNow] = []
    others: list[PhotoNow] = []
    for photo in photos:
        if photo.individual is not None or photo.labels or photo.unnamed:
            (whales if photo.date else undated).append(photo)
        else:
            others.append(photo)
    notes = left_out(others, "nobody said of it that it shows a whale")
    return whales, notes + left_out(undated, "no date, which an occurrence has to have")


def _eml(exporting: Exporting, count: int, occurrences: str) -> str:
    people = "Individuals were told apart by their flukes on photos, and kept with flukeprint."
    return eml_xml(
        identifier=f"flukeprint/{hashlib.sha256(occurrences.encode()).hexdigest()[:32]}",
        title=exporting.title,
        publisher=exporting.publisher,
        published=exporting.published,
        abstract=f"{plural(count, 'photographic record')} of humpback whales. {people}",
        licence=exporting.licence,
    )


def _write_zip(out: Path, members: dict[str, str]) -> None:
    with writing(out) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            info = zipfile.ZipInfo(name)  # of 1980, so the same catalogue gives the same bytes
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, text.encode())


def _to_fill_in(exporting: Exporting) -> list[str]:
    """What GBIF asks for and no catalogue knows."""
    notes = []
    if not exporting.publisher:
        notes.append("eml.xml names no publisher; give one before you publish the archive")
    if not exporting.licence:
        notes.append("eml.xml names no licence; GBIF takes none without: cc0, cc-by or cc-by-nc")
    return notes
