"""Find, hash and decode photos. A bad file becomes a Failure with a reason, never an exception."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from flukeprint.errors import FlukeprintError
from flukeprint.records import Failure
from flukeprint.wording import plural

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF")  # an MPO opens as the JPEG it begins with
"""The decoders that run. Every other one of Pillow's is attack surface that no camera needs."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif"})
UNREAD_SUFFIXES = frozenset(
    {".heic", ".heif", ".avif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2"}
)
"""What phones and cameras also write; named to the user where it is passed over."""

MAX_PIXELS = 80_000_000
MAX_BYTES = 256 * 1024 * 1024
# A real picture above this size never packs 1,000 pixels in a byte; a decompression bomb does.
BOMB_PIXELS, BOMB_PIXELS_PER_BYTE = 8_000_000, 1_000
LEAST_PX = 64  # enough to see whether a photo is whole; a large JPEG is decoded at an eighth
STRIP_PIXELS = 4_000_000  # converted at a time: a giant must not be in memory three times over
WHITES = (1.0, 255.0, 65_535.0, 4_294_967_295.0)  # of pictures with wide greys, by their brightest
EXIF_ORIENTATION = 0x0112
TURNS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: np.rot90,
}
"""What to do to a picture so that it stands upright, by its EXIF orientation."""
SIDEWAYS = frozenset({5, 6, 7, 8})


Result = TypeVar("Result")


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
        if os.path.isdir(path):
            inside = list(photos_under(path))
            if not inside:
                why = passed_over([path]) or f"looked for {', '.join(sorted(SUFFIXES))}"
                raise FlukeprintError(f"{path}: no photos in this folder ({why})")
            found.update(dict.fromkeys(inside))
        elif os.path.exists(path):
            found[path] = None
        else:
            raise FlukeprintError(f"{path}: no such photo or folder; check the spelling")
    return list(found)


def photos_under(folder: Path) -> Iterator[Path]:
    """Files in a folder that look like photos, hidden ones left out, in name order.

    Raises:
        FlukeprintError: a folder cannot be listed.
    """
    for parent, _, files in _walk(folder):
        yield from (parent / name for name in files if Path(name).suffix.lower() in SUFFIXES)


def left_out(paths: Iterable[Path]) -> list[str]:
    """A line for each folder with pictures that are passed over; see :func:`passed_over`."""
    skipped = ((folder, passed_over([folder])) for folder in paths if os.path.isdir(folder))
    return [f"{folder}: {line}" for folder, line in skipped if line]


def passed_over(folders: Iterable[Path]) -> str:
    """What in folders is not read: formats that flukeprint does not know, folders linked to.

    Raises:
        FlukeprintError: a folder cannot be listed.
    """
    kinds: Counter[str] = Counter()
    links: list[str] = []
    for folder in folders:
        for parent, inside, files in _walk(folder):
            kinds.update(Path(name).suffix.lower() for name in files)
            links += [str(parent / name) for name in inside if (parent / name).is_symlink()]
    unread = [f"{kinds[suffix]} {suffix}" for suffix in sorted(UNREAD_SUFFIXES & kinds.keys())]
    lines = [f"left out {', '.join(unread)}; save them as JPEG"] if unread else []
    if kinds[""]:
        bare = plural(kinds[""], "file")
        lines.append(f"left out {bare} whose name has no ending such as .jpg")
    if links:
        others = f" and {len(links) - 1:,} more" if len(links) > 1 else ""
        lines.append(f"left out the linked folder {links[0]}{others}; put copies of the photos in")
    return "; ".join(lines)


