"""Tests of photos that a teacher names: who is taken, as whom, and who never is."""

import json
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("onnx", reason="the teacher is an exported run")

from flukeprint.collection import read_collection
from flukeprint.decide import Beliefs
from flukeprint.drawn import draw_whale, photograph
from flukeprint.errors import FlukeprintError
from flukeprint.evaluate import HASH_DIGITS
from flukeprint.model import load_model
from flukeprint.photos import read_photo
from flukeprint.progress import no_progress
from flukeprint.records import Failure
from flukeprint.training import taught as teaching
from flukeprint.training.config import TrainConfig, read_config
from flukeprint.training.export import export
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.sides import split_for_training
from flukeprint.training.taught import Taught, kept_taught, taught_photos
from flukeprint.training.train import train
from tests.training.conftest import FinishedRun
from tests.training.small import BRIEF


def test_only_sure_answers_count() -> None:
    """The second photo's likeliest whale is just probable enough, the third's not."""
    whales = np.array([[0.1, 0.9], [0.7, 0.2], [0.69, 0.3], [0.0, 0.0]])
    beliefs = Beliefs(whales, 1 - whales.sum(axis=1))
    assert teaching._named(beliefs, ("a", "b"), 0.7) == ["b", "a", "", ""]
    assert teaching._named(Beliefs(np.empty((2, 0)), np.ones(2)), (), 0.7) == ["", ""]


def _unit(*degrees: float) -> NDArray[np.float32]:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_pairs_by_hand() -> None:
    """0 and 10 degrees pair up; 100 and 105 share a's name; 200 is nobody's nearest; 300 alone."""
    vectors = _unit(0, 10, 100, 105, 112, 200, 300)
    photos = list("stuvwxy")
    named = teaching._paired(["", "", "", "a", "", "", ""], photos, vectors, 0.95)
    assert named == ["new_whale s", "new_whale s", "a", "a", "", "", ""]
    apart = teaching._paired(["", "", "b", "a", "", "", ""], photos, vectors, 0.95)
    assert apart[2:4] == ["b", "a"], "two names stay two names"
    assert teaching._paired([""] * 7, photos, vectors, 0.999) == [""] * 7
    assert teaching._paired(["a"], ["s"], vectors[:1], -1.0) == ["a"]


@given(st.integers(0, 40), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_nearest_is_brute_forces(count: int, block: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teaching, "BLOCK", block)
        nearest, cosine = teaching._nearest(vectors)
    for one in range(count if count > 1 else 0):
        others = [(float(vectors[one] @ vectors[two]), two) for two in range(count) if two != one]
        assert cosine[one] == pytest.approx(max(others)[0], abs=1e-5)
        assert nearest[one] != one
        found = float(vectors[one] @ vectors[nearest[one]])
        assert found == pytest.approx(float(cosine[one]), abs=1e-5)
    if count == 1:
        assert nearest.tolist() == [-1]


@pytest.fixture(scope="module")
def unlabelled(finished: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of every labelled photo, six photos of other whales and a copy of one of these."""
    folder = tmp_path_factory.mktemp("unlabelled")
    for path in finished.data.rglob("*.png"):
        shutil.copy(path, folder / f"copy_{path.name}")
    for seed in range(3):
        for shot in range(2):
            shown = photograph(draw_whale(9_000 + seed), shot, width_px=96, height_px=54)
            Image.fromarray(shown.pixels).save(folder / f"other_{seed}_{shot}.png")
    shutil.copy(folder / "other_0_0.png", folder / "other_copy.png")
    return folder


def _config(teacher: Path, unlabelled: Path, *settings: str) -> TrainConfig:
    asked = [f"teacher={json.dumps(str(teacher))}", f"unlabelled={json.dumps(str(unlabelled))}"]
    return read_config(None, [*BRIEF, *asked, *settings])


def _taught(finished: FinishedRun, config: TrainConfig, folder: Path) -> tuple[Taught, ...]:
    collection = read_collection(finished.data)
    outer, inner = split_for_training(collection, config)
    return taught_photos(collection, outer, inner, config, RunFolder(folder), no_progress)


def test_no_twin_of_a_labelled_photo_is_taught(
    finished: FinishedRun, teacher: Path, unlabelled: Path, tmp_path: Path
) -> None:
    """Sure or not, all others are."""
    config = _config(teacher, unlabelled, "least_probability=0")
    found = _taught(finished, config, tmp_path)
    names = [Path(one.photo).name for one in found]
    assert names == [f"other_{seed}_{shot}.png" for seed in range(3) for shot in range(2)]
    for one in found:
        photo = read_photo(Path(one.photo))
        assert not isinstance(photo, Failure)
        assert one.sha256 == photo.sha256[:HASH_DIGITS]
    assert kept_taught(RunFolder(tmp_path).taught) == found
    again = _taught(finished, _config(Path("gone"), unlabelled), tmp_path)
    assert again == found, "kept, and not asked for again"


def test_a_teacher_of_another_split_is_refused(
    finished: FinishedRun, teacher: Path, unlabelled: Path, tmp_path: Path
) -> None:
    config = _config(teacher, unlabelled, "seed=3")
    with pytest.raises(FlukeprintError, match=r"teacher\.fluke: has learned from photos"):
        _taught(finished, config, tmp_path)
    assert not RunFolder(tmp_path).taught.exists()


def test_what_was_taught_is_learned_from_and_told(
    finished: FinishedRun, teacher: Path, unlabelled: Path, tmp_path: Path
) -> None:
    """The run learns from the photos, and the model file says that it has seen them."""
    config = _config(teacher, unlabelled, "least_probability=0")
    lines: list[str] = []
    train(finished.data, tmp_path / "run", config, device="cpu", report=lines.append)
    folder = RunFolder(tmp_path / "run")
    found = kept_taught(folder.taught)
    by_whale = defaultdict(list)
    for one in found:
        by_whale[one.individual].append(one)
    assert f"{len(found)} unlabelled photos of {len(by_whale)} whales join in" in lines
    told = next(line for line in lines if "to learn from" in line)
    assert len(found) == 6
    plain = next(line for line in finished.lines if "to learn from" in line)
    assert int(told.split()[0]) == int(plain.split()[0]) + len(found)
    model = export(folder.path, tmp_path / "student.fluke")
    seen = set(model.manifest.trained_on)
    assert seen == set(load_model(teacher).manifest.trained_on) | {one.sha256 for one in found}
    assert str(tmp_path) not in json.dumps(model.manifest.training), "where files lie stays here"


@pytest.mark.parametrize("text", ["", "[1]", '[{"photo": "a"}]', "{"])
def test_a_damaged_list_is_named(text: str, tmp_path: Path) -> None:
    path = RunFolder(tmp_path).taught
    path.write_text(text)
    with pytest.raises(FlukeprintError, match=r"taught\.json: cannot be used"):
        kept_taught(path)
