"""Tests of transfer in two phases: what is held still stays as published, to the bit."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
from safetensors.torch import load as from_safetensors
from safetensors.torch import save_file
from torch import Tensor

from flukeprint.errors import FlukeprintError
from flukeprint.training import loop
from flukeprint.training.augment import centre_warp
from flukeprint.training.backbones import make_backbone
from flukeprint.training.checkpoint import load_checkpoint, save_checkpoint
from flukeprint.training.config import TrainConfig, read_config
from flukeprint.training.data import INNER
from flukeprint.training.device import Device
from flukeprint.training.lesson import Lesson
from flukeprint.training.loop import Trainer, crop_size, fit
from flukeprint.training.networks import Network
from flukeprint.training.pretrained import read_state
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.train import check_backbone, train
from flukeprint.training.transfer import BATCH, bottlenecks, hold_still, in_head_phase
from flukeprint.training.validate import Scores, Validation
from tests.training.small import write_whales

CPU = Device("cpu", False)
WHALES, PHOTOS = 3, 4
CONFIG = TrainConfig(
    backbone="stanford_cnn",
    pooling="flatten",
    head=(16,),
    dropout=0.25,
    height_px=32,
    width_px=32,
    early_share=0.0,
    loss="softmax",
    new_whale="class",
    mirror_individuals=False,
    both_sides=False,
    augment="realtime",
    epochs=4,
    head_epochs=2,
    tune_from="features.8",
    batch_size=6,
    optimizer="sgd",
    learning_rate=0.05,
    tune_learning_rate=0.01,
    schedule="constant",
    warmup_share=0.0,
    weight_decay=0.01,
    ema_decay=0.0,
)
RESNET = replace(
    CONFIG, backbone="test_resnet", pooling="mean", head_batch_norm=True, tune_from="layer3"
)


def _lesson(config: TrainConfig) -> Lesson:
    torch.manual_seed(5)
    crops = torch.randint(0, 256, (WHALES * PHOTOS, config.channels, 40, 40), dtype=torch.uint8)
    labels = torch.arange(WHALES).repeat_interleave(PHOTOS)
    names = tuple(f"whale {n}" for n in range(WHALES))
    return Lesson(crops, labels, names, torch.full((WHALES,), PHOTOS))


def _published(config: TrainConfig) -> dict[str, Tensor]:
    """A backbone's weights as if long trained: its batch normalisation, too, has seen crops."""
    torch.manual_seed(9)
    backbone = make_backbone(config.backbone, config.channels)
    for name, tensor in backbone.state_dict().items():
        if tensor.ndim == 1:  # batch normalisation's, which begin as zeros and ones, and biases
            tensor.copy_(torch.rand(tensor.shape) + 0.5)
        if name.endswith("num_batches_tracked"):
            tensor.fill_(77)
    return {name: tensor.clone() for name, tensor in backbone.state_dict().items()}


@dataclass(frozen=True)
class Case:
    """A config whose ``weights`` are a file, and what that file holds."""

    config: TrainConfig
    file: Mapping[str, Tensor]

    def trainer(self, **changes: Any) -> Trainer:
        """A new trainer that begins with the file's weights."""
        config = replace(self.config, **changes)
        start = read_state(Path(config.weights))
        return Trainer(_lesson(config), config, CPU, start, config.weights)


