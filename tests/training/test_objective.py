"""Tests of what a run is trained towards, and how: loss, weights, steps, rates, patience."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from flukeprint.collection import read_collection
from flukeprint.errors import FlukeprintError
from flukeprint.files import read_json
from flukeprint.progress import no_progress
from flukeprint.training import loop
from flukeprint.training.config import TrainConfig
from flukeprint.training.device import Device
from flukeprint.training.lesson import Lesson, lesson_of
from flukeprint.training.loop import Trainer, _optimiser, fit, learning_rate
from flukeprint.training.losses import (
    SubCentreArcFace,
    TripletLoss,
    WeightedSoftmax,
    class_weights,
)
from flukeprint.training.objective import Objective
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.sides import split_for_training
from flukeprint.training.validate import Scores, Validation
from tests.training.small import write_whales

CPU = Device("cpu", False)
SOFTMAX = TrainConfig(
    backbone="ucsd_baseline",
    height_px=24,
    width_px=24,
    early_share=0.0,
    loss="softmax",
    new_whale="left-out",
    mirror_individuals=False,
    both_sides=False,
    localise=False,
    ema_decay=0.0,
    warmup_share=0.0,
    batch_size=4,
)
TRIPLET = replace(SOFTMAX, loss="triplet", batch_size=8, photos_per_whale=2)
COUNTS = torch.tensor([4, 1])


# which loss


def test_softmax_is_the_cross_entropy_of_the_logits() -> None:
    """Without a power every photo weighs the same: torch's own cross-entropy."""
    objective = Objective(SOFTMAX, COUNTS)
    logits, labels = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 0.0]]), torch.tensor([0, 0, 1])
    assert isinstance(objective.formula, WeightedSoftmax)
    torch.testing.assert_close(objective(logits, labels, 0.5), F.cross_entropy(logits, labels))


@pytest.mark.parametrize(
    ("distance", "mining"), [("euclidean", "batch-hard"), ("squared", "semi-hard")]
)
def test_triplet_is_by_the_configs_margin_distance_and_mining(distance: str, mining: str) -> None:
    config = replace(TRIPLET, triplet_margin=0.7, triplet_distance=distance, mining=mining)
    formula = Objective(config, COUNTS).formula
    assert isinstance(formula, TripletLoss)
    assert (formula.margin, formula.distance, formula.mining) == (0.7, distance, mining)


def test_triplets_by_hand() -> None:
    """Two whales at right angles: near 0, far the root of 2 or 2; the margin is what is left."""
    points = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0, 1, 1])
    for distance, far in (("euclidean", math.sqrt(2)), ("squared", 2.0)):
        config = replace(TRIPLET, triplet_margin=3.0, triplet_distance=distance)
        found = float(Objective(config, COUNTS)(points, labels, 0.0))
        assert found == pytest.approx(3.0 - far)


def test_arcface_is_by_the_configs_scale_and_centres() -> None:
    config = replace(SOFTMAX, loss="arcface", scale=9.0, sub_centres=3, embedding_size=5)
    formula = Objective(config, COUNTS).formula
    assert isinstance(formula, SubCentreArcFace)
    assert (formula.scale, formula.per_class) == (9.0, 3)
    assert formula.centres.shape == (2 * 3, 5)


def test_arcfaces_margin_grows_with_the_run() -> None:
    """None at first, half of it half-way through the warm-up, all of it from there on."""
    config = replace(
        SOFTMAX, loss="arcface", embedding_size=2, margin_rad=0.4, margin_warmup_share=0.5
    )
    torch.manual_seed(0)
    objective = Objective(config, COUNTS)
    points, labels = (
        F.normalize(torch.tensor([[1.0, 0.2], [0.1, 1.0]]), dim=1),
        torch.tensor([0, 1]),
    )
    margins = {0.0: 0.0, 0.25: 0.2, 0.5: 0.4, 0.9: 0.4, 1.0: 0.4}
    for progress, margin in margins.items():
        wanted = objective.formula(points, labels, margin)
        torch.testing.assert_close(objective(points, labels, progress), wanted)
    at_once = Objective(replace(config, margin_warmup_share=0.0), COUNTS)
    at_once.load_state_dict(objective.state_dict())
    assert torch.equal(at_once(points, labels, 1e-6), objective(points, labels, 1.0))


