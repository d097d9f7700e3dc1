"""Tests of the bench of papers: what it trains, how it scores, what it keeps, one tiny bench."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
from PIL import Image

from flukeprint.collection import Collection
from flukeprint.errors import FlukeprintError
from flukeprint.evaluate import Queries, Report, answers_of
from flukeprint.identify import index_unseen
from flukeprint.model import Model
from flukeprint.rank import index_gallery
from flukeprint.records import NEW_WHALE, Interval, Split
from flukeprint.splits import read_split
from flukeprint.training import backbones
from flukeprint.training.bench import plan, run, score
from flukeprint.training.bench.gather import SEEN, rows_of
from flukeprint.training.bench.kept import (
    CONFUSED,
    OURS,
    QUERIES,
    SCORES,
    WITHOUT_LEARNING,
    Kept,
    keep,
    keep_report,
    read_kept,
    read_ranks,
)
from flukeprint.training.bench.plan import Job, jobs_of, read_epochs, read_weights, wanted_systems
from flukeprint.training.bench.results import RESULTS
from flukeprint.training.bench.rows import Row, Scored
from flukeprint.training.bench.run import OWN_RECIPES, bench_papers
from flukeprint.training.config import TrainConfig, config_text, read_config, with_epochs
from flukeprint.training.curves import read_log
from flukeprint.training.networks import Network
from flukeprint.training.recipes import PAPERS, Recipe, all_recipes, read_recipe, recipe
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.train import train
from tests.conftest import ROOT, Call
from tests.tiny import TINY, picture, table_of
from tests.training.small import write_whales

DOCS = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
TRANSFERS = ("ucsd-transfer-vgg19", "ucsd-transfer-inception-resnet-v2", "stanford-facenet")
ONE = Interval(0.5, 0.4, 0.6)


def block(language: str) -> str:
    """The only piece of that language in docs/recipes.md."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", DOCS, flags=re.DOTALL)
    return str(found)


# What is trained


def planned(name: str, out: Path, epochs: int | None = None, *, fetch: bool = False) -> list[Job]:
    (system, *_) = plan.systems_of(recipe(name))
    return jobs_of(system, out, with_epochs(system.config, epochs), fetch=fetch)


@pytest.mark.parametrize("name", [name for name in PAPERS if name not in TRANSFERS])
def test_a_system_is_trained_on_both_protocols(name: str, tmp_path: Path) -> None:
    own = recipe(name).config
    first, second = planned(name, tmp_path)
    assert (first.stage, first.config) == (
        "paper",
        replace(own, protocol="random", query_share=0.2),
    )
    assert (second.stage, second.config) == ("open-set", replace(own, protocol="open-set"))
    assert [job.folder.path for job in (first, second)] == [
        tmp_path / name / "paper",
        tmp_path / name / "open-set",
    ]


def test_a_variant_is_trained_on_the_papers_split_alone(tmp_path: Path) -> None:
    systems = plan.systems_of(recipe("stanford-cnn"))
    assert [(one.name, one.main) for one in systems] == [
        ("stanford-cnn", True),
        ("stanford-cnn learning_rate=0.0001", False),
        ("stanford-cnn learning_rate=0.01", False),
    ]
    (job,) = jobs_of(systems[1], tmp_path, systems[1].config, fetch=False)
    assert (job.stage, job.config.learning_rate) == ("paper", 1e-4)
    assert job.folder.path == tmp_path / "stanford-cnn-learning_rate=0.0001" / "paper"


@pytest.mark.parametrize("name", TRANSFERS)
def test_a_transfer_without_its_weights_goes_from_half_to_half(name: str, tmp_path: Path) -> None:
    own = recipe(name).config
    first, second, beside = planned(name, tmp_path)
    assert [job.stage for job in (first, second, beside)] == [
        "pretrained",
        "transferred",
        "scratch",
    ]
    assert second.config == replace(
        own, pretrained=False, whales="second-half", weights=str(first.folder.weights)
    )
    assert second.config.head_epochs and second.config.tune_from == own.tune_from
    # Beside it the recipe's own settings, without weights and without phases.
    plain = replace(own, pretrained=False, head_epochs=0, tune_from="")
    assert beside.config == replace(plain, whales="second-half")
    changed = {
        "whales", "optimizer", "learning_rate", "weight_decay", "augment", "class_weight_power",
        "grey_copies", "patience",
    }  # fmt: skip
    for setting, value in asdict(plain).items():
        if setting not in changed:
            assert getattr(first.config, setting) == value
    assert (first.config.whales, first.config.optimizer) == ("first-half", "adam")


@pytest.mark.parametrize("name", TRANSFERS)
def test_a_transfer_with_its_weights_is_a_system_like_others(name: str, tmp_path: Path) -> None:
    fetched = planned(name, tmp_path, fetch=True)
    assert [(job.stage, job.config.pretrained) for job in fetched] == [
        ("paper", True),
        ("open-set", True),
    ]
    (system,) = plan.systems_of(recipe(name))
    brought = replace(system.config, pretrained=False, weights="w.pth")
    found = jobs_of(system, tmp_path, brought, fetch=False)
    assert [(job.stage, job.config.weights) for job in found] == [
        ("paper", "w.pth"),
        ("open-set", "w.pth"),
    ]


