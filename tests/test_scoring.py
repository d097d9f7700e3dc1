"""The evaluate command: which model on which photos, and what it writes."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flukeprint import scoring
from flukeprint.cache import Cache
from flukeprint.collection import Collection, read_collection
from flukeprint.drawn.catalogue import write_catalogue
from flukeprint.errors import FlukeprintError
from flukeprint.model import MEASURED, Model, load_model, save_model
from flukeprint.network import Network
from flukeprint.records import EVERYTHING
from flukeprint.scoring import embed_collection, evaluate_target, own_split, score_protocols
from flukeprint.splits import make_splits, random_split, write_split
from flukeprint.tables import fingerprint
from tests.tiny import Pixels


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


def test_a_photo_that_cannot_be_read_is_told(drawn: Path, model_path: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(drawn, tmp_path / "data"))
    broken = min(data.rglob("*.jpg"))
    broken.write_bytes(b"no photo")
    told: list[str] = []
    evaluate_target(model_path, data=data, out=tmp_path / "out", report=told.append)
    (line,) = told
    assert line.startswith(f"warning: {broken}: ")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["photos_left_out"] == 1


def test_scores_never_go_into_the_collection(drawn: Path, model_path: Path) -> None:
    with pytest.raises(FlukeprintError, match="lies in the collection itself"):
        evaluate_target(model_path, data=drawn, out=drawn / "scores")
    assert not (drawn / "scores").exists()


def test_what_does_not_go_with_the_target_is_refused(
    drawn: Path, tiny_model: Model, model_path: Path, tmp_path: Path
) -> None:
    run = _run_of(tmp_path / "run", tiny_model, drawn, protocol="open-set", seed=0)
    for target in (model_path, run):
        with pytest.raises(FlukeprintError, match=f"{target.name}: --model goes with a labelled"):
            evaluate_target(target, data=drawn, model_path=Path("other.fluke"))
    with pytest.raises(FlukeprintError, match=f"{drawn.name}: --data goes with a model or a run"):
        evaluate_target(drawn, data=Path("other"), model_path=model_path)


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
    assert all(0 <= float(row["quality"]) <= 1 for row in rows)
    bands = written["reports"][0]["bands"]
    assert [sorted(band) for band in bands] == [
        ["map5", "quality", "queries_known", "queries_new", "top1_known"]
    ] * 3
    assert sum(band["queries_known"] + band["queries_new"] for band in bands) == len(rows)
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


def trained_on_fold(tiny_model: Model, data: Collection, **recipe: object) -> Model:
    manifest = replace(
        tiny_model.manifest,
        training={"fingerprint": fingerprint(data.table)},
        split={"protocol": "kfold", "seed": 7, "settings": {"folds": 3.0}, **recipe},
    )
    return replace(tiny_model, manifest=manifest)


@pytest.mark.parametrize("fold", [0, 2])
def test_a_models_own_fold_is_remade(drawn: Path, tiny_model: Model, fold: int) -> None:
    collection = read_collection(drawn)
    splits = make_splits(collection.table, collection.twin_group, "kfold", seed=7, folds=3)
    assert own_split(trained_on_fold(tiny_model, collection, fold=fold), collection) == splits[fold]
    noted = trained_on_fold(tiny_model, collection, settings={"folds": 3.0, "fold": float(fold)})
    assert own_split(noted, collection) == splits[fold]


@pytest.mark.parametrize("fold", [3, -1, "first", 0.5])
def test_a_fold_that_is_not_there_is_an_error(drawn: Path, tiny_model: Model, fold: object) -> None:
    collection = read_collection(drawn)
    with pytest.raises(FlukeprintError, match="trained on fold .*; kfold has 3, the first is 0"):
        own_split(trained_on_fold(tiny_model, collection, fold=fold), collection)


def test_only_the_named_photos_are_embedded(drawn: Path, tiny_model: Model) -> None:
    collection = read_collection(drawn)
    names = [row.name for row in collection.table.rows]
    network, kept = Network(tiny_model), Cache(None, tiny_model.id)
    some = embed_collection(collection, network, kept, names={names[5], names[2], "elsewhere"})
    assert list(some.row_of) == [names[2], names[5]]
    whole = embed_collection(collection, network, Cache(None, tiny_model.id))
    assert list(whole.row_of) == names
    assert some.embeddings.vectors == pytest.approx(whole.embeddings.vectors[[2, 5]], abs=1e-6)
    assert some.looks == (whole.looks[2], whole.looks[5])
    assert len(whole.looks) == len(names)


def test_a_softmax_model_embeds_its_queries_alone_and_has_no_other_catalogue(
    drawn: Path, tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = read_collection(drawn)
    (split,) = make_splits(
        collection.table, collection.twin_group, "open-set", queries=0.5, new_share=0.5
    )
    write_split(split, tmp_path / "split.json")
    learned = set(split.gallery)
    taught = sorted({row.individual for row in collection.table.rows if row.name in learned})
    classes = (*taught, *(f"other {n}" for n in range(64 - len(taught))))
    manifest = replace(tiny_model.manifest, kind="softmax", classes=classes)
    path = tmp_path / "softmax.fluke"
    model = save_model(manifest, tiny_model.embedder, tiny_model.localiser, path)
    whole = embed_collection(collection, Network(model), Cache(None, model.id))
    wanted = score_protocols(model, split, collection, whole)

    embedded: list[int] = []
    embed = Network.embed

    def count(network: Network, crops: Sequence[Pixels]) -> NDArray[np.float32]:
        embedded.append(len(crops))
        return embed(network, crops)

    monkeypatch.setattr(Network, "embed", count)
    reports = evaluate_target(drawn, model_path=path, split_path=tmp_path / "split.json")
    assert sum(embedded) == len(split.queries)
    assert {report.protocol for report in reports} == {"open-set"}
    assert reports == wanted


def test_photos_that_the_model_has_seen_are_refused(
    drawn: Path, tiny_model: Model, tmp_path: Path
) -> None:
    seen = tuple(sha[:12] for sha in read_collection(drawn).hashes.values())
    path = tmp_path / "seen.fluke"
    manifest = replace(tiny_model.manifest, trained_on=seen)
    save_model(manifest, tiny_model.embedder, tiny_model.localiser, path)
    with pytest.raises(FlukeprintError, match="were seen in this model's training"):
        evaluate_target(path, data=drawn)


def test_of_photos_that_the_default_has_learned_its_twin_is_scored(
    drawn: Path, tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = read_collection(drawn)
    training = {"fingerprint": fingerprint(collection.table)}
    recipe = {"protocol": EVERYTHING, "seed": 0, "settings": {}}
    knows_all = replace(tiny_model.manifest, training=training, split=recipe)
    path = tmp_path / "default.fluke"
    save_model(knows_all, tiny_model.embedder, tiny_model.localiser, path)
    twin = trained_on_fold(tiny_model, collection)
    shipped = {None: load_model(path), Path(MEASURED): twin}
    monkeypatch.setattr(scoring, "load_model", lambda name=None: shipped[name])
    lines: list[str] = []
    reports = evaluate_target(drawn, report=lines.append)
    assert reports[0].protocol == twin.manifest.split["protocol"]
    assert lines == [
        f"the default model has learned from every photo of {drawn}; scored is measured, its twin "
        "that kept some back"
    ]
    monkeypatch.undo()
    with pytest.raises(FlukeprintError, match=r"there; .* \(the default's ships, too: m"):
        evaluate_target(drawn, model_path=path)


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


@pytest.mark.parametrize(
    "split",
    [
        {"protocol": "random", "seed": 0, "settings": {"queries": 0.2}},
        {"protocol": "open-set", "seed": 0, "settings": {}, "whales": "second-half"},
        {"protocol": "kfold", "seed": 0, "settings": {}, "whales": "first-half"},
    ],
)
def test_a_split_that_only_the_run_holds_is_asked_for(
    drawn: Path, tiny_model: Model, split: dict[str, object]
) -> None:
    """Photo by photo or of half of the whales; on other photos such a model is like any."""
    collection = read_collection(drawn)
    training = {"fingerprint": fingerprint(collection.table)}
    manifest = replace(tiny_model.manifest, training=training, split=split)
    with pytest.raises(FlukeprintError, match=r"in its run's folder: give --split RUN/split\.json"):
        own_split(replace(tiny_model, manifest=manifest), collection)
    elsewhere = replace(manifest, training={"fingerprint": "another"})
    found = own_split(replace(tiny_model, manifest=elsewhere), collection)
    assert found == make_splits(collection.table, collection.twin_group, "open-set")[0]


def test_all_whales_are_no_half(drawn: Path, tiny_model: Model) -> None:
    collection = read_collection(drawn)
    model = trained_on_fold(tiny_model, collection, whales="all")
    assert own_split(model, collection).protocol == "kfold"


def _run_of(folder: Path, model: Model, data: Path, **split: object) -> Path:
    """A run's folder with the model in it, as trained on that collection."""
    folder.mkdir()
    training = {"fingerprint": fingerprint(read_collection(data).table)}
    manifest = replace(
        model.manifest, training=training, split={"seed": 0, "settings": {}, **split}
    )
    save_model(manifest, model.embedder, model.localiser, folder / "model.fluke")
    (folder / "run.json").write_text(json.dumps({"data": str(data)}))
    return folder


