"""Tests of a run's settings."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

from hypothesis import given
from hypothesis import strategies as st

from flukeprint.errors import FlukeprintError
from flukeprint.training.config import (
    TrainConfig,
    config_text,
    read_config,
    setting_text,
    with_places,
)
from flukeprint.training.limits import CHOICES, RANGES


def _written(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(),
        TrainConfig(
            seed=7, backbone="resnet10t.c3_in1k", localise=False, weight_decay=1e-7, zoom=0.0
        ),
    ],
)
def test_toml_there_and_back(config: TrainConfig, tmp_path: Path) -> None:
    assert read_config(_written(tmp_path, config_text(config)), []) == config


@given(number=st.floats(0.0, 1e9), share=st.floats(0.0, 1.0), seed=st.integers(0, 2**32 - 1))
def test_any_number_survives_set(number: float, share: float, seed: int) -> None:
    config = TrainConfig(learning_rate=number, erase=share, seed=seed)
    settings = [f"{key}={setting_text(value)}" for key, value in asdict(config).items()]
    assert read_config(None, settings) == config


def test_set_beats_the_file_and_the_last_set_wins(tmp_path: Path) -> None:
    path = _written(tmp_path, "epochs = 3\nseed = 4\n")
    config = read_config(path, ["epochs=5", "epochs = 6"])
    assert (config.epochs, config.seed) == (6, 4)


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("backbone=resnet10t", "backbone", "resnet10t"),
        ('backbone="resnet10t"', "backbone", "resnet10t"),
        ("localise=false", "localise", False),
        ("mirror_individuals=true", "mirror_individuals", True),
        ("learning_rate=1", "learning_rate", 1.0),
        ("learning_rate=3e-4", "learning_rate", 3e-4),
        ("drawn_whales=1_000", "drawn_whales", 1_000),
    ],
)
def test_set_is_read_as_toml(setting: str, name: str, value: object) -> None:
    found = getattr(read_config(None, [setting]), name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epoch=3", "no setting 'epoch'; there are seed, protocol"),
        ("=3", "no setting ''"),
        ("epochs", "--set epochs: write it as key=value"),
        ("epochs=3.0", "epochs is 3.0; it must be a whole number"),
        ("epochs=true", "epochs is True; it must be a whole number"),
        ("localise=1", "localise is 1; it must be true or false"),
        ("localise=False", "localise is 'False'; it must be true or false"),
        ("zoom=", "zoom is ''; it must be a number"),
        ("backbone=18", "backbone is 18; it must be text"),
        ("seed=2020-01-01", "seed is .*; it must be a whole number"),
        pytest.param(f"zoom=1{'0' * 400}", "zoom is 10000.*; it must be a number", id="large"),
        pytest.param(f"zoom=1{'0' * 5_000}", "zoom is .*; it must be a number", id="larger"),
        pytest.param(f"head={'[' * 3_000}", "head is .*; it must be a list", id="deep"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, message: str) -> None:
    with pytest.raises(FlukeprintError, match=message):
        read_config(None, [setting])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("height_px", 0),
        ("width_px", -3),
        ("early_height_px", 16),
        ("early_width_px", 100_000),
        ("embedding_size", 0),
        ("seed", -1),
        ("seed", 2**32),
        ("early_share", 1.5),
        ("early_share", -0.1),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("learning_rate", -0.1),
        ("weight_decay", -1e-9),
        ("momentum", 1.1),
        ("warmup_share", 2.0),
        ("ema_decay", 1.01),
        ("margin_rad", 3.2),
        ("margin_rad", -0.1),
        ("margin_warmup_share", float("nan")),
        ("sub_centres", 0),
        ("balance_power", 1.2),
        ("drawn_whales", -1),
        ("drawn_whales", 2**31 + 1),
        ("drawn_photos", -1),
        ("query_share", 0.0),
        ("query_share", 1.0),
        ("validation_share", -0.2),
        ("validation_share", float("nan")),
        ("localiser_steps", 0),
        ("rotate_deg", 200.0),
        ("zoom", float("inf")),
        ("shift", -0.1),
        ("erase", 1.1),
        ("validate_every", 0),
        ("patience", -1),
        ("optimizer", "lion"),
        ("backbone", ""),
        ("backbone", "hf-hub:someone/something"),
    ],
)
def test_a_value_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(FlukeprintError, match=f"config: {name} .*"):
        TrainConfig(**{name: value})


def test_every_number_has_a_range() -> None:
    numbers = {f.name for f in fields(TrainConfig) if type(f.default) in (int, float)}
    assert numbers == set(RANGES) | {"query_share", "validation_share", "channels"}


def test_every_word_is_a_choice_or_a_name() -> None:
    words = {f.name for f in fields(TrainConfig) if type(f.default) is str}
    assert words == set(CHOICES) - {"channels"} | {
        "backbone",
        "weights",
        "teacher",
        "unlabelled",
        "tune_from",
    }


def test_a_recipes_paper_sets_nothing(tmp_path: Path) -> None:
    path = _written(tmp_path, 'epochs = 3\n[paper]\ntitle = "A paper"\n')
    assert read_config(path, []) == TrainConfig(epochs=3)


def test_a_list_there_and_back(tmp_path: Path) -> None:
    config = TrainConfig(head=(4096, 7))
    assert read_config(_written(tmp_path, config_text(config)), []) == config
    assert read_config(None, ["head=[]"]).head == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head": (3, 0)}, "head is"),
        ({"pooling": "flatten"}, "one size of crop"),
        ({"new_whale": "class"}, "needs loss softmax"),
        ({"loss": "softmax"}, "cannot name whales unknown"),
        ({"loss": "softmax", "new_whale": "class"}, "mirrored ones are none"),
        (
            {"loss": "softmax", "new_whale": "class", "mirror_individuals": False},
            "no embedding to double",
        ),
        ({"loss": "triplet", "batch_size": 6}, "two whales of photos_per_whale"),
        ({"epochs": 3, "head_epochs": 4}, "head_epochs is 4 of 3"),
        ({"head_epochs": 1}, "classifier's head"),
        ({"fold": 5}, "the first is 0"),
        ({"squeeze": 8}, "squeeze thins the maps that pooling flatten lays out, not gem"),
        ({"dropout": 0.1}, "dropout belongs to the layers of head or to squeeze"),
        ({"head_batch_norm": True}, "head_batch_norm belongs to the layers of head"),
        ({"teacher": "default"}, "teacher and unlabelled go together"),
        ({"unlabelled": "photos"}, "teacher and unlabelled go together"),
        ({"protocol": "everything", "patience": 2}, "patience waits for validations"),
        ({"loss": "hinge"}, "choose one of arcface, softmax, triplet"),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(FlukeprintError, match=message):
        TrainConfig(**settings)


@pytest.mark.parametrize("name", ["a\nb", "\x7f\x1f", '🐳 "ü" \\'])
def test_any_name_of_a_file_is_kept(name: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(config_text(TrainConfig(weights=name)), encoding="utf-8")
    assert read_config(path, []).weights == name


def test_places_hold_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    config = with_places(TrainConfig(teacher="best", unlabelled="photos"))
    assert (config.teacher, config.unlabelled) == ("best", str(tmp_path / "photos"))
    assert with_places(TrainConfig()) == TrainConfig()


@pytest.mark.parametrize(
    "text",
    ["epochs = ", "epochs = 3\nepochs = 4", "\xff\xfe", f"head = {'[' * 3_000}"],
    ids=["nothing", "twice", "bytes", "deep"],
)
def test_a_file_that_is_no_toml(text: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FlukeprintError, match="not a readable TOML file"):
        read_config(path, [])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match="none.toml"):
        read_config(tmp_path / "none.toml", [])


def test_a_section_is_no_setting(tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match="no setting 'train'"):
        read_config(_written(tmp_path, "[train]\nepochs = 3\n"), [])
