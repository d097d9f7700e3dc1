"""From the localiser's numbers to one fluke, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from flukeprint.localise import LEAST_SIDE, RARE, STEEPEST, box_of, fluke_of, overlap
from flukeprint.records import SEEN, WHOLE, Box, Fluke
from tests.tiny import place

# Two boxes of 0.4 x 0.4, 0.04 apart: they share 0.36 x 0.4 of 2 x 0.16 - 0.144.
LEFT, RIGHT = (0.0, 0.25, 0.4, 0.65), (0.04, 0.25, 0.44, 0.65)
SMALL, LARGE = (0.0, 0.0, 0.25, 0.25), (0.5, 0.25, 1.0, 1.0)


def log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def fluke_at(*places: list[float]) -> Fluke:
    return fluke_of(np.array(places, dtype=np.float32))


def corners_of(box: Box) -> list[float]:
    return [box.x0, box.y0, box.x1, box.y1]


def test_one_place_says_it_all() -> None:
    fluke = fluke_at(place(0.125, 0.25, 0.5, 0.75, logit=2.0, slope=-0.25, shown=log_odds(0.9)))
    assert corners_of(fluke.box) == [0.125, 0.25, 0.5, 0.75]
    assert fluke.probability == pytest.approx(0.9)
    assert fluke.seen
    assert (fluke.slope, fluke.upside_down, fluke.others) == (-0.25, False, 0)


def test_overlap_by_hand() -> None:
    boxes = np.array([LEFT, RIGHT, SMALL, LARGE, (0.4, 0.25, 0.4, 0.65)])
    assert overlap(boxes[0], boxes) == pytest.approx([1.0, 0.144 / 0.176, 0.0, 0.0, 0.0], abs=1e-12)
    assert overlap(boxes[4], boxes[4]) == 0.0  # of nothing with itself


def test_two_places_that_see_one_fluke_are_averaged() -> None:
    fluke = fluke_at(place(*LEFT, slope=0.25), place(*RIGHT, slope=0.75))
    assert corners_of(fluke.box) == pytest.approx([0.02, 0.25, 0.42, 0.65])
    assert fluke.slope == pytest.approx(0.5)
    assert fluke.others == 0


def test_the_surer_place_weighs_more() -> None:
    """By the squares of 0.8 and 0.6, which sum to 1."""
    fluke = fluke_at(
        place(*LEFT, logit=log_odds(0.8), slope=0.0, shown=1.0),
        place(*RIGHT, logit=log_odds(0.6), slope=0.5, shown=2.0),
    )
    assert corners_of(fluke.box) == pytest.approx([0.36 * 0.04, 0.25, 0.4 + 0.36 * 0.04, 0.65])
    assert fluke.slope == pytest.approx(0.36 * 0.5)
    assert log_odds(fluke.probability) == pytest.approx(0.64 * 1.0 + 0.36 * 2.0)


def test_a_neighbour_less_than_half_as_sure_is_not_heard() -> None:
    sure = place(*LEFT, logit=log_odds(0.8))
    alone = fluke_at(sure)
    assert fluke_at(sure, place(*RIGHT, logit=log_odds(0.39))) == alone
    assert fluke_at(sure, place(*RIGHT, logit=log_odds(0.41))) != alone


def test_of_two_flukes_the_largest_is_used() -> None:
    few = place(*SMALL, logit=5.0), place(*LARGE, logit=0.5, slope=0.125)
    for places in (few, few[::-1]):
        fluke = fluke_at(*places)
        assert corners_of(fluke.box) == list(LARGE)
        assert (fluke.slope, fluke.others) == (0.125, 1)


def test_a_second_place_must_be_seen_to_count() -> None:
    fluke = fluke_at(place(*SMALL, logit=5.0), place(*LARGE, logit=-0.01))
    assert corners_of(fluke.box) == list(SMALL)
    assert fluke.others == 0


def test_flukes_that_half_overlap_are_neither_one_nor_two() -> None:
    half = (0.16, 0.25, 0.56, 0.65)  # 0.24 of 0.56: 0.43 of it is shared
    fluke = fluke_at(place(*LEFT, logit=5.0), place(*half, logit=4.0))
    assert corners_of(fluke.box) == pytest.approx(LEFT)
    assert fluke.others == 0


def test_each_place_counts_once_whatever_their_order(rng: np.random.Generator) -> None:
    places = [
        place(*LEFT, logit=4.0), place(*RIGHT, logit=3.0), place(*LARGE, logit=2.0),
        place(0.0, 0.75, 0.25, 1.0, logit=1.0), place(*SMALL, logit=-3.0),
    ]  # fmt: skip
    for _ in range(10):
        fluke = fluke_at(*(places[number] for number in rng.permutation(5)))
        assert corners_of(fluke.box) == pytest.approx(LARGE)
        assert fluke.others == 2


def test_where_nothing_is_seen_the_likeliest_place_is_told() -> None:
    fluke = fluke_at(
        place(*LARGE, logit=-4.0, shown=-3.0), place(*SMALL, logit=-2.0, shown=log_odds(0.125))
    )
    assert corners_of(fluke.box) == list(SMALL)
    assert fluke.probability == pytest.approx(0.125)
    assert not fluke.seen
    assert fluke.others == 0


def test_a_fluke_is_seen_from_one_probability_on() -> None:
    assert fluke_at(place(*LARGE, shown=log_odds(SEEN) + 0.001)).seen
    assert not fluke_at(place(*LARGE, shown=log_odds(SEEN) - 0.001)).seen
    assert SEEN == 0.82


def test_a_part_of_a_fluke_is_no_other_fluke() -> None:
    part = place(0.5, 0.25, 0.75, 0.5, logit=3.0)
    fluke = fluke_at(place(*LARGE, logit=2.0), part)
    assert (corners_of(fluke.box), fluke.others) == ([0.5, 0.25, 0.75, 0.5], 0)


@pytest.mark.parametrize(
    ("logit", "upside_down"), [(0.0, False), (-RARE - 0.01, False), (-RARE + 0.01, True)]
)
def test_upside_down_is_believed_at_a_hundred_to_one(logit: float, upside_down: bool) -> None:
    assert log_odds(0.01) == pytest.approx(RARE)
    assert fluke_at(place(*LARGE, upside_down=logit)).upside_down is upside_down


@pytest.mark.parametrize(("said", "slope"), [(3.0, STEEPEST), (-1.5, -STEEPEST), (0.5, 0.5)])
def test_a_slope_is_never_steeper_than_levelling_mends(said: float, slope: float) -> None:
    assert fluke_at(place(*LARGE, slope=said)).slope == slope


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_place_without_numbers_is_no_fluke_in_the_whole_photo(broken: float) -> None:
    nothing = fluke_at([broken] * 8)
    assert nothing == Fluke(WHOLE, nothing.probability)
    assert nothing.probability < 1e-12
    one, other = place(*SMALL, logit=1.0), [broken] * 8
    assert fluke_at(one, other) == fluke_at(other, one) == fluke_at(one)


@pytest.mark.parametrize("number", range(8))
def test_one_broken_number_costs_no_other(number: int) -> None:
    whole = place(0.125, 0.25, 0.5, 0.75, slope=0.25, upside_down=9.0)
    usual = [-100.0, 0.0, 0.0, 1.0, 1.0, -100.0, 0.0, -100.0]
    broken, mended = list(whole), list(whole)
    broken[number], mended[number] = math.nan, usual[number]
    assert fluke_at(broken) == fluke_at(mended)


ANY = st.floats(width=32)
LIKELY = st.floats(-2.0, 2.0, width=32)


@given(arrays(np.float32, st.tuples(st.integers(1, 9), st.just(8)), elements=ANY | LIKELY))
@example(np.full((144, 8), 3.4e38, dtype=np.float32))
@example(np.full((144, 8), -3.4e38, dtype=np.float32))
def test_any_numbers_give_a_fluke(places: NDArray[np.float32]) -> None:
    fluke = fluke_of(places)  # Box itself refuses one that is not inside the photo
    assert fluke.box.x1 - fluke.box.x0 >= LEAST_SIDE * 0.999
    assert fluke.box.y1 - fluke.box.y0 >= LEAST_SIDE * 0.999
    assert 0.0 <= fluke.probability <= 1.0
    assert abs(fluke.slope) <= STEEPEST
    assert 0 <= fluke.others < len(places)


@given(arrays(np.float32, (6, 8), elements=LIKELY), st.permutations(range(6)))
def test_the_order_of_the_places_does_not_matter(
    places: NDArray[np.float32], order: list[int]
) -> None:
    places[:, 0] = np.linspace(-1.0, 1.0, 6)  # no two as likely
    one, other = fluke_of(places), fluke_of(places[order])
    assert corners_of(one.box) == pytest.approx(corners_of(other.box))
    assert (one.upside_down, one.others) == (other.upside_down, other.others)


@given(st.lists(st.floats(), min_size=4, max_size=4))
def test_any_four_finite_numbers_give_a_legal_box(corners: list[float]) -> None:
    given = np.nan_to_num(np.array(corners, dtype=np.float64))
    box = box_of(given)
    assert box.x1 - box.x0 >= LEAST_SIDE * 0.999
    assert box.y1 - box.y0 >= LEAST_SIDE * 0.999


@pytest.mark.parametrize(
    ("corners", "box"),
    [
        ([0.25, 0.5, 0.75, 1.0], Box(0.25, 0.5, 0.75, 1.0)),
        ([-1.0, 0.0, 2.0, 1.5], WHOLE),
        ([-np.inf, 0.0, np.inf, 1.0], WHOLE),
        ([1.0, 0.0, 1.0, 1.0], Box(0.98, 0.0, 1.0, 1.0)),
        ([0.75, 0.0, 0.25, 1.0], Box(0.49, 0.0, 0.51, 1.0)),
    ],
)
def test_boxes_are_kept_inside_the_photo_and_wide_enough(corners: list[float], box: Box) -> None:
    assert corners_of(box_of(np.array(corners))) == pytest.approx(corners_of(box))