def test_a_run_is_scored_on_the_split_in_its_folder(
    drawn: Path, tiny_model: Model, tmp_path: Path
) -> None:
    """Also where it could be remade from the model alone, and where the photos have moved."""
    collection = read_collection(drawn)
    own = make_splits(collection.table, collection.twin_group, "closed-set", seed=5, queries=0.3)[0]
    recipes: list[dict[str, object]] = [
        {"protocol": "closed-set", "whales": "first-half"},
        {"protocol": "open-set", "seed": 0},
    ]
    for number, recipe in enumerate(recipes):
        run = _run_of(tmp_path / f"run{number}", tiny_model, drawn, **recipe)
        write_split(own, run / "split.json")
        report = evaluate_target(run)[0]
        assert report.protocol == "closed-set"
        assert sorted(row["photo"] for row in report.queries) == list(own.queries)
        moved = evaluate_target(run, data=shutil.copytree(drawn, run / "moved"))[0]
        assert (moved.summary(), moved.queries) == (report.summary(), report.queries)


def test_a_runs_split_is_not_for_other_photos(
    drawn: Path, tiny_model: Model, tmp_path: Path
) -> None:
    """Neither where --data names others nor where --split names another."""
    run = _run_of(tmp_path / "run", tiny_model, drawn, protocol="closed-set", whales="first-half")
    (run / "split.json").write_text("never read")
    made = write_catalogue(tmp_path / "others", whales=12, photos=3, strangers=0, queries=0, seed=4)
    assert evaluate_target(run, data=made.gallery)[0].protocol == "open-set"
    collection = read_collection(drawn)
    write_split(make_splits(collection.table, collection.twin_group, "kfold")[0], tmp_path / "s")
    assert evaluate_target(run, split_path=tmp_path / "s")[0].protocol == "kfold"
    with pytest.raises(FlukeprintError, match=r"split\.json: not a split"):
        evaluate_target(run)


def test_a_random_split_with_twins_on_both_sides_is_refused(
    drawn: Path, tiny_model: Model, tmp_path: Path
) -> None:
    """A copy of every photo: some must lie across from its twin."""
    data = shutil.copytree(drawn, tmp_path / "twice")
    for path in sorted(path for path in data.rglob("*") if path.suffix in (".jpg", ".png")):
        shutil.copy(path, path.with_stem(f"{path.stem} copy"))
    collection = read_collection(data)
    run = _run_of(tmp_path / "run", tiny_model, data, protocol="random", seed=0)
    split = random_split(collection.table, collection.twin_group, seed=0, queries=0.4)
    write_split(split, run / "split.json")
    with pytest.raises(FlukeprintError, match="leak: .* share a set of twins with a query"):
        evaluate_target(run)