@pytest.mark.parametrize(
    ("epochs", "head", "wanted", "found"),
    [
        (40, 20, 10, 5),
        (40, 20, 5, 2),
        (40, 20, 7, 4),
        (40, 20, 2, 1),
        (40, 20, 80, 40),
        (40, 1, 10, 1),  # at least one in the first phase
        (40, 39, 10, 9),  # and in the second
        (40, 40, 3, 3),  # a head alone stays one
        (40, 0, 1, 0),
    ],
)
def test_phases_keep_their_proportion(epochs: int, head: int, wanted: int, found: int) -> None:
    config = TrainConfig(
        epochs=epochs, head_epochs=head, validate_every=5,
        loss="softmax", new_whale="class", mirror_individuals=False, both_sides=False,
    )  # fmt: skip
    made = with_epochs(config, wanted)
    assert (made.epochs, made.head_epochs) == (wanted, found)
    assert made.validate_every == min(5, wanted)
    assert replace(made, epochs=epochs, head_epochs=head, validate_every=5) == config


def test_epochs_that_change_nothing_or_cannot_be() -> None:
    config = recipe("ucsd-transfer-vgg19").config
    assert with_epochs(config, None) is config
    assert with_epochs(config, config.epochs) is config
    with pytest.raises(FlukeprintError, match="two phases needs two epochs"):
        with_epochs(config, 1)


@pytest.mark.parametrize("name", TRANSFERS)
def test_a_run_begun_with_brought_weights_goes_on_with_those(name: str, tmp_path: Path) -> None:
    (system,) = plan.systems_of(recipe(name))
    brought = replace(system.config, pretrained=False, weights="w.pth")
    first = jobs_of(system, tmp_path, brought, fetch=False)
    for job in first:
        job.folder.path.mkdir(parents=True)
        job.folder.config.write_text(config_text(job.config), encoding="utf-8")
    assert planned(name, tmp_path, fetch=True) == first


@pytest.mark.parametrize(
    ("name", "begun", "asked"),
    [
        ("ucsd-siamese", 3, None),
        ("ucsd-siamese", 3, 12),
        ("ucsd-siamese", 60, 1),  # validate_every, too, is as it was
        ("ucsd-transfer-vgg19", 7, 5),  # scaled from 40 epochs, not from 5
        ("ucsd-transfer-vgg19", 40, 2),
        ("stanford-facenet", 40, 3),
    ],
)
def test_a_run_begun_with_other_epochs_goes_on_with_those(
    name: str, begun: int, asked: int | None, tmp_path: Path
) -> None:
    first = planned(name, tmp_path, begun)
    for job in first:
        job.folder.path.mkdir(parents=True)
        job.folder.config.write_text(config_text(job.config), encoding="utf-8")
    assert planned(name, tmp_path, asked) == first


def test_epochs_as_the_command_takes_them() -> None:
    assert read_epochs([], PAPERS) == (None, {})
    assert read_epochs(["12"], PAPERS) == (12, {})
    assert read_epochs(["9", "ucsd-vgg19=3", "7", "ucsd-vgg19=4"], PAPERS) == (
        7,
        {"ucsd-vgg19": 4},
    )


@pytest.mark.parametrize(
    "text", ["", "0", "-3", "1.5", "many", "ucsd-vgg19=", "ucsd-vgg19=0", "vgg19=3", "=3"]
)
def test_epochs_of_no_use_are_refused(text: str) -> None:
    with pytest.raises(FlukeprintError, match=f"--epochs {text}: write N, or NAME=N with one of"):
        read_epochs([text], PAPERS)


def test_weights_as_the_command_takes_them() -> None:
    assert read_weights([], PAPERS) == {}
    assert read_weights(["ucsd-vgg19=a=b.pth", "stanford-facenet=f.pt"], PAPERS) == {
        "ucsd-vgg19": "a=b.pth",
        "stanford-facenet": "f.pt",
    }


@pytest.mark.parametrize("text", ["f.pt", "ucsd-vgg19=", "vgg19=f.pt", "=f.pt", ""])
def test_weights_of_no_use_are_refused(text: str) -> None:
    with pytest.raises(FlukeprintError, match=f"--weights {text}: write NAME=FILE with one of"):
        read_weights([text], PAPERS)


def test_options_are_for_the_systems_that_they_name(tmp_path: Path) -> None:
    chosen = [recipe("stanford-cnn"), recipe("ucsd-siamese")]
    made = wanted_systems(chosen, ["4", "ucsd-siamese=7"], [])
    assert [(system.name, config.epochs) for system, config in made] == [
        ("stanford-cnn", 4),
        ("stanford-cnn learning_rate=0.0001", 4),
        ("stanford-cnn learning_rate=0.01", 4),
        ("ucsd-siamese", 7),
    ]
    with pytest.raises(FlukeprintError, match="this system is trained from nothing"):
        wanted_systems(chosen, [], ["ucsd-siamese=w.pth"])
    with pytest.raises(FlukeprintError, match=r"none\.pth: no such file"):
        wanted_systems([recipe("ucsd-transfer-vgg19")], [], ["ucsd-transfer-vgg19=none.pth"])


