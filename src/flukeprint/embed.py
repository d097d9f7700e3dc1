"""Photos to embeddings: look at them, run the embedder in batches, keep the results.

Files with the same bytes are embedded once. What is kept is keyed by the photo's hash, the model's
id and the box, where a person named one, so a second run only does what is new and what another
model or another box made of a photo is never used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flukeprint.cache import Cache, Known, stamp_of
from flukeprint.look import NO_BOXES, Shrunk, in_turn, is_enough, look, shrink
from flukeprint.network import Network
from flukeprint.photos import read_photo
from flukeprint.records import Box, Embeddings, Failure, Look

SAVE_EVERY = 2_048


@dataclass(frozen=True, slots=True)
class EmbeddedPhotos:
    """The photos that could be read, and those that could not.

    ``places`` (N,) int64 says which of the paths asked for each embedding belongs to; ``looks``
    are the N photos' flukes. A photo without a fluke has an embedding, too: of what is likest one.
    """

    embeddings: Embeddings
    looks: tuple[Look, ...]
    places: NDArray[np.int64]
    failures: dict[int, Failure]


def embed_photos(
    paths: Sequence[Path],
    network: Network,
    cache: Cache | None = None,
    progress: Callable[[int], object] | None = None,
    boxes: Mapping[str, Box] = NO_BOXES,
) -> EmbeddedPhotos:
    """Embed photos in order; a bad photo is a failure on that photo.

    ``boxes``, by SHA-256, are where a person says that the fluke is.

    ``progress`` is told how many photos were just finished. An interrupted run has saved all but
    its last few batches in the cache.
    """
    kept = cache if cache is not None else Cache(None, network.model.id)
    hashes: dict[int, str] = {}
    failures: dict[int, Failure] = {}
    waiting: list[Shrunk] = []

    def read(path: Path) -> Shrunk | Failure | str:
        return _read(path, network, kept, boxes)

    try:
        with closing(in_turn(paths, read, network)) as reads:
            for place, one in enumerate(reads):
                if isinstance(one, Failure):
                    failures[place] = one
                elif isinstance(one, str):
                    hashes[place] = one
                else:
                    hashes[place] = one.sha256
                    waiting.append(one)
                if is_enough(waiting):
                    _embed_batch(waiting, network, kept, boxes)
                    waiting = []
                    if kept.unsaved >= SAVE_EVERY:
                        kept.save_embeddings()
                if progress:
                    progress(1)
        if waiting:
            _embed_batch(waiting, network, kept, boxes)
    finally:
        kept.save()
    known = {sha256: kept[_key(sha256, boxes)] for sha256 in hashes.values()}
    for place in [place for place, sha in hashes.items() if not np.isfinite(known[sha][0]).all()]:
        failures[place] = Failure(paths[place], "the model makes nothing of it (not a number)")
        del hashes[place]
    there = list(hashes.values())
    return EmbeddedPhotos(
        _collected(there, known, network),
        tuple(known[sha256][1] for sha256 in there),
        np.array(list(hashes), dtype=np.int64),
        failures,
    )


def _collected(hashes: list[str], known: Mapping[str, Known], network: Network) -> Embeddings:
    size = network.model.manifest.embedding_size
    vectors = np.empty((len(hashes), size), dtype=np.float32)
    for row, sha256 in enumerate(hashes):
        vectors[row] = known[sha256][0]
    return Embeddings(vectors, tuple(hashes), network.model.id)


def _key(sha256: str, boxes: Mapping[str, Box]) -> str:
    """Under which key a photo is kept: with a person's box it is another embedding."""
    return f"{sha256} {boxes[sha256].corners}" if sha256 in boxes else sha256


def _read(
    path: Path, network: Network, kept: Cache, boxes: Mapping[str, Box] = NO_BOXES
) -> Shrunk | Failure | str:
    """One photo to embed, why it cannot be, or the hash of one whose embedding is known."""
    known = kept.hash_of(path)
    if known is not None and _key(known, boxes) in kept:
        return known
    stamp = stamp_of(path)
    photo = read_photo(path)
    if isinstance(photo, Failure):
        return photo
    if _key(photo.sha256, boxes) in kept:
        kept.remember(path, photo.sha256, stamp)
        return photo.sha256
    one = shrink(photo, network)
    if not isinstance(one, Failure):
        kept.remember(path, photo.sha256, stamp)
    return one


def _embed_batch(
    batch: list[Shrunk], network: Network, kept: Cache, boxes: Mapping[str, Box]
) -> None:
    unseen = [photo for photo in batch if _key(photo.sha256, boxes) not in kept]
    fresh = list({photo.sha256: photo for photo in unseen}.values())
    if not fresh:
        return
    looks, cuts = look(fresh, network, boxes)
    for photo, seen, vector in zip(fresh, looks, network.embed(cuts), strict=True):
        kept.add(_key(photo.sha256, boxes), vector, seen)
