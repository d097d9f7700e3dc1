"""What a photo's file tells of itself: its size, and by EXIF when, where and with what."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from PIL import ExifTags, Image

from flukeprint.photos import EXIF_ORIENTATION, SIDEWAYS, PhotoFile, whole
from flukeprint.records import Failure

DATE = re.compile(r"(\d{4}):(\d\d):(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d))?)?")
LONGEST_CAMERA = 100


@dataclass(frozen=True, slots=True)
class Details:
    """A photo's own details, None where the file does not tell.

    ``width_px`` and ``height_px`` are of the upright photo; ``taken`` is ISO 8601 local time as
    the camera's clock had it; ``latitude`` and ``longitude`` are decimal degrees, WGS 84.
    """

    width_px: int | None = None
    height_px: int | None = None
    taken: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    camera: str | None = None


NO_DETAILS = Details()


def read_details(photo: PhotoFile) -> Details | Failure:
    """What the photo's file tells, a damaged part of it nothing; or why it is no whole photo.

    Source: CIPA DC-008, "Exchangeable image file format" 2.32 (2019), 4.6.
    """
    return whole(photo, _details)


def _details(image: Image.Image, size_px: tuple[int, int]) -> Details:
    width, height = size_px
    try:
        tags = image.getexif()
        if not tags:  # most photos that were squashed or passed on
            return Details(width, height)
        main, camera = dict(tags), dict(tags.get_ifd(ExifTags.IFD.Exif))
        place = dict(tags.get_ifd(ExifTags.IFD.GPSInfo))
    except Exception:  # the parser raises anything; the pixels are whole all the same
        return Details(width, height)
    if main.get(EXIF_ORIENTATION) in SIDEWAYS:
        width, height = height, width
    return Details(width, height, _taken(camera), *_degrees(place), _camera(main))


def _taken(camera: dict[int, Any]) -> str | None:
    """When the shutter opened; when the file was changed is no substitute."""
    base = ExifTags.Base
    for moment in (camera.get(base.DateTimeOriginal), camera.get(base.DateTimeDigitized)):
        found = DATE.match(_text(moment))
        if found:
            year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
            try:
                when = datetime(year, month, day, hour, minute, second)
            except ValueError:  # a camera whose clock was never set
                continue
            if when > datetime.now() + timedelta(days=1):  # or wrongly
                continue
            return (when if found[4] else when.date()).isoformat()
    return None


def _degrees(place: dict[int, Any]) -> tuple[float | None, float | None]:
    gps = ExifTags.GPS
    latitude = _angle(place.get(gps.GPSLatitude), place.get(gps.GPSLatitudeRef), "NS", 90.0)
    longitude = _angle(place.get(gps.GPSLongitude), place.get(gps.GPSLongitudeRef), "EW", 180.0)
    if latitude is None or longitude is None or (latitude == 0.0 and longitude == 0.0):
        return None, None  # a receiver that has no fix yet writes zeros
    return latitude, longitude


def _angle(parts: Any, side: Any, sides: str, most: float) -> float | None:
    """Decimal degrees; ``sides`` are the letters of the positive and of the negative side."""
    letter = _text(side)[:1].upper()
    if not letter or letter not in sides:  # without it half of all places would be mirrored
        return None
    if not isinstance(parts, Sequence) or len(parts) != 3:
        return None
    try:
        degrees, minutes, seconds = (float(part) for part in parts)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not (0.0 <= minutes <= 60.0 and 0.0 <= seconds <= 60.0):
        return None
    angle = degrees + minutes / 60.0 + seconds / 3600.0
    if not (math.isfinite(angle) and 0.0 <= angle <= most):
        return None
    return round(-angle if letter == sides[1] else angle, 7)


def _camera(main: dict[int, Any]) -> str | None:
    base = ExifTags.Base
    make, model = _text(main.get(base.Make)), _text(main.get(base.Model))
    whole = model if model.lower().startswith(make.lower()) else f"{make} {model}"
    return whole.strip()[:LONGEST_CAMERA] or None


def _text(tag: Any) -> str:
    if isinstance(tag, bytes):
        tag = tag.decode("ascii", errors="replace")
    if not isinstance(tag, str):
        return ""
    return "".join(letter for letter in tag if letter.isprintable()).strip()