# How it is scored


def model_of(kind: str, classes: Sequence[str] = ()) -> Model:
    """A model whose network is never run."""
    manifest = replace(
        TINY, kind=kind, classes=tuple(classes), embedding_size=len(classes) or 2, localiser_px=0
    )
    return Model("0" * 64, manifest, b"", None)


def rows(*labels: str) -> list[Any]:
    return list(table_of(*((f"{k}.png", label) for k, label in enumerate(labels))).rows)


def test_a_classifier_answers_its_likeliest_classes() -> None:
    # z is in the gallery and was never taught; y was taught and is not in the gallery.
    index = index_unseen(rows("a", "b", "c", "d", "e", "z", NEW_WHALE))
    model = model_of("softmax", ["a", "b", "c", "d", "e", NEW_WHALE, "y"])
    logits = np.array(
        [
            [5.0, 4.0, 3.0, 2.0, 1.0, 3.5, 9.0],
            [0.0, 0.0, 0.0, 0.0, 7.0, 8.0, 9.0],
            [5.0, 4.0, 3.0, 2.0, 1.0, 0.0, 9.0],
        ],
        dtype=np.float32,
    )
    assert score.paper_answers(logits, index, model, left_out=False) == [
        ["a", "b", NEW_WHALE, "c", "d", "e"],
        [NEW_WHALE, "e", "a", "b", "c", "d"],  # of equals the first by name
        ["a", "b", "c", "d", "e", NEW_WHALE],
    ]


def test_a_classifier_without_new_whale_gives_it_first_and_four_whales() -> None:
    index = index_unseen(rows("a", "b", "c", "d", "e", NEW_WHALE))
    model = model_of("softmax", ["a", "b", "c", "d", "e"])
    logits = np.array([[1.0, 2.0, 3.0, 4.0, 5.0]], dtype=np.float32)
    assert score.paper_answers(logits, index, model, left_out=True) == [
        [NEW_WHALE, "e", "d", "c", "b", "a"]  # five count, and hold four whales
    ]


def test_nearest_neighbours_answer_by_their_nearest_photo() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, 0.6]], dtype=np.float32)
    index = index_gallery(vectors, ["a", "a", "b", NEW_WHALE], ["1", "2", "3", "4"])
    asked = np.array([[1.0, 0.0], [0.6, 0.8]], dtype=np.float32)
    # To (1, 0): a 1, new_whale 0.8, b 0.6. To (0.6, 0.8): b 1, new_whale 0.96, a 0.8.
    model = model_of("embedding")
    assert score.paper_answers(asked, index, model, left_out=False) == [
        ["a", NEW_WHALE, "b"],
        ["b", NEW_WHALE, "a"],
    ]
    assert score.paper_answers(asked, index, model, left_out=True) == [
        [NEW_WHALE, "a", "b"],
        [NEW_WHALE, "b", "a"],
    ]
    # Without an unidentified photo nobody is new's neighbour.
    named = index_gallery(vectors[:3], ["a", "a", "b"], ["1", "2", "3"])
    assert score.paper_answers(asked[:1], named, model, left_out=False) == [["a", "b", NEW_WHALE]]


def test_scores_by_hand() -> None:
    answers = [
        ["a", "b", NEW_WHALE, "c", "d"],
        ["b", NEW_WHALE, "a", "c", "d"],
        ["b", NEW_WHALE, "a", "c", "d"],
        ["a", "b", NEW_WHALE, "c", "d"],
    ]
    # z is in no gallery: as written it is still the truth, and cannot be answered.
    asked = Queries(("1", "2", "3", "4"), ("a", "a", NEW_WHALE, "z"), ("a", "a", "new 3", "z"))
    index = index_unseen(rows("a", "b", "c", "d", NEW_WHALE))
    found = score.score_as_written("mine", answers, asked, index)
    measured = found.metrics
    assert measured["map5"].value == pytest.approx((1 + 1 / 3 + 1 / 2 + 0) / 4)
    # Of the three queries of named whales, by the whales answered: place 1, place 2, none.
    assert measured["top1_known"].value == pytest.approx(1 / 3)
    assert measured["top5_known"].value == pytest.approx(2 / 3)
    # True a, a, z; first whales a, b, a. F1 of a is 2 * 1 / (2 + 2), those of b and z are 0.
    assert measured["f1_macro"].value == pytest.approx(0.5 / 3)
    assert (found.system, found.protocol) == ("mine", "random")
    assert (found.queries_known, found.queries_new) == (3, 1)
    assert (found.gallery_photos, found.gallery_whales) == (5, 4)
    assert [(row["truth"], row["place"]) for row in found.queries] == [
        ("a", 1),
        ("a", 3),
        (NEW_WHALE, 2),
        ("z", 0),
    ]
    shown = score.scored_report(found)
    assert (shown.map5, shown.top1) == (measured["map5"], measured["top1_known"])
    assert (shown.collapse, shown.queries, shown.auroc_known) == (1.0, 4, None)


