"""Tests of the training command: what it refuses, what it lives with."""

import hashlib
import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load as from_safetensors

from flukeprint.cli import cli
from flukeprint.collection import Collection, read_collection
from flukeprint.errors import FlukeprintError
from flukeprint.files import read_json
from flukeprint.lottery import bundle
from flukeprint.records import NEW_WHALE, Split
from flukeprint.splits import check_leaks, read_split
from flukeprint.tables import fingerprint
from flukeprint.training import finder, loop
from flukeprint.training import train as training
from flukeprint.training.backbones import make_backbone
from flukeprint.training.config import TrainConfig, read_config
from flukeprint.training.curves import log_epoch, read_log
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.sides import part_of, split_for_training
from flukeprint.training.train import _command, check_backbone, train
from tests.tiny import table_of
from tests.training.conftest import FinishedRun
from tests.training.small import SETTINGS, write_whales

SHORT = [*SETTINGS, "epochs=1", "localiser_steps=1"]
WHOLE_PHOTOS = [*SHORT, "localise=false", "drawn_whales=0"]


# The few photos of these tests are enough to split where one in five is kept for the end.
HALVED = [*WHOLE_PHOTOS, "query_share=0.2", "validation_share=0.2"]
FOLDS = TrainConfig(protocol="kfold", folds=3, query_share=0.1, validation_share=0.1)


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


def test_another_runs_finder_is_taken_over(
    finished: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(*_: object, **__: object) -> None:
        raise AssertionError("trained anew")

    monkeypatch.setattr(finder, "fit_localiser", fit)
    first = RunFolder(finished.path).localiser
    train(finished.data, tmp_path / "run", read_config(None, SHORT), device="cpu", finder=first)
    assert RunFolder(tmp_path / "run").localiser.read_bytes() == first.read_bytes()


def test_a_finder_that_cannot_be_taken_over(finished: FinishedRun, tmp_path: Path) -> None:
    """None is begun with: the file is no finder's, is not there, or has learned too much."""
    first, out = RunFolder(finished.path), tmp_path / "run"
    whole = read_config(None, [*SHORT, "localise=false"])
    for file, config, said in (
        (first.weights, TrainConfig(), r"weights\.safetensors: not a run's localiser"),
        (tmp_path / "none", TrainConfig(), "none: cannot be read: No such file"),
        (first.localiser, whole, "this run trains on whole photos"),
    ):
        with pytest.raises(FlukeprintError, match=said):
            train(finished.data, out, config, device="cpu", finder=file)
        assert not out.exists()
    other = read_config(None, [*SHORT, "seed=1"])
    with pytest.raises(FlukeprintError, match="has learned from photos that this run keeps"):
        train(finished.data, out, other, device="cpu", finder=first.localiser)
    command = ["train", str(finished.data), "--out", str(out), "--folds", "2", "--finder"]
    refused = CliRunner().invoke(cli, [*command, str(first.localiser)]).exception
    assert "photos of other folds; give it to one run" in str(refused)


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


# which photos a run learns from


def _made_up(photos: list[int], unidentified: int = 0) -> Collection:
    """Whales with so many photos each, named ``w0-0``, ``w0-1``, ...; none has a twin."""
    rows = [
        (f"w{whale}-{shot}", f"w{whale}") for whale, n in enumerate(photos) for shot in range(n)
    ]
    rows += [(f"n{number}", NEW_WHALE) for number in range(unidentified)]
    twins = {name: number for number, (name, _) in enumerate(rows)}
    return Collection(table_of(*rows), twins, {name: name for name, _ in rows}, ())


def _whales(collection: Collection, names: tuple[str, ...]) -> set[str]:
    side = set(names)
    return {row.individual for row in collection.table.rows if row.name in side} - {NEW_WHALE}


def _check_folds(collection: Collection, config: TrainConfig) -> None:
    """Every whale that can be asked about is learned from in every fold, asked in its turn."""
    bundles = bundle(collection.table, collection.twin_group)
    of_whale = {
        whale: [item for item in bundles if whale in item.whales]
        for whale in collection.table.individuals
    }
    twice = {whale for whale, items in of_whale.items() if len(items) > 1}
    askable = sorted(name for whale in twice for item in of_whale[whale] for name in item.names)
    asked: list[str] = []
    for fold in range(config.folds):
        outer, inner = split_for_training(collection, replace(config, fold=fold))
        assert (outer.protocol, outer.fold, inner.protocol) == ("kfold", fold, "closed-set")
        assert twice <= _whales(collection, inner.train)
        assert not set(outer.queries) & {*inner.train, *inner.gallery, *inner.queries}
        assert set(inner.train) | set(inner.queries) == set(outer.train)
        check_leaks(outer, collection.table, collection.twin_group)
        asked += outer.queries
    assert sorted(asked) == askable


def test_each_fold_learns_from_every_whale_with_two_photos() -> None:
    collection = _made_up([2, 3, 4, 5, 6, 1, 1, 3], unidentified=2)
    _check_folds(collection, replace(FOLDS, folds=3))


def test_a_whale_whose_two_photos_are_twins_is_not_asked_about_in_any_fold() -> None:
    """``w0`` has two photos, one of them a copy of the other: a single bundle."""
    collection = _made_up([2, 3, 4, 5])
    twins = collection.twin_group | {"w0-1": collection.twin_group["w0-0"]}
    _check_folds(replace(collection, twin_group=twins), FOLDS)


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=12),
    st.integers(0, 3),
    st.integers(2, 6),
    st.integers(0, 9),
)
def test_no_collection_has_a_fold_that_leaves_a_whale_out(
    photos: list[int], unidentified: int, folds: int, seed: int
) -> None:
    """A whale with four photos keeps two at least, so that each fold has some to validate with."""
    collection = _made_up([*photos, 4, 12], unidentified)
    _check_folds(collection, replace(FOLDS, folds=folds, seed=seed))


