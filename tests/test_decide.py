"""Probabilities worked out by hand, and what must hold of all of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from flukeprint.decide import Beliefs, Calibration, believe, order
from flukeprint.errors import FlukeprintError
from flukeprint.rank import Likeness

PLAIN = Calibration(
    likeness_gain=10.0,
    background_gain=0.0,
    known_log_odds=-2.0,
    unidentified_log_odds=-3.0,
    usual_background=0.0,
)


def likeness(whales: list[list[float]], new: list[float] | None = None) -> Likeness:
    rows = len(whales)
    return Likeness(
        np.array(whales, dtype=np.float32).reshape(rows, -1),
        np.array([-math.inf] * rows if new is None else new, dtype=np.float32),
    )


def test_the_rule_by_hand() -> None:
    calibration = Calibration(2.0, 4.0, 1.0, -1.0, 9.0)
    beliefs = believe(likeness([[0.5, 0.25]], [0.75]), calibration)  # background 0.25
    first, second = math.exp(1 + 1.0 - 1.0), math.exp(1 + 0.5 - 1.0)
    new = 1 + math.exp(-1 + 1.5 - 1.0)
    total = first + second + new
    assert beliefs.whales.tolist() == [pytest.approx([first / total, second / total])]
    assert beliefs.new.tolist() == [pytest.approx(new / total)]


def test_one_whale_has_the_usual_background() -> None:
    calibration = Calibration(2.0, 4.0, 1.0, -1.0, 0.25)
    weight = math.exp(1 + 1.0 - 1.0)
    beliefs = believe(likeness([[0.5]]), calibration)
    assert beliefs.new.tolist() == [pytest.approx(1 / (1 + weight))]


LIKE = st.floats(-1.0, 1.0, width=32)


@given(
    arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(0, 6)), elements=LIKE),
    st.one_of(LIKE, st.just(-math.inf)),
    st.floats(0.0, 100.0),
    st.floats(-30.0, 30.0),
    st.floats(0.0, 2.0),
)
def test_probabilities_sum_to_one(
    whales: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    new: float,
    gain: float,
    odds: float,
    background_gain: float,
) -> None:
    rows = len(whales)
    beliefs = believe(
        Likeness(whales, np.full(rows, new, dtype=np.float32)),
        Calibration(gain, background_gain, odds, odds, 0.1),
    )
    assert np.allclose(beliefs.whales.sum(axis=1) + beliefs.new, 1.0)
    assert (beliefs.whales >= 0).all()
    assert (beliefs.new > 0).all()


def test_without_whales_everything_is_new() -> None:
    beliefs = believe(likeness([[], []]), PLAIN)
    assert beliefs.new.tolist() == [1.0, 1.0]


def test_being_like_an_unidentified_photo_speaks_for_new() -> None:
    few, many = (believe(likeness([[0.5]], [t]), PLAIN).new[0] for t in (0.1, 0.9))
    none = believe(likeness([[0.5]]), PLAIN).new[0]
    assert none < few < many


@given(LIKE, LIKE, LIKE)
def test_more_like_is_more_probable(other: float, one: float, two: float) -> None:
    low, high = (
        believe(likeness([[like, other]]), PLAIN).whales[0, 0] for like in sorted((one, two))
    )
    assert low <= high


@given(st.floats(-0.5, 0.5, width=32))
def test_where_everybody_is_more_alike_a_match_has_to_be_more_so(more: float) -> None:
    calibration = replace(PLAIN, background_gain=10.0)  # as much as likeness_gain
    plain = believe(likeness([[0.5, 0.25, 0.125]], [0.25]), calibration)
    lifted = believe(
        likeness([[0.5 + more, 0.25 + more, 0.125 + more]], [0.25 + more]), calibration
    )
    assert lifted.whales == pytest.approx(plain.whales, abs=1e-4)


def test_strangers_more_alike_speak_for_new() -> None:
    calibration = replace(PLAIN, background_gain=8.0)
    lonely, crowded = (
        believe(likeness([[0.6, *[other] * 5]]), calibration) for other in (0.1, 0.3)
    )
    assert crowded.new[0] > lonely.new[0]


def test_no_gain_and_nothing_unidentified_is_still_a_number() -> None:
    beliefs = believe(likeness([[0.5]]), replace(PLAIN, likeness_gain=0.0))
    assert np.isfinite(beliefs.new).all()


def test_the_order_is_by_probability_and_w_means_new() -> None:
    beliefs = Beliefs(np.array([[0.1, 0.4, 0.2]]), np.array([0.3]))
    assert order(beliefs, 9).tolist() == [[1, 3, 2, 0]]
    assert order(beliefs, 2).tolist() == [[1, 3]]


@pytest.mark.parametrize("count", [1, 5, 100])
def test_equals_keep_the_whales_order(count: int) -> None:
    equal = Beliefs(np.full((3, 200), 1 / 201), np.full(3, 1 / 201))
    assert (order(equal, count) == np.arange(count)).all()


def test_calibration_comes_back_from_a_manifest() -> None:
    assert Calibration.from_dict(PLAIN.to_dict()) == PLAIN


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"likeness_gain": math.nan}, "not finite"),
        ({"likeness_gain": math.inf}, "not finite"),
        ({"likeness_gain": "much"}, "not valid"),
        ({"likeness_gain": None}, "not valid"),
        ({"more": 1.0}, "not valid"),
    ],
)
def test_a_calibration_that_is_none_is_an_error(change: dict[str, object], reason: str) -> None:
    with pytest.raises(FlukeprintError, match=reason):
        Calibration.from_dict(PLAIN.to_dict() | change)  # type: ignore[arg-type]
    with pytest.raises(FlukeprintError, match="not valid"):
        Calibration.from_dict({})