def test_a_sixth_label_is_the_fifth_whale_and_no_answer() -> None:
    answers = [[NEW_WHALE, "a", "b", "c", "d", "e"]]
    index = index_unseen(rows("a", "b", "c", "d", "e"))
    found = score.score_as_written("mine", answers, Queries(("1",), ("e",), ("e",)), index)
    assert found.metrics["map5"].value == 0.0
    assert found.metrics["top5_known"].value == 1.0
    assert found.queries[0]["place"] == 0 and "answer_6" not in found.queries[0]


def collection_of(twins: Mapping[str, int], *labelled: tuple[str, str]) -> Collection:
    return Collection(table_of(*labelled), dict(twins), {}, ())


# q1 is a twin of g3, "bad" could not be read; z is in no gallery.
LABELLED = (
    ("g1", "a"), ("g2", "a"), ("g3", "b"), ("g4", NEW_WHALE), ("g5", "c"),
    ("q1", "b"), ("q2", "a"), ("q3", NEW_WHALE), ("q4", "z"), ("bad", "a"),
)  # fmt: skip
MADE_UP = collection_of(
    {"g1": 0, "g2": 1, "g3": 2, "g4": 3, "g5": 4, "q1": 2, "q2": 5, "q3": 6, "q4": 7}, *LABELLED
)
GALLERY, ASKED = ("g1", "g2", "g3", "g4", "g5"), ("bad", "q1", "q2", "q3", "q4")
RANDOM = Split("random", 0, "", GALLERY, GALLERY, ASKED)


def test_queries_have_the_labels_as_written() -> None:
    table, readable = MADE_UP.table, MADE_UP.twin_group
    assert score.paper_queries(RANDOM, table, readable, left_out=False) == Queries(
        ("q1", "q2", "q3", "q4"), ("b", "a", NEW_WHALE, "z"), ("b", "a", f"{NEW_WHALE} q3", "z")
    )
    assert score.paper_queries(RANDOM, table, readable, left_out=True) == Queries(
        ("q1", "q2", "q4"), ("b", "a", "z"), ("b", "a", "z")
    )
    with pytest.raises(FlukeprintError, match="not one query of a named whale"):
        score.paper_queries(RANDOM, table, {"q3"}, left_out=True)


def test_answers_without_learning_by_hand() -> None:
    found = score.paper_without_learning(RANDOM, MADE_UP)
    answered = {name: [answers_of(row) for row in r.queries] for name, r in found.items()}
    # a has two photos, b and c have one each.
    assert answered == {
        "new_whale first": [[NEW_WHALE, "a", "b", "c"]] * 4,
        "most frequent whales": [["a", "b", "c", NEW_WHALE]] * 4,
        "twins' labels, new_whale": [["b", NEW_WHALE, "a", "c"], *[[NEW_WHALE, "a", "b", "c"]] * 3],
    }
    map5 = {name: report.metrics["map5"].value for name, report in found.items()}
    assert map5 == pytest.approx(
        {
            "new_whale first": (1 / 3 + 1 / 2 + 1 + 0) / 4,
            "most frequent whales": (1 / 2 + 1 + 1 / 4 + 0) / 4,
            "twins' labels, new_whale": (1 + 1 / 2 + 1 + 0) / 4,  # the twin gives q1 away
        }
    )


# What is kept and gathered


def scored(map5: float = 0.5) -> Scored:
    nothing = Interval(math.nan, math.nan, math.nan)
    return Scored(Interval(map5, 0.4, 0.6), ONE, ONE, nothing, 0.25, 7, ONE)


def test_scores_there_and_back(tmp_path: Path) -> None:
    kept = Kept(scored(), 12, 345, 6.5, scored(0.25))
    keep(tmp_path / "run", kept)
    assert "NaN" not in (tmp_path / "run" / SCORES).read_text()
    found = read_kept(tmp_path / "run")
    assert found is not None and found.scored is not None
    assert math.isnan(found.scored.f1_macro.value)
    assert repr(found) == repr(kept)  # nan is not equal to nan
    keep(tmp_path / "run", Kept(None))
    assert read_kept(tmp_path / "run") == Kept(None)
    assert read_kept(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"scored": {"map5": 3}, "papers": null}', '{"scored": null}']
)
def test_scores_of_another_kind_are_told(text: str, tmp_path: Path) -> None:
    (tmp_path / SCORES).write_text(text)
    with pytest.raises(FlukeprintError, match=r"scores\.json"):
        read_kept(tmp_path)


def report_of(*queries: tuple[str, str, int]) -> Report:
    """A report of (photo, truth, place)."""
    listed = [
        {"photo": photo, "truth": truth, "place": place, "new": "", "answer_1": "w"}
        for photo, truth, place in queries
    ]
    return Report("flukeprint", "open-set", 1, 1, 1, 1, {}, [("a", "b", 2)], listed)


def test_ranks_there_and_back(tmp_path: Path) -> None:
    asked = [("w/1.png", "w", 1), ("=w/2.png", "=w", 4), ("3.png", NEW_WHALE, 2), ("4", "x", 0)]
    keep_report(tmp_path / "run", report_of(*asked))
    found = read_ranks(tmp_path / "run")
    assert found is not None
    assert found.photos == ("w/1.png", "=w/2.png", "3.png", "4")  # as the collection names them
    assert found.reciprocal.tolist() == [1.0, 0.25, 0.5, 0.0]
    assert found.new.tolist() == [False, False, True, False]
    told = '"truth","answer","queries"\n"a","b",2\n'
    assert (tmp_path / "run" / CONFUSED).read_text() == told
    assert read_ranks(tmp_path / "nowhere") is None


