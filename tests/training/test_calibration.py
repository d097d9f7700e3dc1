"""Tests of the fit of what decide.py believes."""

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="training needs torch")

from flukeprint.decide import Calibration, believe
from flukeprint.rank import Likeness
from flukeprint.training.calibration import Case, fit_calibration, smaller_catalogues

TRUE = Calibration(
    likeness_gain=14.0,
    background_gain=6.0,
    known_log_odds=-4.0,
    unidentified_log_odds=-7.0,
    usual_background=0.3,
)
WHALES = 30
NEW = 0.33  # the share of new ones among queries put to a softmax model


def test_the_fit_finds_how_often_photos_are_unlike_and_whales_are_met() -> None:
    rng = np.random.default_rng(3)
    photos = rng.integers(1, 20, WHALES)
    whales = rng.normal(0.2, 0.25, (8_000, WHALES)).clip(-1, 1).astype(np.float32)
    likeness = Likeness(whales, np.full(8_000, -np.inf, np.float32), photos)
    true = replace(TRUE, unlike_log_odds=-0.5, abundance=0.6)
    fit = fit_calibration([Case(likeness, _answered(likeness, true, rng))])
    assert fit.unlike_log_odds == pytest.approx(-0.5, abs=0.3)
    assert fit.abundance == pytest.approx(0.6, abs=0.1)


def test_the_fit_finds_what_the_number_of_whales_is_worth() -> None:
    rng = np.random.default_rng(4)
    true = replace(TRUE, background_gain=0.0, size_power=-0.7)
    cases = []
    for count in (10, 100, 1_000):
        whales = rng.normal(0.0, 0.1, (4_000, count)).astype(np.float32)
        likeness = Likeness(whales, np.full(4_000, -np.inf, np.float32))
        cases.append(Case(likeness, _answered(likeness, true, rng)))
    assert fit_calibration(cases).size_power == pytest.approx(-0.7, abs=0.1)


def test_the_fit_finds_how_likeness_is_curved() -> None:
    rng = np.random.default_rng(5)
    true = replace(TRUE, likeness_gain=4.0, likeness_curve=16.0)
    whales = rng.normal(0.2, 0.25, (8_000, WHALES)).clip(-1, 1).astype(np.float32)
    likeness = Likeness(whales, np.full(8_000, -np.inf, np.float32))
    fit = fit_calibration([Case(likeness, _answered(likeness, true, rng))])
    assert fit.likeness_curve == pytest.approx(16.0, abs=2.5)
    assert fit.likeness_gain == pytest.approx(4.0, abs=2.5)


def _answered(
    likeness: Likeness, calibration: Calibration, rng: np.random.Generator
) -> NDArray[np.int64]:
    """True answers drawn by the probabilities."""
    beliefs = believe(likeness, calibration)
    ends = np.cumsum(np.column_stack([beliefs.whales, beliefs.new]), axis=1)
    answer = (rng.random(len(ends))[:, None] > ends).sum(axis=1)
    return np.where(answer >= likeness.whales.shape[1], -1, answer).astype(np.int64)


def _asked(
    count: int, seed: int, *, unidentified: bool = True
) -> tuple[Likeness, NDArray[np.int64]]:
    """Queries drawn from the model itself: any likeness, and an answer by its probabilities."""
    rng = np.random.default_rng(seed)
    whales = rng.normal(0.2, 0.25, (count, WHALES)).clip(-1, 1).astype(np.float32)
    new = rng.normal(0.3, 0.3, count).clip(-1, 1).astype(np.float32)
    likeness = Likeness(whales, new if unidentified else np.full(count, -np.inf, np.float32))
    return likeness, _answered(likeness, TRUE, rng)


@pytest.mark.parametrize("unidentified", [True, False])
def test_the_fit_finds_what_drew_the_answers(unidentified: bool) -> None:
    likeness, truth = _asked(6_000, 0, unidentified=unidentified)
    fit = fit_calibration([Case(likeness, truth)])
    assert fit.likeness_gain == pytest.approx(TRUE.likeness_gain, rel=0.06)
    assert fit.known_log_odds == pytest.approx(TRUE.known_log_odds, abs=0.4)
    assert fit.background_gain == pytest.approx(TRUE.background_gain, abs=1.5)
    if unidentified:
        assert fit.unidentified_log_odds == pytest.approx(TRUE.unidentified_log_odds, abs=0.8)


@pytest.mark.parametrize("unidentified", [True, False])
def test_probabilities_come_true_on_fresh_queries(unidentified: bool) -> None:
    likeness, truth = _asked(400, 1, unidentified=unidentified)
    fit = fit_calibration([Case(likeness, truth)])
    likeness, truth = _asked(4_000, 2, unidentified=unidentified)
    beliefs = believe(likeness, fit)
    best = beliefs.whales.argmax(axis=1)
    for claimed, came_true in (
        (beliefs.whales.max(axis=1), best == truth),
        (beliefs.new, truth < 0),
    ):
        for part in np.array_split(np.argsort(claimed), 5):
            assert claimed[part].mean() == pytest.approx(came_true[part].mean(), abs=0.06)


@pytest.mark.parametrize("truth", [[], [0], [-1], [-1, -1], [0, 1, 2]])
@pytest.mark.parametrize("unidentified", [True, False])
def test_a_few_queries_do_not_blow_up(truth: list[int], unidentified: bool) -> None:
    likeness, _ = _asked(len(truth), 3, unidentified=unidentified)
    fit = fit_calibration([Case(likeness, np.array(truth, dtype=np.int64))])
    values = np.array(list(asdict(fit).values()))
    assert np.isfinite(values).all()
    assert np.abs(values).max() < 60
    assert Calibration.from_dict(fit.to_dict()) == fit


