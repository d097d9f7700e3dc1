"""From photo similarities to whale similarities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flukeprint.records import NEW_WHALE


@dataclass(frozen=True, slots=True)
class GalleryIndex:
    """A gallery ready to be compared with: one row per photo and label.

    ``vectors`` (N, D) float32; ``whale_of`` (N,) int64 indexes ``individuals``, -1 for photos
    labelled ``new_whale``; ``photos`` names the N photos.
    """

    vectors: NDArray[np.float32]
    whale_of: NDArray[np.int64]
    individuals: tuple[str, ...]
    photos: tuple[str, ...]

    @property
    def photos_per_whale(self) -> NDArray[np.int64]:
        """(W,) int64."""
        known = self.whale_of[self.whale_of >= 0]
        return np.bincount(known, minlength=len(self.individuals)).astype(np.int64)


def index_gallery(
    vectors: NDArray[np.float32], labels: list[str], photos: list[str]
) -> GalleryIndex:
    """Index N embeddings by their N labels, sorted by whale; ``new_whale`` is no candidate."""
    individuals = tuple(sorted(set(labels) - {NEW_WHALE}))
    number = {individual: row for row, individual in enumerate(individuals)}
    whale_of = np.array([number.get(label, -1) for label in labels], dtype=np.int64)
    order = np.argsort(whale_of, kind="stable")
    return GalleryIndex(
        vectors[order], whale_of[order], individuals, tuple(photos[row] for row in order)
    )


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike Q queries are to W whales, by the best photo of each.

    ``whales`` (Q, W) float32 cosines (or a softmax model's logits); ``new`` (Q,) float32 is the
    likeness to the best photo labelled ``new_whale``, -inf without any.
    """

    whales: NDArray[np.float32]
    new: NDArray[np.float32]


def compare(queries: NDArray[np.float32], gallery: GalleryIndex) -> Likeness:
    """Compare (Q, D) unit vectors with a gallery; exact."""
    similar = queries @ gallery.vectors.T
    first = int(np.searchsorted(gallery.whale_of, 0))
    new = similar[:, :first].max(axis=1, initial=-np.inf)
    if not gallery.individuals:
        return Likeness(np.empty((len(queries), 0), dtype=np.float32), new)
    starts = np.searchsorted(gallery.whale_of, np.arange(len(gallery.individuals)))
    return Likeness(np.maximum.reduceat(similar, starts, axis=1), new)


def best_photos(
    query: NDArray[np.float32], gallery: GalleryIndex, whale: int, count: int
) -> tuple[str, ...]:
    """A whale's ``count`` photos most like one (D,) query, best first."""
    start, stop = np.searchsorted(gallery.whale_of, [whale, whale + 1])
    ranks = np.argsort(-(gallery.vectors[start:stop] @ query), kind="stable")
    return tuple(gallery.photos[start + rank] for rank in ranks[:count])
