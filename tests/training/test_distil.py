"""Tests of learning from a teacher's embeddings."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("onnx", reason="the teacher is an exported run")

import torch
from PIL import Image

from flukeprint.drawn import draw_whale, photograph
from flukeprint.errors import FlukeprintError
from flukeprint.training import distil
from flukeprint.training.augment import centre_warp
from flukeprint.training.checkpoint import load_checkpoint
from flukeprint.training.config import TrainConfig, read_config
from flukeprint.training.data import INNER
from flukeprint.training.device import Device
from flukeprint.training.distil import Imitation, targets_of
from flukeprint.training.export import export, load_network
from flukeprint.training.lesson import Lesson
from flukeprint.training.loop import Trainer
from flukeprint.training.networks import BothSides
from flukeprint.training.objective import Objective
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.sampling import with_others
from flukeprint.training.taught import kept_taught
from flukeprint.training.train import train
from tests.training.conftest import FinishedRun
from tests.training.small import BRIEF

CPU = Device("cpu", bf16=False)


def test_imitation_by_hand() -> None:
    """1 - cosine of what the matrix makes of (1, 0) and (0, 1): 0 along, 1 across, 2 against."""
    imitation = Imitation(2, 3)
    with torch.no_grad():
        imitation.to_teacher.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 0.0], [0.0, 2.0]]))
    targets = torch.tensor([[0.5, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert imitation(torch.eye(2), targets).item() == pytest.approx(0.5)
    targets[1] = torch.tensor([0.0, 0.0, -9.0])
    assert imitation(torch.eye(2), targets).item() == pytest.approx(1.0), "0 and 2, on average"


def test_pictures_of_nobody_count_for_the_teacher_alone() -> None:
    config = TrainConfig(embedding_size=2, distil_weight=3.0, teacher="t", unlabelled="u")
    torch.manual_seed(0)
    objective = Objective(config, torch.tensor([1, 1]), teacher_size=2)
    answers = torch.nn.functional.normalize(
        torch.tensor([[1.0, 0.2], [0.1, 1.0], [1.0, 1.0]]), dim=1
    )
    labels, targets = torch.tensor([0, 1]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    found = objective(answers, labels, 1.0, targets)
    assert objective.imitation is not None
    alone = objective(answers[:2], labels, 1.0)
    far = objective.imitation(answers, targets)
    torch.testing.assert_close(found, alone + 3.0 * far)


def test_numbers_that_change_places() -> None:
    """Two networks' numbers of a crop and its mirror image, swapped where the crop is mirrored."""
    draw = np.random.default_rng(0).normal(size=(2, 20, 5)).astype(np.float32)
    a, b, c, d = draw[0, :, :2], draw[1, :, :2], draw[0, :, 2:], draw[1, :, 2:]
    plain, mirrored = np.hstack([a, b, c, d]), np.hstack([b, a, d, c])
    twin = distil._twins(plain, mirrored)
    assert twin is not None and twin.tolist() == [2, 3, 0, 1, 7, 8, 9, 4, 5, 6]
    assert distil._twins(plain, plain) is None, "the same either way round"
    assert distil._twins(draw[0], draw[1]) is None, "something else"


def _lesson(named: int, unnamed: int) -> Lesson:
    crops = torch.arange(named + unnamed, dtype=torch.uint8)[:, None, None, None]
    targets = torch.zeros(named + unnamed, 2, 4, dtype=torch.float16)
    targets[:, 0, 0] = targets[:, 1, 1] = 1.0
    labels = torch.arange(named) % 2
    counts = torch.bincount(labels)
    return Lesson(crops.repeat(1, 1, 31, 31), labels, ("a", "b"), counts, targets)


@pytest.mark.parametrize(("others", "count"), [(1, 3), (2, 3), (7, 3), (7, 0)])
def test_each_batch_has_its_share_of_others(others: int, count: int) -> None:
    """Three batches of four; all others are shown before one is shown again."""
    order = list(torch.split(torch.arange(12), 4))
    numbers = torch.arange(12, 12 + others)
    made = with_others(order, numbers, count, torch.Generator().manual_seed(0))
    for before, after in zip(order, made, strict=True):
        assert after[:4].tolist() == before.tolist()
        assert len(after) == 4 + count
    shown = torch.cat([after[4:] for after in made])
    for start in range(0, len(shown), others):
        some = shown[start : start + others].tolist()
        assert len(set(some)) == len(some) and set(some) <= set(numbers.tolist())


