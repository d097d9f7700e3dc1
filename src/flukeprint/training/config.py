"""A training run's settings: one dataclass, TOML in and out."""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from flukeprint.errors import FlukeprintError
from flukeprint.records import EVERYTHING
from flukeprint.training.limits import BACKBONE, CHOICES, RANGES, WIDEST


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Settings of one training run; docs/reference.md says what each does.

    Sizes are (height, width) in pixels of the fluke's crop. ``early_*`` sizes serve the first
    ``early_share`` of the epochs: small pictures teach the coarse marks several times faster.
    Limits and choices stand in :mod:`flukeprint.training.limits`.

    Raises:
        FlukeprintError: a setting is out of its range, or two of them contradict each other.
    """

    seed: int = 0
    # which photos
    protocol: str = "open-set"
    fold: int = 0
    folds: int = 5
    whales: str = "all"
    query_share: float = 0.08
    validation_share: float = 0.06
    # network
    backbone: str = "resnet18"
    channels: int = 1
    normalise: str = "photo"
    pooling: str = "gem"
    squeeze: int = 0
    head: tuple[int, ...] = ()
    head_batch_norm: bool = False
    dropout: float = 0.0
    embedding_size: int = 512
    both_sides: bool = True
    height_px: int = 96
    width_px: int = 96
    # transfer
    pretrained: bool = False
    weights: str = ""
    teacher: str = ""
    unlabelled: str = ""
    least_probability: float = 0.7
    least_likeness: float = 0.75
    distil_weight: float = 0.0
    distil_photos: int = 32
    head_epochs: int = 0
    tune_from: str = ""
    tune_learning_rate: float = 1e-4
    # schedule
    epochs: int = 76
    early_share: float = 0.6
    early_height_px: int = 64
    early_width_px: int = 64
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    schedule: str = "cosine"
    weight_decay: float = 5e-4
    momentum: float = 0.9
    warmup_share: float = 0.03
    ema_decay: float = 0.998
    # loss
    loss: str = "arcface"
    scale: float = 24.0
    margin_rad: float = 0.3
    margin_warmup_share: float = 0.4
    sub_centres: int = 1
    class_weight_power: float = 0.0
    triplet_margin: float = 0.2
    triplet_distance: str = "euclidean"
    mining: str = "batch-hard"
    # what an epoch shows
    mirror_individuals: bool = True
    new_whale: str = "individuals"
    balance_power: float = 0.3
    oversample_to: int = 0
    photos_per_whale: int = 4
    grey_copies: bool = False
    drawn_whales: int = 240
    drawn_photos: int = 4
    localise: bool = True
    localiser_steps: int = 7_000
    # augmentation of a crop
    augment: str = "realtime"
    offline_shifts: int = 0
    offline_rotations: int = 0
    offline_zooms: int = 0
    rotate_deg: float = 8.0
    zoom: float = 0.12
    shift: float = 0.06
    shear: float = 0.12
    bend: float = 0.0
    light: float = 0.35
    blur_px: float = 1.2
    coarse: float = 0.0
    noise: float = 0.06
    erase: float = 0.25
    # validation while training
    validate_every: int = 10
    patience: int = 0

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:  # nan, too, is in no range
                raise FlukeprintError(
                    f"config: {name} is {value!r}; it must be from {least:g} to {most:g}"
                )
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                listed = ", ".join(str(choice) for choice in choices)
                raise FlukeprintError(f"config: {name} is {value!r}; choose one of {listed}")
        for name in ("query_share", "validation_share"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise FlukeprintError(
                    f"config: {name} is {getattr(self, name)!r}; it must lie between 0 and 1, "
                    "both left out"
                )
        if not BACKBONE.fullmatch(self.backbone):
            raise FlukeprintError(
                f"config: backbone {self.backbone!r}; name one of flukeprint's or of timm's models,"
                " such as resnet18"
            )
        if not all(1 <= width <= WIDEST for width in self.head):
            raise FlukeprintError(
                f"config: head is {list(self.head)}; a layer has from 1 to {WIDEST} numbers"
            )
        clash = self._contradiction()
        if clash:
            raise FlukeprintError(f"config: {clash}")

    def _contradiction(self) -> str:
        """What is wrong with the settings taken together, or nothing."""
        early = self.early_height_px, self.early_width_px
        late = self.height_px, self.width_px
        if self.pooling == "flatten" and self.early_share and early != late:
            return "pooling flatten takes one size of crop; set early_share to 0"
        if self.new_whale == "class" and self.loss != "softmax":
            return f"new_whale class needs loss softmax, not {self.loss}"
        if self.loss == "softmax" and self.new_whale == "individuals":
            return "loss softmax cannot name whales unknown; set new_whale to class or left-out"
        if self.loss == "softmax" and self.mirror_individuals:
            return "loss softmax names whales, mirrored ones are none; set mirror_individuals=false"
        if self.loss == "softmax" and self.both_sides:
            return "loss softmax names whales, and has no embedding to double; set both_sides=false"
        if self.loss == "triplet" and self.batch_size < 2 * self.photos_per_whale:
            return "batch_size must hold two whales of photos_per_whale photos each"
        if self.loss != "softmax" and self.class_weight_power:
            return (
                f"class_weight_power weighs a softmax's classes; with loss {self.loss} set it to 0"
            )
        if self.loss == "triplet" and self.oversample_to:
            return "loss triplet shows each whale photos_per_whale times; set oversample_to to 0"
        if self.squeeze and self.pooling != "flatten":
            return f"squeeze thins the maps that pooling flatten lays out, not {self.pooling}"
        if not self.head and self.head_batch_norm:
            return "head_batch_norm belongs to the layers of head, and it lists none"
        if not self.head and self.dropout and not self.squeeze:
            return "dropout belongs to the layers of head or to squeeze, and there are none"
        if self.grey_copies and self.channels == 1:
            return "grey_copies are of colour photos; set channels to 3"
        offline = self.offline_shifts + self.offline_rotations + self.offline_zooms
        if (self.augment == "offline") != bool(offline):
            return "augment offline and the numbers of offline_ pictures go together; set both"
        if self.pretrained and self.weights:
            return "pretrained fetches weights and weights brings them; set one"
        if bool(self.teacher) != bool(self.unlabelled):
            return "teacher and unlabelled go together: a model, and the photos that it names"
        if self.teacher and self.loss == "softmax":
            return "a teacher's photos may show whales unknown, which loss softmax cannot name"
        if self.distil_weight and not self.teacher:
            return "distil_weight says how much a teacher's embeddings count; set teacher"
        if self.distil_weight and (self.augment == "offline" or self.grey_copies):
            return "distil_weight goes without copies: set augment=realtime, grey_copies=false"
        if self.head_epochs > self.epochs:
            return f"head_epochs is {self.head_epochs} of {self.epochs} epochs"
        if self.head_epochs and self.loss != "softmax":
            return f"head_epochs train a classifier's head: loss softmax, not {self.loss}"
        if self.protocol == EVERYTHING and self.patience:
            return "patience waits for validations, and protocol everything has none"
        if self.fold >= self.folds:
            return f"fold is {self.fold}; of {self.folds} folds the first is 0"
        return ""


def read_config(path: Path | None, settings: list[str]) -> TrainConfig:
    """Defaults, then the TOML file, then ``key=value`` settings.

    A table ``paper`` in the file says where a recipe comes from and sets nothing; see
    :mod:`flukeprint.training.recipes`.

    Raises:
        FlukeprintError: the file is not TOML, a key is unknown or a value of the wrong type.
    """
    raw: dict[str, Any] = {}
    if path is not None:
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise FlukeprintError(f"{path}: not a readable TOML file: {error}") from None
        raw.pop("paper", None)
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise FlukeprintError(f"--set {setting}: write it as key=value")
        raw[key.strip()] = _parsed(value.strip())
    return replace(TrainConfig(), **_checked(raw, str(path or "--set")))


def with_epochs(config: TrainConfig, epochs: int | None) -> TrainConfig:
    """The config with another number of epochs, a transfer's two phases in proportion.

    Raises:
        FlukeprintError: they are too few for two phases.
    """
    if epochs is None or epochs == config.epochs:
        return config
    head = config.head_epochs
    if head == config.epochs:
        head = epochs
    elif head:
        if epochs < 2:
            raise FlukeprintError("a transfer in two phases needs two epochs or more")
        head = min(max(1, round(head * epochs / config.epochs)), epochs - 1)
    return replace(
        config,
        epochs=epochs,
        head_epochs=head,
        validate_every=min(config.validate_every, epochs),
    )


def with_places(config: TrainConfig) -> TrainConfig:
    """The config with its files and folders as they are found from any folder."""
    named = {name: getattr(config, name) for name in ("weights", "teacher", "unlabelled")}
    there = {name: os.path.abspath(path) for name, path in named.items() if os.path.exists(path)}
    return replace(config, **there)


def config_text(config: TrainConfig) -> str:
    """Every setting as TOML, as :func:`read_config` reads it."""
    return "".join(f"{key} = {_toml(value)}\n" for key, value in asdict(config).items())


def _parsed(value: str) -> Any:
    """A value as TOML reads it; a bare word, which TOML does not know, is text."""
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        return value


def setting_text(value: object) -> str:
    """One setting's value as ``--set key=value`` takes it."""
    return value if isinstance(value, str) else _toml(value)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # A JSON string is one of TOML's, too, but for this sign, which TOML wants escaped as well.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(list(value) if isinstance(value, tuple) else value)


_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "a list of whole numbers",
}


def _checked(raw: dict[str, Any], source: str) -> dict[str, Any]:
    types = {field.name: type(getattr(TrainConfig(), field.name)) for field in fields(TrainConfig)}
    checked = {}
    for key, value in raw.items():
        if key not in types:
            raise FlukeprintError(f"{source}: no setting {key!r}; there are {', '.join(types)}")
        wanted = types[key]
        if wanted is float and type(value) is int and abs(value) < 2**63:
            value = float(value)
        if wanted is tuple and type(value) is list and all(type(part) is int for part in value):
            value = tuple(value)
        if type(value) is not wanted:
            raise FlukeprintError(f"{source}: {key} is {value!r:.60}; it must be {_KINDS[wanted]}")
        checked[key] = value
    return checked