@pytest.fixture(params=["stanford_cnn.pth", "test_resnet.safetensors"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    path = tmp_path / str(request.param)
    config = CONFIG if path.suffix == ".pth" else RESNET
    file = _published(config)
    if path.suffix == ".pth":
        torch.save({"state_dict": file, "epoch": 3}, path)
    else:
        save_file(file, path)
    return Case(replace(config, weights=str(path)), file)


def _same(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> set[str]:
    """The names of the tensors that are alike to the bit."""
    assert set(found) == set(wanted)
    return {name for name in found if torch.equal(found[name], wanted[name])}


def _copied(network: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _before(config: TrainConfig, names: Mapping[str, Tensor]) -> set[str]:
    """The tensors of the parts before ``tune_from``, by hand."""
    if config.backbone == "stanford_cnn":  # two blocks of four layers
        return {name for name in names if int(name.split(".")[1]) < 8}
    return {name for name in names if not name.startswith(("layer3", "layer4"))}


# the phases


def test_phase_one_teaches_the_head_and_leaves_the_file_as_it_is(case: Case) -> None:
    """Weights, batch normalisation's statistics and its counters: all as published."""
    trainer = case.trainer()
    head = _copied(trainer.network.head)
    for _ in range(case.config.head_epochs):
        trainer.run_epoch()
    assert _same(trainer.network.backbone.state_dict(), case.file) == set(case.file)
    assert not _same(trainer.network.head.state_dict(), head)


def test_phase_two_moves_all_from_tune_from_on_and_nothing_before_it(case: Case) -> None:
    trainer = case.trainer()
    for _ in range(case.config.epochs):
        trainer.run_epoch()
    assert trainer.bottlenecks is None, "phase two has no use for them"
    still = _before(case.config, case.file)
    assert still and still != set(case.file)
    assert any("running_var" in name for name in still)
    assert _same(trainer.network.backbone.state_dict(), case.file) == still


def test_the_moving_average_keeps_still_what_is_still(case: Case) -> None:
    trainer = case.trainer(ema_decay=0.9)
    for _ in range(case.config.epochs):
        trainer.run_epoch()
    assert trainer.average is not trainer.network
    found = _same(trainer.average.backbone.state_dict(), case.file)
    assert found == _before(case.config, case.file)


def test_without_tune_from_phase_two_moves_the_whole_backbone(case: Case) -> None:
    trainer = case.trainer(tune_from="")
    for _ in range(case.config.epochs):
        trainer.run_epoch()
    assert not _same(trainer.network.backbone.state_dict(), case.file)


@pytest.mark.parametrize("tune_from", ["", "as it is"])
def test_heads_for_all_epochs_never_touch_the_backbone(case: Case, tune_from: str) -> None:
    trainer = case.trainer(
        head_epochs=case.config.epochs, tune_from=tune_from and case.config.tune_from
    )
    assert not [p for p in trainer.network.backbone.parameters() if p.requires_grad]
    for _ in range(case.config.epochs):
        trainer.run_epoch()
    assert _same(trainer.network.backbone.state_dict(), case.file) == set(case.file)


def test_tune_from_inside_a_block_moves_the_rest_of_the_block() -> None:
    """``layer3.0.conv2`` on: of the block, its first convolution stays."""
    config = replace(RESNET, tune_from="layer3.0.conv2")
    start = _published(config)
    trainer = Trainer(_lesson(config), config, CPU, start, "made here")
    for _ in range(config.epochs):
        trainer.run_epoch()
    same = _same(trainer.network.backbone.state_dict(), start)
    assert {"layer3.0.conv1.weight", "layer3.0.bn1.running_mean", "layer2.0.conv2.weight"} <= same
    assert not {"layer3.0.conv2.weight", "layer3.0.bn2.running_mean"} & same
    assert not {name for name in same if name.startswith("layer4")}


def test_the_phases_by_hand() -> None:
    config = replace(CONFIG, epochs=5, head_epochs=2)
    assert [in_head_phase(config, epoch) for epoch in range(5)] == [True, True, False, False, False]
    assert not in_head_phase(replace(config, head_epochs=0, tune_from=""), 0)


def test_phase_one_sees_full_size_crops_alone() -> None:
    """What is kept of a photo is of its full size; smaller ones may come after."""
    config = replace(
        RESNET, epochs=10, early_share=0.5, early_height_px=24, early_width_px=28, head_epochs=2
    )
    sizes = [crop_size(config, epoch) for epoch in range(10)]
    assert sizes == [(32, 32)] * 2 + [(24, 28)] * 3 + [(32, 32)] * 5


def test_each_phase_has_its_learning_rate(case: Case) -> None:
    trainer = case.trainer()
    rates = []
    for _ in range(case.config.epochs):
        trainer.run_epoch()
        rates.append(trainer.optimiser.param_groups[0]["lr"])
    assert rates == [0.05, 0.05, 0.01, 0.01]


@pytest.mark.parametrize("head_epochs", [2, 4])
def test_a_tune_from_that_is_not_there_is_named_before_any_photo_is_read(
    head_epochs: int, tmp_path: Path
) -> None:
    """Where no second phase would use it, it does no harm."""
    config = replace(RESNET, tune_from="layer9", head_epochs=head_epochs)
    if head_epochs == config.epochs:
        check_backbone(config)
        return
    with pytest.raises(
        FlukeprintError,
        match=r"tune_from 'layer9' is no part of test_resnet, which has conv1, .*layer4",
    ):
        train(tmp_path / "no photos", tmp_path / "run", config)


def test_tune_from_without_a_first_phase_is_an_error() -> None:
    config = replace(CONFIG, head_epochs=0)
    with pytest.raises(FlukeprintError, match="tune_from takes effect after head_epochs"):
        hold_still(Network(config, 3), config)


def test_weights_of_another_backbone_are_refused_by_the_files_name(case: Case) -> None:
    with pytest.raises(FlukeprintError, match=r"\.(pth|safetensors): not this backbone's weights"):
        case.trainer(backbone="ucsd_baseline", tune_from="")


# the bottleneck features


def _seen(crops: Tensor, config: TrainConfig) -> Tensor:
    """Crops as the network sees them: the inner part of what is stored, not mirrored."""
    plain = torch.zeros(len(crops), dtype=torch.bool)
    size = config.height_px, config.width_px
    seen = centre_warp(plain, INNER).apply(crops.float(), *size)
    return seen.to(memory_format=torch.channels_last)


def test_what_is_kept_of_a_photo_is_the_direct_forward_of_it(case: Case) -> None:
    trainer = case.trainer()
    trainer.run_epoch()
    network, lesson = trainer.network.eval(), trainer.lesson
    with torch.no_grad():
        wanted = network.bottleneck(_seen(lesson.crops, case.config))
    assert trainer.bottlenecks is not None
    assert trainer.bottlenecks.dtype == torch.float32
    assert torch.equal(trainer.bottlenecks, wanted)


def test_more_photos_than_a_batch_keep_their_order(case: Case) -> None:
    """More than fit into one batch, so that the last is short."""
    torch.manual_seed(1)
    crops = torch.randint(0, 256, (BATCH + 3, 1, 40, 40), dtype=torch.uint8)
    network, size = case.trainer().network, (case.config.height_px, case.config.width_px)
    found = bottlenecks(network, crops, size, CPU)
    with torch.no_grad():
        parts = [network.bottleneck(_seen(part, case.config)) for part in torch.split(crops, BATCH)]
    assert torch.equal(found, torch.cat(parts))


def test_a_step_of_phase_one_is_the_step_that_forwarding_the_photos_takes(case: Case) -> None:
    """One layer of head: the first step's loss by the whole network is that of what was kept."""
    config = replace(
        case.config, head=(), dropout=0.0, head_batch_norm=False, batch_size=WHALES * PHOTOS
    )
    trainer = Trainer(_lesson(config), config, CPU, case.file, "made here")
    network = copy.deepcopy(trainer.network).eval()
    with torch.no_grad():
        answers = network(_seen(trainer.lesson.crops, config))
        wanted = float(trainer.loss(answers, trainer.lesson.labels, 0.0))
    assert trainer.run_epoch() == pytest.approx(wanted, rel=1e-5)


# killed and resumed


def _restored(case: Case, epochs: int, folder: Path, changes: dict[str, Any]) -> Trainer:
    """A run killed after some epochs and taken up from its checkpoint, without the file."""
    trainer = case.trainer(**changes)
    for _ in range(epochs):
        trainer.run_epoch()
    save_checkpoint(folder, epochs, trainer.state())
    config = trainer.config
    again = Trainer(_lesson(config), config, CPU)
    epoch, state, damaged = load_checkpoint(folder)
    assert state is not None and not damaged
    again.restore(epoch, state)
    return again


@pytest.mark.parametrize("killed_after", [1, 2, 3])
@pytest.mark.parametrize(
    "changes", [{}, {"optimizer": "adam", "learning_rate": 1e-3, "ema_decay": 0.9}]
)
def test_a_resumed_run_ends_as_the_unbroken_one(
    killed_after: int, changes: dict[str, Any], case: Case, tmp_path: Path
) -> None:
    """Killed in phase one, between the two, and in phase two."""
    unbroken = case.trainer(**changes)
    for _ in range(case.config.epochs):
        unbroken.run_epoch()
    resumed = _restored(case, killed_after, tmp_path / "checkpoints", changes)
    while resumed.epoch < case.config.epochs:
        resumed.run_epoch()
    for one, other in (
        (unbroken.network, resumed.network),
        (unbroken.average, resumed.average),
        (unbroken.loss, resumed.loss),
    ):
        wanted = one.state_dict()
        assert _same(other.state_dict(), wanted) == set(wanted)


# patience


def _epochs_of(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, folder: Path, maps: list[float]
) -> int:
    """How many epochs ``fit`` runs where validation gives these scores, the last for good."""
    scores = iter([*maps, *[maps[-1]] * config.epochs])
    monkeypatch.setattr(loop, "validate", lambda *_: Scores(next(scores), 0.0, 0.0))
    monkeypatch.setattr(loop, "log_epoch", lambda *_: None)
    trainer = Trainer(_lesson(config), config, CPU)

    def run_epoch(_: object) -> float:
        trainer.epoch += 1
        trainer.optimiser.param_groups[0]["lr"] = 0.1
        return 1.0

    monkeypatch.setattr(trainer, "run_epoch", run_epoch)
    run = RunFolder(folder)
    run.open("", {})
    none = torch.zeros(0, 1, 40, 40, dtype=torch.uint8)
    fit(trainer, Validation(none, (), none, ()), run, lambda _: None)
    return trainer.epoch


def test_phase_two_is_begun_whatever_the_patience(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first epoch is the best: after six more of phase one, phase two has its own patience."""
    config = replace(CONFIG, epochs=30, head_epochs=7, patience=2, validate_every=1)
    assert _epochs_of(config, monkeypatch, tmp_path / "run", [0.5, 0.4]) == 7 + 2


def test_what_phase_two_betters_prolongs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = replace(CONFIG, epochs=30, head_epochs=7, patience=2, validate_every=1)
    maps = [0.5, *[0.4] * 7, 0.6, 0.1]  # epoch 9 is the best
    assert _epochs_of(config, monkeypatch, tmp_path / "run", maps) == 9 + 2


# by the command


def test_a_run_from_a_file_of_weights_keeps_its_lower_parts(case: Case, tmp_path: Path) -> None:
    """The whole way: photos and a file in, and the file's lower parts in the run's weights."""
    data = write_whales(tmp_path / "whales")
    config = replace(
        case.config, localise=False, drawn_whales=0, epochs=2, head_epochs=1, validate_every=1
    )
    train(data, tmp_path / "run", config, device="cpu")
    run = RunFolder(tmp_path / "run")
    assert read_config(run.config, []).weights == case.config.weights
    _, state, _ = load_checkpoint(run.checkpoints)
    assert state is not None
    kept = {
        name.removeprefix("backbone."): tensor
        for name, tensor in state["network"].items()
        if name.startswith("backbone.")
    }
    assert _same(kept, case.file) == _before(case.config, case.file)
    best = from_safetensors(run.weights.read_bytes())
    for name in _before(case.config, case.file):
        assert torch.equal(best[f"backbone.{name}"], case.file[name]), name
