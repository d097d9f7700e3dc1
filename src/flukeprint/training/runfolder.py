"""A run's folder: what it was asked, what it stands on, how it went."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from flukeprint import __version__
from flukeprint.errors import FlukeprintError
from flukeprint.files import make_folder, read_json, write_text
from flukeprint.training.config import TrainConfig, read_config, with_places

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
    def taught(self) -> Path:
        """The unlabelled photos that the run's teacher was sure of, and as whom, JSON."""
        return self.path / "taught.json"

    @property
    def learned(self) -> Path:
        """The first digits of the hashes of all photos that the run has seen, JSON."""
        return self.path / "learned.json"

    @property
    def weights(self) -> Path:
        """The weights that validated best."""
        return self.path / "weights.safetensors"

    @property
    def result(self) -> Path:
        """The best epoch and its scores, JSON; there once the run is over."""
        return self.path / "result.json"

    def is_of(self, config: TrainConfig) -> bool:
        """Whether the folder holds a run of these settings, begun or done."""
        return self.config.is_file() and read_config(self.config, []) == with_places(config)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of the folder; a killed run's lock ends with it.

        Raises:
            FlukeprintError: another run is at work here, or the folder cannot be made.
        """
        folder = make_folder(self.path)
        try:
            import fcntl
        except ImportError:  # Windows: two runs in one folder are the user's to keep apart
            yield
            return
        handle = os.open(folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FlukeprintError(f"{self.path}: another run is at work here") from None
            except OSError:  # a file system without locks
                pass
            yield
        finally:
            os.close(handle)

    def check(self, config_text: str, facts: dict[str, Any]) -> None:
        """Make sure that a run may begin here, or go on that was begun with the same facts.

        Raises:
            FlukeprintError: the folder holds another run or something else.
        """
        if self.config.exists():
            self._check_same(config_text, facts)
        elif self.path.exists():
            names = {entry.name for entry in make_folder(self.path).iterdir()}
            if not all(name == self.facts.name or _half_written(name) for name in names):
                raise FlukeprintError(f"{self.path}: not empty and not a run; name another folder")

    def open(self, config_text: str, facts: dict[str, Any]) -> None:
        """Start the run, or go on with the one that was begun here; see :meth:`check`.

        What a killed run left half written is cleared away.
        """
        self.check(config_text, facts)
        for folder in (make_folder(self.path), self.checkpoints):
            for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
                if _half_written(entry.name):
                    entry.unlink(missing_ok=True)
        if not self.config.exists():
            write_text(self.facts, json.dumps(facts, indent=1) + "\n")
            write_text(self.config, config_text)  # last: with it the run is begun

    def _check_same(self, config_text: str, facts: dict[str, Any]) -> None:
        if _text(self.config) != config_text:
            raise FlukeprintError(
                f"{self.path}: holds a run with another config; name another folder for --out"
            )
        begun = read_json(self.facts)
        for key in ("fingerprint", "device", "bf16", "threads", "weights_sha256", "teacher_sha256"):
            if begun.get(key, "") != facts.get(key, ""):
                raise FlukeprintError(
                    f"{self.path}: this run was begun with {key} {begun.get(key)!r}, "
                    f"now it is {facts.get(key)!r}; resume as it was begun or start another"
                )


def _half_written(name: str) -> bool:
    """Whether a file is what :func:`flukeprint.files.writing` leaves behind when it is killed."""
    return _TEMPORARY.fullmatch(name) is not None


_TEMPORARY = re.compile(
    r"\.(config\.toml|run\.json|(inner_)?split\.json|(localiser|weights)\.safetensors|log\.jsonl"
    r"|curves\.png|(result|taught|learned)\.json|epoch-\d{5}-[0-9a-f]{16}\.pt)\.[a-z0-9_]{8}"
)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise FlukeprintError(f"{path}: cannot be read: {error}") from None


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
