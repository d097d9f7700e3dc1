"""Recipes: the papers' systems as configs that say where they come from.

A recipe is a TOML file of settings with a table ``paper``. A file without one is a recipe too: a
system of one's own. Any further file in the recipes' folder is one more system of the bench.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flukeprint.errors import FlukeprintError
from flukeprint.training.config import TrainConfig, read_config

PAPERS = (
    "ucsd-baseline",
    "ucsd-alexnet",
    "ucsd-vgg19",
    "ucsd-transfer-vgg19",
    "ucsd-transfer-inception-resnet-v2",
    "ucsd-siamese",
    "stanford-cnn",
    "stanford-cnn-augmented",
    "stanford-triplet",
    "stanford-facenet",
)
"""The papers' systems, in the papers' order."""

KAGGLE = "Kaggle MAP@5"
_FACTS = ("title", "authors", "institution", "section", "system")


@dataclass(frozen=True, slots=True)
class Published:
    """A figure that a paper reports: what it measures and where it stands.

    ``setting`` is what it was reported for, where a system has several figures.
    """

    figure: float
    measure: str
    where: str
    setting: str = ""

    def text(self) -> str:
        """Such as ``0.285 (dev accuracy, learning_rate=0.001)``."""
        said = ", ".join(part for part in (self.measure, self.setting) if part)
        return f"{self.figure:.12g} ({said})"


@dataclass(frozen=True, slots=True)
class Paper:
    """Where a system comes from, and in one sentence what it is."""

    title: str
    authors: str
    institution: str
    section: str
    system: str


@dataclass(frozen=True, slots=True)
class Variant:
    """The same system with other ``settings``, ``key=value`` as for ``--set``, and its figures."""

    settings: tuple[str, ...]
    config: TrainConfig
    published: tuple[Published, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One system: its settings and, where it is a paper's, what the paper says of it."""

    name: str
    path: Path
    config: TrainConfig
    paper: Paper | None = None
    published: tuple[Published, ...] = ()
    variants: tuple[Variant, ...] = ()

    def published_text(self) -> str:
        """The paper's figures, those of the variants too, in one line; "none" without any."""
        every = [*self.published, *(one for other in self.variants for one in other.published)]
        return ", ".join(one.text() for one in every) or "none"


def kaggle_map5(published: Sequence[Published]) -> float | None:
    """The MAP@5 on Kaggle's test photos among a paper's figures, if there is one."""
    return next((one.figure for one in published if one.measure == KAGGLE), None)


def recipes_folder() -> Path:
    """The folder of recipes: inside an installed package, or at the root of a checkout.

    Raises:
        FlukeprintError: there is neither.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "recipes", package.parents[1] / "recipes"):
        if folder.is_dir():
            return folder
    raise FlukeprintError(
        f"{package / 'recipes'}: the recipes are missing; install flukeprint anew"
    )


def all_recipes() -> tuple[Recipe, ...]:
    """The papers' ten systems in the papers' order, then any others in the folder, by name.

    Raises:
        FlukeprintError: one of the ten is missing, or a recipe is not sound.
    """
    folder = recipes_folder()
    others = sorted({path.stem for path in folder.glob("*.toml")} - set(PAPERS))
    return tuple(read_recipe(folder / f"{name}.toml") for name in (*PAPERS, *others))


def recipe(name: str) -> Recipe:
    """The recipe of that name, or the one in the file that ``name`` is the path of (``.toml``).

    Raises:
        FlukeprintError: there is none, or it is not sound.
    """
    if name.endswith(".toml"):
        return read_recipe(Path(name))
    every = {one.name: one for one in all_recipes()}
    if name not in every:
        raise FlukeprintError(
            f"no recipe {name!r}; there are {', '.join(every)}, or give the path of a .toml file"
        )
    return every[name]


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; its name is the file's.

    Raises:
        FlukeprintError: the file cannot be read, a setting is wrong, or ``paper`` is incomplete.
    """
    config = _config(path, [])
    raw = tomllib.loads(path.read_text(encoding="utf-8")).get("paper")
    if raw is None:
        return Recipe(path.stem, path, config)
    table = _Table(path, "paper", raw, (*_FACTS, "published", "variant"))
    paper = Paper(*(table.text(fact) for fact in _FACTS))
    return Recipe(
        path.stem,
        path,
        config,
        paper,
        _published(table),
        tuple(_variant(path, one) for one in table.tables("variant", ("set", "published"))),
    )


def _config(path: Path, settings: Sequence[str]) -> TrainConfig:
    try:
        return read_config(path, list(settings))
    except FlukeprintError as error:
        text = str(error)
        if str(path) in text:
            raise
        raise FlukeprintError(f"{path}: {text.removeprefix('config: ')}") from None


def _published(table: _Table) -> tuple[Published, ...]:
    return tuple(
        Published(
            one.number("figure"), one.text("measure"), one.text("where"), one.text("setting", "")
        )
        for one in table.tables("published", ("figure", "measure", "where", "setting"))
    )


def _variant(path: Path, table: _Table) -> Variant:
    settings = table.value("set")
    if not isinstance(settings, list) or not all(isinstance(one, str) for one in settings):
        raise FlukeprintError(f'{path}: set in {table.name} must be a list such as ["epochs=10"]')
    return Variant(tuple(settings), _config(path, settings), _published(table))


class _Table:
    """A table of a recipe's file: an error names what is missing or wrong in it."""

    def __init__(self, path: Path, name: str, raw: object, known: Sequence[str]) -> None:
        if not isinstance(raw, dict):
            raise FlukeprintError(f"{path}: {name} must be a table; write it as [{name}]")
        unknown = [key for key in raw if key not in known]
        if unknown:
            raise FlukeprintError(
                f"{path}: no fact {unknown[0]!r} in {name}; there are {', '.join(known)}"
            )
        self.path, self.name, self.raw = path, name, raw

    def value(self, key: str) -> Any:
        if key not in self.raw:
            raise FlukeprintError(f"{self.path}: {key} is missing in {self.name}")
        return self.raw[key]

    def text(self, key: str, default: str | None = None) -> str:
        if default is not None and key not in self.raw:
            return default
        value = self.value(key)
        if not isinstance(value, str) or not value.strip():
            raise FlukeprintError(f"{self.path}: {key} in {self.name} must be text")
        return value

    def number(self, key: str) -> float:
        value = self.value(key)
        if type(value) not in (int, float) or not 0 <= value <= 1:  # nan, too, is out of it
            raise FlukeprintError(f"{self.path}: {key} in {self.name} must be from 0 to 1")
        return float(value)

    def tables(self, key: str, known: Sequence[str]) -> list[_Table]:
        raw = self.raw.get(key, [])
        name = f"{self.name}.{key}"
        if not isinstance(raw, list):
            raise FlukeprintError(f"{self.path}: {name} must be a list; write it as [[{name}]]")
        return [_Table(self.path, name, one, known) for one in raw]
