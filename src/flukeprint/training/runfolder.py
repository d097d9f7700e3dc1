"""A run's folder: what it was asked, what it stands on, how it went."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from flukeprint import __version__
from flukeprint.errors import FlukeprintError
from flukeprint.files import make_folder, write_text

PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow", "onnxruntime")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one training run."""

    path: Path

    @property
    def config(self) -> Path:
        """Every setting, TOML."""
        return self.path / "config.toml"

    @property
    def split(self) -> Path:
        """The outer split: what is scored in the end is in none of the rest."""
        return self.path / "split.json"

    @property
    def inner_split(self) -> Path:
        """The split of the outer gallery that validates while training."""
        return self.path / "inner_split.json"

    @property
    def facts(self) -> Path:
        """Seeds, data, machine and versions, JSON."""
        return self.path / "run.json"

    @property
    def log(self) -> Path:
        """One JSON line an epoch."""
        return self.path / "log.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The last two epochs' states."""
        return self.path / "checkpoints"

    @property
    def localiser(self) -> Path:
        """The fluke finder's weights."""
        return self.path / "localiser.safetensors"

    @property
    def weights(self) -> Path:
        """The weights that validated best."""
        return self.path / "weights.safetensors"

    @property
    def result(self) -> Path:
        """The best epoch's scores and calibration, JSON; there once the run is over."""
        return self.path / "result.json"

    def open(self, config_text: str, facts: dict[str, Any]) -> None:
        """Start the run, or make sure that it is the same one that was begun here.

        Raises:
            FlukeprintError: the folder holds another run.
        """
        make_folder(self.path)
        if self.config.exists():
            if self.config.read_text(encoding="utf-8") != config_text:
                raise FlukeprintError(
                    f"{self.path}: holds a run with another config; name another folder for --out"
                )
            begun = read_json(self.facts)
            for key in ("fingerprint", "device", "threads"):
                if begun.get(key) != facts.get(key):
                    raise FlukeprintError(
                        f"{self.path}: this run was begun with {key} {begun.get(key)!r}, "
                        f"now it is {facts.get(key)!r}; resume as it was begun or start another"
                    )
        else:
            if any(self.path.iterdir()):
                raise FlukeprintError(f"{self.path}: not empty and not a run; name another folder")
            write_text(self.facts, json.dumps(facts, indent=1) + "\n")
            write_text(self.config, config_text)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        FlukeprintError: the file is missing or holds none.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FlukeprintError(f"{path}: not a readable JSON file: {error}") from None
    if not isinstance(raw, dict):
        raise FlukeprintError(f"{path}: expected a JSON object")
    return raw


def environment() -> dict[str, Any]:
    """Versions and machine, as the run's record keeps them."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "absent"
    return {
        "flukeprint": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": versions,
    }
