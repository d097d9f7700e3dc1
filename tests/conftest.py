"""What many tests need: pictures, small labelled collections, a tiny model, the real photos."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from flukeprint import cli
from flukeprint.model import Model
from tests.tiny import SMALL, Pixels, make_model, picture

# The same examples each time, and no test fails because the machine was busy.
settings.register_profile("flukeprint", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("flukeprint")

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "whales"
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run flukeprint with arguments in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["flukeprint", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            assert isinstance(stop.code, int)
            code = stop.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def write_picture() -> Callable[..., Path]:
    """Write pixels to a path in the format its suffix names, folders made; returns the path."""

    def write(path: Path, pixels: Pixels, **options: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, **options)
        return path

    return write


@pytest.fixture
def kaggle(tmp_path: Path, write_picture: Callable[..., Path]) -> Path:
    """The small collection as a Kaggle folder: train.csv beside train/."""
    folder = tmp_path / "kaggle"
    for name, _, seed in SMALL:
        write_picture(folder / "train" / name, picture(seed), quality=95)
    lines = ["Image,Id", *(f"{name},{label}" for name, label, _ in SMALL)]
    (folder / "train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def kaggle_zipped(tmp_path: Path, kaggle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same as train.csv.zip and train.zip, in a place with its own temporary folder."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    folder = tmp_path / "zipped"
    folder.mkdir()
    with zipfile.ZipFile(folder / "train.csv.zip", "w") as archive:
        archive.write(kaggle / "train.csv", "train.csv")
    with zipfile.ZipFile(folder / "train.zip", "w") as archive:
        for name, _, _ in SMALL:
            archive.write(kaggle / "train" / name, f"train/{name}")
    return folder


@pytest.fixture
def folders(tmp_path: Path, write_picture: Callable[..., Path]) -> Path:
    """The same as one folder per whale."""
    for name, label, seed in SMALL:
        write_picture(tmp_path / "folders" / label / name, picture(seed), quality=95)
    return tmp_path / "folders"


@pytest.fixture
def paths_csv(kaggle: Path) -> Path:
    """The same as a CSV with path,identity,date,encounter."""
    lines = [f"train/{name},{label},2020-01-0{seed},e{seed}" for name, label, seed in SMALL]
    listing = kaggle / "photos.csv"
    listing.write_text("\n".join(["path,identity,date,encounter", *lines]) + "\n", encoding="utf-8")
    return listing


@pytest.fixture(scope="session")
def whales() -> Path:
    """The real photos, where they are at hand."""
    if not (REAL / "train.csv").is_file():
        pytest.skip(f"the real photos are not at {REAL}")
    return REAL


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A real model file, read back: crops averaged to 8 x 8, centred, of length 1."""
    return make_model(tmp_path_factory.mktemp("model") / "tiny.fluke")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
