"""What the bench trains: for each recipe the runs it needs, as configs and folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flukeprint.errors import FlukeprintError
from flukeprint.training.backbones import make_backbone
from flukeprint.training.config import TrainConfig, read_config, with_epochs
from flukeprint.training.pretrained import load_backbone, read_state
from flukeprint.training.recipes import Published, Recipe
from flukeprint.training.runfolder import RunFolder

PAPER, OPEN_SET = "paper", "open-set"
PRETRAINED, TRANSFERRED, SCRATCH = "pretrained", "transferred", "scratch"
PAPER_QUERIES = 0.2


@dataclass(frozen=True, slots=True)
class Job:
    """One training run of the bench.

    ``stage`` says what for: ``paper`` and ``open-set`` are a system's two protocols; ``pretrained``
    learns on half of the whales, ``transferred`` takes its weights to the other half, and
    ``scratch`` is the same network there without them.
    """

    system: str
    stage: str
    config: TrainConfig
    folder: RunFolder


@dataclass(frozen=True, slots=True)
class System:
    """A recipe, or a variant of it: one row of the table."""

    name: str
    recipe: Recipe
    config: TrainConfig
    published: tuple[Published, ...]
    main: bool = True


def systems_of(recipe: Recipe) -> list[System]:
    """The recipe itself, then its variants."""
    made = [System(recipe.name, recipe, recipe.config, recipe.published)]
    for variant in recipe.variants:
        name = " ".join((recipe.name, *variant.settings))
        made.append(System(name, recipe, variant.config, variant.published, main=False))
    return made


def jobs_of(system: System, out: Path, config: TrainConfig, *, fetch: bool) -> list[Job]:
    """The runs that a system needs, in order; ``config`` is its own, scaled and with weights.

    A variant is for comparison with the paper's own figure alone. A transfer whose published
    weights are not to be fetched measures the procedure instead: see :func:`halves`.
    """
    if config.pretrained and not fetch:
        return halves(system, out, config)
    paper = replace(config, protocol="random", query_share=PAPER_QUERIES)
    jobs = [_job(system, PAPER, paper, out)]
    if system.main:
        jobs.append(_job(system, OPEN_SET, replace(config, protocol="open-set"), out))
    return jobs


def halves(system: System, out: Path, config: TrainConfig) -> list[Job]:
    """Pretrain on half of the whales and transfer to the other half, beside no pretraining.

    Without pretraining means the recipe's own settings, all layers trained from the first epoch.
    The pretraining's optimiser and augmentation are no paper's: they train all of the papers'
    networks from nothing.
    """
    plain = replace(config, pretrained=False, head_epochs=0, tune_from="")
    pretraining = replace(
        plain,
        whales="first-half",
        optimizer="adam",
        learning_rate=3e-4,
        weight_decay=0.0,
        augment="realtime",
        class_weight_power=0.0,
        grey_copies=False,
        patience=0,
    )
    first = _job(system, PRETRAINED, pretraining, out)
    taken = replace(
        config, pretrained=False, weights=str(first.folder.weights), whales="second-half"
    )
    return [
        first,
        _job(system, TRANSFERRED, taken, out),
        _job(system, SCRATCH, replace(plain, whales="second-half"), out),
    ]


def _job(system: System, stage: str, config: TrainConfig, out: Path) -> Job:
    """The job; a run begun with other epochs, or weights from elsewhere, goes on with those."""
    folder = RunFolder(folder_of(out, system.name, stage))
    if folder.config.is_file():
        begun = read_config(folder.config, [])
        # From the recipe's own epochs: scaling twice would round otherwise.
        scaled = with_epochs(system.config, begun.epochs)
        config = replace(
            config,
            epochs=scaled.epochs,
            head_epochs=scaled.head_epochs if config.head_epochs else 0,
            validate_every=scaled.validate_every,
            weights=begun.weights,
            pretrained=begun.pretrained,
        )
    return Job(system.name, stage, config, folder)


def folder_of(out: Path, system: str, stage: str) -> Path:
    """Where a system's run lies."""
    return out / system.replace(" ", "-") / stage


def wanted_systems(
    recipes: Sequence[Recipe], epochs: Sequence[str], weights: Sequence[str]
) -> list[tuple[System, TrainConfig]]:
    """Each recipe's systems with the config that ``--epochs`` and ``--weights`` make of theirs.

    Raises:
        FlukeprintError: an option is malformed, or weights do not fit the network they are for.
    """
    names = [one.name for one in recipes]
    everyone, single = read_epochs(epochs, names)
    files = read_weights(weights, names)
    made = []
    for one in recipes:
        for system in systems_of(one):
            config = with_epochs(system.config, single.get(one.name, everyone))
            if one.name in files:
                config = _bring(one, config, files[one.name])
            made.append((system, config))
    return made


def _bring(recipe: Recipe, config: TrainConfig, weights: str) -> TrainConfig:
    """The config with weights that were brought, once they have been tried on its network."""
    if not config.pretrained:
        raise FlukeprintError(
            f"--weights {recipe.name}={weights}: this system is trained from nothing"
        )
    load_backbone(
        make_backbone(config.backbone, config.channels), read_state(Path(weights)), weights
    )
    return replace(config, pretrained=False, weights=weights)


def read_epochs(wanted: Sequence[str], names: Sequence[str]) -> tuple[int | None, dict[str, int]]:
    """``--epochs`` as given: ``N`` for all, ``NAME=N`` for one recipe.

    Raises:
        FlukeprintError: it is neither, or there is no such recipe.
    """
    everyone: int | None = None
    single: dict[str, int] = {}
    for text in wanted:
        name, equals, number = text.rpartition("=")
        if not number.isdecimal() or int(number) < 1 or (equals and name not in names):
            raise FlukeprintError(
                f"--epochs {text}: write N, or NAME=N with one of {', '.join(names)}"
            )
        if equals:
            single[name] = int(number)
        else:
            everyone = int(number)
    return everyone, single


def read_weights(wanted: Sequence[str], names: Sequence[str]) -> Mapping[str, str]:
    """``--weights NAME=FILE`` as given.

    Raises:
        FlukeprintError: it is not of that form, or there is no such recipe.
    """
    files: dict[str, str] = {}
    for text in wanted:
        name, equals, file = text.partition("=")
        if not equals or not file or name not in names:
            raise FlukeprintError(
                f"--weights {text}: write NAME=FILE with one of {', '.join(names)}"
            )
        files[name] = file
    return files