# class weights


def _weights(trainer: Trainer) -> Tensor:
    assert isinstance(trainer.loss.formula, WeightedSoftmax)
    return trainer.loss.formula.weights


def _doubled(counts: Tensor) -> Lesson:
    """A lesson in which every photo has a copy, which the counts leave out."""
    labels = torch.arange(len(counts)).repeat_interleave(counts).repeat(2)
    crops = torch.zeros(len(labels), 1, 30, 30, dtype=torch.uint8)
    return Lesson(crops, labels, tuple(f"w{n}" for n in range(len(counts))), counts)


def test_the_weights_come_from_the_lessons_counts() -> None:
    """4 photos and 1, weighed by 1 / n: 5/8 and 5/2, 1 in the mean over the five photos."""
    trainer = Trainer(_doubled(COUNTS), replace(SOFTMAX, class_weight_power=1.0), CPU)
    torch.testing.assert_close(_weights(trainer), torch.tensor([0.625, 2.5]))
    plain = Trainer(_doubled(COUNTS), SOFTMAX, CPU)
    torch.testing.assert_close(_weights(plain), torch.ones(2))


def test_copies_do_not_count(tmp_path: Path) -> None:
    """Three whales lose photos to the splits; the five copies of each whale change no count."""
    data = read_collection(write_whales(tmp_path / "whales", whales=8, photos=4))
    config = replace(
        SOFTMAX,
        augment="offline",
        offline_shifts=2,
        offline_rotations=2,
        offline_zooms=1,
        channels=3,
        grey_copies=True,
    )
    _, inner = split_for_training(data, config)
    lesson, validation = lesson_of(data, inner, (), config, None, no_progress)
    whale_of = {row.name: row.individual for row in data.table.rows}
    shown = [whale_of[name] for name in inner.train]
    assert lesson.individuals == tuple(sorted(set(shown)))
    assert lesson.counts.tolist() == [shown.count(whale) for whale in lesson.individuals]
    assert len(lesson.labels) == len(lesson.crops) >= len(shown) + 5 * len(lesson.individuals)
    assert validation is not None
    assert len(validation.gallery) == 0, "a classifier compares with no photo"


@pytest.mark.parametrize("mirrored", [False, True])
def test_mirrored_whales_are_counted_as_their_originals(mirrored: bool) -> None:
    config = replace(SOFTMAX, loss="arcface", mirror_individuals=mirrored, embedding_size=3)
    trainer = Trainer(_doubled(COUNTS), config, CPU)
    assert isinstance(trainer.loss.formula, SubCentreArcFace)
    assert len(trainer.loss.formula.centres) == (4 if mirrored else 2)


def test_the_gradient_of_a_photo_grows_with_its_whales_weight() -> None:
    """At logits of 0 it is weight / N * (1/2 - [true]), by hand."""
    objective = Objective(replace(SOFTMAX, class_weight_power=1.0), COUNTS)
    logits = torch.zeros(2, 2, requires_grad=True)
    objective(logits, torch.tensor([0, 1]), 0.0).backward()
    wanted = torch.tensor([[-0.5 * 0.625, 0.5 * 0.625], [0.5 * 2.5, -0.5 * 2.5]]) / 2
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, wanted)