def test_without_queries_it_is_the_plain_values() -> None:
    empty = Likeness(np.empty((0, 4), np.float32), np.empty(0, np.float32))
    fit = fit_calibration([Case(empty, np.empty(0, np.int64))])
    assert fit == fit_calibration([])


def test_a_perfect_separation_stays_finite() -> None:
    likeness = Likeness(np.eye(6, dtype=np.float32), np.zeros(6, np.float32))
    fit = fit_calibration([Case(likeness, np.arange(6))])
    assert 5 < fit.likeness_gain < 200
    beliefs = believe(likeness, fit)
    assert (beliefs.whales.argmax(axis=1) == np.arange(6)).all()


def test_the_fit_is_the_same_each_time() -> None:
    likeness, truth = _asked(300, 5)
    assert fit_calibration([Case(likeness, truth)]) == fit_calibration([Case(likeness, truth)])


def test_smaller_catalogues_ask_the_same_of_fewer_whales() -> None:
    likeness, truth = _asked(500, 6)
    cases = smaller_catalogues(likeness, truth, {6: 3, 12: 1, WHALES: 5})
    assert [case.likeness.whales.shape[1] for case in cases] == [6, 6, 6, 12]
    assert sum(case.weight for case in cases) == pytest.approx(1.0)
    for case in cases:
        for row, column in enumerate(case.truth):
            # Each query is one of the whole catalogue's, by its likeness to unidentified photos.
            (whole,) = np.flatnonzero(likeness.new == case.likeness.new[row])[:1]
            if column >= 0:
                same = likeness.whales[whole, truth[whole]]
                assert case.likeness.whales[row, column] == same
        known = int((case.truth >= 0).sum())
        new = len(case.truth) - known
        assert new == min(round(known * 0.328 / 0.672), new)


def _logits(
    count: int, seed: int, scale: float, raised: float, *, new_class: bool = False
) -> tuple[Likeness, NDArray[np.int64]]:
    """A softmax model's logits of one scale; the true class's, if there is one, raised by some."""
    rng = np.random.default_rng(seed)
    whales = rng.normal(0.0, scale, (count, WHALES))
    new = rng.normal(0.0, scale, count) if new_class else np.full(count, -np.inf)
    truth = np.where(rng.random(count) < NEW, -1, rng.integers(0, WHALES, count))
    known = np.flatnonzero(truth >= 0)
    whales[known, truth[known]] += raised * scale
    new[truth < 0] += raised * scale
    return Likeness(whales.astype(np.float32), new.astype(np.float32)), truth


def _surprise_at(fit: Calibration, likeness: Likeness, truth: NDArray[np.int64]) -> float:
    """Mean cross-entropy of the true answers."""
    beliefs = believe(likeness, fit)
    given = np.column_stack([beliefs.whales, beliefs.new])
    assert np.isfinite(given).all()
    column = np.where(truth < 0, WHALES, truth)
    return float(-np.log(np.maximum(given[np.arange(len(truth)), column], 1e-30)).mean())


def _base_rate(truth: NDArray[np.int64]) -> float:
    """Mean cross-entropy where new ones' share is known, and nothing else."""
    new = float((truth < 0).mean())
    return -new * math.log(new) - (1 - new) * math.log((1 - new) / WHALES)


@pytest.mark.parametrize("new_class", [True, False])
@pytest.mark.parametrize("raised", [2.0, 4.0, 8.0])
@pytest.mark.parametrize("scale", [1.0, 5.0, 20.0])
def test_logits_of_any_scale_are_fitted(scale: float, raised: float, new_class: bool) -> None:
    likeness, truth = _logits(600, 0, scale, raised, new_class=new_class)
    fit = fit_calibration([Case(likeness, truth, 2.0)], "softmax")
    assert fit.likeness_gain > 0
    likeness, truth = _logits(600, 1, scale, raised, new_class=new_class)
    bound = {2.0: 0.75, 4.0: 0.2, 8.0: 0.02}[raised]
    assert _surprise_at(fit, likeness, truth) < bound * _base_rate(truth)
    new = believe(likeness, fit).new
    assert new.mean() == pytest.approx((truth < 0).mean(), abs=0.06)


@pytest.mark.parametrize("new_class", [True, False])
@pytest.mark.parametrize("scale", [1.0, 5.0, 20.0])
def test_logits_that_say_nothing_give_the_base_rate(scale: float, new_class: bool) -> None:
    likeness, truth = _logits(600, 2, scale, 0.0, new_class=new_class)
    fit = fit_calibration([Case(likeness, truth, 2.0)], "softmax")
    likeness, truth = _logits(600, 3, scale, 0.0, new_class=new_class)
    beliefs = believe(likeness, fit)
    assert beliefs.new.std() < 0.1
    assert beliefs.new.mean() == pytest.approx(NEW, abs=0.06)
    assert _surprise_at(fit, likeness, truth) < _base_rate(truth) + 0.03


def test_a_few_logits_do_not_blow_up() -> None:
    for truth in ([], [0], [-1], [-1, -1], [0, 1, 2]):
        likeness, _ = _logits(len(truth), 5, 20.0, 0.0)
        fit = fit_calibration([Case(likeness, np.array(truth, dtype=np.int64))], "softmax")
        assert Calibration.from_dict(fit.to_dict()) == fit  # all finite
        assert np.abs(list(asdict(fit).values())).max() < 100