@dataclass(frozen=True)
class Benched:
    """A folder of scores without runs, and the labelled photos they are of."""

    data: Path
    out: Path

    def add(self, system: str, stage: str, *queries: tuple[str, str, int]) -> None:
        folder = plan.folder_of(self.out, system, stage)
        keep(folder, Kept(scored(), 4, 1_000, 2.5))
        if stage != plan.PAPER:
            keep_report(folder, report_of(*queries))

    def rows(self, failed: Mapping[str, str] | None = None) -> tuple[Row, ...]:
        return rows_of(all_recipes(), self.data, self.out, failed or {})

    def row(self, name: str) -> Row:
        (found,) = [row for row in self.rows() if row.name == name]
        return found


@pytest.fixture
def benched(tmp_path: Path) -> Benched:
    data = tmp_path / "whales"
    for whale in ("a", "b", NEW_WHALE):
        (data / whale).mkdir(parents=True)
        Image.fromarray(picture(1)).save(data / whale / "1.png")
    return Benched(data, tmp_path / "out")


# new_whale alone has places 1, none and none here.
THREE = ((f"{NEW_WHALE}/1.png", NEW_WHALE, 1), ("a/1.png", "a", 2), ("b/1.png", "b", 0))


def test_the_gain_over_new_whale_alone_by_hand(benched: Benched) -> None:
    benched.add("ucsd-siamese", plan.OPEN_SET, *THREE)
    found = benched.row("ucsd-siamese")
    assert found.open_set is not None and found.open_set.gain_over_new_whale is not None
    assert found.open_set.gain_over_new_whale.value == pytest.approx((0 + 1 / 2 + 0) / 3)
    assert found.open_set.gain_over_stanford_cnn is None  # which is not there
    assert (found.epochs, found.recipe_epochs, found.parameters) == (4, 60, 1_000)
    assert (found.published, found.published_map5, found.note) == (
        "0.387 (Kaggle MAP@5), 0.38369 (Kaggle MAP@5, on the leaderboard shown)", 0.387, "",
    )  # fmt: skip


def test_the_gain_over_stanford_cnn_is_on_the_very_same_queries(benched: Benched) -> None:
    benched.add("stanford-cnn", plan.OPEN_SET, *((*query[:2], 1) for query in THREE))
    benched.add("ucsd-siamese", plan.OPEN_SET, *THREE)
    benched.add("ucsd-baseline", plan.OPEN_SET, *THREE[:2])
    same, fewer = benched.row("ucsd-siamese").open_set, benched.row("ucsd-baseline").open_set
    assert same is not None and same.gain_over_stanford_cnn is not None
    assert same.gain_over_stanford_cnn.value == pytest.approx((1 + 1 / 2 + 0) / 3 - 1)
    assert fewer is not None and fewer.gain_over_stanford_cnn is None
    itself = benched.row("stanford-cnn").open_set
    assert itself is not None and itself.gain_over_stanford_cnn == Interval(0.0, 0.0, 0.0)


def test_a_variant_has_a_row_of_the_papers_protocol_alone(benched: Benched) -> None:
    name = "stanford-cnn learning_rate=0.01"
    benched.add(name, plan.PAPER)
    found = benched.row(name)
    assert found.published == "0.268 (dev accuracy, learning_rate=0.01)"
    assert found.paper_protocol is not None and found.open_set is None and not found.note


def test_what_pretraining_brought_is_told_on_the_same_queries(benched: Benched) -> None:
    name = "ucsd-transfer-vgg19"
    benched.add(name, plan.TRANSFERRED, *THREE)
    benched.add(name, plan.SCRATCH, *((*query[:2], 0) for query in THREE))
    found = benched.row(f"{name}: half of the whales, pretrained on the others")
    assert found.note.startswith("the procedure alone, pretrained on half of the whales")
    assert f"MAP@5 {(1 + 1 / 2) / 3:+.3f} (" in found.note
    assert (found.published, found.published_map5, found.partial) == ("", None, True)
    assert benched.row(f"{name}: half of the whales, not pretrained").note == ""
    assert benched.row(name).open_set is None  # the paper's own system was not measured


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("ucsd-transfer-vgg19", "vgg19-dcbb9e9d.pth"),
        ("ucsd-transfer-inception-resnet-v2", "model.safetensors"),
        ("stanford-facenet", "20180402-114759-vggface2.pt"),
    ],
)
def test_a_transfer_that_was_not_measured_names_the_file_and_the_command(
    name: str, file: str, benched: Benched
) -> None:
    told = benched.row(name).note
    assert told.startswith(f"not measured here: bring {file} from https://")
    assert told.endswith(
        f"then flukeprint bench papers --data DATA --out DIR --only {name} --weights {name}={file}"
    )


def test_a_system_that_failed_says_why(benched: Benched) -> None:
    notes = {row.name: row.note for row in benched.rows({"ucsd-vgg19": "training diverged"})}
    assert notes["ucsd-vgg19"] == "failed: training diverged"
    assert notes["ucsd-alexnet"].startswith("not measured yet: ")


