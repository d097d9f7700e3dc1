"""From photo similarities to whale similarities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flukeprint.records import NEW_WHALE

BACKGROUND = 5  # whales that tell how alike strangers are here


@dataclass(frozen=True, slots=True)
class GalleryIndex:
    """A gallery ready to be compared with: one row per photo and label.

    ``vectors`` (N, D) float32; ``whale_of`` (N,) int64 indexes ``individuals``, -1 for photos
    labelled ``new_whale``; ``photos`` names the N photos. ``directions`` (W, D) float32 holds the
    unit vector that each whale's photos point to on average.
    """

    vectors: NDArray[np.float32]
    whale_of: NDArray[np.int64]
    individuals: tuple[str, ...]
    photos: tuple[str, ...]
    directions: NDArray[np.float32]


def index_gallery(
    vectors: NDArray[np.float32], labels: list[str], photos: list[str]
) -> GalleryIndex:
    """Index N embeddings by their N labels, sorted by whale; ``new_whale`` is no candidate."""
    individuals = tuple(sorted(set(labels) - {NEW_WHALE}))
    number = {individual: row for row, individual in enumerate(individuals)}
    whale_of = np.array([number.get(label, -1) for label in labels], dtype=np.int64)
    order = np.argsort(whale_of, kind="stable")
    vectors, whale_of = vectors[order], whale_of[order]
    return GalleryIndex(
        vectors,
        whale_of,
        individuals,
        tuple(photos[row] for row in order),
        directions_of(vectors, whale_of, len(individuals)),
    )


def directions_of(
    vectors: NDArray[np.float32], whale_of: NDArray[np.int64], count: int
) -> NDArray[np.float32]:
    """Where each of ``count`` whales' photos point on average, unit vectors: (count, D)."""
    sums = np.zeros((count, vectors.shape[1]), dtype=np.float32)
    known = whale_of >= 0
    np.add.at(sums, whale_of[known], vectors[known])
    lengths: NDArray[np.float32] = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths > 0)


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike Q queries are to W whales.

    ``whales`` (Q, W) float32 cosines (or a softmax model's logits); ``new`` (Q,) float32 is the
    likeness to the best photo labelled ``new_whale``, -inf without any. ``photos`` (W,) int64 says
    how many photos there are of each whale; None where that tells nothing.
    """

    whales: NDArray[np.float32]
    new: NDArray[np.float32]
    photos: NDArray[np.int64] | None = None

    def background(self) -> NDArray[np.float64]:
        """How alike each query is to whales that it is not: (Q,), nan where fewer than two are.

        The mean of the second to sixth most alike: at most one whale is the right one, and that
        is most often the first.
        """
        if self.whales.shape[1] < 2:
            return np.full(len(self.whales), np.nan)
        most = -np.partition(-self.whales, min(BACKGROUND, self.whales.shape[1] - 1), axis=1)
        ranked = -np.sort(-most[:, : BACKGROUND + 1], axis=1)
        others = ranked[:, 1:].astype(np.float64)
        there = np.isfinite(others)  # a softmax model's whale that it was never taught is not
        total = np.where(there, others, 0.0).sum(axis=1)
        count = there.sum(axis=1)
        mean = np.full(len(total), np.nan)
        np.divide(total, count, out=mean, where=count > 0)
        return mean


def compare(queries: NDArray[np.float32], gallery: GalleryIndex) -> Likeness:
    """Compare (Q, D) unit vectors with a gallery; exact.

    A whale's likeness is halfway between that of its best photo and that of its photos' mean
    direction: one lucky photo counts for less than several that agree.
    """
    alone = nearest(queries, gallery)
    whales = (alone.whales + queries @ gallery.directions.T) / 2
    return Likeness(np.asarray(whales, dtype=np.float32), alone.new, alone.photos)


def nearest(queries: NDArray[np.float32], gallery: GalleryIndex) -> Likeness:
    """How alike (Q, D) unit vectors are to each whale's best photo alone."""
    similar = queries @ gallery.vectors.T
    first = int(np.searchsorted(gallery.whale_of, 0))
    new = similar[:, :first].max(axis=1, initial=-np.inf)
    if not gallery.individuals:
        return Likeness(np.empty((len(queries), 0), dtype=np.float32), new)
    starts = np.searchsorted(gallery.whale_of, np.arange(len(gallery.individuals)))
    photos = np.diff(np.append(starts, len(gallery.whale_of)))
    return Likeness(np.maximum.reduceat(similar, starts, axis=1), new, photos)


def taught_likeness(
    logits: NDArray[np.float32], individuals: Sequence[str], classes: Sequence[str]
) -> Likeness:
    """Likeness of Q queries to ``individuals`` by a classifier's (Q, len(classes)) logits.

    A whale that it was never taught is like nothing to it: -inf.
    """
    column = {name: place for place, name in enumerate(classes)}
    whales = np.full((len(logits), len(individuals)), -np.inf, dtype=np.float32)
    taught = [row for row, name in enumerate(individuals) if name in column]
    whales[:, taught] = logits[:, [column[individuals[row]] for row in taught]]
    if NEW_WHALE in column:
        return Likeness(whales, logits[:, column[NEW_WHALE]])
    return Likeness(whales, np.full(len(logits), -np.inf, dtype=np.float32))


def best_photos(
    query: NDArray[np.float32], gallery: GalleryIndex, whale: int, count: int
) -> tuple[str, ...]:
    """A whale's ``count`` photos most like one (D,) query, best first."""
    start, stop = np.searchsorted(gallery.whale_of, [whale, whale + 1])
    ranks = np.argsort(-(gallery.vectors[start:stop] @ query), kind="stable")
    return tuple(gallery.photos[start + rank] for rank in ranks[:count])
