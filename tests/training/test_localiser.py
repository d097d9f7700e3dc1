"""Tests of the network that finds the fluke."""

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
from torch import Tensor

from flukeprint.training.config import TrainConfig
from flukeprint.training.data import drawn_boxes, mean_overlap
from flukeprint.training.localiser import (
    SIDE_PX,
    BoxNet,
    _moved,
    fit_localiser,
    overlap,
)


def _boxes(*boxes: tuple[float, float, float, float]) -> Tensor:
    return torch.tensor(boxes)


def test_overlap_by_hand() -> None:
    whole = (0.0, 0.0, 1.0, 1.0)
    cases = [
        (whole, whole, 1.0),
        (whole, (0.0, 0.0, 0.5, 1.0), 0.5),
        ((0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0), 0.0),  # touching
        ((0.0, 0.0, 0.2, 0.2), (0.6, 0.0, 0.9, 0.2), 0.0),  # apart
        ((0.0, 0.0, 0.4, 0.4), (0.2, 0.2, 0.6, 0.6), 0.04 / 0.28),
        ((0.3, 0.3, 0.3, 0.3), (0.3, 0.3, 0.3, 0.3), 0.0),  # nothing
    ]
    found = overlap(_boxes(*(a for a, _, _ in cases)), _boxes(*(b for _, b, _ in cases)))
    torch.testing.assert_close(found, torch.tensor([wanted for *_, wanted in cases]))


def test_boxes_lie_inside_the_photo() -> None:
    torch.manual_seed(0)
    net = BoxNet().eval()
    with torch.inference_mode():
        found = net(torch.rand(9, 1, SIDE_PX, SIDE_PX) * 255)
        blank = net(torch.zeros(1, 1, SIDE_PX, SIDE_PX))
    assert found.shape == (9, 4)
    assert bool(((found >= 0) & (found <= 1)).all())
    assert bool((found[:, 2:] > found[:, :2]).all())
    assert bool(torch.isfinite(blank).all())


def test_exposure_does_not_move_the_box() -> None:
    torch.manual_seed(0)
    net = BoxNet().eval()
    photos = torch.rand(3, 1, SIDE_PX, SIDE_PX) * 100
    with torch.inference_mode():
        torch.testing.assert_close(net(photos), net(2 * photos + 20), rtol=0, atol=5e-3)


def test_a_moved_box_stays_on_the_object() -> None:
    """A bright rectangle is painted, moved, and found again by its brightness."""
    count, side = 200, 100
    draw = torch.rand(count, 4, generator=torch.Generator().manual_seed(1))
    low = draw[:, :2] * 0.5
    boxes = torch.cat([low, low + 0.2 + draw[:, 2:] * 0.29], dim=1)
    pixels = (boxes * side).round()
    boxes = pixels / side
    at = torch.arange(side) + 0.5
    across = (at > pixels[:, :1]) & (at < pixels[:, 2:3])
    down = (at > pixels[:, 1:2]) & (at < pixels[:, 3:])
    images = (down[:, :, None] & across[:, None, :]).float()[:, None] * 255
    moved, wanted = _moved(images, boxes, torch.Generator().manual_seed(2))
    assert moved.shape == (count, 1, SIDE_PX, SIDE_PX)
    checked = 0
    for image, box in zip(moved[:, 0], wanted, strict=True):
        bright = image > 127
        if bright.sum() < 30:
            continue  # moved out of the picture, or nearly
        columns, rows = bright.any(dim=0).nonzero(), bright.any(dim=1).nonzero()
        ends = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        found = torch.tensor([float(end) for end in ends]) / SIDE_PX
        torch.testing.assert_close(found, box, rtol=0, atol=1.01 / SIDE_PX)
        checked += 1
    assert checked > 150


def test_a_short_fit_finds_drawn_flukes_better() -> None:
    boxed = drawn_boxes(TrainConfig(drawn_whales=20, drawn_photos=2))
    torch.manual_seed(0)
    before = mean_overlap(BoxNet().eval(), boxed)
    told: list[int] = []
    net = fit_localiser(
        boxed.photos, boxed.boxes, steps=60, seed=0, batch_size=32, progress=told.append
    )
    after = mean_overlap(net, boxed)
    assert not net.training
    assert sum(told) == 60
    assert after > 0.6 > before + 0.1


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_same_seed_gives_the_same_net(steps: int) -> None:
    boxed = drawn_boxes(TrainConfig(drawn_whales=2, drawn_photos=2))
    made = [
        fit_localiser(boxed.photos, boxed.boxes, steps=steps, seed=4, batch_size=4)
        for _ in range(2)
    ]
    for one, two in zip(made[0].parameters(), made[1].parameters(), strict=True):
        assert torch.equal(one, two)
