"""Groups of photos that look like one whale, among photos that nobody has named.

Pure functions on arrays. Two photos are taken for one whale by the beliefs of
:mod:`flukeprint.decide`, and groups grow by average linkage: two join where the mean log-odds over
all pairs of photos between them say so, which one chance likeness cannot bring about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flukeprint.decide import Calibration
from flukeprint.linkage import Cluster, link
from flukeprint.rank import BACKGROUND

BLOCK = 512  # photos compared with all others at a time: 30 MB for 15,000
NEAREST = 64  # other photos kept of each: a whale met more often may fall apart in two groups
FEW = 2 * (BACKGROUND + 1)  # photos from which on they tell how alike strangers are
SHOWN = 3  # pairs that a finding is shown with


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos by their rows, the smaller first, and their cosine."""

    first: int
    second: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of photos, sorted, that look like one whale.

    ``probability`` is that of the least sure of the joins that made it, 1 where the caller said
    that they belong together. ``pairs`` are the likeliest between photos that were joined, surest
    first.
    """

    photos: tuple[int, ...]
    probability: float
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class _Neighbours:
    """Each photo's most alike others, best first: (N, K) rows and cosines, -inf where none is.

    ``mean`` and ``spread`` (N,) are of its cosines to all others.
    """

    rows: NDArray[np.int64]
    similar: NDArray[np.float32]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Pairs:
    """P pairs of photos: their (P,) smaller and larger rows, cosines and log-odds."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    similar: NDArray[np.float32]
    odds: NDArray[np.float64]

    def pair(self, place: int) -> Pair:
        """One of them, to be shown."""
        return Pair(int(self.first[place]), int(self.second[place]), float(self.similar[place]))


def log_odds(
    alike: NDArray[np.floating], background: NDArray[np.float64], by: Calibration, whales: int
) -> NDArray[np.float64]:
    """Log-odds that a photo is of the whale it is so ``alike``, against one in no catalogue.

    Arrays that broadcast. The weight that :func:`flukeprint.decide.believe` gives one of ``whales``
    whales, but for how often that whale is met: a photo more under a name would make the name
    likelier. Some photos are like none of their own whale's; the log-odds fall no lower than that.
    """
    found = by.known_among(whales) + by.worth(alike) - by.background_gain * background
    return np.asarray(np.logaddexp(found, by.unlike_log_odds - math.log(max(whales, 1))))


def probability(odds: float) -> float:
    """Of natural log-odds, whatever their size."""
    return math.exp(-math.log1p(math.exp(-odds))) if odds > -500.0 else 0.0


def find_groups(
    vectors: NDArray[np.float32],
    calibration: Calibration,
    *,
    together: NDArray[np.int64] | None = None,
    background: NDArray[np.float64] | None = None,
    least: float = 0.5,
) -> list[Group]:
    """Group (N, D) float32 unit vectors by whale; groups of two photos or more, surest first.

    Photos with one number in ``together`` (N,), as twins have or an encounter of one whale, start
    as one. ``background`` (N,) is how alike each photo is to whales that it is not, where a
    catalogue tells; without it the photos themselves do, which takes it that most have fewer than
    six others of their whale. No join is less probable than ``least``.

    Raises:
        ValueError: ``least`` is no probability between 0 and 1.
    """
    if not 0.0 < least < 1.0:
        raise ValueError(f"least must lie between 0 and 1, not {least}")
    count = len(vectors)
    labels = np.arange(count) if together is None else np.asarray(together)
    _, unit = np.unique(labels, return_inverse=True)
    near = _neighbours(vectors, unit)
    known = _background(near, calibration) if background is None else background
    pairs = _pairs(near, known, calibration)
    # A pair that was not kept is taken for as unlike as a pair can be.
    base = calibration.unlike_log_odds - math.log(max(count, 1))
    clusters = link(
        np.bincount(unit).tolist(),
        _summed(pairs, unit, base),
        base=base,
        least=math.log(least / (1.0 - least)),
    )
    return _told(clusters, unit, pairs)


