"""Cutting flukes out, on pictures whose every pixel is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.crops import WHOLE, crop, planes
from flukeprint.records import Box
from tests.tiny import Pixels, picture, tinted

QUARTERS = np.repeat(np.repeat(np.array([[10, 20], [30, 40]], np.uint8), 8, axis=0), 8, axis=1)


@pytest.mark.parametrize(
    ("box", "level"),
    [
        (Box(0.0, 0.0, 0.5, 0.5), 10),
        (Box(0.5, 0.0, 1.0, 0.5), 20),
        (Box(0.0, 0.5, 0.5, 1.0), 30),
        (Box(0.5, 0.5, 1.0, 1.0), 40),
    ],
)
def test_a_box_gives_what_is_in_it(box: Box, level: int) -> None:
    assert (crop(QUARTERS, box, 8, 8) == level).all()


def test_the_whole_photo_at_its_own_size_is_itself() -> None:
    assert (crop(picture(1), WHOLE, 64, 96) == picture(1)).all()


def test_the_result_has_the_asked_size_whatever_the_aspect() -> None:
    assert crop(picture(1), Box(0.1, 0.4, 0.9, 0.5), 30, 20).shape == (30, 20)


def test_a_margin_widens_by_the_boxs_own_size() -> None:
    inner = crop(picture(1), Box(0.25, 0.25, 0.75, 0.75), 40, 40, margin=0.5)
    assert (inner == crop(picture(1), WHOLE, 40, 40)).all()


def test_beyond_the_photo_its_edge_repeats() -> None:
    cut = crop(QUARTERS, WHOLE, 32, 32, margin=0.5)  # a quarter of it on each side is outside
    assert (cut[:, :8] == cut[:, 8:9]).all()
    assert (cut[:8] == cut[8]).all()
    assert (cut[8:24, 8:24] == crop(QUARTERS, WHOLE, 16, 16)).all()


@pytest.mark.parametrize("box", [WHOLE, Box(0.3, 0.2, 0.9, 0.7), Box(0.0, 0.5, 0.1, 1.0)])
@pytest.mark.parametrize("margin", [0.0, 0.4])
def test_a_crop_of_colour_is_that_of_each_channel(box: Box, margin: float) -> None:
    photo = tinted(1, 1.0, 0.6, 0.2)
    cut = crop(photo, box, 30, 50, margin=margin)
    assert cut.shape == (30, 50, 3)
    for channel in range(3):
        alone = crop(np.ascontiguousarray(photo[:, :, channel]), box, 30, 50, margin=margin)
        assert (cut[:, :, channel] == alone).all()


def test_a_network_takes_channels_first() -> None:
    photo = tinted(1, 1.0, 0.6, 0.2)
    assert planes(photo).shape == (3, 64, 96)
    assert (planes(photo)[1] == photo[:, :, 1]).all()
    assert (planes(picture(1)) == picture(1)[None]).all()


def sides() -> st.SearchStrategy[tuple[float, float]]:
    """Two bounds at least 0.02 apart, as the localiser gives them."""
    return st.tuples(st.floats(0.0, 0.98), st.floats(0.02, 1.0)).map(
        lambda pair: (pair[0], min(1.0, pair[0] + pair[1]))
    )


@given(
    x=sides(),
    y=sides(),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    photo=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    margin=st.floats(0.0, 1.0),
)
def test_any_box_margin_and_size_give_a_crop(
    x: tuple[float, float],
    y: tuple[float, float],
    size: tuple[int, int],
    photo: tuple[int, int],
    margin: float,
) -> None:
    pixels: Pixels = np.full(photo, 77, dtype=np.uint8)
    cut = crop(pixels, Box(x[0], y[0], x[1], y[1]), *size, margin=margin)
    assert cut.shape == size
    assert (cut == 77).all()
