"""What a model tells beside its answers, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from flukeprint.decide import Beliefs
from flukeprint.forecasts import Forecasts, true_probabilities

BELIEFS = Beliefs(
    np.array([[0.7, 0.1], [0.2, 0.3], [0.05, 0.05], [0.4, 0.4]]), np.array([0.2, 0.5, 0.9, 0.2])
)
TRUE = np.array([0.7, 0.2, np.nan, 0.4])
FORECASTS = Forecasts(BELIEFS, TRUE, np.array([0.9, 0.1, 0.5, 0.7]))


def test_the_first_answer_is_the_likeliest_whale_or_new() -> None:
    assert FORECASTS.first().tolist() == [0.7, 0.5, 0.9, 0.4]


def test_the_true_whales_probability_is_found_by_name() -> None:
    found = true_probabilities(BELIEFS, ["a", "b"], ["a", "a", "new_whale", "b"])
    assert found[[0, 1, 3]].tolist() == [0.7, 0.2, 0.4]
    assert np.isnan(found[2])


def test_what_is_missed_is_what_lies_below_the_bar() -> None:
    missed = FORECASTS.missed([0.15 * k for k in range(7)])  # a bar of 0.9 for a miss rate of 1
    assert [part["miss_rate"] for part in missed] == [0.05, 0.1, 0.2]
    bars = [0.045, 0.09, 0.18]
    for part, bar in zip(missed, bars, strict=True):
        counts = (BELIEFS.whales >= bar).sum(axis=1)
        assert part["missed"] == np.mean([bar > 0.7, bar > 0.2, bar > 0.4])
        assert part["candidates_mean"] == counts.mean()
        assert part["candidates_median"] == np.median(counts)
    higher = FORECASTS.missed([3.0 * k / 2 for k in range(7)])  # bars 0.45, 0.9, 1.8
    assert [part["missed"] for part in higher] == [2 / 3, 1.0, 1.0]


def test_a_model_that_knows_no_miss_rates_tells_nothing() -> None:
    assert FORECASTS.missed(()) == []


def test_bands_are_thirds_by_quality() -> None:
    places = np.array([1, 3, 1, 2])
    among = np.array([1, 2, 0, 1])
    known = np.array([True, True, False, True])
    low, middle, high = FORECASTS.bands(places, among, known)
    assert low["quality"] == [0.1, 0.5]
    assert (low["queries_known"], low["queries_new"]) == (1, 1)
    assert low["map5"] == pytest.approx((1 / 3 + 1) / 2)
    assert low["top1_known"] == 0.0
    assert (middle["map5"], middle["top1_known"]) == (0.5, 1.0)
    assert (high["map5"], high["top1_known"]) == (1.0, 1.0)
