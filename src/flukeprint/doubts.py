"""A catalogue looked over by a model: what may be wrong in it, and who may be on unnamed photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flukeprint.cache import Cache
from flukeprint.catalogue import Catalogue, PhotoNow
from flukeprint.catalogued import CatalogueGallery, gallery_rows, known_vectors, place_of
from flukeprint.decide import Calibration
from flukeprint.groups import Group, Pair, find_groups
from flukeprint.network import Network
from flukeprint.progress import Progress, no_progress
from flukeprint.rank import compare
from flukeprint.records import Failure
from flukeprint.replies import (
    IN_WORDS,
    Suspected,
    dismissals,
    is_confirmed,
    is_denied,
    one_whale,
    remedy,
)
from flukeprint.suspicions import audit
from flukeprint.twins import glance_all, twin_groups


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two photos by number and how alike they are, a cosine."""

    photos: tuple[int, int]
    similarity: float


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something to look at: see :class:`flukeprint.suspicions.Suspicion`.

    ``individuals`` and ``photos`` are numbers in the catalogue. ``remedy`` is the catalogue command
    that would put it right, with the evidence as its reason; empty where there is none. After
    ``dismissals``, which say that all is right as it is, it is not doubted again.
    """

    kind: str
    individuals: tuple[int, ...]
    photos: tuple[int, ...]
    strength: float
    evidence: tuple[Evidence, ...]
    remedy: tuple[str, ...]
    dismissals: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Together:
    """Unidentified photos that look like one whale; ``probability`` is of the least sure join.

    ``remedy`` is the catalogue command that would make them one, with the evidence as its reason.
    """

    photos: tuple[int, ...]
    probability: float
    evidence: tuple[Evidence, ...]
    remedy: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    """The N catalogued photos at hand, in number order, and their (N, D) float32 embeddings."""

    photos: list[PhotoNow]
    vectors: NDArray[np.float32]
    failures: tuple[Failure, ...]

    def evidence(self, pairs: Sequence[Pair]) -> tuple[Evidence, ...]:
        """Pairs of rows as numbers of photos."""
        return tuple(
            Evidence(
                (self.photos[one.first].number, self.photos[one.second].number), one.similarity
            )
            for one in pairs
        )


def audit_catalogue(
    catalogue: Catalogue,
    network: Network,
    *,
    cache: Cache | None = None,
    most: int = 100,
    note: bool = True,
    progress: Progress = no_progress,
) -> tuple[list[Doubt], tuple[Failure, ...]]:
    """The strongest ``most`` doubts of each kind, strongest first, and photos not to be had.

    What a person said already is not doubted again: that a photo is not an individual, and that it
    is the one it is put with.

    Raises:
        FlukeprintError: the model is a classifier, or the catalogue cannot be used.
    """
    _, everything, names = catalogue.present()
    photos = [photo for photo in everything if photo.individual is not None]
    seen = _look_over(catalogue, photos, network, cache, note, progress)
    owners = np.array([photo.individual for photo in seen.photos], dtype=np.int64)
    calibration = Calibration.from_dict(network.model.manifest.calibration)
    twins = _twins(catalogue, seen.photos, progress)
    said = sum(len(photo.not_individuals) for photo in seen.photos)  # each takes one away at most
    settled = np.array([is_confirmed(photo) for photo in seen.photos], dtype=np.bool_)
    suspected = audit(seen.vectors, owners, twins, calibration, most + said, settled).suspicions
    members: dict[int, list[PhotoNow]] = {}
    for photo in seen.photos:
        members.setdefault(int(photo.individual or 0), []).append(photo)
    doubts: list[Doubt] = []
    left: dict[str, int] = {}
    for one in suspected:
        this = Suspected(one.kind, one.individuals, [seen.photos[row] for row in one.photos])
        if left.get(one.kind, 0) == most or is_denied(this, members):
            continue
        left[one.kind] = left.get(one.kind, 0) + 1
        evidence = seen.evidence(one.evidence)
        found = f"{IN_WORDS[one.kind]}, log-odds {one.strength:.1f}"
        why = _why("audit", network.model.id, found, evidence)
        doubts.append(
            Doubt(
                one.kind,
                one.individuals,
                tuple(photo.number for photo in this.photos),
                one.strength,
                evidence,
                remedy(this, names, why),
                dismissals(this, names, why),
            )
        )
    return doubts, seen.failures


def cluster_catalogue(
    catalogue: Catalogue,
    network: Network,
    *,
    cache: Cache | None = None,
    least: float = 0.8,
    note: bool = True,
    progress: Progress = no_progress,
) -> tuple[list[Together], tuple[Failure, ...]]:
    """Groups of unidentified photos that look like one whale, surest first.

    Photos are judged against how alike they are to the catalogue's known whales; identical photos
    are one, and near twins start together. Photos whose labels disagree are left out. ``least`` is
    the least probable join, 0 to 1.

    Raises:
        FlukeprintError: the model is a classifier, or the catalogue cannot be used.
    """
    photos = catalogue.photos()
    # Labels that disagree wait for a person to choose among them: no group makes a third name.
    unnamed = [photo for photo in photos if photo.unidentified and not photo.in_conflict]
    seen = _look_over(catalogue, unnamed, network, cache, note, progress)
    calibration = Calibration.from_dict(network.model.manifest.calibration)
    groups = find_groups(
        seen.vectors,
        calibration,
        together=_twins(catalogue, seen.photos, progress),
        background=_background(catalogue, photos, seen.vectors, network, cache, note, progress),
        least=least,
    )
    return [_together(group, seen, network.model.id) for group in groups], seen.failures


def _together(group: Group, seen: _Seen, model_id: str) -> Together:
    numbers = tuple(seen.photos[row].number for row in group.photos)
    evidence = seen.evidence(group.pairs)
    sure = group.probability if group.probability == 1 else min(group.probability, 0.99)
    why = _why("cluster", model_id, f"same whale {sure:.2f}", evidence)
    return Together(numbers, group.probability, evidence, one_whale(numbers, why))


def _why(command: str, model_id: str, found: str, evidence: Sequence[Evidence]) -> str:
    """The evidence in a few words, for the log to keep."""
    alike = ""
    if evidence:
        one, other = evidence[0].photos
        alike = f"; photos {one} and {other} alike {evidence[0].similarity:.2f}"
    return f"{command} with model {model_id[:12]}: {found}{alike}"


def _look_over(
    catalogue: Catalogue,
    photos: Sequence[PhotoNow],
    network: Network,
    cache: Cache | None,
    note: bool,
    progress: Progress,
) -> _Seen:
    wanted = {photo.sha256 for photo in photos}
    vectors, failures = known_vectors(catalogue, photos, wanted, network, cache, note, progress)
    there = [photo for photo in photos if photo.sha256 in vectors]
    size = network.model.manifest.embedding_size
    stacked = [vectors[photo.sha256] for photo in there]
    return _Seen(there, np.array(stacked, dtype=np.float32).reshape(-1, size), failures)


def _background(
    catalogue: Catalogue,
    photos: Sequence[PhotoNow],
    vectors: NDArray[np.float32],
    network: Network,
    cache: Cache | None,
    note: bool,
    progress: Progress,
) -> NDArray[np.float64] | None:
    """How alike each photo is to whales that it is not; None where too few whales are known."""
    placed = [photo for photo in photos if photo.individual is not None]
    numbers = {photo.individual for photo in placed if photo.individual is not None}
    rows = gallery_rows(placed, {number: str(number) for number in numbers})
    hashes = {row.sha256 for row in rows}
    named = [photo for photo in photos if photo.sha256 in hashes]
    seen = _look_over(catalogue, named, network, cache, note, progress)
    known = {photo.sha256: seen.vectors[row] for row, photo in enumerate(seen.photos)}
    rows = [row for row in rows if row.sha256 in known]
    if len({row.label for row in rows}) < 2:
        return None
    return compare(vectors, CatalogueGallery(rows, known).whole).background()


def _twins(
    catalogue: Catalogue, photos: Sequence[PhotoNow], progress: Progress
) -> NDArray[np.int64]:
    """Twin groups of photos, (N,) int64; one that is not at hand is a group of its own.

    So is one in whose place another picture lies now.
    """
    places = [place_of(catalogue.root, photo) for photo in photos]
    glances = glance_all(places, progress("looking for twins", len(places)))
    read = {
        row: one
        for row, one in enumerate(glances)
        if not isinstance(one, Failure) and one.sha256 == photos[row].sha256
    }
    rows = np.array(list(read), dtype=np.int64)
    group = np.arange(len(photos), dtype=np.int64)
    group[rows] = rows[twin_groups(list(read.values()))]
    return group
