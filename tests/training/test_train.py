"""Tests of the training command: what it refuses, what it lives with."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch

from flukeprint.errors import FlukeprintError
from flukeprint.training.config import TrainConfig, read_config
from flukeprint.training.curves import log_epoch, read_log
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.train import _command, check_backbone, train
from tests.training.conftest import FinishedRun
from tests.training.small import SETTINGS, write_whales

SHORT = [*SETTINGS, "epochs=1", "localiser_steps=1"]
WHOLE_PHOTOS = [*SHORT, "localise=false", "drawn_whales=0"]


def _train(data: Path, out: Path, settings: list[str]) -> list[str]:
    lines: list[str] = []
    train(data, out, read_config(None, settings), device="cpu", report=lines.append)
    return lines


@pytest.mark.parametrize(
    ("whales", "photos", "message"),
    [
        (1, 2, "no whale has two photos that are not twins"),
        (5, 1, "no whale has two photos that are not twins"),
        (2, 2, "too few to validate|no whale has two photos"),
    ],
)
def test_too_few_photos_are_refused(whales: int, photos: int, message: str, tmp_path: Path) -> None:
    data = write_whales(tmp_path / "whales", whales=whales, photos=photos)
    with pytest.raises(FlukeprintError, match=message):
        _train(data, tmp_path / "run", SHORT)
    assert not (tmp_path / "run").exists(), "a refused run must not take the folder"


def test_a_split_too_small_to_validate_is_refused(tmp_path: Path) -> None:
    data = write_whales(tmp_path / "whales", whales=3, photos=2)
    with pytest.raises(FlukeprintError, match="kept for the end, and the other . are too few"):
        _train(data, tmp_path / "run", SHORT)


def test_unreadable_photos_are_left_out(finished: FinishedRun, tmp_path: Path) -> None:
    data = shutil.copytree(finished.data, tmp_path / "whales")
    (data / "whale_00" / "00_0.png").write_bytes(b"no picture")
    (data / "whale_01" / "01_1.png").write_bytes(b"")
    lines = _train(data, tmp_path / "run", WHOLE_PHOTOS)
    warned = [line for line in lines if line.startswith("warning: ")]
    assert len(warned) == 2
    assert "00_0.png: not a picture" in warned[0]
    assert "left out" in warned[1]
    assert (tmp_path / "run" / "result.json").is_file()


def test_a_batch_larger_than_the_data(finished: FinishedRun, tmp_path: Path) -> None:
    _train(finished.data, tmp_path / "run", [*WHOLE_PHOTOS, "batch_size=500"])
    (entry,) = read_log(RunFolder(tmp_path / "run"))
    assert entry["loss"] > 0


def test_no_boxes_to_learn_from(finished: FinishedRun, tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match="no fluke boxes to learn from.*localise=false"):
        _train(finished.data, tmp_path / "run", [*SHORT, "drawn_whales=0"])


def test_boxes_drawn_by_hand_are_used(finished: FinishedRun, tmp_path: Path) -> None:
    data = shutil.copytree(finished.data, tmp_path / "whales")
    names = [path.relative_to(data).as_posix() for path in sorted(data.rglob("*.png"))]
    rows = [f"{name},10,20,90,80\n" for name in names]
    (data / "boxes.csv").write_text("Image,x0,y0,x1,y1\n" + "".join(rows))
    _train(data, tmp_path / "run", [*SHORT, "drawn_whales=0"])
    assert (tmp_path / "run" / "localiser.safetensors").is_file()


def test_a_device_that_is_not_there(
    finished: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(FlukeprintError, match="no device 'cuda' here"):
        train(finished.data, tmp_path / "run", TrainConfig(), device="cuda")


@pytest.mark.parametrize("backbone", ["no_such_net", "test_vit", "test_mambaout"])
def test_a_backbone_that_does_not_fit_is_refused_at_once(backbone: str, tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match=f"backbone '{backbone}'"):
        _train(tmp_path / "nowhere", tmp_path / "run", [f"backbone={backbone}"])


def test_the_check_of_the_backbone_passes_good_ones() -> None:
    check_backbone(TrainConfig(backbone="test_resnet"))


def test_two_runs_at_once_are_kept_apart(finished: FinishedRun, tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path / "run").locked(),
        pytest.raises(FlukeprintError, match="another run is at work here"),
    ):
        _train(finished.data, tmp_path / "run", WHOLE_PHOTOS)


def test_half_written_files_do_not_bar_a_start(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.checkpoints.mkdir(parents=True)
    left = [folder.path / ".run.json.ab12cd_9", folder.path / ".config.toml.00000000"]
    for path in left:
        path.write_text("half")
    with pytest.raises(FlukeprintError, match="not empty"):  # checkpoints without a config
        folder.open("seed = 1\n", {"fingerprint": "f"})
    folder.checkpoints.rmdir()
    folder.facts.write_text("{}")
    folder.open("seed = 1\n", {"fingerprint": "f"})
    assert sorted(path.name for path in folder.path.iterdir()) == ["config.toml", "run.json"]
    folder.open("seed = 1\n", {"fingerprint": "f"})
    with pytest.raises(FlukeprintError, match="begun with fingerprint 'f', now it is 'g'"):
        folder.open("seed = 1\n", {"fingerprint": "g"})


def test_the_recorded_command_makes_the_same_config() -> None:
    config = TrainConfig(localise=False, optimizer="adamw", learning_rate=3e-4, seed=5)
    words = shlex.split(_command(Path("my whales"), config))
    settings = [words[k + 1] for k, word in enumerate(words) if word == "--set"]
    assert words[:3] == ["flukeprint", "train", "my whales"]
    assert read_config(None, settings) == config


def test_the_facts_of_a_run(finished: FinishedRun) -> None:
    facts = json.loads((finished.path / "run.json").read_text())
    assert facts["photos"] == 43
    assert facts["individuals"] == 10
    assert facts["labelled_new_whale"] == 3
    assert facts["threads"] == 1
    assert facts["environment"]["packages"]["torch"] != "absent"


def test_an_epoch_logged_again_replaces_the_first(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for epoch, loss in ((1, 3.0), (2, float("nan")), (3, 1.0), (2, 2.0)):
        log_epoch(folder, {"epoch": epoch, "loss": loss, "auroc_known": float("nan")})
    assert [(entry["epoch"], entry["loss"]) for entry in read_log(folder)] == [(1, 3.0), (2, 2.0)]
    assert (tmp_path / "curves.png").stat().st_size > 1_000
