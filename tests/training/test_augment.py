"""Tests of the augmentation of batches of crops."""

from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
from torch import Tensor

from flukeprint.training.augment import Warp, centre_warp, draw_warp, relight, uniform
from flukeprint.training.config import TrainConfig
from flukeprint.training.data import INNER

STILL = TrainConfig(
    rotate_deg=0.0, zoom=0.0, shift=0.0, shear=0.0, light=0.0, blur_px=0.0, noise=0.0, erase=0.0
)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _pictures(count: int, height: int = 20, width: int = 30) -> Tensor:
    return torch.rand(count, 1, height, width, generator=_generator(9)) * 255


def _ramp(height: int, width: int) -> Tensor:
    """A picture whose value is 2 x + 3 y + 10, x and y in pixels at the pixels' middles."""
    x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    return (2 * x[None, :] + 3 * y[:, None] + 10)[None, None]


def _inner_ramp(height: int, width: int, out_height: int, out_width: int) -> Tensor:
    """The same slope seen through the inner share of the picture."""
    x = width * (0.5 + INNER * ((torch.arange(out_width) + 0.5) / out_width - 0.5))
    y = height * (0.5 + INNER * ((torch.arange(out_height) + 0.5) / out_height - 0.5))
    return (2 * x[None, :] + 3 * y[:, None] + 10)[None, None]


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_centre_is_cut_exactly(mirrored: bool) -> None:
    warp = centre_warp(torch.tensor([mirrored]), INNER)
    found = warp.apply(_ramp(26, 52), 16, 24)
    wanted = _inner_ramp(26, 52, 16, 24)
    torch.testing.assert_close(found, wanted.flip(3) if mirrored else wanted, rtol=0, atol=1e-3)


def test_mirroring_flips_left_and_right_exactly() -> None:
    pictures = _pictures(2)
    plain = centre_warp(torch.tensor([False, False]), 1.0).apply(pictures, 20, 30)
    turned = centre_warp(torch.tensor([True, True]), 1.0).apply(pictures, 20, 30)
    torch.testing.assert_close(plain, pictures, rtol=0, atol=1e-3)
    torch.testing.assert_close(turned, pictures.flip(3), rtol=0, atol=1e-3)


def test_no_strength_is_the_centre() -> None:
    mirrored = torch.tensor([False, True, True, False])
    drawn = draw_warp(mirrored, INNER, STILL, _generator())
    torch.testing.assert_close(drawn.theta, centre_warp(mirrored, INNER).theta)


def test_only_the_mirrored_are_turned_over() -> None:
    mirrored = torch.arange(200) % 3 == 0
    theta = draw_warp(mirrored, INNER, TrainConfig(), _generator()).theta
    assert theta.shape == (200, 2, 3)
    assert torch.equal(torch.linalg.det(theta[:, :, :2]) < 0, mirrored)


def test_each_strength_bounds_what_is_drawn() -> None:
    still = torch.zeros(500, dtype=torch.bool)
    moved = draw_warp(still, INNER, replace(STILL, shift=0.1), _generator()).theta
    shift = moved[:, :, 2].abs().amax(dim=0)
    assert bool((shift <= 0.2 * INNER + 1e-6).all())
    assert bool((shift > 0.19 * INNER).all())
    zoomed = draw_warp(still, 1.0, replace(STILL, zoom=0.2), _generator()).theta
    sides = torch.stack([zoomed[:, 0, 0], zoomed[:, 1, 1]]).log()
    assert float(sides.abs().max()) <= 0.2 + 1e-6
    turned = draw_warp(still, 1.0, replace(STILL, rotate_deg=10.0), _generator()).theta
    angle = torch.atan2(turned[:, 1, 0], turned[:, 0, 0]).rad2deg()
    assert 9 < float(angle.abs().max()) <= 10 + 1e-4


def test_relighting_without_strength_changes_nothing() -> None:
    pictures = _pictures(3)
    # Black is lifted by 1e-4 of white, so that the logarithm's slope exists.
    torch.testing.assert_close(relight(pictures, STILL, _generator()), pictures, rtol=0, atol=0.03)


def test_relighting_keeps_shape_and_stays_finite() -> None:
    pictures = torch.cat(
        [_pictures(30), torch.zeros(1, 1, 20, 30), torch.full((1, 1, 20, 30), 255)]
    )
    strong = TrainConfig(light=2.0, noise=0.3, erase=1.0, blur_px=3.0)
    found = relight(pictures, strong, _generator())
    assert found.shape == pictures.shape
    assert found.dtype == torch.float32
    assert bool(torch.isfinite(found).all())
    usual = relight(pictures, TrainConfig(), _generator())
    assert float(usual.min()) > -128
    assert float(usual.max()) < 512


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_erased_share(share: float) -> None:
    pictures = _pictures(400)
    found = relight(pictures, replace(STILL, erase=share), _generator())
    changed = ((found - pictures).abs() > 1).flatten(1)
    assert float(changed.any(dim=1).float().mean()) == pytest.approx(share, abs=0.07)
    if share == 1.0:  # a rectangle of 0.1 to 0.35 of each side, and of one grey
        area = changed.float().mean(dim=1)
        assert float(area.min()) > 0.004
        assert float(area.max()) < 0.16
        assert float(found[0][changed[0].view(1, 20, 30)].std()) < 1e-3


