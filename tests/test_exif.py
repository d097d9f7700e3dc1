"""What a photo's file tells of itself, against files written here."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from flukeprint.exif import Details, read_details
from flukeprint.photos import PhotoFile
from flukeprint.records import Failure

Tags = Mapping[int, Any]


def photo(main: Tags | None = None, camera: Tags | None = None, gps: Tags | None = None) -> bytes:
    """A JPEG of 40 x 30 pixels with these EXIF tags."""
    exif = Image.Exif()
    exif.update(main or {})
    exif.get_ifd(ExifTags.IFD.Exif).update(camera or {})
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps or {})
    stream = io.BytesIO()
    Image.new("L", (40, 30)).save(stream, "JPEG", exif=exif)
    return stream.getvalue()


def output(data: bytes) -> Details:
    found = read_details(PhotoFile(Path("a.jpg"), data, ""))
    assert isinstance(found, Details)
    return found


def degrees(*parts: float) -> tuple[IFDRational, ...]:
    return tuple(IFDRational(round(part * 1000), 1000) for part in parts)


GPS = ExifTags.GPS
BASE = ExifTags.Base


def test_all_that_a_camera_tells() -> None:
    data = photo(
        {BASE.Make: "Canon", BASE.Model: "Canon EOS R7", BASE.Orientation: 6},
        {BASE.DateTimeOriginal: "2019:05:12 10:30:59"},
        {
            GPS.GPSLatitudeRef: "S", GPS.GPSLatitude: degrees(64, 30, 0),
            GPS.GPSLongitudeRef: "W", GPS.GPSLongitude: degrees(62, 15, 36),
        },
    )  # fmt: skip
    assert output(data) == Details(30, 40, "2019-05-12T10:30:59", -64.5, -62.26, "Canon EOS R7")


def test_a_photo_that_tells_nothing() -> None:
    assert output(photo()) == Details(40, 30)


@pytest.mark.parametrize("data", [b"no picture", photo()[:-200]])
def test_what_is_no_whole_photo(data: bytes) -> None:
    found = read_details(PhotoFile(Path("a.jpg"), data, ""))
    assert isinstance(found, Failure)
    assert found.path == Path("a.jpg")


@pytest.mark.parametrize(
    ("date", "kept"),
    [
        ("0000:00:00 00:00:00", None),
        ("2019:02:30 10:00:00", None),
        ("2999:01:01 10:00:00", None),
        ("    :  :     :  :  ", None),
        ("2019:05:12", "2019-05-12"),
        ("2019:05:12 10:30", "2019-05-12T10:30:00"),
    ],
)
def test_dates_as_cameras_write_them(date: str, kept: str | None) -> None:
    assert output(photo(camera={BASE.DateTimeOriginal: date})).taken == kept


def test_when_it_was_digitized_stands_in() -> None:
    camera: Tags = {
        BASE.DateTimeOriginal: "0000:00:00",
        BASE.DateTimeDigitized: "2001:01:02 03:04:05",
    }
    assert output(photo(camera=camera)).taken == "2001-01-02T03:04:05"


@pytest.mark.parametrize(
    "latitude", [degrees(0, 0, 0), degrees(95, 0, 0), degrees(33, 75, 90), (IFDRational(1, 0),) * 3]
)
def test_a_place_that_is_none(latitude: Any) -> None:
    data = photo(
        gps={
            GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: latitude,
            GPS.GPSLongitudeRef: "E", GPS.GPSLongitude: degrees(0, 0, 0),
        },
    )  # fmt: skip
    assert (output(data).latitude, output(data).longitude) == (None, None)


@pytest.mark.parametrize(
    ("north", "east", "place"),
    [
        *(("N", "E", (10.0, 20.0)), ("south", "w", (-10.0, -20.0))),
        *((None, "E", (None, None)), ("N", None, (None, None)), (None, None, (None, None))),
        *(("", "E", (None, None)), ("E", "E", (None, None)), ("N", "?", (None, None))),
    ],
)
def test_a_place_needs_to_know_its_side(north: str | None, east: str | None, place: Any) -> None:
    gps: dict[int, Any] = {GPS.GPSLatitude: degrees(10, 0, 0), GPS.GPSLongitude: degrees(20, 0, 0)}
    sides = {GPS.GPSLatitudeRef: north, GPS.GPSLongitudeRef: east}
    gps |= {tag: letter for tag, letter in sides.items() if letter is not None}
    details = output(photo(gps=gps))
    assert (details.latitude, details.longitude) == place


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_tells_only_the_size() -> None:
    data = bytearray(photo({BASE.Make: "Canon"}))
    at = data.index(b"Exif\0\0") + 6
    data[at + 4 : at + 8] = b"\xff\xff\xff\x7f"  # where the first directory lies
    assert output(bytes(data)) == Details(40, 30)