def test_a_system_that_was_not_measured_yet_names_the_command(benched: Benched) -> None:
    assert benched.row("ucsd-alexnet").note == (
        "not measured yet: flukeprint bench papers --data DATA --out DIR --only ucsd-alexnet"
    )
    assert [row.name for row in benched.rows()][:3] == [
        "ucsd-baseline",
        "ucsd-alexnet",
        "ucsd-vgg19",
    ]


def test_no_learning_and_the_default_come_first(benched: Benched) -> None:
    alone = benched.out / WITHOUT_LEARNING / "new_whale-first"
    keep(alone, Kept(scored(), papers=scored(0.125), name="new_whale first"))
    keep(benched.out / OURS, Kept(scored(), name="flukeprint (measured)"))
    for path in (alone, benched.out / OURS):
        keep_report(path, report_of(*THREE))
    (benched.out / WITHOUT_LEARNING / ".DS_Store").write_text("")
    first, second, *others = benched.rows()
    assert (first.name, first.note) == ("new_whale first", "")
    assert first.paper_protocol is not None and first.paper_protocol.map5.value == 0.125
    assert (second.name, second.note) == ("flukeprint (measured)", SEEN)
    assert second.open_set is not None and second.paper_protocol is None
    assert [row.name for row in others if "=" not in row.name] == list(PAPERS)


# An eleventh system, trained and scored


@dataclass(frozen=True)
class Tiny:
    """A bench of the documented eleventh system alone, its arguments and its table."""

    data: Path
    out: Path
    recipe: Recipe
    rows: tuple[Row, ...]

    def again(self, out: Path) -> tuple[Row, ...]:
        return bench_papers(
            self.data, out, only=[str(self.recipe.path)], epochs=["1"], device="cpu"
        )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("bench")
    path = folder / "my-resnet.toml"
    path.write_text(block("toml"), encoding="utf-8")
    data = write_whales(folder / "whales", unidentified=3)
    made = Tiny(data, folder / "out", read_recipe(path), ())
    return replace(made, rows=made.again(made.out))