def _neighbours(vectors: NDArray[np.float32], unit: NDArray[np.int64]) -> _Neighbours:
    """Compare blockwise; photos of one unit are no neighbours."""
    count = len(vectors)
    kept = min(NEAREST, max(count - 1, 0))
    rows = np.zeros((count, kept), dtype=np.int64)
    similar = np.full((count, kept), -np.inf, dtype=np.float32)
    mean, spread = np.zeros((2, count))
    for start in range(0, count, BLOCK):
        here = slice(start, start + BLOCK)
        found = vectors[here] @ vectors.T
        same = unit[here, None] == unit[None]
        others = np.maximum((~same).sum(axis=1), 1)
        found[same] = 0.0
        mean[here] = found.sum(axis=1, dtype=np.float64) / others
        squares = np.einsum("ij,ij->i", found, found, dtype=np.float64) / others
        spread[here] = np.sqrt(np.maximum(squares - mean[here] ** 2, 0.0))
        found[same] = -np.inf
        some = np.argpartition(-found, max(kept - 1, 0), axis=1)[:, :kept]
        best = np.take_along_axis(found, some, axis=1)
        ranks = np.lexsort((some, -best), axis=1)
        rows[here] = np.take_along_axis(some, ranks, axis=1)
        similar[here] = np.take_along_axis(best, ranks, axis=1)
    return _Neighbours(rows, similar, mean, spread)


def _background(near: _Neighbours, calibration: Calibration) -> NDArray[np.float64]:
    """How alike each photo is to strangers: (N,), as :meth:`Likeness.background` would say.

    That is the mean of its second to sixth most alike, but those may well be of its own whale. So
    it is read off the mean and spread of all its cosines, and from how many spreads above the mean
    the second to sixth are of the middle photo.
    """
    most = near.similar[:, 1 : BACKGROUND + 1].astype(np.float64)
    if len(most) < FEW:
        return np.full(len(most), calibration.usual_background)
    there = np.isfinite(most).all(axis=1) & (near.spread > 0)
    if not there.any():
        return np.full(len(most), calibration.usual_background)
    above = (most[there].mean(axis=1) - near.mean[there]) / near.spread[there]
    return np.asarray(near.mean + np.median(above) * near.spread)


def _pairs(near: _Neighbours, background: NDArray[np.float64], by: Calibration) -> _Pairs:
    """All pairs of neighbours once, and their log-odds."""
    count = len(near.rows)
    own = np.repeat(np.arange(count), near.rows.shape[1])
    other, similar = near.rows.ravel(), near.similar.ravel()
    there = np.isfinite(similar)
    low, high = np.minimum(own, other)[there], np.maximum(own, other)[there]
    _, once = np.unique(low * count + high, return_index=True)
    first, second, similar = low[once], high[once], similar[there][once]
    between = (background[first] + background[second]) / 2
    return _Pairs(first, second, similar, log_odds(similar, between, by, count))


def _summed(pairs: _Pairs, unit: NDArray[np.int64], base: float) -> dict[tuple[int, int], float]:
    """The log-odds above ``base``, summed over the photos of each pair of units."""
    excess: dict[tuple[int, int], float] = {}
    low = np.minimum(unit[pairs.first], unit[pairs.second]).tolist()
    high = np.maximum(unit[pairs.first], unit[pairs.second]).tolist()
    for a, b, odds in zip(low, high, pairs.odds.tolist(), strict=True):
        excess[a, b] = excess.get((a, b), 0.0) + odds - base
    return excess


def _told(clusters: Sequence[Cluster], unit: NDArray[np.int64], pairs: _Pairs) -> list[Group]:
    """Clusters of units as groups of photos, surest first."""
    home = np.zeros(int(unit.max(initial=-1)) + 1, dtype=np.int64)
    for number, cluster in enumerate(clusters):
        home[list(cluster.members)] = number
    photos: dict[int, list[int]] = {}
    for row, number in enumerate(home[unit].tolist()):
        photos.setdefault(number, []).append(row)
    inside = np.flatnonzero(home[unit[pairs.first]] == home[unit[pairs.second]])
    likeliest: dict[int, list[int]] = {}
    for place in inside[np.argsort(-pairs.odds[inside], kind="stable")].tolist():
        likeliest.setdefault(int(home[unit[pairs.first[place]]]), []).append(place)
    made = []
    for number, rows in photos.items():
        if len(rows) > 1:
            shown = likeliest.get(number, [])[:SHOWN]
            group = Group(
                tuple(rows),
                probability(clusters[number].weakest),
                tuple(pairs.pair(place) for place in shown),
            )
            made.append((-clusters[number].weakest, group))
    return [group for _, group in sorted(made, key=lambda one: (one[0], one[1].photos))]
