"""The evaluate command: which model on which photos, and what it writes."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from flukeprint.collection import read_collection
from flukeprint.drawn.catalogue import write_catalogue
from flukeprint.errors import FlukeprintError
from flukeprint.model import Model, save_model
from flukeprint.scoring import evaluate_target, own_split
from flukeprint.splits import make_splits, write_split
from flukeprint.tables import fingerprint


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve drawn whales with three photos each."""
    folder = tmp_path_factory.mktemp("drawn")
    return write_catalogue(folder, whales=12, photos=3, strangers=0, queries=0, seed=3).gallery


@pytest.fixture
def model_path(tiny_model: Model, tmp_path: Path) -> Path:
    """The tiny model's file."""
    path = tmp_path / "tiny.fluke"
    save_model(tiny_model.manifest, tiny_model.embedder, tiny_model.localiser, path)
    return path


def test_a_model_is_scored_beside_the_answers_without_learning(
    drawn: Path, model_path: Path, tmp_path: Path
) -> None:
    reports = evaluate_target(model_path, data=drawn, out=tmp_path / "out")
    systems = [report.system for report in reports if report.protocol == "open-set"]
    assert systems == [
        "flukeprint", "new_whale first", "most frequent whales", "twins' labels, new_whale",
    ]  # fmt: skip
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert len(written["reports"]) == len(reports)
    with (tmp_path / "out" / "queries-open-set.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == reports[0].queries_known + reports[0].queries_new
    first = reports[1].metrics["map5"].value
    assert first >= reports[1].queries_new / len(rows)  # new_whale first is right for each new one


def test_the_other_catalogue_is_given_beside_the_open_set(drawn: Path, model_path: Path) -> None:
    collection = read_collection(drawn)
    split = make_splits(
        collection.table, collection.twin_group, "open-set", queries=0.5, new_share=0.5
    )[0]
    path = model_path.with_name("split.json")
    write_split(split, path)
    reports = evaluate_target(drawn, model_path=model_path, split_path=path)
    assert {report.protocol for report in reports} == {"open-set", "other-catalogue"}


def test_a_collection_it_learned_from_is_scored_on_the_models_own_split(
    drawn: Path, tiny_model: Model
) -> None:
    collection = read_collection(drawn)
    manifest = replace(
        tiny_model.manifest,
        training={"fingerprint": fingerprint(collection.table)},
        split={"protocol": "open-set", "seed": 7, "settings": {"queries": 0.3, "new_share": 0.4}},
    )
    split = own_split(replace(tiny_model, manifest=manifest), collection)
    (wanted,) = make_splits(
        collection.table, collection.twin_group, "open-set", seed=7, queries=0.3, new_share=0.4
    )
    assert split == wanted


def test_photos_that_the_model_has_seen_are_refused(
    drawn: Path, tiny_model: Model, tmp_path: Path
) -> None:
    seen = tuple(sha[:12] for sha in read_collection(drawn).hashes.values())
    path = tmp_path / "seen.fluke"
    manifest = replace(tiny_model.manifest, trained_on=seen)
    save_model(manifest, tiny_model.embedder, tiny_model.localiser, path)
    with pytest.raises(FlukeprintError, match="were seen in this model's training"):
        evaluate_target(path, data=drawn)


def test_a_split_of_another_table_is_refused(
    drawn: Path, model_path: Path, kaggle: Path, tmp_path: Path
) -> None:
    collection = read_collection(drawn)
    write_split(make_splits(collection.table, collection.twin_group, "kfold")[0], tmp_path / "s")
    with pytest.raises(FlukeprintError, match="another table"):
        evaluate_target(kaggle, model_path=model_path, split_path=tmp_path / "s")


def test_a_run_that_was_not_exported_says_how(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(FlukeprintError, match="flukeprint export"):
        evaluate_target(tmp_path)
