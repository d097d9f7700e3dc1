"""Cutting flukes out, on pictures whose every pixel is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from flukeprint.crops import crop, evened, level_height, planes
from flukeprint.records import WHOLE, Box, Fluke
from tests.tiny import Pixels, picture, tinted

QUARTERS = np.repeat(np.repeat(np.array([[10, 20], [30, 40]], np.uint8), 8, axis=0), 8, axis=1)
ALL = Fluke(WHOLE)


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
    assert (crop(QUARTERS, Fluke(box), 8, 8) == level).all()


def test_the_whole_photo_at_its_own_size_is_itself() -> None:
    assert (crop(picture(1), ALL, 64, 96) == picture(1)).all()


def test_the_result_has_the_asked_size_whatever_the_aspect() -> None:
    assert crop(picture(1), Fluke(Box(0.1, 0.4, 0.9, 0.5)), 30, 20).shape == (30, 20)


def test_a_level_fluke_is_resized_and_no_more() -> None:
    box = Box(0.125, 0.25, 0.75, 0.875)
    region = (0.125 * 96, 0.25 * 64, 0.75 * 96, 0.875 * 64)
    resized = Image.fromarray(picture(1)).resize((50, 30), Image.Resampling.BILINEAR, box=region)
    assert (crop(picture(1), Fluke(box), 30, 50) == np.asarray(resized)).all()


def test_a_margin_widens_by_the_boxs_own_size() -> None:
    inner = crop(picture(1), Fluke(Box(0.25, 0.25, 0.75, 0.75)), 40, 40, margin=0.5)
    assert (inner == crop(picture(1), ALL, 40, 40)).all()


def test_beyond_the_photo_its_edge_repeats() -> None:
    cut = crop(QUARTERS, ALL, 32, 32, margin=0.5)  # a quarter of it on each side is outside
    assert (cut[:, :8] == cut[:, 8:9]).all()
    assert (cut[:8] == cut[8]).all()
    assert (cut[8:24, 8:24] == crop(QUARTERS, ALL, 16, 16)).all()


TILTED = Fluke(Box(0.3, 0.2, 0.9, 0.7), slope=0.4, upside_down=True)


@pytest.mark.parametrize("fluke", [ALL, TILTED, Fluke(Box(0.0, 0.5, 0.1, 1.0), slope=-1.0)])
@pytest.mark.parametrize("margin", [0.0, 0.4])
def test_a_crop_of_colour_is_that_of_each_channel(fluke: Fluke, margin: float) -> None:
    photo = tinted(1, 1.0, 0.6, 0.2)
    cut = crop(photo, fluke, 30, 50, margin=margin)
    assert cut.shape == (30, 50, 3)
    for channel in range(3):
        alone = crop(np.ascontiguousarray(photo[:, :, channel]), fluke, 30, 50, margin=margin)
        assert (cut[:, :, channel] == alone).all()


def test_a_network_takes_channels_first() -> None:
    photo = tinted(1, 1.0, 0.6, 0.2)
    assert planes(photo).shape == (3, 64, 96)
    assert (planes(photo)[1] == photo[:, :, 1]).all()
    assert (planes(picture(1)) == picture(1)[None]).all()


def bar(slope: float, width: int = 300, height: int = 200) -> Pixels:
    """A white bar through the photo's middle that falls by ``slope``, as a fluke's slope says."""
    across = (np.arange(width) + 0.5) / width - 0.5
    down = (np.arange(height) + 0.5) / height - 0.5
    above = np.abs(down[:, None] - slope * across[None, :])
    return np.where(above < 0.05, 255, 0).astype(np.uint8)


def middles(cut: Pixels) -> NDArray[np.float64]:
    """The height of the white in each column, in pixels from the top."""
    rows = np.arange(len(cut))[:, None] + 0.5
    share = cut / cut.sum(axis=0, dtype=np.float64)
    return np.asarray((rows * share).sum(axis=0))


@pytest.mark.parametrize("size", [(300, 200), (200, 300)])
@pytest.mark.parametrize("slope", [-0.5, -0.2, 0.01, 0.3, 0.5])
@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_a_bar_that_slopes_is_levelled(size: tuple[int, int], slope: float, margin: float) -> None:
    box = Box(0.125, 0.1, 0.875, 0.9)
    photo = bar(slope, *size)
    # The crop's edge columns hold the whole bar, not the half that a blur cuts off.
    level = middles(crop(photo, Fluke(box, slope=slope), 120, 160, margin=margin)[:, 1:-1])
    assert level == pytest.approx(60.0, abs=1.0)
    if abs(slope) >= 0.2:
        sloping = middles(crop(photo, Fluke(box), 120, 160, margin=margin)[:, 1:-1])
        fall = 120 * slope * 0.75 / 0.8  # of the crop's height, across its width
        assert sloping[-1] - sloping[0] == pytest.approx(fall, abs=3.0)
        wrong = middles(crop(photo, Fluke(box, slope=-slope), 120, 160, margin=margin)[:, 1:-1])
        assert abs(wrong[-1] - wrong[0]) > abs(fall)


def test_what_is_off_the_bar_is_moved_with_its_column() -> None:
    """A shear, by hand: 8 x 8, falling by a half: from -2 to 2 rows, columns 0.5 rows apart."""
    photo = np.tile(10 * np.arange(8, dtype=np.uint8)[:, None], (1, 8))
    fluke = Fluke(WHOLE, slope=0.5)
    tall = level_height(fluke)
    assert tall == pytest.approx(0.75**0.5)
    cut = crop(photo, fluke, 8, 8).astype(float)
    row = 8 * (0.5 - tall / 2 + tall * 3.5 / 8)  # where the crop's fourth row is in the photo
    falls = 0.5 * 8 * ((np.arange(8) + 0.5) / 8 - 0.5)
    assert cut[3] == pytest.approx(10 * (row - 0.5 + falls), abs=2.0)


@pytest.mark.parametrize(
    ("box", "slope", "height"),
    [
        (Box(0.25, 0.25, 0.75, 0.75), 0.0, 0.5),
        (Box(0.25, 0.25, 0.75, 0.75), 0.6, 0.4),  # 0.25 - 0.09 is 0.16
        (Box(0.25, 0.25, 0.75, 0.75), -0.6, 0.4),
        (Box(0.0, 0.0, 0.8, 0.5), 1.0, 0.25),  # it falls by more than the box: half is left
        (Box(0.0, 0.0, 0.5, 0.5), 1.0, 0.25),
        (WHOLE, 0.8, 0.6),
    ],
)
def test_the_height_of_a_levelled_fluke(box: Box, slope: float, height: float) -> None:
    assert level_height(Fluke(box, slope=slope)) == pytest.approx(height)


def test_an_ellipse_that_slopes_has_its_own_height_once_level() -> None:
    """Half as wide as the photo, 0.3 high, sheared by 0.8: its box is 0.5 high."""
    turn = np.linspace(0, 2 * np.pi, 10_000)
    x, y = 0.25 * np.cos(turn), 0.15 * np.sin(turn)
    y = 0.5 + y + 0.8 * x
    box = Box(0.25, float(y.min()), 0.75, float(y.max()))
    assert box.y1 - box.y0 == pytest.approx(0.5)
    assert level_height(Fluke(box, slope=0.8)) == pytest.approx(0.3)


def test_a_photo_squashed_to_a_square_gives_nearly_the_same_crop() -> None:
    photo = picture(4, 300, 180)
    squashed = np.asarray(Image.fromarray(photo).resize((100, 100), Image.Resampling.BILINEAR))
    for fluke in (ALL, TILTED, Fluke(Box(0.2, 0.3, 0.8, 0.7), slope=-0.3)):
        ours, theirs = (crop(one, fluke, 64, 64).astype(float) for one in (photo, squashed))
        assert np.abs(ours - theirs).mean() < 3.0
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("contrast", [30, 60, 100])
@pytest.mark.parametrize("light", [100, 150])
def test_an_evened_crop_has_one_mean_and_one_contrast(contrast: int, light: int) -> None:
    halves = np.repeat(np.array([light - contrast, light + contrast], np.uint8), 32).reshape(8, 8)
    even = evened(halves)
    assert even.dtype == np.uint8
    # One is added to the spread, so that a flat crop stays flat.
    off = 50 * contrast / (contrast + 1)
    assert sorted(set(even.ravel().tolist())) == [round(128 - off), round(128 + off)]
    assert float(even.mean()) == pytest.approx(128, abs=0.5)
    assert float(even.std()) == pytest.approx(50, abs=2.0)


def test_an_evened_crop_is_grey_and_a_flat_one_is_mid_grey() -> None:
    colour = tinted(1, 0.9, 0.6, 0.3)
    even = evened(colour)
    assert even.shape == (64, 96)
    assert np.abs(even.astype(int) - evened(colour.mean(axis=2).round().astype(np.uint8))).max() < 3
    assert (evened(np.full((4, 4), 200, np.uint8)) == 128).all()


def sides(least: float = 0.02) -> st.SearchStrategy[tuple[float, float]]:
    """Two bounds at least so far apart; by default as the localiser gives them."""
    return st.tuples(st.floats(0.0, 1.0 - least), st.floats(least, 1.0)).map(
        lambda pair: (pair[0], min(1.0, pair[0] + pair[1]))
    )


def flukes(least: float = 0.02) -> st.SearchStrategy[Fluke]:
    """Any fluke that the localiser may give."""
    return st.builds(
        lambda x, y, slope, upside_down: Fluke(
            Box(x[0], y[0], x[1], y[1]), slope=slope, upside_down=upside_down
        ),
        sides(least), sides(least), st.floats(-1.0, 1.0), st.booleans(),
    )  # fmt: skip


SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(fluke=flukes(), size=SIZES, photo=SIZES, margin=st.floats(0.0, 1.0))
def test_any_fluke_margin_and_size_give_a_crop(
    fluke: Fluke, size: tuple[int, int], photo: tuple[int, int], margin: float
) -> None:
    pixels: Pixels = np.full(photo, 77, dtype=np.uint8)
    cut = crop(pixels, fluke, *size, margin=margin)
    assert cut.shape == size
    assert (cut == 77).all()


@given(flukes(), st.floats(0.0, 0.5))
def test_a_crop_invents_no_grey_and_is_the_same_again(fluke: Fluke, margin: float) -> None:
    photo = picture(2)
    cut = crop(photo, fluke, 24, 32, margin=margin)
    assert photo.min() <= cut.min()
    assert cut.max() <= photo.max()
    assert (cut == crop(photo, fluke, 24, 32, margin=margin)).all()


@given(flukes(), st.floats(0.0, 0.5))
def test_upside_down_is_the_same_turned_by_half(fluke: Fluke, margin: float) -> None:
    upright, turned = (
        crop(picture(3), replace(fluke, upside_down=down), 20, 30, margin=margin)
        for down in (False, True)
    )
    assert (turned == np.rot90(upright, 2)).all()
    assert turned.flags.c_contiguous


@given(flukes(least=0.25))
def test_the_mirrored_photo_gives_the_mirrored_crop(fluke: Fluke) -> None:
    box = fluke.box
    mirrored = replace(fluke, box=Box(1 - box.x1, box.y0, 1 - box.x0, box.y1), slope=-fluke.slope)
    cut = crop(picture(5), fluke, 24, 32).astype(int)
    again = crop(np.ascontiguousarray(picture(5)[:, ::-1]), mirrored, 24, 32).astype(int)
    assert np.abs(again[:, ::-1] - cut).max() <= 3


@pytest.mark.parametrize("slope", [-1.0, 1.0, -7.0])
@pytest.mark.parametrize("box", [Box(0.0, 0.49, 1.0, 0.51), Box(0.98, 0.98, 1.0, 1.0), WHOLE])
def test_the_steepest_and_the_smallest_have_the_asked_size(slope: float, box: Box) -> None:
    for photo in (picture(1), picture(1, 1, 1), tinted(1, 1.0, 0.5, 0.2)):
        cut = crop(photo, Fluke(box, slope=slope), 48, 64, margin=0.1)
        assert cut.shape == (48, 64, *photo.shape[2:])
        assert cut.dtype == np.uint8