def stamps(folder: Path) -> dict[str, int]:
    """When each of the runs' files was written."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in (RESULTS, OWN_RECIPES)
    }


def test_an_eleventh_system_is_trained_on_both_protocols(tiny: Tiny) -> None:
    assert tiny.recipe.config.backbone not in backbones.BACKBONES  # one of timm's
    mine = tiny.rows[-1]
    assert (mine.name, mine.paper, mine.published) == ("my-resnet", "", "none")
    assert (mine.epochs, mine.recipe_epochs) == (1, tiny.recipe.config.epochs)
    assert mine.paper_protocol is not None and mine.open_set is not None
    assert mine.open_set.gain_over_new_whale is not None
    assert 0.0 <= mine.open_set.map5.value <= 1.0
    for stage, protocol in ((plan.PAPER, "random"), (plan.OPEN_SET, "open-set")):
        folder = RunFolder(tiny.out / "my-resnet" / stage)
        assert read_config(folder.config, []).protocol == protocol
        assert [entry["epoch"] for entry in read_log(folder)] == [1]
        assert {"curves.png", "model.fluke", SCORES, QUERIES, CONFUSED} <= {
            path.name for path in folder.path.iterdir()
        }
        assert not folder.checkpoints.exists()  # large, and of no more use
    # 43 photos: a fifth of them are asked about.
    assert mine.paper_protocol.queries == 9


def test_the_bench_writes_its_table(tiny: Tiny) -> None:
    names = [row.name for row in tiny.rows]
    assert names[:4] == [
        "most frequent whales",
        "new_whale first",
        "twins' labels, new_whale",
        "flukeprint (measured)",
    ]
    assert set(PAPERS) < set(names)
    results = tiny.out / RESULTS
    markdown = (results / "papers.md").read_text(encoding="utf-8")
    assert all(f"\n| {name} |" in markdown for name in names)
    with (results / "papers.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(names)
    listed = json.loads((results / "papers.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in listed] == names
    for name in ("papers.png", "curves.png"):
        with Image.open(results / name) as plot:
            assert plot.format == "PNG" and plot.width > 800
    # Beside it what is small of each run; neither weights nor models.
    kept = {path.name for path in (results / "my-resnet" / "open-set").iterdir()}
    assert kept == {SCORES, QUERIES, CONFUSED, "log.jsonl", "curves.png"}
    assert (results / OURS / QUERIES).is_file()


def test_a_finished_bench_does_nothing_again(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("this was done before")

    for name in ("train", "export", "evaluate_without_learning", "evaluate_split"):
        monkeypatch.setattr(run, name, never)
    before = stamps(tiny.out)
    assert repr(tiny.again(tiny.out)) == repr(tiny.rows)
    assert stamps(tiny.out) == before


def without_seconds(found: Sequence[Row]) -> str:
    return repr([replace(row, seconds_per_epoch=None) for row in found])


def test_a_bench_that_was_cut_goes_on_to_the_same_table(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    for done in (WITHOUT_LEARNING, OURS):
        shutil.copytree(tiny.out / done, out / done)

    def cut(*arguments: Any, **options: Any) -> None:
        train(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "train", cut)
    with pytest.raises(KeyboardInterrupt):
        tiny.again(out)
    assert not (out / "my-resnet" / plan.PAPER / SCORES).exists()
    before = RunFolder(out / "my-resnet" / plan.PAPER).weights.stat().st_mtime_ns
    monkeypatch.setattr(run, "train", train)
    assert without_seconds(tiny.again(out)) == without_seconds(tiny.rows)
    # What was learned before the cut was not learned again.
    assert RunFolder(out / "my-resnet" / plan.PAPER).weights.stat().st_mtime_ns == before


def test_answers_without_learning_that_were_cut_are_made_whole(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(tiny.out, tmp_path / "out")
    (out / WITHOUT_LEARNING / "new_whale-first" / SCORES).unlink()
    assert repr(tiny.again(out)) == repr(tiny.rows)


TRANSFER = """
backbone = "test_resnet"
pretrained = true
pooling = "mean"
channels = 3
normalise = "imagenet"
loss = "softmax"
new_whale = "class"
mirror_individuals = false
both_sides = false
epochs = 4
head_epochs = 2
tune_from = "layer4"
augment = "none"
validate_every = 2
localise = false
drawn_whales = 0
ema_decay = 0.0
height_px = 32
width_px = 32
early_share = 0.0
batch_size = 16
"""


def test_a_transfer_is_measured_between_halves_of_the_whales(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TRANSFER, encoding="utf-8")
    data = write_whales(tmp_path / "whales", whales=24, photos=4, unidentified=6)
    out = tmp_path / "out"
    found = bench_papers(data, out, only=[str(path)], epochs=["mine=2"], device="cpu")
    own, transferred, scratch = found[-3:]
    assert [row.name for row in (own, transferred, scratch)] == [
        "mine",
        "mine: half of the whales, pretrained on the others",
        "mine: half of the whales, not pretrained",
    ]
    assert own.open_set is None and own.note.startswith("not measured here: bring ")
    assert transferred.note.startswith("the procedure alone")
    first, second, beside = (
        RunFolder(out / "mine" / stage)
        for stage in (plan.PRETRAINED, plan.TRANSFERRED, plan.SCRATCH)
    )
    assert read_config(second.config, []).head_epochs == 1
    assert [entry["epoch"] for entry in read_log(second)] == [1, 2]
    # The two on the second half are asked the very same; no whale there was pretrained on.
    there, again = read_ranks(second.path), read_ranks(beside.path)
    assert there is not None and again is not None and there.photos == again.photos
    taught = {name.split("/")[0] for name in read_split(first.split).train} - {NEW_WHALE}
    assert taught and not taught & {name.split("/")[0] for name in there.photos}
    assert not (first.path / "model.fluke").exists()  # it is for its weights alone


def test_epochs_that_do_not_fit_are_told_before_anything_is_trained(
    tiny: Tiny, tmp_path: Path
) -> None:
    with pytest.raises(FlukeprintError, match="two phases needs two epochs"):
        bench_papers(tiny.data, tmp_path / "out", epochs=["1"], device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_system_of_ones_own_is_remembered(tiny: Tiny, tmp_path: Path) -> None:
    out = shutil.copytree(tiny.out, tmp_path / "out")
    found = run.Bench(tiny.data, out, device="cpu").write({})
    assert repr(found) == repr(tiny.rows)


def test_a_system_that_cannot_be_trained_leaves_the_others(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, told = shutil.copytree(tiny.out, tmp_path / "out"), list[str]()

    def never(*arguments: object, **options: object) -> None:
        raise FlukeprintError("too few photos")

    monkeypatch.setattr(run, "train", never)
    only = ["ucsd-baseline", str(tiny.recipe.path)]
    found = bench_papers(tiny.data, out, only=only, device="cpu", report=told.append)
    notes = {row.name: row.note for row in found}
    assert notes["ucsd-baseline"] == "failed: too few photos"
    assert repr(found[-1]) == repr(tiny.rows[-1])
    assert told[-1] == "ucsd-baseline: too few photos"


def test_a_bench_is_of_one_collection(tiny: Tiny, tmp_path: Path) -> None:
    out = shutil.copytree(tiny.out, tmp_path / "out")
    data = shutil.copytree(tiny.data, tmp_path / "whales")
    (data / "whale_00").rename(data / "renamed")
    with pytest.raises(FlukeprintError, match="holds a bench of other photos or labels"):
        replace(tiny, data=data).again(out)


def test_a_file_of_ones_own_may_not_pass_for_a_papers_system(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "ucsd-vgg19.toml"
    path.write_text(block("toml"), encoding="utf-8")
    with pytest.raises(FlukeprintError, match="itself uses the name ucsd-vgg19"):
        bench_papers(tiny.data, tmp_path / "out", only=[str(path)], device="cpu")


def test_a_file_of_ones_own_may_not_take_the_benchs_own_folders(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / f"{RESULTS}.toml"
    path.write_text(block("toml"), encoding="utf-8")
    with pytest.raises(FlukeprintError, match="itself uses the name results"):
        bench_papers(tiny.data, tmp_path / "out", only=[str(path)], device="cpu")
    twice = [str(tiny.recipe.path)] * 2
    with pytest.raises(FlukeprintError, match="two recipes of one name"):
        bench_papers(tiny.data, tmp_path / "out", only=twice, device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_recipe_that_changed_is_not_given_its_old_scores(tiny: Tiny, tmp_path: Path) -> None:
    out = shutil.copytree(tiny.out, tmp_path / "out")
    changed = tmp_path / "my-resnet.toml"
    changed.write_text(f"seed = 7\n{block('toml')}", encoding="utf-8")
    told = list[str]()
    bench_papers(
        tiny.data, out, only=[str(changed)], epochs=["1"], device="cpu", report=told.append
    )
    assert "my-resnet: " in told[-1] and "holds a run of other settings" in told[-1]


def test_a_papers_system_may_be_named_by_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    one = recipe("recipes/ucsd-vgg19.toml")
    assert run._own(one) == one


def test_a_bench_stays_out_of_its_data(tiny: Tiny) -> None:
    with pytest.raises(FlukeprintError, match="whales"):
        bench_papers(tiny.data, tiny.data / "out", device="cpu")


def test_a_backbone_of_ones_own_is_one_file_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}
    exec(compile(block("python"), "docs/recipes.md", "exec"), made)
    ((name, written),) = re.findall(r'^    "(\w+)": (\w+),$', DOCS, flags=re.MULTILINE)
    monkeypatch.setitem(backbones.BACKBONES, name, made[written])
    config = read_config(None, [f"backbone={name}", "height_px=64", "width_px=64", "channels=3"])
    network = Network(config, 4).eval()
    with torch.inference_mode():
        answers = network(torch.rand(2, 3, 64, 64) * 255)
    assert tuple(answers.shape) == (2, config.embedding_size)
    assert answers.norm(dim=1).tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
    # Four halvings of 64 pixels.
    assert backbones.feature_shape(network.backbone, 3, 64, 64) == (128, 4, 4)


def test_the_guide_names_every_recipe() -> None:
    assert [name for name in PAPERS if f"`{name}`" not in DOCS] == []


def test_the_options_in_the_guide_fit_their_recipes() -> None:
    lines = re.findall(r"`(--set (?!key=).*?)`", DOCS)
    assert len(lines) == 10
    for line in lines:
        settings = line.removeprefix("--set ").split(" --set ")
        name = "ucsd-siamese" if "mining" in line else "stanford-cnn"
        assert read_config(recipe(name).path, settings) != recipe(name).config


# The command


def test_the_list_has_the_ten_with_their_published_figures(call: Call) -> None:
    code, out, _ = call("bench", "papers", "--list")
    assert code == 0
    figures = {
        entry.split()[0]: re.findall(r"([0-9.]+) \(", entry.split("published: ")[1])
        for entry in re.split(r"\n(?=\S)", out)
    }
    assert list(figures) == list(PAPERS)
    assert figures == {
        "ucsd-baseline": ["0.032"],
        "ucsd-alexnet": ["0.08"],
        "ucsd-vgg19": ["0.16"],
        "ucsd-transfer-vgg19": ["0.0016"],
        "ucsd-transfer-inception-resnet-v2": ["0.03"],
        "ucsd-siamese": ["0.387", "0.38369"],
        "stanford-cnn": ["0.3262", "0.285", "0.285", "0.268"],
        "stanford-cnn-augmented": ["0.3263", "0.306"],
        "stanford-triplet": ["0"],
        "stanford-facenet": [],
    }
    assert out.rstrip().endswith("published: none")


def test_the_list_for_a_program(call: Call) -> None:
    code, out, _ = call("bench", "papers", "--list", "--json")
    listed = json.loads(out)
    assert code == 0
    assert [entry["name"] for entry in listed] == list(PAPERS)
    assert all(entry["paper"] and entry["section"] for entry in listed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "papers"], "bench papers needs --data and --out (or --list)"),
        (["bench", "papers", "--out", "{tmp}/out"], "needs --data and --out"),
        (["bench", "papers", "--data", "{tmp}"], "needs --data and --out"),
        (["bench", "papers", "--data", "{tmp}", "--out", "{tmp}/out", "--only", "vgg"],
         "no recipe 'vgg'; there are ucsd-baseline, "),
        (["bench", "papers", "--data", "{tmp}", "--out", "{tmp}/out", "--only", "my.toml"],
         "my.toml: not a readable TOML file"),
        (["bench", "papers", "--data", "{tmp}", "--out", "{tmp}/out", "--epochs", "few"],
         "--epochs few: write N, or NAME=N with one of ucsd-baseline, "),
        (["bench", "papers", "--data", "{tmp}", "--out", "{tmp}/out", "--weights", "w.pth"],
         "--weights w.pth: write NAME=FILE with one of ucsd-baseline, "),
        (["train", "{tmp}", "--out", "{tmp}/run", "--pretrained", "--weights", "w.pth"],
         "--pretrained fetches weights, --weights brings them; give one"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, call: Call
) -> None:
    filled = [argument.format(tmp=tmp_path) for argument in arguments]
    code, out, err = call(*filled)
    assert (code, out) == (2, "")
    assert err.startswith("flukeprint: ") and err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []
