"""Tests of the pictures that are made once before training."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from flukeprint.training import augment as poses
from flukeprint.training.config import TrainConfig
from flukeprint.training.copies import grey_copies, offline_copies

STANFORD = TrainConfig(
    augment="offline",
    offline_shifts=2,
    offline_rotations=2,
    offline_zooms=1,
    shift=0.2,
    rotate_deg=20.0,
    zoom=0.2,
)


def _only(**settings: Any) -> TrainConfig:
    """The same ranges, and no pictures but those asked for."""
    none = {"offline_shifts": 0, "offline_rotations": 0, "offline_zooms": 0}
    return replace(STANFORD, **{**none, **settings})


def _pictures(count: int, channels: int = 1, height: int = 16, width: int = 24) -> Tensor:
    generator = torch.Generator().manual_seed(9)
    shape = (count, channels, height, width)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def _spot(size: int, left: int, top: int) -> Tensor:
    """A black picture with one white square of 4 x 4 pixels."""
    picture = torch.zeros(1, 1, size, size, dtype=torch.uint8)
    picture[:, :, top : top + 4, left : left + 4] = 250
    return picture


def _middle(pictures: Tensor) -> Tensor:
    """(N, 2): x and y of the centre of what is bright, in pixels from the picture's middle."""
    light = pictures[:, 0].double()
    height, width = light.shape[1:]
    x = torch.arange(width) + 0.5 - width / 2
    y = torch.arange(height) + 0.5 - height / 2
    total = light.sum(dim=(1, 2))
    return (
        torch.stack([light.sum(dim=1) @ x.double(), light.sum(dim=2) @ y.double()]).T
        / (total[:, None])
    )


def _made(crops: Tensor, config: TrainConfig, inner: float = 1.0) -> Tensor:
    labels = torch.zeros(len(crops), dtype=torch.int64)
    return offline_copies(crops, labels, config, inner)[0][len(crops) :]


@settings(max_examples=40, deadline=None)
@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=20),
    shifts=st.integers(0, 2),
    turns=st.integers(0, 2),
    zooms=st.integers(0, 2),
)
def test_each_whale_gets_its_copies(labels: list[int], shifts: int, turns: int, zooms: int) -> None:
    assume(shifts + turns + zooms > 0)  # a config that asks for none is refused
    config = replace(STANFORD, offline_shifts=shifts, offline_rotations=turns, offline_zooms=zooms)
    whales = torch.tensor(labels)
    crops = _pictures(len(labels), height=4, width=6)
    found, names = offline_copies(crops, whales, config)
    assert found.dtype == torch.uint8
    assert torch.equal(found[: len(crops)], crops)
    assert torch.equal(names[: len(crops)], whales)
    new = torch.bincount(names[len(crops) :], minlength=6)
    each = shifts + turns + zooms
    assert new.tolist() == [each if whale in labels else 0 for whale in range(6)]
    assert len(found) == len(names)


def test_copies_come_from_the_whales_own_photos_in_turn() -> None:
    # Flat pictures stay as they are under every pose, so that a copy tells its source.
    crops = torch.arange(10, 70, 10, dtype=torch.uint8).view(6, 1, 1, 1).repeat(1, 3, 8, 9)
    labels = torch.tensor([1, 0, 1, 1, 3, 0])
    found, names = offline_copies(crops, labels, STANFORD)
    sources = found[6:, 0, 0, 0]
    by_whale = {whale: sources[names[6:] == whale].tolist() for whale in (0, 1, 3)}
    assert by_whale == {0: [20, 60, 20, 60, 20], 1: [10, 30, 40, 10, 30], 3: [50] * 5}


@pytest.mark.parametrize("augment", ["realtime", "none"])
def test_copies_are_made_offline_only(augment: str) -> None:
    crops, labels = _pictures(4), torch.tensor([0, 0, 1, 2])
    config = _only(augment=augment)
    found, names = offline_copies(crops, labels, config)
    assert found is crops
    assert names is labels


def test_the_seed_decides_the_copies() -> None:
    crops, labels = _pictures(300), torch.arange(300)  # more whales than one chunk
    torch.manual_seed(0)
    first, _ = offline_copies(crops, labels, STANFORD)
    torch.manual_seed(5)  # the global state plays no part
    assert torch.equal(first, offline_copies(crops, labels, STANFORD)[0])
    other, _ = offline_copies(crops, labels, replace(STANFORD, seed=1))
    assert len(first) == len(other) == 300 * 6
    assert not torch.equal(first, other)
    kind = first[300:].view(5, 300, 1, 16, 24)
    assert not torch.equal(kind[0], kind[1])  # the second shift is another


