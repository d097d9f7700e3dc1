"""A training run's settings: one dataclass, TOML in and out."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from flukeprint.errors import FlukeprintError


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Settings of one training run.

    Sizes are (height, width) in pixels of the fluke's crop. ``early_*`` sizes serve the first
    ``early_share`` of the epochs: small pictures teach the coarse marks several times faster.
    """

    seed: int = 0
    # network
    backbone: str = "resnet18"
    embedding_size: int = 512
    height_px: int = 96
    width_px: int = 96
    # schedule
    epochs: int = 60
    early_share: float = 0.6
    early_height_px: int = 64
    early_width_px: int = 64
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    weight_decay: float = 5e-4
    momentum: float = 0.9
    warmup_share: float = 0.03
    ema_decay: float = 0.998
    # loss
    scale: float = 24.0
    margin_rad: float = 0.3
    margin_warmup_share: float = 0.25
    sub_centres: int = 1
    # data
    mirror_individuals: bool = True
    new_whales_as_individuals: bool = True
    balance_power: float = 0.3
    drawn_whales: int = 300
    drawn_photos: int = 4
    query_share: float = 0.08
    validation_share: float = 0.06
    localise: bool = True
    localiser_steps: int = 3_000
    # augmentation of a crop
    rotate_deg: float = 8.0
    zoom: float = 0.12
    shift: float = 0.06
    shear: float = 0.12
    light: float = 0.35
    blur_px: float = 1.2
    noise: float = 0.06
    erase: float = 0.25
    # validation while training
    validate_every: int = 5
    patience: int = 0

    def __post_init__(self) -> None:
        for name in ("height_px", "width_px", "epochs", "batch_size", "embedding_size"):
            if getattr(self, name) < 1:
                raise FlukeprintError(f"config: {name} must be 1 or more")
        if self.optimizer not in ("sgd", "adamw"):
            raise FlukeprintError(f"config: optimizer {self.optimizer!r}; choose sgd or adamw")


def read_config(path: Path | None, settings: list[str]) -> TrainConfig:
    """Defaults, then the TOML file, then ``key=value`` settings.

    Raises:
        FlukeprintError: the file is not TOML, a key is unknown or a value of the wrong type.
    """
    raw: dict[str, Any] = {}
    if path is not None:
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise FlukeprintError(f"{path}: not a readable TOML file: {error}") from None
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise FlukeprintError(f"--set {setting}: write it as key=value")
        raw[key.strip()] = _parsed(value.strip())
    return replace(TrainConfig(), **_checked(raw, str(path or "--set")))


def config_text(config: TrainConfig) -> str:
    """Every setting as TOML, as :func:`read_config` reads it."""
    return "".join(f"{key} = {_toml(value)}\n" for key, value in asdict(config).items())


def _parsed(value: str) -> Any:
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


def _checked(raw: dict[str, Any], source: str) -> dict[str, Any]:
    types = {field.name: type(getattr(TrainConfig(), field.name)) for field in fields(TrainConfig)}
    checked = {}
    for key, value in raw.items():
        if key not in types:
            raise FlukeprintError(f"{source}: no setting {key!r}; there are {', '.join(types)}")
        wanted = types[key]
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            raise FlukeprintError(
                f"{source}: {key} must be {wanted.__name__}, not {type(value).__name__} {value!r}"
            )
        checked[key] = value
    return checked