def test_a_random_protocol_draws_both_splits_photo_by_photo() -> None:
    collection = _made_up([3] * 10, unidentified=10)
    config = replace(FOLDS, protocol="random", query_share=0.25, validation_share=0.1)
    outer, inner = split_for_training(collection, config)
    assert (outer.protocol, inner.protocol) == ("random", "random")
    assert len(outer.queries) == 10
    assert len(inner.queries) == 3
    assert set(inner.train) | set(inner.queries) == set(outer.train)
    assert len({*inner.train, *inner.queries, *outer.queries}) == 40


def test_everything_keeps_no_photo_back() -> None:
    collection = _made_up([3] * 10, unidentified=10)
    config = replace(FOLDS, protocol="everything")
    outer, inner = split_for_training(collection, config)
    assert outer == inner
    assert set(outer.train) == set(outer.gallery) == set(collection.twin_group)
    assert (outer.queries, outer.fingerprint) == ((), fingerprint(collection.table))


@pytest.mark.parametrize("protocol", ["open-set", "closed-set", "kfold", "random"])
def test_halves_of_the_whales_are_split_apart_under_the_whole_tables_fingerprint(
    protocol: str,
) -> None:
    collection = _made_up([4] * 24, unidentified=6)
    seen: list[set[str]] = []
    for whales in ("first-half", "second-half"):
        config = replace(FOLDS, protocol=protocol, whales=whales, query_share=0.2)
        part = part_of(collection, config)
        outer, inner = split_for_training(collection, config)
        assert outer.fingerprint == fingerprint(collection.table)
        assert {row.name for row in part.table.rows} == set(part.twin_group)
        names = {*outer.train, *outer.gallery, *outer.queries}
        assert names <= set(part.twin_group)
        assert {*inner.train, *inner.gallery, *inner.queries} <= set(outer.train)
        if protocol != "random":
            check_leaks(outer, collection.table, collection.twin_group)
        seen.append(names)
    assert not seen[0] & seen[1]


def test_all_whales_are_the_collection_itself() -> None:
    collection = _made_up([4] * 4)
    assert part_of(collection, FOLDS) is collection


def test_both_halves_of_the_whales_can_be_learned_one_after_the_other(tmp_path: Path) -> None:
    """What the second half learns from and is asked about, the first has never shown."""
    data = write_whales(tmp_path / "whales", whales=14, unidentified=2)
    collection, splits = read_collection(data), {}
    for whales in ("first-half", "second-half"):
        _train(data, tmp_path / whales, [*HALVED, f"whales={whales}"])
        run = RunFolder(tmp_path / whales)
        splits[whales] = read_split(run.split)
        assert splits[whales].fingerprint == fingerprint(collection.table)
        assert read_json(run.facts)["fingerprint"] == fingerprint(collection.table)
        assert read_json(run.facts)["individuals"] == 14
        assert "map5" in read_json(run.result)
        check_leaks(splits[whales], collection.table, collection.twin_group)
    first, second = (_whales(collection, _names(split)) for split in splits.values())
    assert len(first) + len(second) == 14
    assert not first & second


def _names(split: Split) -> tuple[str, ...]:
    return (*split.train, *split.gallery, *split.queries)


# what is found wrong before or while a run learns


def test_a_missing_file_of_weights_is_named_before_any_photo_is_read(
    finished: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("photos were read")

    monkeypatch.setattr(training, "read_collection", never)
    missing = tmp_path / "nowhere" / "resnet.pth"
    with pytest.raises(FlukeprintError, match=f"{missing}: no such file; give a weights file"):
        _train(finished.data, tmp_path / "run", [*WHOLE_PHOTOS, f"weights={missing}"])
    assert not (tmp_path / "run").exists(), "a refused run must not take the folder"


def test_weights_of_another_network_are_named(finished: FinishedRun, tmp_path: Path) -> None:
    """Those of an earlier run of another backbone."""
    given = finished.path / "weights.safetensors"
    with pytest.raises(FlukeprintError, match=f"{given}: not this backbone's weights"):
        settings = [*WHOLE_PHOTOS, f"weights={given}", "backbone=stanford_cnn"]
        _train(finished.data, tmp_path / "run", settings)


def test_an_earlier_runs_weights_are_a_start(finished: FinishedRun, tmp_path: Path) -> None:
    """A run that learns nothing more ends with the backbone it was given."""
    given = finished.path / "weights.safetensors"
    settings = [*WHOLE_PHOTOS, f"weights={given}", "learning_rate=0.0", "ema_decay=0.0"]
    lines = _train(finished.data, tmp_path / "run", settings)
    assert any("begins with these weights" in line for line in lines)
    wanted = from_safetensors(given.read_bytes())
    found = from_safetensors((tmp_path / "run" / "weights.safetensors").read_bytes())
    learned = dict(make_backbone("test_resnet", 1).named_parameters())
    kept = [name for name in wanted if name.removeprefix("backbone.") in learned]
    assert kept
    for name in kept:
        assert torch.equal(found[name], wanted[name]), name
    assert (
        read_json(tmp_path / "run" / "run.json")["weights_sha256"]
        == hashlib.sha256(given.read_bytes()).hexdigest()
    )


def test_a_run_that_diverges_is_told(
    finished: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop.Trainer, "_step", lambda *_: float("nan"))
    run = tmp_path / "run"
    message = rf"{run}: training diverged in epoch 1 \(loss nan\).* lower learning_rate"
    with pytest.raises(FlukeprintError, match=message):
        _train(finished.data, run, WHOLE_PHOTOS)
    assert not (run / "result.json").exists()
