"""The demo with a small drawing and a network that sees little: structure, not accuracy."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from flukeprint import demo
from flukeprint.demo import DemoResult, Drawing, count, draw, run_demo
from flukeprint.errors import FlukeprintError
from flukeprint.model import Manifest, Model
from flukeprint.progress import Step, no_progress
from flukeprint.records import NEW_WHALE, WHOLE, Candidate, Fluke, Identification

SMALL = Drawing(whales=2, photos=1, strangers=1, queries=1, seed=5)
CALIBRATION = {
    "likeness_gain": 10.0, "known_log_odds": 0.0, "background_gain": 0.0, "usual_background": 0.0,
    "unidentified_log_odds": 0.0,
}  # fmt: skip
MANIFEST = Manifest("embedding", 8, 16, 0.0, 8, 128, "", CALIBRATION)


class CoarseNetwork:
    """Embeds a photo as its 8 x 16 grey copy, brought to length 1."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def squash(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(Image.fromarray(pixels).resize((8, 8)))

    def locate(self, squashed: Sequence[NDArray[np.uint8]]) -> list[Fluke]:
        return [Fluke(WHOLE)] * len(squashed)

    def cut(self, pixels: NDArray[np.uint8], fluke: Fluke) -> NDArray[np.uint8]:
        return np.asarray(Image.fromarray(pixels).resize((16, 8)))

    def embed(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        flat = np.stack(crops).reshape(len(crops), -1).astype(np.float32)
        unit: NDArray[np.float32] = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        return unit


@pytest.fixture(autouse=True)
def _coarse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = Model("0" * 64, MANIFEST, b"", None)
    monkeypatch.setattr(demo, "load_model", lambda path: model)
    monkeypatch.setattr(demo, "Network", CoarseNetwork)
    monkeypatch.setenv("FLUKEPRINT_CACHE", str(tmp_path / "cache"))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_demo_draws_identifies_and_writes_the_sheet(tmp_path: Path) -> None:
    stages: list[tuple[str, int]] = []

    def progress(stage: str, size: int) -> Step:
        stages.append((stage, size))
        return lambda step: None

    out = tmp_path / "deep" / "demo"
    result = run_demo(out, None, progress=progress, drawing=SMALL)
    assert stages == [("drawing", 5), ("gallery", 2), ("photos", 3), ("sheet", 12)]
    assert (result.known, result.strangers, result.failures) == (2, 1, 0)
    assert result.sheet == out / "sheet.html"
    assert [true for true, _ in result.examples][-1] == NEW_WHALE
    assert len(result.examples) == 3
    names = sorted(contents(out))
    assert [name.split("/")[0] for name in names] == [
        "answers.csv", "demo.json", *["gallery"] * 2, *["queries"] * 3, "sheet.html",
    ]  # fmt: skip
    assert (out / "sheet.html").read_text(encoding="utf-8").count("<img ") == 12
    assert not (tmp_path / "cache").exists()


def answer(name: str, probability: float, new: float) -> Identification:
    return Identification("q.jpg", (Candidate(name, probability),), new)


def test_counts_of_a_hand_made_demo() -> None:
    pairs = [
        ("w_1", answer("w_1", 0.6, 0.3)),  # right
        ("w_2", answer("w_2", 0.3, 0.6)),  # the right whale, but new is likelier
        ("w_3", answer("w_1", 0.6, 0.3)),  # another whale
        ("w_4", Identification("q.jpg", failure="empty")),
        ("w_5", answer("w_5", 0.5, 0.5)),  # right: a whale goes before new
        (NEW_WHALE, answer("w_1", 0.3, 0.6)),  # told
        (NEW_WHALE, answer("w_1", 0.6, 0.3)),  # taken for a whale
        (NEW_WHALE, Identification("q.jpg", failure="empty")),
    ]
    sheet = Path("sheet.html")
    assert count([true for true, _ in pairs], [said for _, said in pairs], sheet) == DemoResult(
        known=5,
        known_right=2,
        strangers=3,
        strangers_told=1,
        failures=2,
        examples=(*pairs[:3], *pairs[5:7]),
        sheet=sheet,
    )


def test_a_complete_demo_is_used_again(tmp_path: Path) -> None:
    draw(tmp_path / "demo", SMALL)
    (tmp_path / "demo" / "sheet.html").write_text("as I left it")
    before = {path: path.stat().st_ino for path in (tmp_path / "demo").rglob("*")}
    draw(tmp_path / "demo", SMALL)
    assert {path: path.stat().st_ino for path in (tmp_path / "demo").rglob("*")} == before


def test_a_demo_with_a_missing_photo_is_drawn_again(tmp_path: Path) -> None:
    draw(tmp_path, SMALL)
    whole = contents(tmp_path)
    next((tmp_path / "queries").iterdir()).unlink()
    draw(tmp_path, SMALL)
    assert contents(tmp_path) == whole


def test_another_drawing_replaces_the_first_without_a_trace(tmp_path: Path) -> None:
    draw(tmp_path / "a", SMALL)
    (tmp_path / "a" / "sheet.html").write_text("old")
    other = Drawing(whales=1, photos=1, strangers=1, queries=0, seed=6)
    draw(tmp_path / "a", other)
    draw(tmp_path / "b", other)
    made = contents(tmp_path / "a")
    assert made.pop("sheet.html") == b"old"
    assert made == contents(tmp_path / "b")
    folders = sorted(path.name for path in (tmp_path / "a").rglob("*") if path.is_dir())
    assert folders == ["drawn_0001", "gallery", "queries"]


@pytest.mark.parametrize("name", ["notes.txt", "demo.json", "sheet.html", "gallery/w/1.jpg"])
def test_a_folder_that_holds_other_things_is_refused_untouched(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(FlukeprintError, match=f"holds '{name}'.*choose another folder"):
        draw(tmp_path, SMALL)
    assert contents(tmp_path) == {name: b"mine"}


def test_a_file_of_mine_or_an_edited_one_in_a_demo_is_never_deleted(tmp_path: Path) -> None:
    draw(tmp_path, SMALL)
    query = next((tmp_path / "queries").iterdir())
    for mine in (tmp_path / "gallery" / "mine.jpg", query):
        before = mine.read_bytes() if mine.exists() else None
        mine.write_bytes(b"mine")
        for drawing in (SMALL, Drawing(whales=1)):
            with pytest.raises(FlukeprintError, match="choose another folder"):
                draw(tmp_path, drawing)
        assert mine.read_bytes() == b"mine"
        mine.unlink() if before is None else mine.write_bytes(before)
    draw(tmp_path, SMALL)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    draw(tmp_path / "demo", SMALL)
    (tmp_path / "mine").mkdir()
    (tmp_path / "demo" / "gallery" / "mine").symlink_to(tmp_path / "mine")
    with pytest.raises(FlukeprintError, match="holds 'gallery/mine'"):
        draw(tmp_path / "demo", SMALL)


@pytest.mark.parametrize(
    "mark", ["", "[]", "{}", '{"drawing": 1, "files": 2}', '{"drawing": {}, "files": {}}']
)
def test_a_mark_that_no_demo_wrote_is_refused(tmp_path: Path, mark: str) -> None:
    (tmp_path / "demo.json").write_text(mark)
    with pytest.raises(FlukeprintError, match=r"holds 'demo\.json'"):
        draw(tmp_path, SMALL)


def test_what_a_killed_drawing_left_is_stepped_over(tmp_path: Path) -> None:
    (tmp_path / ".drawing-old").mkdir()
    (tmp_path / ".drawing-old" / "1.jpg").write_text("half")
    draw(tmp_path, SMALL)
    assert (tmp_path / ".drawing-old" / "1.jpg").read_text() == "half"


def test_an_interrupted_replacement_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "whole", SMALL)
    move = os.replace

    def stop(source: Path, target: Path) -> None:
        if demo.SCRATCH in str(source) and demo.SCRATCH not in str(target):
            raise KeyboardInterrupt
        move(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            draw(tmp_path / "demo", SMALL)
    assert sorted(contents(tmp_path / "demo")) == ["demo.json"]
    draw(tmp_path / "demo", SMALL)
    assert contents(tmp_path / "demo") == contents(tmp_path / "whole")


def test_a_missing_model_is_told_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(path: Path | None) -> Model:
        raise FlukeprintError("no such model")

    monkeypatch.setattr(demo, "load_model", missing)
    with pytest.raises(FlukeprintError, match="no such model"):
        run_demo(tmp_path / "demo", None, progress=no_progress)
    assert not (tmp_path / "demo").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FlukeprintError, match="cannot make this folder"):
        draw(tmp_path / "file", SMALL)


def test_the_mark_says_what_was_drawn(tmp_path: Path) -> None:
    draw(tmp_path, SMALL)
    mark = json.loads((tmp_path / "demo.json").read_text())
    assert mark["drawing"] == {"whales": 2, "photos": 1, "strangers": 1, "queries": 1, "seed": 5}
    assert sorted(mark["files"]) == sorted(set(contents(tmp_path)) - {"demo.json"})
