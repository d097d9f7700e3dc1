"""Tests that a killed run, resumed, ends as if it had never been killed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

from tests.training.conftest import FinishedRun
from tests.training.small import EPOCHS, SETTINGS, Nursery, write_whales

KILLS = 10


def _log(run: Path) -> list[dict[str, Any]]:
    """The log's epochs without the times they took."""
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in e.items() if key != "seconds"} for e in entries]


def _assert_same(run: Path, finished: FinishedRun) -> None:
    for name in ("weights.safetensors", "result.json", "localiser.safetensors", "split.json"):
        assert (run / name).read_bytes() == (finished.path / name).read_bytes(), name
    assert _log(run) == _log(finished.path)
    assert [entry["epoch"] for entry in _log(run)] == list(range(1, EPOCHS + 1))
    names = {path.name for folder in (run, run / "checkpoints") for path in folder.iterdir()}
    assert not [name for name in names if name.startswith(".")], "something half written is left"
    assert len(list((run / "checkpoints").iterdir())) == 2


def _moments(finished: FinishedRun) -> int:
    """How many file operations the whole run has."""
    return int(finished.lines[-1].removeprefix("moments "))


def test_ten_kills_change_nothing(nursery: Nursery, finished: FinishedRun, tmp_path: Path) -> None:
    lottery, run = random.Random(20), tmp_path / "run"
    kills = 0
    while kills < KILLS:
        moment = lottery.randint(1, _moments(finished) // 3)
        attempt = nursery.train(finished.data, run, SETTINGS, moment)
        if attempt.code == 0:  # it was done before that moment: kill another run
            _assert_same(run, finished)
            shutil.rmtree(run)
            continue
        assert attempt.code == -signal.SIGKILL, attempt.lines
        kills += 1
    assert nursery.train(finished.data, run, SETTINGS).code == 0
    _assert_same(run, finished)


def test_kills_from_outside_at_any_time(
    nursery: Nursery, finished: FinishedRun, tmp_path: Path
) -> None:
    lottery, run = random.Random(3), tmp_path / "run"
    for _ in range(3):
        child = nursery.start(finished.data, run, SETTINGS)
        time.sleep(lottery.uniform(0.05, 1.5))
        os.kill(child, signal.SIGKILL)
        assert nursery.end(run).code in (0, -signal.SIGKILL)
    assert nursery.train(finished.data, run, SETTINGS).code == 0
    _assert_same(run, finished)


def test_each_of_the_first_moments(nursery: Nursery, finished: FinishedRun, tmp_path: Path) -> None:
    """Starting a run's folder is a chain of small steps: cut it after each."""
    run = tmp_path / "run"
    for moment in range(1, 13):
        attempt = nursery.train(finished.data, run, SETTINGS, moment)
        assert attempt.code == -signal.SIGKILL, attempt.lines
    assert nursery.train(finished.data, run, SETTINGS).code == 0
    _assert_same(run, finished)


@pytest.mark.skipif("FLUKEPRINT_SLOW" not in os.environ, reason="minutes; set FLUKEPRINT_SLOW")
def test_every_single_moment(nursery: Nursery, finished: FinishedRun, tmp_path: Path) -> None:
    for moment in range(1, _moments(finished) + 1):
        run = tmp_path / f"run{moment}"
        assert nursery.train(finished.data, run, SETTINGS, moment).code == -signal.SIGKILL
        assert nursery.train(finished.data, run, SETTINGS).code == 0
        _assert_same(run, finished)


@pytest.mark.parametrize("keep", [0, 1_000])
def test_a_damaged_checkpoint_is_passed_over(
    keep: int, nursery: Nursery, finished: FinishedRun, tmp_path: Path
) -> None:
    run = shutil.copytree(finished.path, tmp_path / "run")
    (run / "result.json").unlink()
    last = max((run / "checkpoints").iterdir())
    last.write_bytes(last.read_bytes()[:keep])
    attempt = nursery.train(finished.data, run, SETTINGS)
    assert attempt.code == 0
    assert f"{last.name} is damaged; using the checkpoint before it" in attempt.lines
    assert f"resumed after epoch {EPOCHS - 1}" in attempt.lines
    _assert_same(run, finished)


def test_a_finished_run_is_left_as_it_is(
    nursery: Nursery, finished: FinishedRun, tmp_path: Path
) -> None:
    run = shutil.copytree(finished.path, tmp_path / "run")
    attempt = nursery.train(finished.data, run, SETTINGS)
    assert attempt.code == 0
    assert f"resumed after epoch {EPOCHS}" in attempt.lines
    assert not [line for line in attempt.lines if line.startswith("epoch ")]
    _assert_same(run, finished)


def _refusal(attempt_lines: list[str]) -> str:
    return attempt_lines[-1].removeprefix("error: ")


def test_another_config_is_refused(nursery: Nursery, finished: FinishedRun, tmp_path: Path) -> None:
    run = shutil.copytree(finished.path, tmp_path / "run")
    attempt = nursery.train(finished.data, run, [*SETTINGS, "epochs=5"])
    assert attempt.code == 2
    assert "holds a run with another config; name another folder" in _refusal(attempt.lines)


def test_another_collection_is_refused(
    nursery: Nursery, finished: FinishedRun, tmp_path: Path
) -> None:
    run = shutil.copytree(finished.path, tmp_path / "run")
    other = write_whales(tmp_path / "whales", whales=9)
    attempt = nursery.train(other, run, SETTINGS)
    assert attempt.code == 2
    assert "begun with fingerprint" in _refusal(attempt.lines)


def test_photos_gone_bad_since_are_noticed(
    nursery: Nursery, finished: FinishedRun, tmp_path: Path
) -> None:
    run = shutil.copytree(finished.path, tmp_path / "run")
    data = shutil.copytree(finished.data, tmp_path / "whales")
    (data / "whale_03" / "03_1.png").write_bytes(b"gone")
    attempt = nursery.train(data, run, SETTINGS)
    assert attempt.code == 2
    assert "photos have changed or can no longer be read" in _refusal(attempt.lines)


def test_a_foreign_folder_is_refused(
    nursery: Nursery, finished: FinishedRun, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "thesis.txt").write_text("mine")
    attempt = nursery.train(finished.data, run, SETTINGS)
    assert attempt.code == 2
    assert "not empty and not a run; name another folder" in _refusal(attempt.lines)
    assert [path.name for path in run.iterdir()] == ["thesis.txt"]
    attempt = nursery.train(finished.data, run / "thesis.txt", SETTINGS)
    assert attempt.code == 2
    assert "thesis.txt" in _refusal(attempt.lines)
