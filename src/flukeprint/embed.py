"""Photos to embeddings: decode in threads, run the networks in batches, keep the results.

Files with the same bytes are embedded once. What is kept is keyed by the photo's hash and the
model's id, so a second run only does what is new and another model's embeddings are never used.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flukeprint.cache import Cache
from flukeprint.network import Network
from flukeprint.photos import decode_grey, read_photo
from flukeprint.records import Embeddings, Failure

BATCH = 64
SAVE_EVERY = 2_048
DETAIL = 4  # a photo is kept this many times larger than the crop: a fluke may fill a quarter of it


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
    """One photo read in a worker; ``pixels`` is None where its embedding is known."""

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
        for place, read in enumerate(_read_ahead(paths, network, kept)):
            if isinstance(read, Failure):
                failures[place] = read
            else:
                hashes[place] = read.sha256
                if read.pixels is not None:
                    waiting.append(read)
            if len(waiting) == BATCH:
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


def _read_ahead(paths: Sequence[Path], network: Network, kept: Cache) -> Iterator[_Read | Failure]:
    """Read in threads (Pillow decodes outside Python's lock), in order, a few batches ahead."""
    workers = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(max_workers=workers) as pool:
        ahead: deque[Future[_Read | Failure]] = deque()
        for path in paths:
            ahead.append(pool.submit(_read, path, network, kept))
            if len(ahead) > 2 * BATCH:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _read(path: Path, network: Network, kept: Cache) -> _Read | Failure:
    known = kept.hash_of(path)
    if known is not None and known in kept:
        return _Read(known)
    photo = read_photo(path)
    if isinstance(photo, Failure):
        return photo
    if photo.sha256 in kept:
        kept.remember(path, photo.sha256)
        return _Read(photo.sha256)
    manifest = network.model.manifest
    least_px = DETAIL * max(manifest.height_px, manifest.width_px)
    pixels = decode_grey(photo, least_px=least_px)
    if isinstance(pixels, Failure):
        return pixels
    shrink = min(pixels.shape) // least_px
    if shrink > 1:
        pixels = np.asarray(Image.fromarray(pixels).reduce(shrink))
    kept.remember(path, photo.sha256)
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
