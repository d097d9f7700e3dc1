"""Measures worked out by hand, and against the slow and obvious way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flukeprint import metrics

ANSWERS = np.array([[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1], [1, 2, 3, 4, 5, 6], [3, 1, 2, 4, 5, 6]])
TRUTH = np.array([1, 5, 6, 9])  # in first place, second, sixth, nowhere
EVEN = np.ones(4)


def test_places() -> None:
    assert metrics.places_of(ANSWERS, TRUTH).tolist() == [1, 2, 6, 0]


def test_an_answer_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        metrics.places_of(np.array([[1, 2, 1]]), np.array([2]))


def test_map5_is_the_mean_of_1_over_the_place_up_to_five() -> None:
    worth = metrics.reciprocal(metrics.places_of(ANSWERS, TRUTH))
    assert worth.tolist() == [1.0, 0.5, 0.0, 0.0]
    assert metrics.weighted_mean(worth, EVEN) == 0.375


@pytest.mark.parametrize(("k", "share"), [(1, 0.25), (2, 0.5), (5, 0.5), (6, 0.75)])
def test_cmc_is_the_share_with_the_truth_among_the_first_k(k: int, share: float) -> None:
    places = metrics.places_of(ANSWERS, TRUTH)
    assert metrics.weighted_mean(metrics.within(places, k), EVEN) == share


def test_a_mean_by_weights() -> None:
    assert metrics.weighted_mean(np.array([1.0, 0.0]), np.array([3.0, 1.0])) == 0.75
    assert math.isnan(metrics.weighted_mean(np.array([1.0]), np.zeros(1)))


def test_auroc_with_a_tie() -> None:
    """Pairs (positive, negative): 3 > 1, 3 > 2, 2 > 1, 2 = 2: 3.5 of 4."""
    positive = np.array([True, True, False, False])
    assert metrics.auroc(positive, np.array([3.0, 2.0, 1.0, 2.0])) == 3.5 / 4


@pytest.mark.parametrize(("value", "area"), [([0.0, 1.0], 1.0), ([1.0, 0.0], 0.0), ([5, 5], 0.5)])
def test_auroc_of_two(value: list[float], area: float) -> None:
    assert metrics.auroc(np.array([False, True]), np.array(value, dtype=float)) == area


def test_auroc_needs_both_kinds() -> None:
    assert math.isnan(metrics.auroc(np.array([True, True]), np.array([1.0, 2.0])))
    assert math.isnan(metrics.auroc(np.array([], dtype=bool), np.array([])))


Case = list[tuple[bool, int, int]]
CASES = st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), min_size=2)


@given(CASES)
def test_auroc_agrees_with_comparing_every_pair(case: Case) -> None:
    positive = np.array([kind for kind, _, _ in case])
    value = np.array([v for _, v, _ in case], dtype=float)
    weight = np.array([w for _, _, w in case], dtype=float)
    won = all_pairs = 0.0
    for i in np.flatnonzero(positive):
        for j in np.flatnonzero(~positive):
            all_pairs += weight[i] * weight[j]
            won += weight[i] * weight[j] * (0.5 * (value[i] == value[j]) + (value[i] > value[j]))
    area = metrics.auroc(positive, value, weight)
    assert area == pytest.approx(won / all_pairs) if all_pairs else math.isnan(area)


def test_precision_recall_f1_by_hand() -> None:
    """Class 0: 1 of 2 answers right, 1 of 1 found; class 1: 1 of 1, 1 of 2; class 2: 0, 0 of 1;
    class 3 was answered and never true: 0, 0."""
    truth, answer = np.array([0, 1, 1, 2]), np.array([0, 0, 1, 3])
    measured = metrics.precision_recall_f1(truth, answer)
    assert measured == pytest.approx({
        "precision_macro": (1 / 2 + 1 + 0 + 0) / 4,
        "recall_macro": (1 + 1 / 2 + 0 + 0) / 4,
        "f1_macro": (2 / 3 + 2 / 3 + 0 + 0) / 4,
        "precision_weighted": (1 * (1 / 2) + 2 * 1 + 0) / 4,
        "recall_weighted": (1 * 1 + 2 * (1 / 2) + 0) / 4,
        "f1_weighted": (1 * (2 / 3) + 2 * (2 / 3) + 0) / 4,
    })  # fmt: skip


def slowly(truth: list[int], answer: list[int]) -> dict[str, float]:
    """Precision, recall and F1 from the confusion matrix, cell by cell."""
    classes = sorted({*truth, *answer})
    cell = {(t, a): 0 for t in classes for a in classes}
    for t, a in zip(truth, answer, strict=True):
        cell[t, a] += 1
    made = {f"{name}_{kind}": 0.0 for name in ("precision", "recall", "f1")
            for kind in ("macro", "weighted")}  # fmt: skip
    for c in classes:
        answered, true = sum(cell[t, c] for t in classes), sum(cell[c, a] for a in classes)
        precision = cell[c, c] / answered if answered else 0.0
        recall = cell[c, c] / true if true else 0.0
        both = precision + recall
        f1 = 2 * precision * recall / both if both else 0.0
        for name, value in (("precision", precision), ("recall", recall), ("f1", f1)):
            made[f"{name}_macro"] += value / len(classes)
            made[f"{name}_weighted"] += value * true / len(truth)
    return made


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), min_size=1))
def test_precision_recall_f1_agree_with_the_confusion_matrix(
    case: list[tuple[int, int, int]],
) -> None:
    repeated = [(t, a) for t, a, often in case for _ in range(often)]
    if not repeated:
        return
    measured = metrics.precision_recall_f1(
        np.array([t for t, _, _ in case]),
        np.array([a for _, a, _ in case]),
        np.array([w for _, _, w in case], dtype=float),
    )
    assert measured == pytest.approx(slowly(*map(list, zip(*repeated, strict=True))))


def mean_of(values: NDArray[np.float64]) -> metrics.Statistics:
    return lambda weights: {"mean": metrics.weighted_mean(values, weights)}


def test_the_interval_holds_the_value_and_is_the_same_each_time(rng: np.random.Generator) -> None:
    values, clusters = rng.random(60), [f"w{number % 20}" for number in range(60)]
    one = metrics.bootstrap(mean_of(values), clusters)["mean"]
    assert one.low < one.value < one.high
    assert one.value == pytest.approx(values.mean())
    assert metrics.bootstrap(mean_of(values), clusters)["mean"] == one
    assert metrics.bootstrap(mean_of(values), clusters, seed=1)["mean"] != one


def test_photos_of_one_whale_are_drawn_together() -> None:
    """One whale alone cannot vary, however many photos it has."""
    one = metrics.bootstrap(mean_of(np.array([0.0, 1.0] * 50)), ["w"] * 100)["mean"]
    assert (one.low, one.value, one.high) == (0.5, 0.5, 0.5)


def test_what_cannot_be_measured_has_no_interval() -> None:
    one = metrics.bootstrap(lambda weights: {"nothing": math.nan}, ["w"])["nothing"]
    assert all(math.isnan(value) for value in (one.value, one.low, one.high))


def test_the_most_confused_pairs_come_first_ties_by_name() -> None:
    truth, answer = ["a", "a", "b", "c", "a", "c"], ["b", "b", "a", "a", "a", "b"]
    assert metrics.most_confused(truth, answer) == [("a", "b", 2), ("b", "a", 1), ("c", "a", 1),
                                                    ("c", "b", 1)]  # fmt: skip
    assert metrics.most_confused(truth, answer, 1) == [("a", "b", 2)]


def test_reliability_bins_hold_as_many_answers_each() -> None:
    said = np.array([0.9, 0.1, 0.8, 0.2])
    right = np.array([1.0, 0.0, 0.0, 1.0])
    low, high = metrics.reliability(said, right, bins=2)
    assert [low.said, high.said] == pytest.approx([0.15, 0.85])
    assert [low.right, high.right] == [0.5, 0.5]
    assert [low.answers, high.answers] == [2, 2]
    variance = (0.1 * 0.9 + 0.2 * 0.8) / 4
    assert [low.by_chance, high.by_chance] == pytest.approx([math.sqrt(2 * variance / math.pi)] * 2)
    assert metrics.calibration_error(said, right, bins=2) == pytest.approx(0.35)


def test_answers_weigh_as_often_as_they_are_counted() -> None:
    said, right = np.array([0.2, 0.4, 0.6]), np.array([0.0, 1.0, 1.0])
    often = np.array([3.0, 1.0, 0.0])
    (one,) = metrics.reliability(said, right, bins=1, weights=often)
    assert [one.said, one.right, one.answers] == pytest.approx([0.25, 0.25, 4])
    assert metrics.calibration_error(said, right, bins=1, weights=often) == pytest.approx(0.0)
    assert math.isnan(metrics.calibration_error(said, right, weights=np.zeros(3)))


def test_true_probabilities_err_as_much_as_chance_says() -> None:
    rng = np.random.default_rng(0)
    said = np.sort(rng.uniform(size=500))
    found = [
        metrics.calibration_error(said, (rng.uniform(size=500) < said).astype(np.float64))
        for _ in range(400)
    ]
    bins = metrics.reliability(said, said)
    assert [one.right for one in bins] == [one.said for one in bins]
    expected = metrics.mean_over((one.answers, one.by_chance) for one in bins)
    assert np.mean(found) == pytest.approx(expected, rel=0.02)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_the_calibration_error_is_a_share(answers: list[tuple[float, bool]]) -> None:
    said = np.array([probability for probability, _ in answers])
    right = np.array([float(was) for _, was in answers])
    assert 0.0 <= metrics.calibration_error(said, right) <= 1.0