@pytest.mark.parametrize("unnamed", [0, 7])
def test_an_epoch_with_pictures_of_nobody(unnamed: int) -> None:
    config = TrainConfig(
        backbone="test_resnet",
        embedding_size=4,
        batch_size=4,
        height_px=24,
        width_px=24,
        distil_weight=1.0,
        distil_photos=3,
        teacher="t",
        unlabelled="u",
    )
    trainer = Trainer(_lesson(12, unnamed), config, CPU)
    seen: list[int] = []
    assert trainer.run_epoch(seen.append) > 0
    assert sum(seen) == 12, "the bar counts named pictures"


def test_targets_are_the_networks_embeddings_of_one_side(teacher: Path) -> None:
    """Of the crop as it is, then mirrored, as torch makes them with the weights before export."""
    folder = RunFolder(teacher.parent / "run")
    config = read_config(folder.config, [])
    network = load_network(folder, config, 0)
    crops = torch.randint(0, 256, (70, 1, 31, 42), dtype=torch.uint8)
    steps: list[int] = []
    targets = targets_of(crops, teacher, steps.append)
    assert steps == [64, 6] and targets.dtype == torch.float16
    for side, mirrored in enumerate((False, True)):
        warp = centre_warp(torch.full((70,), mirrored), INNER)
        with torch.no_grad():
            wanted = network(warp.apply(crops.float(), config.height_px, config.width_px).round())
            assert BothSides(network).outputs == 2 * targets.shape[2]
        torch.testing.assert_close(targets[:, side].float() * 2**0.5, wanted, atol=5e-3, rtol=0)


def test_a_teacher_of_other_colours_is_refused(teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match=r"teacher\.fluke: sees 1 channels, these .* 3; set"):
        targets_of(torch.zeros(2, 3, 31, 42, dtype=torch.uint8), teacher)


def test_a_run_learns_from_photos_that_nobody_names(
    finished: FinishedRun, teacher: Path, tmp_path: Path
) -> None:
    """With a teacher that is never sure all are nobody's; the run has seen them all the same."""
    home = tmp_path / "unlabelled"
    home.mkdir()
    for seed in range(5):
        shown = photograph(draw_whale(9_000 + seed), 0, width_px=96, height_px=54)
        Image.fromarray(shown.pixels).save(home / f"{seed}.png")
    shutil.copy(next(finished.data.rglob("*.png")), home / "twin.png")
    places = [f"teacher={json.dumps(str(teacher))}", f"unlabelled={json.dumps(str(home))}"]
    unsure = ["least_probability=1", "least_likeness=1", "distil_weight=2", "distil_photos=3"]
    config = read_config(None, [*BRIEF, *places, *unsure])
    lines: list[str] = []
    train(finished.data, tmp_path / "run", config, device="cpu", report=lines.append)
    folder = RunFolder(tmp_path / "run")
    found = kept_taught(folder.taught)
    assert [Path(one.photo).name for one in found] == [f"{seed}.png" for seed in range(5)]
    assert not any(one.individual for one in found)
    assert "0 unlabelled photos of 0 whales join in, 5 of nobody" in lines
    plain = next(line for line in finished.lines if "to learn from" in line)
    assert plain in lines, "nobody's photos are no whales"
    _, state = load_checkpoint(folder.checkpoints)[:2]
    assert state is not None and "imitation.to_teacher.weight" in state["loss"]
    model = export(folder.path, tmp_path / "student.fluke")
    assert {one.sha256 for one in found} < set(model.manifest.trained_on)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["distil_weight=1"], "distil_weight says .* set teacher"),
        (
            ["distil_weight=1", "teacher=a", "unlabelled=b", "augment=offline", "offline_shifts=1"],
            "distil_weight goes without copies",
        ),
        (
            ["distil_weight=1", "teacher=a", "unlabelled=b", "channels=3", "grey_copies=true"],
            "distil_weight goes without copies",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(settings: list[str], words: str) -> None:
    with pytest.raises(FlukeprintError, match=words):
        read_config(None, settings)
