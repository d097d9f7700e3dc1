"""The commands that train and measure systems; they need the extra flukeprint[train]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from flukeprint.cli_options import CONFIG, DATA, JSON, PATH, SETTINGS, TRAIN_DEVICE, json_text, say
from flukeprint.errors import FlukeprintError


def training_side(module: str, name: str) -> Callable[..., Any]:
    """A function of the training side, or a clear word where the extra is not installed."""
    try:
        function: Callable[..., Any] = getattr(import_module(f"flukeprint.training.{module}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("flukeprint"):
            raise
        raise FlukeprintError(
            f"training needs {error.name}: install flukeprint[train], in a checkout with "
            "pip install '.[train]'"
        ) from None
    return function


@click.command()
@DATA
@click.option("--out", type=PATH, required=True, help="The run's folder.")
@CONFIG
@SETTINGS
@click.option("--folds", type=click.IntRange(2, 100), help="Cross-validate: train so many folds.")
@click.option("--pretrained", is_flag=True, help="Fetch the backbone's published weights.")
@click.option("--weights", type=PATH, help="The backbone's weights: safetensors or state dict.")
@click.option("--finder", type=PATH, help="Another run's localiser.safetensors, to take over.")
@TRAIN_DEVICE
@JSON
def train(
    data: Path,
    out: Path,
    config: Path | None,
    settings: tuple[str, ...],
    folds: int | None,
    pretrained: bool,
    weights: Path | None,
    finder: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Train a model on a labelled collection; a run that was cut goes on where it was.

    Needs the extra flukeprint[train], in a checkout: pip install '.[train]'.
    """
    from flukeprint.console_progress import progress_bar

    if folds and finder:
        raise FlukeprintError("--finder has learned from photos of other folds; give it to one run")
    read_config = training_side("config", "read_config")
    chosen = replace(read_config(config, list(settings)), **_starting(pretrained, weights))
    with progress_bar() as progress:
        options = {
            "device": device,
            "progress": progress,
            "report": partial(say, err=True),
        }
        if folds:
            result = training_side("folds", "cross_validate")(data, out, chosen, folds, **options)
        else:
            result = training_side("train", "train")(data, out, chosen, finder=finder, **options)
    if as_json:
        click.echo(json_text(result))
    elif folds:
        click.echo(training_side("folds", "folds_text")(result))
    else:
        click.echo(_trained_text(result, out))


def _trained_text(result: dict[str, Any], out: Path) -> str:
    """How well a run went, and what comes next."""
    following = f"next: flukeprint export {out} --out MODEL"
    if "map5" not in result:
        given = "--calibration TWIN (a model trained alike on fewer photos)"
        return f"epoch {result['epoch']}, nothing to validate with; {following} {given}"
    known = result.get("top1_known")  # not there without a known whale to ask about
    top1 = "" if known is None else f", top-1 on known whales {known:.3f}"
    return f"best epoch {result['epoch']}: validation MAP@5 {result['map5']:.3f}{top1}; {following}"


def _starting(pretrained: bool, weights: Path | None) -> dict[str, Any]:
    """The settings that the options for published weights stand for."""
    if pretrained and weights:
        raise FlukeprintError("--pretrained fetches weights, --weights brings them; give one")
    if weights:
        return {"pretrained": False, "weights": str(weights)}
    return {"pretrained": True, "weights": ""} if pretrained else {}


@click.command()
@click.argument("runs", type=PATH, nargs=-1, required=True)
@click.option("--out", type=PATH, required=True, help="Model file to write.")
@click.option(
    "--calibration",
    type=PATH,
    metavar="MODEL",
    help="Of runs on every photo: take over the beliefs of a model trained alike on fewer.",
)
def export(runs: tuple[Path, ...], out: Path, calibration: Path | None) -> None:
    """Turn a training run into one model file that needs no PyTorch, its own scores in it.

    Of several RUNS on the same split the networks are joined: slower, and often better.
    """
    from flukeprint.console_progress import progress_bar

    library = training_side("export", "export")
    with progress_bar() as progress:
        model = library(runs[0], out, beside=runs[1:], calibration=calibration, progress=progress)
    click.echo(f"{out}: model {model.id[:16]}, {out.stat().st_size / 1e6:.1f} MB")


