"""What the bench trains: for each recipe the runs it needs, as configs and folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flukeprint.errors import FlukeprintError
from flukeprint.training.config import TrainConfig, read_config
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

    The pretraining's optimiser and augmentation are no paper's: what trains all three networks
    from scratch.
    """
    scratch = replace(
        config,
        pretrained=False,
        head_epochs=0,
        tune_from="",
        optimizer="adam",
        learning_rate=3e-4,
        weight_decay=0.0,
        augment="realtime",
        class_weight_power=0.0,
        grey_copies=False,
        patience=0,
    )
    first = _job(system, PRETRAINED, replace(scratch, whales="first-half"), out)
    second = replace(
        config,
        pretrained=False,
        weights=str(first.folder.weights),
        whales="second-half",
    )
    return [
        first,
        _job(system, TRANSFERRED, second, out),
        _job(system, SCRATCH, replace(scratch, whales="second-half"), out),
    ]


def _job(system: System, stage: str, config: TrainConfig, out: Path) -> Job:
    """The job; a run begun with other epochs goes on with those."""
    folder = RunFolder(folder_of(out, system.name, stage))
    if folder.config.is_file():
        # From the recipe's own epochs: scaling twice would round otherwise.
        begun = scaled(system.config, read_config(folder.config, []).epochs)
        config = replace(
            config,
            epochs=begun.epochs,
            head_epochs=begun.head_epochs if config.head_epochs else 0,
            validate_every=begun.validate_every,
        )
    return Job(system.name, stage, config, folder)


def folder_of(out: Path, system: str, stage: str) -> Path:
    """Where a system's run lies."""
    return out / system.replace(" ", "-") / stage


def scaled(config: TrainConfig, epochs: int | None) -> TrainConfig:
    """The config with another number of epochs, a transfer's phases in proportion."""
    if epochs is None or epochs == config.epochs:
        return config
    head = config.head_epochs
    if head:
        whole = head == config.epochs
        head = epochs if whole else min(max(1, round(head * epochs / config.epochs)), epochs - 1)
        if head < 1:
            raise FlukeprintError("a transfer in two phases needs two epochs or more")
    return replace(
        config,
        epochs=epochs,
        head_epochs=head,
        validate_every=min(config.validate_every, epochs),
    )


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
