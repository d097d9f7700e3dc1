"""What may be wrong in a catalogue: ranked suspicions for a person to judge. Pure functions.

All but twins hang on log-odds by the model's calibration (:func:`flukeprint.groups.log_odds`): that
a photo is of a whale that it stands out as alike, against one in no catalogue. A photo is compared
with its own whale's other photos, never with itself, and its background is how alike it is to the
second to sixth of the other whales, the first of which may be its own under a second name.

Twins say that a photo was filed twice, not that two photos show one whale: one photo of each set
is judged, and none of a set that lies under several names, which is a suspicion of its own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flukeprint.compared import Compared, compare_photos
from flukeprint.decide import Calibration
from flukeprint.groups import SHOWN, Pair, log_odds
from flukeprint.linkage import halves

MOST = 300  # suspicions of each kind
TWO_NAMES, TWO_WHALES, WRONG_NAME, TWINS = KINDS = (
    "two names",
    "two whales",
    "wrong name",
    "twins",
)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Something to look at; rows of photos and numbers of individuals are the caller's.

    ============  =====================  ==========================  ==============================
    kind          individuals            photos                      strength, in natural log-odds
    ============  =====================  ==========================  ==============================
    two names     both, smaller first    those of the evidence       that each whale's photos are
                                                                     of the other: the mean of each
                                                                     side, then of both sides
    two whales    the one                those to split off, the     minus the mean that photos
                                         fewer                       across the cut are of one
                                                                     whale; plus the logarithm of
                                                                     how many such pairs there are:
                                                                     a name given to more photos
                                                                     was oftener given wrongly
    wrong name    the owner, then whose  the one                     that it is the other's, less
                  it more likely is                                  that it is the owner's
    twins         all owners, sorted     the set                     that its two least alike
                                                                     photos under different names
                                                                     are of one whale
    ============  =====================  ==========================  ==============================

    ``evidence`` are up to three of the most alike photo pairs: between the two whales; across the
    cut; between the photo and the other whale, and last between it and its owner; of the twins.
    """

    kind: str
    individuals: tuple[int, ...]
    photos: tuple[int, ...]
    strength: float
    evidence: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """Suspicions, strongest first, and how many cases of each kind were ``judged`` for them."""

    suspicions: tuple[Suspicion, ...]
    judged: dict[str, int]


def audit(
    vectors: NDArray[np.float32],
    owners: NDArray[np.int64],
    twin_group: NDArray[np.int64],
    calibration: Calibration,
    most: int = MOST,
    settled: NDArray[np.bool_] | None = None,
) -> Audit:
    """Suspect the strongest ``most`` cases of each kind among N photos.

    ``vectors`` (N, D) float32 of length 1; ``owners`` (N,) int64 individuals, -1 for photos that
    nobody has named; ``twin_group`` (N,) int64, as :func:`flukeprint.twins.twin_groups` gives.
    Of photos ``settled`` (N,), which a person confirmed as their owner's, none is suspected of a
    wrong name, nor a whale of being two where those to split off are all such. Takes memory for
    some 17 bytes per two whales, and 16 per two photos of the whale that has most.
    """
    settled = np.zeros(len(owners), dtype=np.bool_) if settled is None else settled
    sets = _twins_apart(owners, twin_group)
    twins = _twins(vectors, owners, sets, calibration)
    found = {TWINS: twins}
    judged = dict.fromkeys(KINDS, 0) | {TWINS: len(twins)}
    kept = _to_judge(owners, twin_group)
    if len(kept):
        photos = compare_photos(vectors[kept], kept, owners[kept], calibration)
        whales, several = len(photos.individuals), np.diff(photos.starts) > 1
        judged[TWO_NAMES] = whales * (whales - 1) // 2
        judged[TWO_WHALES] = int(several.sum())
        judged[WRONG_NAME] = int(np.isfinite(photos.own).sum()) if whales > 1 else 0
        found[TWO_NAMES] = _two_names(photos, most)
        parted = [
            _two_whales(photos, whale, calibration) for whale in np.flatnonzero(several).tolist()
        ]
        found[TWO_WHALES] = [one for one in parted if not settled[list(one.photos)].all()]
        found[WRONG_NAME] = _wrong_names(photos, most, settled) if whales > 1 else []
    suspicions = [s for kind in found.values() for s in sorted(kind, key=_place)[:most]]
    return Audit(tuple(sorted(suspicions, key=_place)), judged)


def _place(suspicion: Suspicion) -> tuple[float, str, tuple[int, ...], tuple[int, ...]]:
    return -suspicion.strength, suspicion.kind, suspicion.individuals, suspicion.photos


