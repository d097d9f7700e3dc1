"""Look at photos: read them ahead in threads, find each one's fluke, measure and cut it."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from flukeprint.crops import evened
from flukeprint.files import make_folder, write_bytes
from flukeprint.network import Network, available_cores
from flukeprint.photos import PhotoFile, decode, read_photo, upright_size
from flukeprint.quality import quality_of
from flukeprint.records import Box, Failure, Fluke, Look

BATCH = 64
DETAIL = 4  # a photo is kept this many times larger than the crop: a fluke may fill a quarter of it
WAITING_BYTES = 128 * 1024 * 1024  # of photos read and not yet looked at
GIANT_BYTES = 16 * 1024 * 1024  # files above are read one at a time, so that memory stays bounded
MADE_BY, HEAD_BYTES = ("Software", "flukeprint"), 256  # what a crop's file says near its beginning
_GIANT = threading.Lock()

NO_BOXES: Mapping[str, Box] = MappingProxyType({})
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A photo as large as a model has use for.

    ``pixels`` are grey (H, W) or colour (H, W, 3) as the model sees photos, ``squashed`` is always
    grey, ``size_px`` the width and height of the whole upright photo.
    """

    sha256: str
    pixels: NDArray[np.uint8]
    squashed: NDArray[np.uint8]
    size_px: tuple[int, int]


def shrink(photo: PhotoFile, network: Network) -> Shrunk | Failure:
    """Decode a photo and shrink it to what the model needs."""
    manifest = network.model.manifest
    least_px = DETAIL * max(manifest.height_px, manifest.width_px)
    pixels = decode(photo, manifest.channels, least_px=least_px)
    if isinstance(pixels, Failure):
        return pixels
    size_px = upright_size(photo, pixels)
    # Each side on its own: a panorama is as small in memory as any other photo.
    across, down = (
        max(1, side // (DETAIL * side_px))
        for side, side_px in zip(
            pixels.shape[1::-1], (manifest.width_px, manifest.height_px), strict=True
        )
    )
    if across > 1 or down > 1:
        pixels = np.asarray(Image.fromarray(pixels).reduce((across, down)))
    return Shrunk(photo.sha256, pixels, network.squash(pixels), size_px)


def look(
    photos: Sequence[Shrunk], network: Network, boxes: Mapping[str, Box] = NO_BOXES
) -> tuple[list[Look], list[NDArray[np.uint8]]]:
    """Find the fluke in each photo: what there is to see, and the crops for the embedder.

    ``boxes``, by SHA-256, are where a person says that the fluke is.
    """
    looks, cuts = [], []
    found = network.locate([photo.squashed for photo in photos])
    for photo, fluke in zip(photos, found, strict=True):
        if photo.sha256 in boxes:
            fluke = _corrected(fluke, boxes[photo.sha256])
        cuts.append(network.cut(photo.pixels, fluke))
        looks.append(Look(fluke, quality_of(photo.pixels, fluke, photo.size_px)))
    return looks, cuts


def _corrected(fluke: Fluke, box: Box) -> Fluke:
    """The fluke where a person says it is; how it lies is known only if that was the same one."""
    (x0, y0, x1, y1), (a0, b0, a1, b1) = fluke.box.corners, box.corners
    same = max(x0, a0) <= min(x1, a1) and max(y0, b0) <= min(y1, b1)
    if same:
        return replace(fluke, box=box, probability=1.0)
    return Fluke(box, others=fluke.others + int(fluke.seen))


def look_at(
    paths: Sequence[Path], network: Network
) -> Generator[tuple[Path, Failure | Look, NDArray[np.uint8] | None], None, None]:
    """Look at photos in order: each path, what was seen, and the crop; a bad photo is a failure."""

    def read(path: Path) -> Shrunk | Failure:
        photo = read_photo(path)
        return photo if isinstance(photo, Failure) else shrink(photo, network)

    batch: list[tuple[Path, Shrunk | Failure]] = []
    with closing(in_turn(paths, read, network)) as shrunk:
        for path, one in zip(paths, shrunk, strict=True):
            batch.append((path, one))
            if is_enough([photo for _, photo in batch if isinstance(photo, Shrunk)]):
                yield from _seen(batch, network)
                batch = []
    yield from _seen(batch, network)


def _seen(
    batch: Sequence[tuple[Path, Shrunk | Failure]], network: Network
) -> Generator[tuple[Path, Failure | Look, NDArray[np.uint8] | None], None, None]:
    photos = [one for _, one in batch if isinstance(one, Shrunk)]
    seen = zip(*look(photos, network), strict=True) if photos else iter(())
    for path, one in batch:
        if isinstance(one, Failure):
            yield path, one, None
        else:
            yield path, *next(seen)


def write_crop(cut: NDArray[np.uint8], photo: Path, out: Path, taken: set[str]) -> Path:
    """Write a crop as a PNG named like its photo, numbered where that name is ``taken``.

    ``taken`` holds names in lower case, and gets the new one.

    Raises:
        FlukeprintError: the folder cannot be made or written to.
    """
    name, number = f"{photo.stem}.png", 1
    while name.lower() in taken:
        number += 1
        name = f"{photo.stem}-{number}.png"
    taken.add(name.lower())
    stream = io.BytesIO()
    marks = PngInfo()
    marks.add_text(*MADE_BY)
    Image.fromarray(evened(cut)).save(stream, "PNG", pnginfo=marks)
    write_bytes(make_folder(out) / name, stream.getvalue())
    return out / name


def is_crop(path: Path) -> bool:
    """Whether a file is a crop as :func:`write_crop` makes them, which another may replace."""
    try:
        with path.open("rb") as file:
            return "\0".join(MADE_BY).encode() in file.read(HEAD_BYTES)
    except OSError:
        return False


def is_enough(waiting: Sequence[Shrunk]) -> bool:
    """Whether so many photos are a batch, or too much to keep in memory for more."""
    return len(waiting) == BATCH or sum(photo.pixels.nbytes for photo in waiting) > WAITING_BYTES


def in_turn(
    paths: Sequence[Path], read: Callable[[Path], Result], network: Network
) -> Generator[Result, None, None]:
    """Read in threads (Pillow decodes outside Python's lock), in order, a few batches ahead."""
    manifest = network.model.manifest
    most_bytes = (2 * DETAIL) ** 2 * manifest.height_px * manifest.width_px * manifest.channels
    workers = available_cores()
    most_ahead = max(workers, min(2 * BATCH, WAITING_BYTES // most_bytes))
    pool = ThreadPoolExecutor(max_workers=workers)

    def one(path: Path) -> Result:
        with _GIANT if _is_giant(path) else nullcontext():
            return read(path)

    try:
        ahead: deque[Future[Result]] = deque()
        for path in paths:
            ahead.append(pool.submit(one, path))
            if len(ahead) > most_ahead:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _is_giant(path: Path) -> bool:
    try:
        return path.stat().st_size > GIANT_BYTES
    except (OSError, ValueError):
        return False