@given(
    st.lists(st.integers(1, 50), min_size=2, max_size=5),
    st.floats(0.0, 2.0),
    st.integers(0, 2**31),
)
def test_each_row_of_gradients_is_the_plain_one_times_the_weight(
    counts: list[int], power: float, seed: int
) -> None:
    torch.manual_seed(seed)
    found = torch.randn(6, len(counts), requires_grad=True)
    plain = found.detach().clone().requires_grad_()
    labels = torch.randint(len(counts), (6,))
    Objective(replace(SOFTMAX, class_weight_power=power), torch.tensor(counts))(
        found, labels, 0.0
    ).backward()
    F.cross_entropy(plain, labels).backward()  # type: ignore[no-untyped-call]
    weight = class_weights(torch.tensor(counts), power)[labels]
    assert found.grad is not None and plain.grad is not None
    torch.testing.assert_close(found.grad, weight[:, None] * plain.grad)


# one step by hand


def _stepped(config: TrainConfig, gradients: list[float], value: float = 2.0) -> float:
    """Where one number ends that starts at ``value``, at a rate of 0.1 and these gradients."""
    module = nn.Module()
    module.number = nn.Parameter(torch.tensor(value, dtype=torch.float64))
    optimiser = _optimiser([module], config)
    for gradient in gradients:
        optimiser.param_groups[0]["lr"] = 0.1
        module.number.grad = torch.tensor(gradient, dtype=torch.float64)
        optimiser.step()
    return float(module.number.detach())


def _config(**changes: Any) -> TrainConfig:
    return replace(SOFTMAX, **{"momentum": 0.0, "weight_decay": 0.0, **changes})


def test_weight_decay_alone_shrinks_a_weight_by_rate_times_decay() -> None:
    """SGD's L2: 2 - 0.1 * 0.5 * 2; Nesterov's momentum takes 1.9 of it in the first step."""
    assert _stepped(_config(weight_decay=0.5), [0.0]) == pytest.approx(2.0 - 0.1)
    found = _stepped(_config(weight_decay=0.5, momentum=0.9), [0.0])
    assert found == pytest.approx(2.0 - 1.9 * 0.1)


def test_adamw_decays_beside_its_step_and_adam_within() -> None:
    """AdamW shrinks by rate * decay. Adam's L2 is a gradient, of which a first step keeps the sign:
    the rate itself, whatever the decay."""
    assert _stepped(_config(optimizer="adamw", weight_decay=0.5), [0.0]) == pytest.approx(1.9)
    for decay in (0.5, 0.01):
        found = _stepped(_config(optimizer="adam", weight_decay=decay), [0.0])
        assert found == pytest.approx(2.0 - 0.1)
    assert _stepped(_config(optimizer="adam"), [0.0]) == 2.0
    # Decay and gradient are one in Adam, so that they can cancel; AdamW steps by both.
    assert _stepped(_config(optimizer="adam", weight_decay=0.5), [-1.0]) == pytest.approx(2.0)
    found = _stepped(_config(optimizer="adamw", weight_decay=0.5), [-1.0])
    assert found == pytest.approx(2.0 * 0.95 + 0.1)


def test_momentum_by_hand() -> None:
    """Steps of a gradient of 1: 1 + 0.9 * 1, then 1 + 0.9 * (1 + 0.9); without it 1 and 1."""
    assert _stepped(_config(momentum=0.9), [1.0, 1.0]) == pytest.approx(2.0 - 0.1 * (1.9 + 2.71))
    assert _stepped(_config(), [1.0, 1.0]) == pytest.approx(2.0 - 0.2)


# the learning rate


def _rates(config: TrainConfig) -> list[float]:
    return [learning_rate(config, progress, 0) for progress in (0.0, 0.25, 0.5, 1.0)]


