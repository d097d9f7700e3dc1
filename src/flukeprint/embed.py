"""Photos to embeddings: decode in threads, run the networks in batches, keep the results.

Files with the same bytes are embedded once. What is kept is keyed by the photo's hash and the
model's id, so a second run only does what is new and another model's embeddings are never used.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flukeprint.cache import Cache, Stamp, stamp_of
from flukeprint.network import Network, available_cores
from flukeprint.photos import decode, read_photo
from flukeprint.records import Embeddings, Failure

BATCH = 64
SAVE_EVERY = 2_048
DETAIL = 4  # a photo is kept this many times larger than the crop: a fluke may fill a quarter of it
WAITING_BYTES = 128 * 1024 * 1024  # of photos read and not yet embedded
GIANT_BYTES = 16 * 1024 * 1024  # files above are read one at a time, so that memory stays bounded
_GIANT = threading.Lock()


@dataclass(frozen=True, slots=True)
class EmbeddedPhotos:
    """The photos that could be read, and those that could not.

    ``places`` (N,) int64 says which of the paths asked for each embedding belongs to.
    """

    embeddings: Embeddings
    places: NDArray[np.int64]
    failures: dict[int, Failure]


@dataclass(frozen=True, slots=True)
class _Read:
    """One photo read in a worker; ``pixels`` is None where its embedding is known.

    Grey (H, W) or colour (H, W, 3), as the model sees photos; ``squashed`` is always grey.
    """

    sha256: str
    pixels: NDArray[np.uint8] | None = None
    squashed: NDArray[np.uint8] | None = None


def embed_photos(
    paths: Sequence[Path],
    network: Network,
    cache: Cache | None = None,
    progress: Callable[[int], object] | None = None,
) -> EmbeddedPhotos:
    """Embed photos in order; a bad photo is a failure on that photo.

    ``progress`` is told how many photos were just finished. An interrupted run has saved all but
    its last few batches in the cache.
    """
    kept = cache if cache is not None else Cache(None, network.model.id)
    hashes: dict[int, str] = {}
    failures: dict[int, Failure] = {}
    waiting: list[_Read] = []
    try:
        with closing(_read_ahead(paths, network, kept)) as reads:
            for place, read in enumerate(reads):
                if isinstance(read, Failure):
                    failures[place] = read
                else:
                    hashes[place] = read.sha256
                    if read.pixels is not None:
                        waiting.append(read)
                if len(waiting) == BATCH or _bytes(waiting) > WAITING_BYTES:
                    _embed_batch(waiting, network, kept)
                    waiting = []
                    if kept.unsaved >= SAVE_EVERY:
                        kept.save()
                if progress:
                    progress(1)
        if waiting:
            _embed_batch(waiting, network, kept)
    finally:
        kept.save()
    for place in [place for place, sha in hashes.items() if not np.isfinite(kept[sha]).all()]:
        failures[place] = Failure(paths[place], "the model makes nothing of it (not a number)")
        del hashes[place]
    return EmbeddedPhotos(
        _collected(list(hashes.values()), kept, network),
        np.array(list(hashes), dtype=np.int64),
        failures,
    )


def _collected(hashes: list[str], kept: Cache, network: Network) -> Embeddings:
    size = network.model.manifest.embedding_size
    vectors = np.empty((len(hashes), size), dtype=np.float32)
    for row, sha256 in enumerate(hashes):
        vectors[row] = kept[sha256]
    return Embeddings(vectors, tuple(hashes), network.model.id)


def _read_ahead(
    paths: Sequence[Path], network: Network, kept: Cache
) -> Generator[_Read | Failure, None, None]:
    """Read in threads (Pillow decodes outside Python's lock), in order, a few batches ahead."""
    manifest = network.model.manifest
    most_bytes = (2 * DETAIL) ** 2 * manifest.height_px * manifest.width_px * manifest.channels
    workers = available_cores()
    most_ahead = max(workers, min(2 * BATCH, WAITING_BYTES // most_bytes))
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        ahead: deque[Future[_Read | Failure]] = deque()
        for path in paths:
            ahead.append(pool.submit(_read, path, network, kept))
            if len(ahead) > most_ahead:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _bytes(reads: list[_Read]) -> int:
    return sum(read.pixels.nbytes for read in reads if read.pixels is not None)


def _read(path: Path, network: Network, kept: Cache) -> _Read | Failure:
    known = kept.hash_of(path)
    if known is not None and known in kept:
        return _Read(known)
    stamp = stamp_of(path)
    with _GIANT if stamp and int(stamp[0]) > GIANT_BYTES else nullcontext():
        return _read_fresh(path, network, kept, stamp)


def _read_fresh(path: Path, network: Network, kept: Cache, stamp: Stamp | None) -> _Read | Failure:
    photo = read_photo(path)
    if isinstance(photo, Failure):
        return photo
    if photo.sha256 in kept:
        kept.remember(path, photo.sha256, stamp)
        return _Read(photo.sha256)
    manifest = network.model.manifest
    least_px = DETAIL * max(manifest.height_px, manifest.width_px)
    pixels = decode(photo, manifest.channels, least_px=least_px)
    if isinstance(pixels, Failure):
        return pixels
    # Each side on its own: a panorama is as small in memory as any other photo.
    across, down = (
        max(1, side // (DETAIL * side_px))
        for side, side_px in zip(
            pixels.shape[1::-1], (manifest.width_px, manifest.height_px), strict=True
        )
    )
    if across > 1 or down > 1:
        pixels = np.asarray(Image.fromarray(pixels).reduce((across, down)))
    kept.remember(path, photo.sha256, stamp)
    return _Read(photo.sha256, pixels, network.squash(pixels))


def _embed_batch(batch: list[_Read], network: Network, kept: Cache) -> None:
    fresh = list({read.sha256: read for read in batch if read.sha256 not in kept}.values())
    if not fresh:
        return
    boxes = network.locate([read.squashed for read in fresh if read.squashed is not None])
    crops = [
        network.cut(read.pixels, box)
        for read, box in zip(fresh, boxes, strict=True)
        if read.pixels is not None
    ]
    for read, vector in zip(fresh, network.embed(crops), strict=True):
        kept.add(read.sha256, vector)