def test_a_shift_moves_the_picture_and_does_nothing_else() -> None:
    config = _only(offline_shifts=60)
    made = _made(_spot(40, 18, 18), config)
    moved = _middle(made)
    assert float(moved.abs().max()) <= 8.0 + 0.1  # a fifth of 40 pixels
    assert bool((moved.amax(dim=0) > 6).all())
    assert bool((moved.amin(dim=0) < -6).all())
    light = made.flatten(1).sum(dim=1) / 250
    torch.testing.assert_close(light, torch.full((60,), 16.0), rtol=0, atol=0.2)  # 4 x 4
    assert float(_middle(_made(_spot(40, 18, 18), config, inner=0.5)).abs().max()) <= 4.0 + 0.1


def test_a_rotation_keeps_the_distance_from_the_middle() -> None:
    made = _made(_spot(40, 28, 18), _only(offline_rotations=60))
    x, y = _middle(made).T  # the spot was 10 pixels right of the middle
    torch.testing.assert_close(torch.hypot(x, y), torch.full_like(x, 10), rtol=0, atol=0.1)
    angle = torch.rad2deg(torch.atan2(y, x))
    assert 15 < float(angle.max()) <= 20.3
    assert -15 > float(angle.min()) >= -20.3


def test_a_zoom_scales_about_the_middle() -> None:
    made = _made(_spot(40, 28, 26), _only(offline_zooms=60))
    moved = _middle(made)  # the spot was 10 pixels right of the middle and 8 below
    scale = torch.log(moved / torch.tensor([10.0, 8.0]))
    assert 0.15 < float(scale.max()) <= 0.21
    assert -0.15 > float(scale.min()) >= -0.21


def _always_most(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """In place of a draw: the end of its range."""
    return torch.full((count,), high)


def test_fixed_poses_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poses, "uniform", _always_most)
    square = _pictures(1, channels=3, height=16, width=16)
    turned = _made(square, _only(offline_rotations=1, rotate_deg=90.0))
    assert torch.equal(turned, square.rot90(1, dims=(2, 3)))
    shifted = _made(square, _only(offline_shifts=1, shift=0.25))
    # 4 of 16 pixels to the left and up; the far edges are drawn out.
    assert torch.equal(shifted[:, :, :12, :12], square[:, :, 4:, 4:])
    assert torch.equal(shifted[:, :, 12:, :12], square[:, :, -1:, 4:].expand(1, 3, 4, 12))


def _coloured(pixel: tuple[int, int, int]) -> Tensor:
    """A grey picture of 100 in which one pixel differs."""
    picture = torch.full((1, 3, 6, 8), 100, dtype=torch.uint8)
    picture[0, :, 2, 3] = torch.tensor(pixel, dtype=torch.uint8)
    return picture


def test_only_coloured_pictures_get_a_grey_copy() -> None:
    pixels = [(100, 100, 100), (100, 108, 103), (100, 109, 100), (60, 60, 60), (255, 0, 0)]
    crops = torch.cat([_coloured(pixel) for pixel in pixels])
    found, labels = grey_copies(crops, torch.tensor([5, 6, 7, 8, 9]))
    assert labels.tolist() == [5, 6, 7, 8, 9, 7, 9]
    assert torch.equal(found[:5], crops)
    assert found.dtype == torch.uint8
    assert found[6, :, 2, 3].tolist() == [76, 76, 76]  # 0.299 * 255 = 76.2
    assert found[6, :, 0, 0].tolist() == [100, 100, 100]


def test_grey_is_what_pillow_makes_of_it() -> None:
    crops = _pictures(300, channels=3)  # more than one chunk
    found, labels = grey_copies(crops, torch.arange(300))
    assert torch.equal(labels, torch.arange(300).repeat(2))
    for crop, grey in zip(crops, found[300:], strict=True):
        pillow = np.asarray(Image.fromarray(crop.permute(1, 2, 0).numpy()).convert("L"))
        off = grey.int() - torch.from_numpy(pillow.astype(np.int32))
        assert int(off.abs().max()) <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_pictures_have_nothing_to_add(channels: int) -> None:
    crops = _pictures(4).repeat(1, channels, 1, 1)
    found, labels = grey_copies(crops, torch.arange(4))
    assert torch.equal(found, crops)
    assert labels.tolist() == [0, 1, 2, 3]