@click.command()
@DATA
@click.option("--out", type=PATH, required=True, help="The search's folder.")
@click.option("--config", type=PATH, help="TOML file with settings to start from.")
@SETTINGS
@click.option("--what", required=True, help="learning-rate or augmentation.")
@click.option(
    "--trials",
    default=12,
    show_default=True,
    type=click.IntRange(1),
    help="How many values to try, those of an earlier call among them.",
)
@click.option("--epochs", type=int, help="Epochs of a trial; else the config's.")
@TRAIN_DEVICE
@JSON
def search(
    data: Path,
    out: Path,
    config: Path | None,
    settings: tuple[str, ...],
    what: str,
    trials: int,
    epochs: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Search for a better learning rate or range of augmentation; one that was cut goes on.

    Each trial is a training run, scored on its validation photos. Needs flukeprint[train].
    """
    from flukeprint.console_progress import progress_bar

    read_config, library = training_side("config", "read_config"), training_side("search", "search")
    with progress_bar() as progress:
        best = library(
            data,
            out,
            read_config(config, list(settings)),
            what=what,
            trials=trials,
            epochs=epochs,
            device=device,
            progress=progress,
            report=partial(say, err=True),
        )
    if as_json:
        click.echo(json_text(best))
    else:
        named = ", ".join(f"{name} {value:.4g}" for name, value in best["settings"].items())
        click.echo(
            f"best of {best['trials']} trials ({best['failed']} failed): {named}, validation MAP@5 "
            f"{best['value']:.3f}; next: "
            f"flukeprint train {data} --config {out / 'best.toml'} --out RUN"
        )


@click.group()
def bench() -> None:
    """Measure systems side by side."""


@bench.command()
@click.option("--data", type=PATH, help="A labelled collection.")
@click.option("--out", type=PATH, help="Folder for the runs and the table; a cut bench goes on.")
@click.option("--only", multiple=True, metavar="NAME", help="One recipe, or a .toml file; repeat.")
@click.option(
    "--epochs",
    multiple=True,
    metavar="N|NAME=N",
    help="Fewer or more epochs than the recipes', for all or for one; repeat.",
)
@click.option(
    "--weights",
    multiple=True,
    metavar="NAME=FILE",
    help="Published weights for a transfer recipe; repeat.",
)
@click.option("--pretrained", is_flag=True, help="Fetch published weights for the transfers.")
@click.option("--list", "listing", is_flag=True, help="Name the recipes and what was published.")
@TRAIN_DEVICE
@JSON
def papers(
    data: Path | None,
    out: Path | None,
    only: tuple[str, ...],
    epochs: tuple[str, ...],
    weights: tuple[str, ...],
    pretrained: bool,
    listing: bool,
    device: str,
    as_json: bool,
) -> None:
    """Train and score every system of the two student papers, all the same way.

    Writes papers.md, papers.csv and papers.png into the folder results in --out, each run's curves
    and answers beside them.
    """
    if listing:
        listed = training_side("bench.listing", "listing_json" if as_json else "list_recipes")
        click.echo(listed().rstrip())
        return
    if data is None or out is None:
        raise FlukeprintError("bench papers needs --data and --out (or --list)")
    from flukeprint.console_progress import progress_bar

    library, markdown = (
        training_side("bench.run", "bench_papers"),
        training_side("bench.table", "markdown"),
    )
    with progress_bar() as progress:
        rows = library(
            data,
            out,
            only=only,
            epochs=epochs,
            weights=weights,
            pretrained=pretrained,
            device=device,
            progress=progress,
            report=partial(say, err=True),
        )
    click.echo(json_text([row.to_dict() for row in rows]) if as_json else markdown(rows))


COMMANDS = (train, export, search, bench)
