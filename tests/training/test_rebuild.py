"""The script that rebuilds what ships, from its first round to its last, on a few drawn whales."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("onnx", reason="each round's teacher is an exported run")

from flukeprint.model import load_model
from flukeprint.training.config import read_config
from flukeprint.training.runfolder import RunFolder
from tests.conftest import ROOT
from tests.training.small import BRIEF, SOURCE, write_whales

SCRIPT = ROOT / "models" / "rebuild.sh"


def test_every_round_runs_on_what_the_round_before_left(tmp_path: Path) -> None:
    """With the script's own commands; only sizes and lengths are made small, by what comes last.

    No whales are drawn: each export would draw 240 to calibrate with.
    """
    data = write_whales(tmp_path / "some whales", unidentified=2)
    rows = "".join(
        f"{path.relative_to(data).as_posix()},10,10,90,45\n" for path in sorted(data.rglob("*.png"))
    )
    (data / "boxes.csv").write_text(f"Image,x0,y0,x1,y1\n{rows}")
    unlabelled = write_whales(tmp_path / "unlabelled", whales=3, photos=3)
    small = " ".join(f"--set {setting}" for setting in (*BRIEF, "drawn_whales=0"))
    shim = tmp_path / "bin" / "flukeprint"
    shim.parent.mkdir()
    shim.write_text(
        f'#!/bin/sh\n[ "$1" = train ] && set -- "$@" --device cpu {small}\n'
        f'exec "{sys.executable}" -m flukeprint "$@"\n'
    )
    shim.chmod(0o755)
    env = os.environ | {
        "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(SOURCE),
        "OMP_NUM_THREADS": "1",
    }
    out = tmp_path / "out"
    done = subprocess.run(
        ["sh", SCRIPT, data, unlabelled, out], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    twin, model = load_model(out / "measured.fluke"), load_model(out / "default.fluke")
    last = read_config(RunFolder(out / "eighth").config, [])
    assert last.distil_weight > 0
    assert Path(last.teacher) == out / "three.fluke"
    assert model.manifest.kind == "embedding"
    assert model.manifest.training["calibration_of"] == twin.id
    assert set(model.manifest.trained_on) > set(twin.manifest.trained_on)
    assert len(load_model(out / "three.fluke").manifest.training["beside"]) == 2


def test_without_its_three_folders_it_says_how_to_call_it() -> None:
    done = subprocess.run(["sh", SCRIPT, "one"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "sh models/rebuild.sh DATA UNLABELLED OUT" in done.stderr