def test_the_rate_by_hand() -> None:
    constant = replace(SOFTMAX, learning_rate=0.2, schedule="constant")
    assert _rates(constant) == [0.2, 0.2, 0.2, 0.2]
    quarter = 0.1 + 0.1 * math.sqrt(0.5)
    cosine = replace(constant, schedule="cosine")
    assert _rates(cosine) == pytest.approx([0.2, quarter, 0.1, 0.0])
    warm = 0.5
    assert _rates(replace(constant, warmup_share=warm)) == [0.0, 0.1, 0.2, 0.2]
    assert _rates(replace(cosine, warmup_share=warm)) == pytest.approx([0.0, quarter / 2, 0.1, 0.0])


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_transfers_second_phase_has_its_own_rate_on_the_same_schedule(schedule: str) -> None:
    config = replace(
        SOFTMAX, schedule=schedule, head_epochs=2, learning_rate=0.2, tune_learning_rate=0.004
    )
    for progress in (0.1, 0.6):
        first, second = (learning_rate(config, progress, epoch) for epoch in (1, 2))
        assert second == pytest.approx(first * 0.02)


# when to stop


Run = Callable[[TrainConfig, list[float]], tuple[int, RunFolder]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Trains as far as ``fit`` goes where validation gives these scores, the last for good."""

    def trained(config: TrainConfig, maps: list[float]) -> tuple[int, RunFolder]:
        scores = iter([*maps, *[maps[-1]] * config.epochs])
        monkeypatch.setattr(loop, "validate", lambda *_: Scores(next(scores), 0.25, 0.5))
        monkeypatch.setattr(loop, "log_epoch", lambda *_: None)
        trainer = Trainer(_doubled(COUNTS), config, CPU)

        def run_epoch(_: object) -> float:
            trainer.epoch += 1
            return 1.0

        monkeypatch.setattr(trainer, "run_epoch", run_epoch)
        folder = RunFolder(tmp_path / "run")
        folder.open("", {})
        none = torch.zeros(0, 1, 30, 30, dtype=torch.uint8)
        fit(trainer, Validation(none, (), none, ()), folder, lambda _: None)
        return trainer.epoch, folder

    return trained


def test_patience_ends_a_run_that_gets_no_better(run: Run) -> None:
    """The second of its validations is the best; three more come to nothing."""
    config = replace(SOFTMAX, epochs=40, validate_every=1, patience=3)
    epochs, folder = run(config, [0.1, 0.5, 0.5, 0.4])
    assert epochs == 2 + 3
    assert read_json(folder.result) | {"parameters": 0} == {
        "epoch": 2, "map5": 0.5, "top1_known": 0.25, "auroc_known": 0.5,
        "epochs": epochs, "parameters": 0,
    }  # fmt: skip


def test_patience_counts_validations_not_epochs(run: Run) -> None:
    config = replace(SOFTMAX, epochs=40, validate_every=4, patience=2)
    assert run(config, [0.1, 0.5, 0.4])[0] == 8 + 2 * 4


def test_what_gets_better_goes_on_to_the_end(run: Run) -> None:
    config = replace(SOFTMAX, epochs=9, validate_every=1, patience=1)
    assert run(config, [k / 10 for k in range(10)])[0] == 9


def test_without_patience_a_run_goes_on_to_the_end(run: Run) -> None:
    config = replace(SOFTMAX, epochs=9, validate_every=1, patience=0)
    assert run(config, [0.5, 0.1])[0] == 9


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_run_and_says_what_to_do(
    loss: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing of that epoch is kept: neither a checkpoint nor a result."""
    trainer = Trainer(_doubled(COUNTS), replace(SOFTMAX, epochs=3), CPU)
    monkeypatch.setattr(trainer, "_step", lambda *_: loss)
    folder = RunFolder(tmp_path / "run")
    folder.open("", {})
    none = torch.zeros(0, 1, 30, 30, dtype=torch.uint8)
    with pytest.raises(FlukeprintError, match=rf"diverged in epoch 1 \(loss {loss}\).*lower"):
        fit(trainer, Validation(none, (), none, ()), folder, lambda _: None)
    assert not folder.result.exists()
    assert not folder.checkpoints.exists() or not list(folder.checkpoints.iterdir())
