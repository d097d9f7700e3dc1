"""A training run's settings: one dataclass, TOML in and out."""

from __future__ import annotations

import math
import re
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
    epochs: int = 76
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
    margin_warmup_share: float = 0.4
    sub_centres: int = 1
    # data
    mirror_individuals: bool = True
    new_whales_as_individuals: bool = True
    balance_power: float = 0.3
    drawn_whales: int = 240
    drawn_photos: int = 4
    query_share: float = 0.08
    validation_share: float = 0.06
    localise: bool = True
    localiser_steps: int = 2_500
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
    validate_every: int = 10
    patience: int = 0

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:  # nan, too, is in no range
                raise FlukeprintError(f"config: {name} is {value!r}; {_range_text(least, most)}")
        for name in ("query_share", "validation_share"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise FlukeprintError(
                    f"config: {name} is {getattr(self, name)!r}; it must lie between 0 and 1, "
                    "both left out"
                )
        if self.optimizer not in ("sgd", "adamw"):
            raise FlukeprintError(f"config: optimizer {self.optimizer!r}; choose sgd or adamw")
        if not _BACKBONE.fullmatch(self.backbone):
            raise FlukeprintError(
                f"config: backbone {self.backbone!r}; name one of timm's models, such as resnet18 "
                "(nothing is fetched from a hub)"
            )


_BACKBONE = re.compile(r"[A-Za-z0-9_.]+")
_FINITE = 1e9
# A backbone halves a crop five times. Where it meets a single pixel before it is done, torch 2.15
# leaves parts of a bfloat16 gradient unwritten (oneDNN, 3 x 3 kernel, stride 2): nan some day.
_SIDE_PX = (24, 4_096)
_RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**32 - 1),
    "embedding_size": (1, 65_536),
    "height_px": _SIDE_PX,
    "width_px": _SIDE_PX,
    "epochs": (1, 100_000),
    "early_share": (0, 1),
    "early_height_px": _SIDE_PX,
    "early_width_px": _SIDE_PX,
    "batch_size": (2, 65_536),  # batch normalisation has no spread to speak of in one picture
    "learning_rate": (0, _FINITE),
    "weight_decay": (0, _FINITE),
    "momentum": (0, 1),
    "warmup_share": (0, 1),
    "ema_decay": (0, 1),
    "scale": (0, _FINITE),
    "margin_rad": (0, math.pi / 2),
    "margin_warmup_share": (0, 1),
    "sub_centres": (1, 1_000),
    "balance_power": (0, 1),
    "drawn_whales": (0, 2**31),  # the demo's whales have the seeds from there on
    "drawn_photos": (0, 2**31),
    "localiser_steps": (1, 2**31),
    "rotate_deg": (0, 180),
    "zoom": (0, 2),
    "shift": (0, 1),
    "shear": (0, 2),
    "light": (0, 2),
    "blur_px": (0, 100),
    "noise": (0, 10),
    "erase": (0, 1),
    "validate_every": (1, 2**31),
    "patience": (0, 2**31),
}
"""The least and the most that each number may be."""


def _range_text(least: float, most: float) -> str:
    return f"it must be from {least:g} to {most:g}"


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
    """A value as TOML reads it; a bare word, which TOML does not know, is text."""
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def setting_text(value: object) -> str:
    """One setting's value as ``--set key=value`` takes it."""
    return value if isinstance(value, str) else _toml(value)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
}


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
            raise FlukeprintError(f"{source}: {key} is {value!r}; it must be {_KINDS[wanted]}")
        checked[key] = value
    return checked
