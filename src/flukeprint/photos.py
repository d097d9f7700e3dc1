"""Find, hash and decode photos. A bad file becomes a Failure with a reason, never an exception."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from flukeprint.errors import FlukeprintError
from flukeprint.records import Failure

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF")  # an MPO opens as the JPEG it begins with
"""The decoders that run. Every other one of Pillow's is attack surface that no camera needs."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif"})
MAX_PIXELS = 80_000_000
MAX_BYTES = 256 * 1024 * 1024
# A real picture above this size never packs 1,000 pixels in a byte; a decompression bomb does.
BOMB_PIXELS, BOMB_PIXELS_PER_BYTE = 8_000_000, 1_000


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A photo's bytes and their SHA-256, read once so that both speak of the same file."""

    path: Path
    data: bytes
    sha256: str


def find_photos(paths: Iterable[Path]) -> list[Path]:
    """Photos named or lying under the named folders, each once, folders in name order.

    A file named outright is taken whatever its suffix; a folder gives the files that look like
    photos, hidden ones left out.

    Raises:
        FlukeprintError: a path does not exist, or a folder holds no photo.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = list(_walk(path))
            if not inside:
                raise FlukeprintError(
                    f"{path}: no photos in this folder (looked for {', '.join(sorted(SUFFIXES))})"
                )
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[path] = None
        else:
            raise FlukeprintError(f"{path}: no such photo or folder; check the spelling")
    return list(found)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, onerror=_cannot_list):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(parent) / name


def _cannot_list(error: OSError) -> None:
    raise FlukeprintError(f"{error.filename}: cannot list this folder: {error.strerror}")


def read_photo(path: Path) -> PhotoFile | Failure:
    """The file's bytes and hash, or why they could not be had."""
    try:
        if not path.is_file():
            return Failure(path, "not a file" if path.exists() else "no such file")
        if path.stat().st_size > MAX_BYTES:
            return Failure(path, f"larger than {MAX_BYTES >> 20} MiB; not a photo")
        data = path.read_bytes()
    except OSError as error:
        return Failure(path, f"cannot be read: {error.strerror or error}")
    if not data:
        return Failure(path, "the file is empty (0 bytes); copy it again from the camera")
    return PhotoFile(path, data, hashlib.sha256(data).hexdigest())


def decode_grey(photo: PhotoFile, *, least_px: int = 0) -> NDArray[np.uint8] | Failure:
    """The photo as upright grey pixels, (height, width) uint8.

    A JPEG much larger than ``least_px`` on both sides is decoded at a half, quarter or eighth of
    its size, which is several times faster; 0 keeps the full size.
    """
    return _decoded(photo, "L", least_px)


def decode_rgb(photo: PhotoFile, *, least_px: int = 0) -> NDArray[np.uint8] | Failure:
    """The photo as upright colour pixels, (height, width, 3) uint8. See :func:`decode_grey`."""
    return _decoded(photo, "RGB", least_px)


def _decoded(photo: PhotoFile, mode: str, least_px: int) -> NDArray[np.uint8] | Failure:
    try:
        with Image.open(io.BytesIO(photo.data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                return Failure(photo.path, f"{width} x {height} pixels is too large; shrink it")
            if width * height > max(BOMB_PIXELS, BOMB_PIXELS_PER_BYTE * len(photo.data)):
                return Failure(
                    photo.path,
                    f"claims {width} x {height} pixels in {len(photo.data)} bytes; "
                    "a damaged file or a decompression bomb",
                )
            if least_px:
                image.draft("L" if mode == "L" else None, (least_px, least_px))
            return np.asarray(_upright(image, mode))
    except UnidentifiedImageError:
        return Failure(photo.path, f"not a picture in a known format ({', '.join(FORMATS)})")
    except (MemoryError, Image.DecompressionBombError):
        return Failure(photo.path, "too large to decode; shrink it")
    except Exception as error:  # decoders raise anything: SyntaxError, ValueError, struct.error
        return Failure(photo.path, f"damaged picture: {' '.join(str(error).split()) or 'unknown'}")


def _upright(image: Image.Image, mode: str) -> Image.Image:
    image.load()  # the first frame of an animation
    turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith("I") or turned.mode == "F":
        return _eight_bit(turned).convert(mode)
    if turned.mode in ("P", "PA", "LA", "La", "RGBA", "RGBa") and (
        turned.mode != "P" or "transparency" in turned.info
    ):
        # A see-through pixel has no colour of its own: lay the picture on mid-grey.
        layered = turned.convert("RGBA")
        ground = Image.new("RGBA", layered.size, (128, 128, 128, 255))
        return Image.alpha_composite(ground, layered).convert(mode)
    return turned if turned.mode == mode else turned.convert(mode)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale wide greys to 8 bits by their format's range: a plain convert turns them white."""
    pixels = np.asarray(image, dtype=np.float64)
    if image.mode.startswith("I;16") or (image.mode == "I" and pixels.max(initial=0) > 255):
        pixels = pixels / 257.0
    elif image.mode == "F" and pixels.max(initial=0.0) <= 1.0:
        pixels = pixels * 255.0
    return Image.fromarray(np.clip(np.nan_to_num(pixels), 0, 255).round().astype(np.uint8))
