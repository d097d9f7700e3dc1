"""Measures of identification: pure functions on arrays, with bootstrap intervals.

Convention: a query whose whale is not in the gallery has the true answer "new"; it counts in MAP@5
and in precision, recall and F1, and not in CMC, which speaks of known whales alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flukeprint.records import Interval

RESAMPLES = 1_000
Floats = NDArray[np.float64]
Statistics = Callable[[Floats], dict[str, float]]


def places_of(answers: NDArray[np.int64], truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each query's truth in its answers: (Q,) int64 from 1; 0 if it is not there.

    Raises:
        ValueError: a query's answers (Q, K) name one whale twice.
    """
    ordered = np.sort(answers, axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        raise ValueError("an answer is given twice for one query")
    hit = answers == truth[:, None]
    return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, 0).astype(np.int64)


def reciprocal(places: NDArray[np.int64], k: int = 5) -> Floats:
    """1 / place up to ``k``, else 0: (Q,). Its mean is MAP@k where a query has one true answer."""
    within = (places > 0) & (places <= k)
    return np.where(within, 1.0 / np.maximum(places, 1), 0.0)


def within(places: NDArray[np.int64], k: int) -> Floats:
    """1 where the truth is among the first ``k``: (Q,). Its mean is CMC@k."""
    return ((places > 0) & (places <= k)).astype(np.float64)


def auroc(positive: NDArray[np.bool_], value: Floats, weights: Floats | None = None) -> float:
    """Chance that a positive has a larger value than a negative, ties half; nan without both.

    ``weights`` (Q,) counts each query that often.
    """
    weight = np.ones(len(value)) if weights is None else weights
    order = np.argsort(value, kind="stable")
    ranked, up = value[order], np.where(positive, weight, 0.0)[order]
    down = np.where(positive, 0.0, weight)[order]
    if up.sum() == 0 or down.sum() == 0:
        return float("nan")
    _, start = np.unique(ranked, return_index=True)
    ups, downs = np.add.reduceat(up, start), np.add.reduceat(down, start)
    below = np.cumsum(downs) - downs
    return float((ups * (below + downs / 2)).sum() / (ups.sum() * downs.sum()))


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of like probability: their mean probability, the share that is right, how many.

    ``by_chance`` is how far the two lie apart on average where all probabilities are true: so few
    answers are not right just as often as they should.
    """

    said: float
    right: float
    answers: int
    by_chance: float


def reliability(
    said: Floats, right: Floats, bins: int = 10, weights: Floats | None = None
) -> list[Bin]:
    """Bins of as many answers each, least probable first.

    ``said`` (Q,) are the probabilities of the answers given, ``right`` (Q,) is 1 where one was
    true. ``weights`` (Q,) counts each answer that often; empty bins are left out.
    """
    weight = np.ones(len(said)) if weights is None else weights
    made = []
    for part in np.array_split(np.argsort(said, kind="stable"), bins):
        mass = weight[part].sum()
        if mass > 0:
            means = [float(values[part] @ weight[part] / mass) for values in (said, right)]
            variance = float(weight[part] ** 2 @ (said[part] * (1.0 - said[part]))) / mass**2
            # The mean distance from the middle of a normal distribution of that variance.
            by_chance = math.sqrt(2.0 / math.pi * max(variance, 0.0))
            made.append(Bin(means[0], means[1], round(mass), by_chance))
    return made


def calibration_error(
    said: Floats, right: Floats, bins: int = 10, weights: Floats | None = None
) -> float:
    """Expected calibration error: how far probabilities are from shares, over bins of equal mass.

    Source: Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian
    binning" (AAAI 2015), equation for ECE; bins of equal mass after Nguyen and O'Connor,
    "Posterior calibration and exploratory analysis for NLP models" (EMNLP 2015), section 3.
    """
    made = reliability(said, right, bins, weights)
    return mean_over((part.answers, abs(part.said - part.right)) for part in made)


def mean_over(parts: Iterable[tuple[int, float]]) -> float:
    """The mean of values, each counted so often; nan of none: (count, value) pairs."""
    counted = list(parts)
    total = sum(count for count, _ in counted)
    return sum(count * value for count, value in counted) / total if total else float("nan")


def precision_recall_f1(
    truth: NDArray[np.int64], answer: NDArray[np.int64], weights: Floats | None = None
) -> dict[str, float]:
    """Macro and weighted precision, recall and F1 of first answers.

    Classes are those that are true or answered at least once; a class never answered has precision
    0, one never true has recall 0. "Weighted" weighs classes by how often they are true.
    """
    weight = np.ones(len(truth)) if weights is None else weights
    live = weight > 0
    classes, codes = np.unique(np.concatenate([truth[live], answer[live]]), return_inverse=True)
    true, said = codes[: live.sum()], codes[live.sum() :]
    size, live_weight = len(classes), weight[live]
    hits = np.bincount(true, live_weight * (true == said), size).astype(np.float64)
    support = np.bincount(true, live_weight, size).astype(np.float64)
    answered = np.bincount(said, live_weight, size).astype(np.float64)
    precision = _ratio(hits, answered)
    recall = _ratio(hits, support)
    f1 = _ratio(2 * hits, support + answered)
    named = {"precision": precision, "recall": recall, "f1": f1}
    macro = {f"{name}_macro": float(part.sum() / max(size, 1)) for name, part in named.items()}
    share = support / support.sum()
    return macro | {f"{name}_weighted": float(part @ share) for name, part in named.items()}


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def bootstrap(
    statistics: Statistics, clusters: Sequence[str], *, seed: int = 0
) -> dict[str, Interval]:
    """Values with 95 % percentile intervals, resampling whole clusters (a whale's queries) at once.

    ``statistics`` takes (Q,) weights, how often each query was drawn, and gives named values.
    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.
    """
    _, codes = np.unique(np.array(clusters, dtype=object), return_inverse=True)
    count = int(codes.max()) + 1
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES):
        often = np.bincount(generator.integers(count, size=count), minlength=count)
        drawn.append(statistics(often[codes].astype(np.float64)))
    made = {}
    for name, value in statistics(np.ones(len(codes))).items():
        values = np.array([draw[name] for draw in drawn])
        values = values[~np.isnan(values)]
        low, high = np.percentile(values, [2.5, 97.5]) if len(values) else (np.nan, np.nan)
        made[name] = Interval(value, float(low), float(high))
    return made


def weighted_mean(values: Floats, weights: Floats) -> float:
    """The mean of (Q,) values; nan where all weights are 0."""
    total = weights.sum()
    return float(values @ weights / total) if total else float("nan")


def most_confused(
    truth: Sequence[str], answer: Sequence[str], count: int = 20
) -> list[tuple[str, str, int]]:
    """The pairs (true whale, answered whale) most often confused, with how often."""
    pairs: dict[tuple[str, str], int] = {}
    for pair in zip(truth, answer, strict=True):
        if pair[0] != pair[1]:
            pairs[pair] = pairs.get(pair, 0) + 1
    ranked = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [(true, said, often) for (true, said), often in ranked[:count]]
