"""Probabilities worked out by hand, and what must hold of all of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from flukeprint.decide import (
    NEVER,
    Beliefs,
    Calibration,
    believe,
    believe_together,
    least_to_review,
    order,
    ruled_out,
    to_review,
    with_new_share,
)
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


def test_another_share_of_new_whales_changes_the_odds_alone() -> None:
    beliefs = Beliefs(np.array([[0.3, 0.2]]), np.array([0.5]))
    moved = with_new_share(beliefs, 0.5, 0.2)  # the odds of "new" are four times those fitted to
    assert moved.new[0] == pytest.approx(0.8)
    assert moved.whales[0].tolist() == pytest.approx([0.12, 0.08])
    same = with_new_share(beliefs, 0.2, 0.2)
    assert same.new[0] == pytest.approx(0.5)


def test_ruled_out_whales_leave_the_others_odds() -> None:
    beliefs = Beliefs(np.array([[0.5, 0.25], [0.5, 0.25], [0.75, 0.25]]), np.array([0.25, 0.25, 0]))
    out = np.array([[True, False], [False, False], [True, True]])
    found = ruled_out(beliefs, out)
    np.testing.assert_allclose(found.whales, [[0.0, 0.5], [0.5, 0.25], [0.0, 0.0]])
    np.testing.assert_allclose(found.new, [0.5, 0.25, 1.0])


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.0, 1.0))
def test_shares_still_sum_to_one_and_keep_the_whales_order(
    share: float, fitted: float, new: float
) -> None:
    known = 1.0 - new
    beliefs = Beliefs(np.array([[0.75 * known, 0.25 * known]]), np.array([new]))
    moved = with_new_share(beliefs, share, fitted)
    assert moved.whales.sum() + moved.new[0] == pytest.approx(1.0)
    assert moved.whales[0, 0] >= moved.whales[0, 1]


@pytest.mark.parametrize("whales", [[], [0.0, 0.0]])
def test_where_everything_is_new_it_stays_so_however_few_are_expected(whales: list[float]) -> None:
    beliefs = Beliefs(np.array([whales]), np.array([1.0]))
    for share in (1e-17, 5e-324):
        moved = with_new_share(beliefs, share, 0.328)
        assert moved.new.tolist() == [1.0]
        assert moved.whales.tolist() == [whales]


def test_candidates_to_review_are_those_above_the_bar() -> None:
    beliefs = Beliefs(np.array([[0.5, 0.2, 0.05], [0.0, 0.0, 0.01]]), np.array([0.25, 0.99]))
    assert to_review(beliefs, 0.2).tolist() == [2, 0]
    assert to_review(beliefs, 0.0).tolist() == [3, 3]


def test_the_bar_lies_between_the_quantiles() -> None:
    quantiles = [0.0, 0.1, 0.5]  # of nothing, half and all of the true matches
    assert least_to_review(quantiles, 0.25) == pytest.approx(0.05)
    assert least_to_review(quantiles, 0.75) == pytest.approx(0.3)


def test_a_whale_met_often_is_likelier_met_again() -> None:
    alike = Likeness(
        np.zeros((1, 2), np.float32), np.array([-np.inf], np.float32), np.array([1, 4])
    )
    calibration = replace(PLAIN, known_log_odds=0.0, abundance=0.5)
    beliefs = believe(alike, calibration)
    # Powers 1 and 2, their mean 1.5: weights 2/3 and 4/3, beside 1 for "new".
    assert beliefs.whales[0].tolist() == pytest.approx([2 / 9, 4 / 9])
    assert beliefs.new[0] == pytest.approx(1 / 3)


def test_among_more_whales_the_same_likeness_tells_less() -> None:
    calibration = replace(PLAIN, known_log_odds=0.0, size_power=-0.5)
    for count, factor in ((10, 10.0), (1_000, 1.0), (4_000, 0.5)):  # (count / 1000) ** -0.5
        alike = Likeness(np.zeros((1, count), np.float32), np.array([-np.inf], np.float32))
        beliefs = believe(alike, calibration)
        assert beliefs.new[0] == pytest.approx(1 / (1 + count * factor))
        assert beliefs.whales[0, 0] == pytest.approx(factor / (1 + count * factor))


def test_great_likeness_tells_more_than_in_proportion() -> None:
    alike = Likeness(np.array([[0.5, -0.5]], np.float32), np.array([0.5], np.float32))
    calibration = Calibration(2.0, 0.0, 0.0, 0.0, 0.0, likeness_curve=4.0)
    beliefs = believe(alike, calibration)
    # exp(2 * 0.5 + 4 * 0.25), and exp(-1): below 0 nothing is curved; "new" has 1 beside its own.
    weights = np.array([math.exp(2.0), math.exp(-1.0), 1.0 + math.exp(2.0)])
    assert beliefs.whales[0].tolist() == pytest.approx((weights / weights.sum())[:2].tolist())


def test_a_photo_may_be_like_none_of_its_own_whale() -> None:
    unlike = Likeness(np.array([[-9.0, -9.0]], np.float32), np.array([-np.inf], np.float32))
    beliefs = believe(unlike, replace(PLAIN, unlike_log_odds=math.log(0.5)))
    # Next to nothing by likeness; a half, spread over two whales, by the chance of that.
    assert beliefs.whales[0].tolist() == pytest.approx([1 / 6, 1 / 6])
    assert beliefs.new[0] == pytest.approx(2 / 3)


def test_a_whale_that_a_classifier_was_not_taught_stays_impossible() -> None:
    taught = Likeness(np.array([[1.0, -np.inf]], np.float32), np.array([-np.inf], np.float32))
    beliefs = believe(taught, replace(PLAIN, unlike_log_odds=5.0))
    assert beliefs.whales[0, 1] == 0.0


def test_photos_of_one_encounter_are_judged_together() -> None:
    """Each weight is the geometric mean of the photos': sqrt(4 * 1) = 2 and sqrt(1 * 4) = 2."""
    calibration = Calibration(1.0, 0.0, 0.0, NEVER, 0.0)
    four = math.log(4.0)
    beliefs = believe_together(likeness([[four, 0.0], [0.0, four]]), calibration)
    np.testing.assert_allclose(beliefs.whales, [[0.4, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(beliefs.new, [0.2], rtol=1e-6)


def test_one_photo_alone_is_judged_as_ever() -> None:
    calibration = Calibration(3.0, 1.0, 0.5, 0.25, 0.0, -2.0, 0.5)
    one = likeness([[0.5, 0.25, -0.5]], [0.75])
    alone, together = believe(one, calibration), believe_together(one, calibration)
    np.testing.assert_array_equal(alone.whales, together.whales)
    np.testing.assert_array_equal(alone.new, together.new)
