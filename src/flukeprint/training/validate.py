"""Embed with torch and score on the validation split while a run trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from flukeprint import metrics
from flukeprint.decide import Calibration, believe, order
from flukeprint.rank import Likeness, compare, index_gallery, taught_likeness
from flukeprint.records import NEW_WHALE
from flukeprint.training.calibration import Case, fit_calibration
from flukeprint.training.device import Device
from flukeprint.training.networks import Network
from flukeprint.training.still import still_answers

BATCH = 128


@dataclass(frozen=True, slots=True)
class Validation:
    """Crops (N, C, H, W) uint8 and labels of a gallery and of queries.

    ``new_whale`` in the gallery means unidentified; a query is new where its label is not there.
    A classifier knows its whales itself: then the gallery is empty.
    """

    gallery: Tensor
    gallery_labels: tuple[str, ...]
    queries: Tensor
    query_labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """Validation scores.

    ``map5`` is cross-fitted: each half of the whales is scored by a fit to the other half.
    """

    map5: float
    top1_known: float
    auroc_known: float


def embed_crops(
    network: Network, crops: Tensor, size: tuple[int, int], device: Device
) -> NDArray[np.float32]:
    """(N, C, H, W) uint8 stored crops to (N, outputs) float32 unit vectors, or logits."""
    network.eval()
    return still_answers(network, crops, size, device, batch=BATCH).numpy()


def validate(
    network: Network,
    validation: Validation,
    size: tuple[int, int],
    device: Device,
    classes: Sequence[str] | None = None,
) -> Scores:
    """Score a network on the validation split; a classifier's ``classes`` in their order."""
    answers = embed_crops(network, validation.queries, size, device)
    if classes is None:
        gallery = embed_crops(network, validation.gallery, size, device)
        labels = list(validation.gallery_labels)
        index = index_gallery(gallery, labels, labels)
        individuals, likeness = index.individuals, compare(answers, index)
    else:
        individuals = tuple(name for name in classes if name != NEW_WHALE)
        likeness = taught_likeness(answers, individuals, classes)
    code = {name: column for column, name in enumerate(individuals)}
    truth = np.array([code.get(label, -1) for label in validation.query_labels])
    kind = "embedding" if classes is None else "softmax"
    half = _halves(validation.query_labels)
    gains = np.empty(len(truth))
    for side in (0, 1):
        here, there = half == side, half != side
        fit = fit_calibration([Case(_rows(likeness, there), truth[there])], kind)
        gains[here] = _gains(_rows(likeness, here), truth[here], fit)
    known = truth >= 0
    best = likeness.whales.argmax(axis=1)
    return Scores(
        float(gains.mean()),
        float((best == truth)[known].mean()) if known.any() else float("nan"),
        metrics.auroc(known, likeness.whales.max(axis=1).astype(np.float64)),
    )


def _gains(likeness: Likeness, truth: NDArray[np.int64], fit: Calibration) -> NDArray[np.float64]:
    answers = order(believe(likeness, fit), 5)
    wanted = np.where(truth < 0, likeness.whales.shape[1], truth)
    return metrics.reciprocal(metrics.places_of(answers, wanted))


def _rows(likeness: Likeness, chosen: NDArray[np.bool_]) -> Likeness:
    return Likeness(likeness.whales[chosen], likeness.new[chosen], likeness.photos)


def _halves(labels: Sequence[str]) -> NDArray[np.int64]:
    """Put each whale's queries in one half, whales in turn; unidentified ones each by itself."""
    seen: dict[str, int] = {}
    keys = [f"{label} {k}" if label == NEW_WHALE else label for k, label in enumerate(labels)]
    return np.array([seen.setdefault(key, len(seen)) % 2 for key in keys])