def _twins_apart(
    owners: NDArray[np.int64], twin_group: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Rows of the named photos of each set of twins that lies under several names."""
    sets = defaultdict(list)
    for row in np.flatnonzero(owners >= 0).tolist():
        sets[int(twin_group[row])].append(row)
    rows = [np.array(part) for part in sets.values()]
    return [part for part in rows if len(np.unique(owners[part])) > 1]


def _to_judge(owners: NDArray[np.int64], twin_group: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first named row of each set of twins that lies under one name, sorted by its owner."""
    named = np.flatnonzero(owners >= 0)
    _, first, place = np.unique(twin_group[named], return_index=True, return_inverse=True)
    low, high = np.full((2, len(first)), owners[named][first])
    np.minimum.at(low, place, owners[named])
    np.maximum.at(high, place, owners[named])
    kept = np.sort(named[first[low == high]])
    return np.asarray(kept[np.argsort(owners[kept], kind="stable")], dtype=np.int64)


def _two_names(photos: Compared, most: int) -> list[Suspicion]:
    whales = len(photos.individuals)
    both = (photos.mean + photos.mean.T) / 2
    both[np.tri(whales, dtype=np.bool_)] = -np.inf
    pairs = whales * (whales - 1) // 2
    if not pairs or most < 1:
        return []
    # Not argpartition: which of several equals it lets in depends on the machine.
    bar = np.partition(both, both.size - min(most, pairs), axis=None)[both.size - min(most, pairs)]
    left, right = np.nonzero(both >= bar)
    first = np.argsort(-both[left, right], kind="stable")[:most]
    made = []
    for a, b in zip(left[first].tolist(), right[first].tolist(), strict=True):
        evidence = photos.alike(photos.of(a), photos.of(b))
        shown = sorted({row for pair in evidence for row in (pair.first, pair.second)})
        names = int(photos.individuals[a]), int(photos.individuals[b])
        made.append(Suspicion(TWO_NAMES, names, tuple(shown), float(both[a, b]), evidence))
    return made


def _two_whales(photos: Compared, whale: int, by: Calibration) -> Suspicion:
    """A whale's photos in two halves, as average linkage leaves them."""
    here = photos.of(whale)
    background = photos.background[here]
    between = (background[:, None] + background) / 2
    similar = photos.vectors[here] @ photos.vectors[here].T
    odds = log_odds(similar, between, by, len(photos.individuals))
    off, rest = halves(odds)
    across = float(odds[np.ix_(off, rest)].mean())
    return Suspicion(
        TWO_WHALES,
        (int(photos.individuals[whale]),),
        tuple(sorted(photos.rows[here[off]].tolist())),
        math.log(len(off) * len(rest)) - across,
        photos.alike(here[off], here[rest]),
    )


def _wrong_names(photos: Compared, most: int, settled: NDArray[np.bool_]) -> list[Suspicion]:
    judged = np.isfinite(photos.own) & ~settled[photos.rows]
    strength = np.where(judged, photos.best - photos.own, -np.inf)
    whale_of = np.repeat(np.arange(len(photos.individuals)), np.diff(photos.starts))
    made = []
    for place in np.argsort(-strength, kind="stable")[:most].tolist():
        if np.isneginf(strength[place]):
            break
        owner, other = int(whale_of[place]), int(photos.other[place])
        one, own = np.array([place]), photos.of(owner)
        evidence = photos.alike(one, photos.of(other))[: SHOWN - 1]
        evidence += photos.alike(one, own[own != place])[:1]
        names = int(photos.individuals[owner]), int(photos.individuals[other])
        row = (int(photos.rows[place]),)
        made.append(Suspicion(WRONG_NAME, names, row, float(strength[place]), evidence))
    return made


def _twins(
    vectors: NDArray[np.float32],
    owners: NDArray[np.int64],
    sets: list[NDArray[np.int64]],
    by: Calibration,
) -> list[Suspicion]:
    whales, usual = len(np.unique(owners[owners >= 0])), np.array([by.usual_background])
    made = []
    for rows in sets:
        similar = vectors[rows] @ vectors[rows].T
        first, second = np.nonzero(np.triu(owners[rows][:, None] != owners[rows]))
        between = similar[first, second]
        evidence = tuple(
            Pair(int(rows[first[p]]), int(rows[second[p]]), float(between[p]))
            for p in np.argsort(-between, kind="stable")[:SHOWN]
        )
        strength = float(log_odds(between.min(keepdims=True), usual, by, whales)[0])
        names = tuple(np.unique(owners[rows]).tolist())
        made.append(Suspicion(TWINS, names, tuple(rows.tolist()), strength, evidence))
    return made
