"""Every named photo of a catalogue compared with its own whale's others and with all other whales.

Each comparison ends in log-odds by the model's calibration (:func:`flukeprint.groups.log_odds`):
that the photo is of a whale that it stands out as alike, against one in no catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flukeprint.decide import Calibration
from flukeprint.groups import SHOWN, Pair, log_odds
from flukeprint.rank import GalleryIndex, Likeness, compare, directions_of

BLOCK = 1_024  # photos compared with all whales at a time


@dataclass(frozen=True, slots=True)
class Compared:
    """N photos, sorted by their W whales, and how alike they are.

    ``rows`` (N,) and ``individuals`` (W,) are as the caller numbers them; ``starts`` (W + 1,) is
    where each whale's photos begin. ``background`` (N,) is how alike a photo is to strangers;
    ``own`` (N,) its log-odds of being its owner's, -inf where that has no other photo; ``best``
    those of being ``other``, which of all other whales it is likest. ``mean`` (W, W) float32 is
    the mean over a whale's photos of their log-odds of being another's, -inf of its own.
    """

    vectors: NDArray[np.float32]
    rows: NDArray[np.int64]
    individuals: NDArray[np.int64]
    starts: NDArray[np.int64]
    background: NDArray[np.float64]
    own: NDArray[np.float64]
    best: NDArray[np.float64]
    other: NDArray[np.int64]
    mean: NDArray[np.float32]

    def of(self, whale: int) -> NDArray[np.int64]:
        """Places of a whale's photos."""
        return np.arange(self.starts[whale], self.starts[whale + 1])

    def alike(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> tuple[Pair, ...]:
        """The most alike pairs between photos here and there, by the caller's rows."""
        similar = self.vectors[left] @ self.vectors[right].T
        made = []
        for place in np.argsort(-similar, axis=None, kind="stable")[:SHOWN].tolist():
            a, b = divmod(place, len(right))
            low, high = sorted((int(self.rows[left[a]]), int(self.rows[right[b]])))
            made.append(Pair(low, high, float(similar[a, b])))
        return tuple(made)


def compare_photos(
    vectors: NDArray[np.float32],
    rows: NDArray[np.int64],
    owners: NDArray[np.int64],
    by: Calibration,
) -> Compared:
    """Compare (N, D) unit vectors, sorted by their (N,) owners, a block of whales at a time."""
    individuals, whale_of = np.unique(owners, return_inverse=True)
    whales = len(individuals)
    starts = np.searchsorted(whale_of, np.arange(whales + 1))
    names = tuple(map(str, range(whales)))
    directions = directions_of(vectors, whale_of, whales)
    index = GalleryIndex(vectors, whale_of, names, ("",) * len(vectors), directions)
    background, own, best = np.full((3, len(rows)), -np.inf)
    other = np.zeros(len(rows), dtype=np.int64)
    mean = np.empty((whales, whales), dtype=np.float32)
    first = 0
    while first < whales:
        end = max(first + 1, int(np.searchsorted(starts, starts[first] + BLOCK, "right")) - 1)
        here = np.arange(starts[first], starts[end])
        block, mine = np.arange(len(here)), whale_of[here]
        alike = compare(vectors[here], index).whales
        alike[block, mine] = -np.inf
        background[here] = _background(alike, by)
        odds = log_odds(alike, background[here, None], by, whales)
        odds[block, mine] = -np.inf
        other[here] = odds.argmax(axis=1)
        best[here] = odds[block, other[here]]
        sums = np.add.reduceat(odds, starts[first:end] - starts[first], axis=0)
        mean[first:end] = sums / np.diff(starts[first : end + 1])[:, None]
        first = end
    for start, stop in pairwise(starts.tolist()):
        if stop - start > 1:
            part = slice(start, stop)
            own[part] = log_odds(_without_itself(vectors[part]), background[part], by, whales)
    return Compared(vectors, rows, individuals, starts, background, own, best, other, mean)


def _background(alike: NDArray[np.float32], by: Calibration) -> NDArray[np.float64]:
    """Of (N, W) likenesses to whales, -inf to a photo's own.

    The mean of the second to sixth others: the first may be its own whale under a second name.
    """
    none = np.full(len(alike), -np.inf, dtype=np.float32)
    found = Likeness(alike, none).background()
    return np.where(np.isnan(found), by.usual_background, found)


def _without_itself(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """How alike each of a whale's n photos is to its others, as :func:`compare` counts it: (n,)."""
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -np.inf)
    others = vectors.sum(axis=0) - vectors
    lengths = np.linalg.norm(others, axis=1)
    toward = np.einsum("nd,nd->n", vectors, others) / np.where(lengths > 0, lengths, 1.0)
    return np.asarray((similar.max(axis=1) + toward) / 2, dtype=np.float32)
