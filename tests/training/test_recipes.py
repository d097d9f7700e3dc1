"""Tests of the recipes: each is what its paper says, and files of one's own are recipes too."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from flukeprint.errors import FlukeprintError
from flukeprint.training import recipes
from flukeprint.training.bench.listing import list_recipes, listing_json
from flukeprint.training.config import TrainConfig, read_config, setting_text
from flukeprint.training.limits import CHOICES
from flukeprint.training.recipes import (
    PAPERS,
    Recipe,
    all_recipes,
    kaggle_map5,
    read_recipe,
    recipe,
    recipes_folder,
)
from tests.conftest import ROOT

UCSD, STANFORD = PAPERS[:6], PAPERS[6:]
TRANSFERS = ("ucsd-transfer-vgg19", "ucsd-transfer-inception-resnet-v2", "stanford-facenet")
PUBLISHED = {
    "ucsd-baseline": ["0.032 (Kaggle MAP@5)"],
    "ucsd-alexnet": ["0.08 (Kaggle MAP@5)"],
    "ucsd-vgg19": ["0.16 (Kaggle MAP@5)"],
    "ucsd-transfer-vgg19": ["0.0016 (Kaggle MAP@5)"],
    "ucsd-transfer-inception-resnet-v2": ["0.03 (Kaggle MAP@5)"],
    "ucsd-siamese": [
        "0.387 (Kaggle MAP@5)",
        "0.38369 (Kaggle MAP@5, on the leaderboard shown)",
    ],
    "stanford-cnn": [
        "0.3262 (Kaggle MAP@5, learning_rate=0.001)",
        "0.285 (dev accuracy, learning_rate=0.001)",
        "0.285 (dev accuracy, learning_rate=0.0001)",
        "0.268 (dev accuracy, learning_rate=0.01)",
    ],
    "stanford-cnn-augmented": [
        "0.3263 (Kaggle MAP@5, learning_rate=0.001)",
        "0.306 (dev accuracy, learning_rate=0.001)",
    ],
    "stanford-triplet": ["0 (dev accuracy)"],
    "stanford-facenet": ["none"],
}


def config(name: str) -> TrainConfig:
    return recipe(name).config


def written(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_ten_come_in_the_papers_order_with_their_figures() -> None:
    found = {one.name: one.published_text() for one in all_recipes()}
    assert list(found) == list(PUBLISHED)
    assert found == {name: ", ".join(figures) for name, figures in PUBLISHED.items()}


@pytest.mark.parametrize("name", PAPERS)
def test_a_recipe_is_a_training_config_and_names_its_place_in_the_paper(name: str) -> None:
    one = recipe(name)
    assert one.config == read_config(one.path, [])
    assert one.paper is not None
    assert one.paper.institution == ("UCSD" if name in UCSD else "Stanford")
    assert "section" in one.paper.section
    assert kaggle_map5(one.published) == {
        "ucsd-baseline": 0.032, "ucsd-alexnet": 0.08, "ucsd-vgg19": 0.16,
        "ucsd-transfer-vgg19": 0.0016, "ucsd-transfer-inception-resnet-v2": 0.03,
        "ucsd-siamese": 0.387, "stanford-cnn": 0.3262, "stanford-cnn-augmented": 0.3263,
    }.get(name)  # fmt: skip


@pytest.mark.parametrize("name", PAPERS)
def test_photos_are_whole_of_the_papers_size_and_nothing_of_ours_is_added(name: str) -> None:
    set_by = config(name)
    # Inception-ResNet-v1 takes no crop under 75 pixels.
    side = 128 if name in UCSD else 80 if name == "stanford-facenet" else 64
    assert {set_by.height_px, set_by.width_px, set_by.early_height_px, set_by.early_width_px} == {
        side
    }
    assert set_by.channels == 3
    assert not set_by.localise and not set_by.mirror_individuals and not set_by.drawn_whales
    assert (set_by.early_share, set_by.balance_power, set_by.ema_decay) == (0.0, 0.0, 0.0)
    assert set_by.oversample_to == 0


@pytest.mark.parametrize("name", UCSD[:5])
def test_ucsd_classifiers_weigh_classes_and_take_new_whale_for_one(name: str) -> None:
    set_by = config(name)
    assert (set_by.loss, set_by.new_whale) == ("softmax", "class")  # section 2.1
    assert set_by.class_weight_power == 0.75  # section 2.4
    assert set_by.grey_copies  # section 3.1.2
    assert set_by.patience > 0  # section 3.5
    assert set_by.optimizer == "sgd" and set_by.weight_decay > 0  # section 2.2, equation 4


@pytest.mark.parametrize(
    ("name", "backbone", "layers"),
    [
        ("ucsd-baseline", "ucsd_baseline", 3),
        ("ucsd-alexnet", "alexnet_whole", 3),
        ("ucsd-vgg19", "vgg19", 3),
    ],
)
def test_ucsd_networks_from_scratch(name: str, backbone: str, layers: int) -> None:
    set_by = config(name)
    assert set_by.backbone == backbone and not set_by.pretrained
    assert set_by.pooling == "flatten" and len(set_by.head) + 1 == layers  # with the softmax layer


@pytest.mark.parametrize(
    ("name", "backbone", "tune_from"),
    [
        ("ucsd-transfer-vgg19", "vgg19", "features.28"),  # conv5_1
        ("ucsd-transfer-inception-resnet-v2", "inception_resnet_v2", "mixed_7a"),
    ],
)
def test_ucsd_transfers_train_a_head_then_tune_the_top(
    name: str, backbone: str, tune_from: str
) -> None:
    set_by = config(name)
    assert (set_by.backbone, set_by.tune_from) == (backbone, tune_from)
    assert set_by.pretrained and 0 < set_by.head_epochs < set_by.epochs
    assert set_by.tune_learning_rate < set_by.learning_rate / 10
    assert set_by.augment == "none"  # bottleneck features are computed once
    # Section 3.5: early stopping; in the second phase it can come before the last epoch.
    assert set_by.patience * set_by.validate_every < set_by.epochs - set_by.head_epochs


def test_the_siamese_network_has_the_papers_loss_and_nearest_neighbours() -> None:
    set_by = config("ucsd-siamese")
    assert (set_by.loss, set_by.triplet_margin) == ("triplet", 0.2)  # section 3.3.6
    assert set_by.new_whale == "individuals"  # figure 19
    assert set_by.triplet_distance == "euclidean" and set_by.grey_copies


@pytest.mark.parametrize("name", STANFORD)
def test_stanford_leaves_new_whale_out_of_training(name: str) -> None:
    assert config(name).new_whale == "left-out"  # section 2.2
    assert config(name).class_weight_power == 0.0


def test_stanford_has_three_learning_rates() -> None:
    one = recipe("stanford-cnn")
    assert (one.config.loss, one.config.backbone) == ("softmax", "stanford_cnn")
    assert one.config.learning_rate == 1e-3 and one.config.augment == "none"
    assert [(v.settings, v.config.learning_rate) for v in one.variants] == [
        (("learning_rate=0.0001",), 1e-4),
        (("learning_rate=0.01",), 1e-2),
    ]
    assert [[p.figure for p in v.published] for v in one.variants] == [[0.285], [0.268]]


def test_stanford_augments_offline_by_five_pictures() -> None:
    set_by, plain = config("stanford-cnn-augmented"), config("stanford-cnn")
    assert set_by.augment == "offline"
    assert (set_by.offline_shifts, set_by.offline_rotations, set_by.offline_zooms) == (2, 2, 1)
    assert (set_by.shift, set_by.rotate_deg) == (0.2, 20.0)  # section 4
    for same in ("backbone", "head", "pooling", "optimizer", "learning_rate", "batch_size"):
        assert getattr(set_by, same) == getattr(plain, same)


def test_stanford_triplets_are_over_squared_distances_on_the_same_network() -> None:
    set_by, plain = config("stanford-triplet"), config("stanford-cnn")
    assert (set_by.loss, set_by.triplet_distance) == ("triplet", "squared")  # equation 2
    assert (set_by.backbone, set_by.head, set_by.pooling) == (
        plain.backbone, plain.head, plain.pooling,
    )  # fmt: skip
    assert set_by.epochs >= 50  # section 4
    # Whales with one photo need another picture of it for a positive.
    assert set_by.augment == config("ucsd-siamese").augment == "realtime"


def test_facenet_retrains_the_last_layer_alone() -> None:
    set_by = config("stanford-facenet")
    assert set_by.backbone == "inception_resnet_v1" and set_by.pretrained
    assert set_by.head == () and set_by.head_epochs == set_by.epochs
    assert set_by.tune_from == ""


def test_only_transfers_start_from_published_weights() -> None:
    assert {one.name for one in all_recipes() if one.config.pretrained} == set(TRANSFERS)


def test_one_new_config_is_an_eleventh_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "recipes"
    shutil.copytree(recipes_folder(), folder)
    written(folder, 'backbone = "resnet10t"\n')
    monkeypatch.setattr(recipes, "recipes_folder", lambda: folder)
    assert [one.name for one in all_recipes()] == [*PAPERS, "mine"]
    assert recipe("mine").config.backbone == "resnet10t"


def test_a_file_outside_the_folder_is_a_recipe_without_a_paper(tmp_path: Path) -> None:
    path = written(tmp_path, "epochs = 7\n")
    found = read_recipe(path)
    assert found == Recipe("mine", path, read_config(None, ["epochs=7"]))
    assert found == recipe(str(path))
    assert found.published_text() == "none" and kaggle_map5(found.published) is None


def test_an_unknown_name_is_told_the_ten() -> None:
    with pytest.raises(FlukeprintError, match="no recipe 'ucsd'") as caught:
        recipe("ucsd")
    assert all(name in str(caught.value) for name in PAPERS)


FACTS = '[paper]\ntitle="t"\nauthors="a"\ninstitution="i"\nsection="s"\nsystem="y"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = ", "not a readable TOML file"),
        ("epoch = 3\n", "no setting 'epoch'"),
        ("epochs = 0\n", "epochs is 0; it must be from 1"),
        ('paper = "a"\n', r"paper must be a table; write it as \[paper\]"),
        ('[paper]\ntitle = "t"\n', "authors is missing in paper"),
        (FACTS.replace('"a"', "3"), "authors in paper must be text"),
        (FACTS.replace('"a"', '" "'), "authors in paper must be text"),
        (FACTS + 'year = "1"\n', "no fact 'year' in paper; there are title"),
        (FACTS + "published = 0.3\n", r"write it as \[\[paper.published\]\]"),
        (FACTS + "published = [0.3]\n", "paper.published must be a table"),
        (FACTS + '[[paper.published]]\nfigure = 0.3\nwhere = "w"\n', "measure is missing"),
        (FACTS + '[[paper.published]]\nfigure = "0.3"\n', "figure in paper.published must be from"),
        (FACTS + "[[paper.published]]\nfigure = nan\n", "figure in paper.published must be from"),
        (FACTS + '[[paper.variant]]\nset = "epochs=3"\n', "set in paper.variant must be a list"),
        (FACTS + '[[paper.variant]]\nset = ["epochs"]\n', "write it as key=value"),
    ],
)
def test_a_bad_recipe_is_one_line_that_names_its_file(
    text: str, message: str, tmp_path: Path
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(FlukeprintError, match=message) as caught:
        read_recipe(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_recipe_is_told(tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match="none.toml: not a readable TOML file"):
        recipe(str(tmp_path / "none.toml"))


def test_the_list_names_all_ten_with_section_and_figures() -> None:
    listed = " ".join(list_recipes().split())
    for one in all_recipes():
        assert one.paper is not None
        assert f"{one.name} {one.paper.institution}, {one.paper.section}" in listed
        assert f"published: {one.published_text()}" in listed


def test_the_list_as_json_has_every_figure_by_itself() -> None:
    import json

    listed = json.loads(listing_json())
    assert [entry["name"] for entry in listed] == list(PAPERS)
    cnn = listed[6]
    assert cnn["published"][0] == {
        "figure": 0.3262, "measure": "Kaggle MAP@5", "setting": "learning_rate=0.001",
        "where": "table 1, test",
    }  # fmt: skip
    assert [variant["published"][0]["figure"] for variant in cnn["variants"]] == [0.285, 0.268]


def test_a_system_of_ones_own_is_listed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "recipes"
    shutil.copytree(recipes_folder(), folder)
    written(folder, "epochs = 7\n")
    monkeypatch.setattr(recipes, "recipes_folder", lambda: folder)
    assert list_recipes().splitlines()[-2:] == [f"{'mine':34}no paper", "  published: none"]
    assert '"paper": null' in listing_json()


def test_the_reference_has_every_setting_with_its_default() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(.*?)` \| \S", reference, flags=re.MULTILINE)
    defaults = {name: setting_text(value) or '""' for name, value in asdict(TrainConfig()).items()}
    assert list(dict(rows)) == list(defaults)  # in the config's order
    assert dict(rows) == defaults


def test_the_reference_has_every_choice_of_a_setting() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", reference, flags=re.MULTILINE))
    for name, choices in CHOICES.items():
        for choice in choices:
            wanted = f'"{choice}"' if isinstance(choice, str) else str(choice)
            assert wanted in rows[name], f"{name}: {wanted}"


def test_listing_loads_no_torch() -> None:
    code = (
        "import sys; from flukeprint.training.bench.listing import list_recipes; list_recipes(); "
        "sys.exit('torch' in sys.modules)"
    )
    source = str(Path(recipes.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": source}, check=True)
