"""Tests of which photos an epoch shows."""

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from flukeprint.training.sampling import epoch_order

LABELS = torch.tensor([0] * 12 + [1] * 4 + [2] * 2 + [3] * 2)


def _order(labels: Tensor, power: float, seed: int = 0) -> Tensor:
    return epoch_order(labels, power, torch.Generator().manual_seed(seed))


def test_power_0_shows_each_photo_once() -> None:
    for seed in range(5):
        assert sorted(_order(LABELS, 0.0, seed).tolist()) == list(range(len(LABELS)))


def test_power_1_shows_each_whale_equally_often() -> None:
    shown = torch.zeros(4)
    for seed in range(40):
        shown += torch.bincount(LABELS[_order(LABELS, 1.0, seed)], minlength=4)
    # 20 draws, 4 whales: 5 each an epoch, give or take the ends of a whale's photos.
    torch.testing.assert_close(shown / 40, torch.full((4,), 5.0), rtol=0, atol=0.35)


def test_power_1_is_exact_where_it_can_be() -> None:
    labels = torch.arange(7).repeat(3)
    assert sorted(_order(labels, 1.0).tolist()) == list(range(21))


@settings(max_examples=100, deadline=None)
@given(
    labels=st.lists(st.integers(0, 8), min_size=1, max_size=60),
    power=st.floats(0.0, 1.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_photos_count_is_within_one_of_its_expectation(
    labels: list[int], power: float, seed: int
) -> None:
    whales = torch.tensor(labels)
    order = _order(whales, power, seed)
    assert order.shape == whales.shape
    assert order.dtype == torch.int64
    weight = torch.bincount(whales)[whales].double() ** -power
    wanted = weight / weight.sum() * len(labels)
    count = torch.bincount(order, minlength=len(labels)).double()
    assert float((count - wanted).abs().max()) < 1 + 1e-9


def test_the_seed_decides() -> None:
    first = _order(LABELS, 0.5, 3)
    assert torch.equal(first, _order(LABELS, 0.5, 3))
    assert not torch.equal(first, _order(LABELS, 0.5, 4))
