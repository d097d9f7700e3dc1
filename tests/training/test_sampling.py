"""Tests of which photos an epoch shows."""

from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from flukeprint.training.config import TrainConfig
from flukeprint.training.sampling import batches, epoch_order, oversampled, whale_batches

LABELS = torch.tensor([0] * 12 + [1] * 4 + [2] * 2 + [3] * 2)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _order(labels: Tensor, power: float, seed: int = 0) -> Tensor:
    return epoch_order(labels, power, _generator(seed))


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


def test_the_draws_are_those_of_published_runs() -> None:
    wanted = [0, 11, 7, 16, 14, 17, 13, 5, 9, 3, 19, 4, 6, 12, 15, 18, 2, 18, 8, 10]
    assert _order(LABELS, 0.3).tolist() == wanted
    few = torch.tensor([0] * 5 + [1] * 2 + [2] + [3] * 3)
    assert _order(few, 1.0, 7).tolist() == [10, 7, 8, 0, 5, 6, 5, 1, 9, 7, 6]
    made = batches(LABELS, TrainConfig(batch_size=8), _generator())
    assert [batch.tolist() for batch in made] == [wanted[:8], wanted[8:16]]  # 4 wait


def test_too_few_photos_for_a_batch_are_one() -> None:
    (only,) = batches(LABELS, TrainConfig(batch_size=64, balance_power=0.0), _generator())
    assert sorted(only.tolist()) == list(range(20))


LABEL_LISTS = st.lists(st.integers(0, 8), min_size=1, max_size=60)
SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=100, deadline=None)
@given(labels=LABEL_LISTS, floor=st.integers(0, 12), seed=SEEDS)
def test_rare_whales_are_oversampled_evenly(labels: list[int], floor: int, seed: int) -> None:
    whales = torch.tensor(labels)
    shown = oversampled(whales, floor, _generator(seed))
    assert shown.dtype == torch.int64
    times = torch.bincount(shown, minlength=len(labels))
    for whale in set(labels):
        its = times[whales == whale]
        assert int(its.min()) >= 1
        assert int(its.sum()) == max(len(its), floor)
        assert int(its.max() - its.min()) <= 1
        if len(its) >= floor:
            assert int(its.max()) == 1


def test_which_photos_are_repeated_is_drawn() -> None:
    labels = torch.tensor([0] * 5)
    found = {tuple(oversampled(labels, 6, _generator(seed)).tolist()) for seed in range(60)}
    assert found == {tuple(sorted([0, 1, 2, 3, 4, again])) for again in range(5)}


def test_no_floor_draws_nothing() -> None:
    generator = _generator()
    before = generator.get_state()
    assert oversampled(LABELS, 0, generator).tolist() == list(range(20))
    assert torch.equal(generator.get_state(), before)


def test_an_oversampled_epoch_shows_each_whale_its_floor() -> None:
    config = TrainConfig(batch_size=9, balance_power=0.0, oversample_to=5)
    made = batches(LABELS, config, _generator())  # 12, 5, 5 and 5 photos
    assert [len(batch) for batch in made] == [9, 9, 9]
    assert torch.bincount(LABELS[torch.cat(made)]).tolist() == [12, 5, 5, 5]


@settings(max_examples=150, deadline=None)
@given(labels=LABEL_LISTS, whales=st.integers(2, 6), photos=st.integers(2, 5), seed=SEEDS)
def test_batches_of_whales(labels: list[int], whales: int, photos: int, seed: int) -> None:
    names = torch.tensor(labels)
    has = torch.bincount(names)
    size = whales * photos + seed % photos  # what does not fill another whale is left empty
    made = whale_batches(names, size, photos, _generator(seed))
    assert len(made) == -(-len(labels) // size)
    there = len(set(labels))
    visits = torch.zeros(len(has), dtype=torch.int64)
    for batch in made:
        assert batch.dtype == torch.int64
        assert len(batch) == min(whales, there) * photos
        shown = torch.bincount(names[batch], minlength=len(has))
        assert set(shown.tolist()) <= {0, photos}  # so as many whales, none of them twice
        visits += shown // photos
        times = torch.bincount(batch, minlength=len(labels))
        for whale in shown.nonzero()[:, 0].tolist():
            its = times[names == whale]
            assert int(its.max() - its.min()) <= 1  # no photo twice where there are enough
            assert int(its.max()) == -(-photos // len(its))
    visited = visits[has > 0]
    assert int(visited.max() - visited.min()) <= 1


def test_every_photo_of_a_large_whale_gets_its_turn() -> None:
    labels = torch.tensor([0] * 9 + [1] * 3)
    seen = torch.cat([torch.cat(whale_batches(labels, 4, 2, _generator(s))) for s in range(30)])
    assert set(seen.tolist()) == set(range(12))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"oversample_to": 6},
        {"loss": "triplet", "batch_size": 8, "photos_per_whale": 2},
    ],
)
def test_the_generator_decides_the_batches(change: dict[str, object]) -> None:
    config = replace(TrainConfig(batch_size=8), **change)  # type: ignore[arg-type]
    torch.manual_seed(0)
    first = torch.stack(batches(LABELS, config, _generator(1)))
    torch.manual_seed(5)  # the global state plays no part
    assert torch.equal(first, torch.stack(batches(LABELS, config, _generator(1))))
    other = torch.stack(batches(LABELS, config, _generator(2)))
    assert other.shape == first.shape  # every epoch has as many
    assert not torch.equal(first, other)


def test_triplets_ask_for_batches_of_whales() -> None:
    config = TrainConfig(loss="triplet", batch_size=8, photos_per_whale=4)
    made = batches(LABELS, config, _generator(3))
    wanted = whale_batches(LABELS, 8, 4, _generator(3))
    assert len(made) == 3
    assert all(torch.equal(one, two) for one, two in zip(made, wanted, strict=True))
