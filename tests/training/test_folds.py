"""Tests of cross-validation over k folds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

from flukeprint.errors import FlukeprintError
from flukeprint.evaluate import Report
from flukeprint.records import NEW_WHALE
from flukeprint.splits import read_split
from flukeprint.training import folds
from flukeprint.training.config import read_config
from flukeprint.training.folds import cross_validate, folds_text, pooled
from tests.conftest import Call
from tests.training.small import SETTINGS, write_whales

TINY = [
    *SETTINGS,
    "localise=false",
    "drawn_whales=0",
    "epochs=1",
    "validate_every=1",
    "early_share=0.0",
]


def row(photo: str, truth: str, place: int, *answers: str) -> dict[str, Any]:
    given = {f"answer_{k + 1}": answer for k, answer in enumerate(answers)}
    return {"photo": photo, "truth": truth, "place": place, **given}


def report(*rows: dict[str, Any]) -> Report:
    return Report("flukeprint", "kfold", 1, 1, len(rows), 0, {}, [], list(rows))


def test_folds_are_pooled_query_by_query() -> None:
    one = report(
        row("1", "a", 1, "a", "b"), row("2", "b", 2, NEW_WHALE, "b"), row("3", "c", 0, "a", "b")
    )
    other = report(row("4", "d", 4, "a", "b", "c", "d"))
    found = pooled([one, other])
    assert found["map5"].value == pytest.approx((1 + 1 / 2 + 0 + 1 / 4) / 4)
    assert found["top1_known"].value == pytest.approx(2 / 4)  # new_whale is passed over
    assert found["map5"].low <= found["map5"].value <= found["map5"].high


def test_the_lines_name_each_fold_and_all() -> None:
    part = {name: {"value": 0.5, "low": 0.25, "high": 0.75} for name in ("map5", "top1_known")}
    said = "MAP@5 0.500 (0.250-0.750), top-1 0.500 (0.250-0.750)"
    text = folds_text({"folds": [part, part], "together": part})
    assert text.splitlines() == [f"fold 0: {said}", f"fold 1: {said}", f"all folds: {said}"]


def test_every_fold_is_trained_scored_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    data, out = write_whales(tmp_path / "data"), tmp_path / "out"
    settings = [part for setting in TINY for part in ("--set", setting)]
    asked = ["train", str(data), "--out", str(out), "--folds", "2", "--json", *settings]
    code, told, complaint = call(*asked)
    assert code == 0, complaint
    kept = json.loads((out / "folds.json").read_text())
    assert json.loads(told) == kept
    queries = [read_split(out / f"fold-{fold}" / "split.json").queries for fold in (0, 1)]
    assert kept["queries"] == len(queries[0]) + len(queries[1])
    assert not set(queries[0]) & set(queries[1])

    def never(*_: object, **__: object) -> None:
        raise AssertionError("what is done is not done again")

    monkeypatch.setattr(folds, "train", never)
    assert json.loads(call(*asked)[1]) == kept
    with pytest.raises(FlukeprintError, match="other photos, settings or folds"):
        cross_validate(data, out, read_config(None, [*TINY, "seed=1"]), 2)
    with pytest.raises(FlukeprintError, match="other photos, settings or folds"):
        cross_validate(data, out, read_config(None, TINY), 3)