def test_blur_softens_about_half() -> None:
    pictures = _pictures(300)
    found = relight(pictures, replace(STILL, blur_px=1.0), _generator())
    softer = found.std(dim=(1, 2, 3)) < 0.999 * pictures.std(dim=(1, 2, 3))
    assert 0.4 < float(softer.float().mean()) < 0.6


def test_the_generator_decides_everything() -> None:
    def all_of_it(seed: int) -> tuple[Tensor, Tensor]:
        generator = _generator(seed)
        warp = draw_warp(torch.zeros(5, dtype=torch.bool), INNER, TrainConfig(), generator)
        return warp.theta, relight(_pictures(5), TrainConfig(), generator)

    torch.manual_seed(0)
    first = all_of_it(1)
    torch.manual_seed(5)  # the global state plays no part
    again, other = all_of_it(1), all_of_it(2)
    for one, two, three in zip(first, again, other, strict=True):
        assert torch.equal(one, two)
        assert not torch.equal(one, three)


def test_uniform_stays_in_its_range() -> None:
    drawn = uniform(1_000, -0.5, 2.0, _generator())
    assert drawn.shape == (1_000,)
    assert -0.5 <= float(drawn.min()) < -0.4
    assert 1.9 < float(drawn.max()) <= 2.0


def test_colour_is_relit_as_grey_is() -> None:
    grey = _pictures(40)
    config = TrainConfig(noise=0.0, erase=0.5)  # noise is each channel's own
    wanted = relight(grey, config, _generator(2))
    found = relight(grey.repeat(1, 3, 1, 1), config, _generator(2))
    torch.testing.assert_close(found, wanted.repeat(1, 3, 1, 1), rtol=0, atol=1e-3)


def test_channels_are_not_mixed() -> None:
    colour = torch.cat([_pictures(40), torch.zeros(40, 1, 20, 30), _pictures(40).flip(3)], dim=1)
    found = relight(colour, replace(STILL, light=0.4, blur_px=1.0), _generator(2))
    assert float(found[:, 1].abs().max()) < 3.0  # black stays black but for the lifting
    assert float(found[:, 0].mean()) > 50


def test_noise_is_each_channels_own_and_a_patch_is_of_one_grey() -> None:
    flat = torch.full((50, 3, 20, 30), 100.0)
    noisy = relight(flat, replace(STILL, noise=0.1), _generator())
    assert float((noisy[:, 0] - noisy[:, 1]).abs().max()) > 5
    colour = flat * torch.tensor([0.5, 1.0, 1.5]).view(1, 3, 1, 1)
    hidden = relight(colour, replace(STILL, erase=1.0), _generator())
    patch = (hidden - colour).abs().amax(dim=1, keepdim=True) > 1
    assert bool(patch.flatten(1).any(dim=1).all())
    greys = hidden.masked_select(patch)
    torch.testing.assert_close(greys, torch.full_like(greys, 100.0), rtol=0, atol=0.1)


def test_a_bend_that_is_the_same_everywhere_is_a_shift() -> None:
    """A pixel of 30 is 2/30 of the width from -1 to 1."""
    pictures = _pictures(2)
    still = centre_warp(torch.tensor([False, False]), 1.0).theta
    bends = torch.zeros(2, 2, 4, 5)
    bends[0, 0] = 2 / 30  # the first picture sees what lies one pixel to the right
    found = Warp(still, bends).apply(pictures, 20, 30)
    torch.testing.assert_close(found[0, :, :, :-1], pictures[0, :, :, 1:], rtol=0, atol=1e-2)
    torch.testing.assert_close(found[1], pictures[1], rtol=0, atol=1e-2)


def test_a_bend_is_as_strong_as_asked() -> None:
    still = torch.zeros(400, dtype=torch.bool)
    assert draw_warp(still, INNER, STILL, _generator()).bends is None
    bends = draw_warp(still, INNER, replace(STILL, bend=0.03), _generator()).bends
    assert bends is not None and bends.shape == (400, 2, 4, 5)
    assert float(bends.std()) == pytest.approx(0.03, rel=0.05)


def test_coarsening_takes_the_first_half_of_some_batches() -> None:
    pictures, changed = _pictures(9), 0
    for seed in range(60):
        found = relight(pictures, replace(STILL, coarse=0.5), _generator(seed))
        torch.testing.assert_close(found[4:], pictures[4:], rtol=0, atol=0.1)
        softer = found[:4].std(dim=(2, 3)) < 0.97 * pictures[:4].std(dim=(2, 3))
        assert bool(softer.all()) or torch.allclose(found, pictures, atol=0.1)
        changed += bool(softer.all())
    assert 15 < changed < 45
    flat = torch.full((4, 1, 20, 30), 77.0)
    torch.testing.assert_close(relight(flat, replace(STILL, coarse=1.0), _generator()), flat)
