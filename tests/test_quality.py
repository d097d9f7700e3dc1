"""How much of a fluke a photo shows, on patterns whose measures are worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from flukeprint.quality import SIDE_PX, quality_of
from flukeprint.records import WHOLE, Box, Fluke
from tests.tiny import Pixels, picture

ALL = Fluke(WHOLE)
PLACES = np.arange(SIDE_PX)


def stripes(pitch: int, contrast: int = 50) -> Pixels:
    """Upright stripes, each so many pixels wide, 64 x 64; their greys are 128 -+ contrast."""
    row = np.where(PLACES // pitch % 2, 128 + contrast, 128 - contrast).astype(np.uint8)
    return np.tile(row, (SIDE_PX, 1))


def checks(contrast: int = 50) -> Pixels:
    """Squares of two pixels: the next pixel but one is always the other grey."""
    other = (PLACES[:, None] // 2 + PLACES[None, :] // 2) % 2
    return np.where(other, 128 + contrast, 128 - contrast).astype(np.uint8)


def test_a_large_sharp_level_fluke_full_of_contrast_is_perfect() -> None:
    quality = quality_of(checks(), ALL, (96, 96))
    assert (quality.width_px, quality.height_px, quality.tilt_deg) == (96.0, 96.0, 0.0)
    assert (quality.sharpness, quality.contrast) == (1.0, 1.0)
    assert quality.value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("side", "size"), [(12, 0.0), (11, 0.0), (24, 1 / 3), (48, 2 / 3), (96, 1.0), (4_000, 1.0)]
)
def test_size_is_told_in_octaves(side: int, size: float) -> None:
    assert quality_of(checks(), ALL, (side, side)).value == pytest.approx(size ** (1 / 3))


def test_size_is_that_of_the_fluke_in_the_photo_as_it_was_taken() -> None:
    fluke = Fluke(Box(0.25, 0.5, 0.75, 0.625))
    quality = quality_of(picture(1), fluke, (2_000, 1_600))
    assert (quality.width_px, quality.height_px) == (1_000.0, 200.0)


@pytest.mark.parametrize(("contrast", "share"), [(5, 0.1), (25, 0.5), (50, 1.0), (100, 1.0)])
def test_contrast_is_the_spread_of_greys(contrast: int, share: float) -> None:
    quality = quality_of(checks(contrast), ALL, (96, 96))
    assert quality.contrast == pytest.approx(share)
    assert quality.sharpness == 1.0
    assert quality.value == pytest.approx(share ** (1 / 3))


def test_sharpness_is_the_mean_step_in_spreads() -> None:
    """One edge down the middle: 2 of 62 steps across are of 100 greys, none down."""
    quality = quality_of(stripes(32), ALL, (96, 96))
    assert quality.sharpness == pytest.approx((100 * 2 / 62) / 2 / 51 / 0.5)
    assert quality.value == pytest.approx(quality.sharpness ** (1 / 3))


@pytest.mark.parametrize(
    ("size", "slope", "tilt"),
    [
        ((100, 100), 1.0, 45.0),
        ((100, 100), -1.0, -45.0),
        ((200, 100), 1.0, math.degrees(math.atan(0.5))),  # falls 100 pixels over 200
        ((100, 200), 0.5, 45.0),  # falls 100 pixels over 100
        ((300, 100), 0.0, 0.0),
    ],
)
def test_tilt_is_in_pixels_of_the_photo_not_in_shares_of_it(
    size: tuple[int, int], slope: float, tilt: float
) -> None:
    assert quality_of(checks(), Fluke(WHOLE, slope=slope), size).tilt_deg == pytest.approx(tilt)


def test_a_tilt_counts_by_its_cosine() -> None:
    """In a broad photo the same slope is a smaller turn; all else is the same."""
    fluke = Fluke(WHOLE, slope=0.5)
    square, broad = (quality_of(picture(1), fluke, size) for size in ((400, 400), (800, 400)))
    assert (square.sharpness, square.contrast) == (broad.sharpness, broad.contrast)
    assert square.value / broad.value == pytest.approx(
        math.cos(math.atan(0.5)) / math.cos(math.atan(0.25))
    )


@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_flat_photo_is_worth_nothing(level: int) -> None:
    quality = quality_of(np.full((40, 60), level, dtype=np.uint8), ALL, (400, 600))
    assert (quality.sharpness, quality.contrast, quality.value) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("seed", range(3))
def test_blur_takes_sharpness_and_value(seed: int) -> None:
    image = Image.fromarray(picture(seed, 64, 64))
    blurred = [np.asarray(image.filter(ImageFilter.GaussianBlur(r))) for r in (0, 1, 2, 4)]
    found = [quality_of(pixels, ALL, (640, 640)) for pixels in blurred]
    for sharp, soft in pairwise(found):
        assert soft.sharpness < sharp.sharpness
        assert soft.value < sharp.value


@pytest.mark.parametrize("seed", range(3))
def test_haze_takes_contrast_and_value_but_hardly_sharpness(seed: int) -> None:
    photo = picture(seed).astype(float)
    hazy = [(128 + (photo - 128) * share).round().astype(np.uint8) for share in (0.6, 0.3, 0.15)]
    found = [quality_of(pixels, ALL, (960, 640)) for pixels in hazy]
    for clear, dim in pairwise(found):
        assert dim.contrast < clear.contrast
        assert dim.value < clear.value
        assert dim.sharpness == pytest.approx(clear.sharpness, rel=0.2)


def test_a_smaller_fluke_is_worth_less() -> None:
    values = [quality_of(picture(1), ALL, (3 * side, 2 * side)).value for side in (30, 20, 10, 7)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 4


def test_only_the_fluke_is_measured() -> None:
    photo = np.zeros((128, 128), dtype=np.uint8)
    photo[64:, 64:] = checks()
    corner = quality_of(photo, Fluke(Box(0.5, 0.5, 1.0, 1.0)), (192, 192))
    alone = quality_of(checks(), ALL, (96, 96))
    assert corner.contrast == pytest.approx(alone.contrast, abs=0.05)
    assert corner.value == pytest.approx(alone.value, abs=0.05)


def test_half_a_turn_changes_nothing() -> None:
    fluke = Fluke(Box(0.125, 0.25, 0.875, 0.75), slope=0.25)
    upright, turned = (
        quality_of(picture(1), replace(fluke, upside_down=down), (900, 600))
        for down in (False, True)
    )
    for name in ("width_px", "height_px", "sharpness", "contrast", "tilt_deg", "value"):
        assert getattr(turned, name) == pytest.approx(getattr(upright, name), rel=1e-5)


def test_colour_is_measured_as_its_mean() -> None:
    grey = np.repeat(picture(1)[:, :, None], 3, axis=2)
    assert quality_of(grey, ALL, (96, 64)) == quality_of(picture(1), ALL, (96, 64))
    red = np.stack([checks(30), checks(0), checks(0)], axis=2)
    assert quality_of(red, ALL, (96, 96)).contrast == pytest.approx(10 / 50)


@given(
    seed=st.integers(0, 99),
    pixels=st.tuples(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 3])),
    corner=st.tuples(st.floats(0.0, 0.98), st.floats(0.0, 0.98)),
    extent=st.tuples(st.floats(0.02, 1.0), st.floats(0.02, 1.0)),
    slope=st.floats(-1.0, 1.0),
    size=st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)),
)
def test_every_measure_keeps_its_bounds(
    seed: int,
    pixels: tuple[int, int, int],
    corner: tuple[float, float],
    extent: tuple[float, float],
    slope: float,
    size: tuple[int, int],
) -> None:
    photo = np.random.default_rng(seed).integers(0, 256, pixels, dtype=np.uint8)
    (x0, y0), (x1, y1) = corner, np.minimum(np.add(corner, extent), 1.0).tolist()
    fluke = Fluke(Box(x0, y0, x1, y1), slope=slope)
    quality = quality_of(photo if pixels[2] == 3 else photo[:, :, 0].copy(), fluke, size)
    for share in (quality.sharpness, quality.contrast, quality.value):
        assert 0.0 <= share <= 1.0
    assert 0.0 < quality.width_px <= size[0]
    assert 0.0 < quality.height_px <= size[1]
    assert abs(quality.tilt_deg) <= 90.0