def _walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Each folder with the names of folders and files in it, in order, hidden ones left out.

    Linked folders are named and not entered: a link may lead back to where it came from.
    """
    for parent, folders, files in os.walk(folder, onerror=_cannot_list):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(parent), folders, sorted(name for name in files if not name.startswith("."))


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


def decode(photo: PhotoFile, channels: int, *, least_px: int = 0) -> NDArray[np.uint8] | Failure:
    """The photo as a model of so many channels sees it: 1 is grey, 3 is colour."""
    return (decode_rgb if channels == 3 else decode_grey)(photo, least_px=least_px)


def upright_size(photo: PhotoFile, pixels: NDArray[np.uint8]) -> tuple[int, int]:
    """Width and height in pixels of an upright photo that was decoded, maybe smaller, to pixels."""
    with Image.open(io.BytesIO(photo.data), formats=FORMATS) as image:
        if not isinstance(image, JpegImageFile):  # no other decoder makes a photo smaller
            return pixels.shape[1], pixels.shape[0]
        width, height = image.size
        return (height, width) if _orientation(image) in SIDEWAYS else (width, height)


class _Room:
    """Lets threads decode only so many pixels at once that memory stays bounded."""

    def __init__(self, pixels: int) -> None:
        self._free, self._size = pixels, pixels
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        pixels = min(pixels, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


_ROOM = _Room(MAX_PIXELS)


def whole(
    photo: PhotoFile, tell: Callable[[Image.Image, tuple[int, int]], Result]
) -> Result | Failure:
    """Decode a photo as small as can be, to see that it is whole; then what ``tell`` reads of it.

    ``tell`` is given the open picture, and its width and height in pixels as the file has them.
    """

    def check(image: Image.Image) -> Result:
        size_px = image.size
        image.draft("L", (LEAST_PX, LEAST_PX))
        with _ROOM.taken(image.size[0] * image.size[1]):
            image.load()
            return tell(image, size_px)

    return _opened(photo, check)


def _decoded(photo: PhotoFile, mode: str, least_px: int) -> NDArray[np.uint8] | Failure:
    def upright(image: Image.Image) -> NDArray[np.uint8]:
        if least_px:
            image.draft("L" if mode == "L" else None, (least_px, least_px))
        with _ROOM.taken(image.size[0] * image.size[1]):
            pixels = _flat(image, mode)
            return np.ascontiguousarray(TURNS.get(_orientation(image), np.asarray)(pixels))

    return _opened(photo, upright)


def _opened(photo: PhotoFile, use: Callable[[Image.Image], Result]) -> Result | Failure:
    """What ``use`` makes of the open picture, or why it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(photo.data), formats=FORMATS) as image:
            wrong = _wrong_size(image, len(photo.data))
            return Failure(photo.path, wrong) if wrong else use(image)
    except UnidentifiedImageError:
        known = ", ".join(FORMATS)
        return Failure(photo.path, f"not a picture in a known format ({known}); save it as JPEG")
    except (MemoryError, Image.DecompressionBombError):
        return Failure(photo.path, "too large to decode; shrink it")
    except Exception as error:  # decoders raise anything: SyntaxError, ValueError, struct.error
        return Failure(photo.path, f"damaged picture: {' '.join(str(error).split()) or 'unknown'}")


def _wrong_size(image: Image.Image, size_bytes: int) -> str | None:
    width, height = image.size
    # Pillow's WebP decoder holds every pixel four times.
    if width * height > (MAX_PIXELS // 2 if image.format == "WEBP" else MAX_PIXELS):
        return f"{width} x {height} pixels is too large; shrink it"
    if width * height > max(BOMB_PIXELS, BOMB_PIXELS_PER_BYTE * size_bytes):
        return (
            f"claims {width} x {height} pixels in {size_bytes} bytes; "
            "a damaged file or a decompression bomb"
        )
    return None


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(EXIF_ORIENTATION, 1))
    except Exception:  # the parser raises anything; the pixels are whole all the same
        return 1


def _flat(image: Image.Image, mode: str) -> NDArray[np.uint8]:
    """The picture's first frame, opaque: (height, width) for "L", (height, width, 3) for "RGB"."""
    image.load()
    wide = image.mode == "F" or image.mode.startswith("I")
    white = _white(image) if wide else 255.0
    width, height = image.size
    flat = np.empty((height, width) if mode == "L" else (height, width, 3), dtype=np.uint8)
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        strip = _eight_bit(strip, white) if wide else _opaque(strip)
        flat[top : top + rows] = np.asarray(strip.convert(mode))
    return flat


def _opaque(strip: Image.Image) -> Image.Image:
    """Lay a see-through picture on mid-grey: a see-through pixel has no colour of its own."""
    if strip.mode not in ("PA", "LA", "La", "RGBA", "RGBa") and (
        strip.mode != "P" or "transparency" not in strip.info
    ):
        return strip
    ground = Image.new("RGBA", strip.size, (128, 128, 128, 255))
    return Image.alpha_composite(ground, strip.convert("RGBA"))


def _white(image: Image.Image) -> float:
    """The value that is white in a picture with wide greys: a plain convert clips at 255."""
    if image.mode.startswith("I;16"):
        return 65_535.0
    pixels = np.asarray(image)
    brightest = float(np.max(pixels, initial=0, where=np.isfinite(pixels)))
    return next((white for white in WHITES[image.mode == "I" :] if brightest <= white), brightest)


def _eight_bit(strip: Image.Image, white: float) -> Image.Image:
    pixels = np.asarray(strip, dtype=np.float64) * (255.0 / white)
    pixels = np.clip(np.nan_to_num(pixels, nan=0.0), 0.0, 255.0)
    return Image.fromarray(pixels.round().astype(np.uint8))
