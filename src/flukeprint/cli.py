"""The command line: parse, call the library, print. Results on stdout, the rest on stderr."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import click

from flukeprint import __version__, cli_identify, cli_training
from flukeprint.cli_options import (
    CACHE,
    DATA,
    DEVICE,
    JSON,
    MODEL,
    PATH,
    cache_folder,
    found_photos,
    json_text,
    say,
    tell_failures,
)
from flukeprint.cli_training import training_side
from flukeprint.errors import FlukeprintError
from flukeprint.wording import printable

# The library is imported inside the commands: --help must not wait for NumPy.


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="flukeprint")
def cli() -> None:
    """Name humpback whales from photos of the underside of the tail.

    Start with: flukeprint demo, then flukeprint identify PHOTOS --gallery CATALOGUE.
    """


for command in (cli_identify.identify, *cli_training.COMMANDS):
    cli.add_command(command)


class CatalogueCommands(click.Group):
    """Its many commands are loaded when they are asked for: plain --help must not wait for them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        self._load()
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them."""
        self._load()
        return super().get_command(ctx, cmd_name)

    def _load(self) -> None:
        if not self.commands:
            from flukeprint.cli_catalogue import COMMANDS

            for command in COMMANDS:
                self.add_command(command)


@cli.group(cls=CatalogueCommands)
def catalogue() -> None:
    """Keep a catalogue: photos, individuals and every decision, in one file.

    Start with: flukeprint catalogue init whales.fpc. $FLUKEPRINT_CATALOGUE may name the
    file for all commands.
    """


@cli.command()
@DATA
@click.option("--out", type=PATH, required=True, help="Folder for the report.")
def explore(data: Path, out: Path) -> None:
    """What is in a labelled collection: photos, whales, twins, plots.

    DATA is a Kaggle folder, a folder with one subfolder per whale, or a CSV with path,identity.
    """
    from flukeprint.console_progress import progress_bar
    from flukeprint.explore import explore as library
    from flukeprint.wording import plural

    with progress_bar() as progress:
        found = library(data, out, progress=progress)
    tell_failures(found.unreadable)
    whales, twins = found.whales, found.twins
    click.echo(
        f"{plural(found.photos, 'photo')}: {plural(whales.individuals, 'whale')} + new_whale "
        f"({plural(whales.new_whale_photos, 'photo')}); "
        f"{plural(whales.one_photo, 'whale has', 'whales have')} one photo"
    )
    click.echo(
        f"twins: {plural(twins.identical_groups, 'group')} of identical files "
        f"({twins.several_labels:,} with several labels), {plural(twins.near_pairs, 'near pair')}"
    )
    click.echo(f"unreadable: {len(found.unreadable):,}")
    click.echo(f"report: {out / 'explore.html'}")
    sys.exit(1 if found.unreadable else 0)


@cli.command()
@DATA
@click.option(
    "--protocol",
    default="open-set",
    show_default=True,
    help="open-set, closed-set, kfold or other-catalogue.",
)
@click.option("--seed", default=0, show_default=True)
@click.option("--queries", default=0.1, show_default=True, help="Share of photos to ask about.")
@click.option(
    "--new-share", default=0.328, show_default=True, help="Share of queries that are new."
)
@click.option("--folds", default=5, show_default=True, help="For kfold.")
@click.option(
    "--out",
    type=PATH,
    default=Path("split.json"),
    show_default=True,
    help="File to write; kfold adds -0, -1, ... to its name.",
)
def split(
    data: Path, protocol: str, seed: int, queries: float, new_share: float, folds: int, out: Path
) -> None:
    """Choose which photos to learn from, compare with and ask about.

    The same seed gives the same split on every platform. Twins never lie on both sides.
    """
    from flukeprint.collection import read_collection
    from flukeprint.console_progress import progress_bar
    from flukeprint.files import beside, check_outputs
    from flukeprint.splits import make_splits, write_split
    from flukeprint.tables import files_of, read_table

    places = [out]
    if protocol == "kfold":
        places = [beside(out, f"-{fold}{out.suffix}") for fold in range(folds)]
    read = files_of(read_table(data))
    for place in places:
        check_outputs({"--out": place}, read, begins={"--out": '{\n "protocol"'})
    with progress_bar() as progress:
        collection = read_collection(data, progress)
    tell_failures(collection.failures)
    made = make_splits(
        collection.table,
        collection.twin_group,
        protocol,
        seed=seed,
        queries=queries,
        new_share=new_share,
        folds=folds,
    )
    for path, part in zip(places, made, strict=True):
        write_split(part, path)
        click.echo(
            f"{path}: {protocol}, {len(part.train):,} to learn from, "
            f"{len(part.gallery):,} in the gallery, {len(part.queries):,} queries"
        )
    sys.exit(1 if collection.failures else 0)


@cli.command()
@click.argument("target", type=PATH)
@click.option("--data", type=PATH, help="Labelled collection for a MODEL.")
@click.option("--split", "split_path", type=PATH, help="From flukeprint split.")
@click.option("--out", type=PATH, help="Folder for metrics.json and CSVs.")
@MODEL
@CACHE
@DEVICE
@JSON
def evaluate(
    target: Path,
    data: Path | None,
    split_path: Path | None,
    out: Path | None,
    model_path: Path | None,
    cache: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Score a model beside the answers that need no learning.

    TARGET is a labelled collection (scored with --model or the shipped model), a training RUN, or
    a MODEL file (scored on --data). Without --split, the model's own split is used where the
    collection is the one it was trained on.
    """
    from flukeprint.console import metrics_table
    from flukeprint.console_progress import progress_bar
    from flukeprint.scoring import (
        RUN_MODEL,
        check_keeps_queries,
        evaluate_target,
        is_unexported_run,
        source_of,
    )

    left_out: list[str] = []

    def leave_out(line: str) -> None:
        left_out.append(line)
        say(line, err=True)

    with progress_bar() as progress:
        if is_unexported_run(target):
            source_of(target, data, model_path, out)  # before minutes of exporting
            if data is None and split_path is None:
                check_keeps_queries(target)
            training_side("export", "export")(target, target / RUN_MODEL, progress=progress)
        reports = evaluate_target(
            target,
            data=data,
            split_path=split_path,
            model_path=model_path,
            out=out,
            cache=cache_folder(cache),
            device=device,
            progress=progress,
            report=leave_out,
        )
    if as_json:
        click.echo(json_text([report.summary() for report in reports]))
    else:
        metrics_table(reports)
    sys.exit(1 if left_out else 0)


@cli.command()
@click.argument("photos", nargs=-1, required=True, type=PATH)
@click.option("--out", type=PATH, help="Folder for the crops, one PNG per fluke.")
@MODEL
@DEVICE
@JSON
def crop(
    photos: tuple[Path, ...],
    out: Path | None,
    model_path: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Find the fluke on PHOTOS (files and folders) and show what the model sees of it.

    A photo without a fluke is said to be so. Exit code 1 means that some photos could not be read.
    """
    from flukeprint import outputs
    from flukeprint.console import look_row
    from flukeprint.console_progress import progress_bar
    from flukeprint.look import look_at, write_crop
    from flukeprint.model import load_model
    from flukeprint.network import Network
    from flukeprint.records import Failure

    found = found_photos(photos)
    network = Network(load_model(model_path), device=device)
    taken = _taken(out, found) if out else set()
    failed = False
    with progress_bar() as progress:
        step = progress("looking", len(found))
        for path, seen, cut in look_at(found, network):
            failed |= isinstance(seen, Failure)
            written = None
            if out and cut is not None and not isinstance(seen, Failure) and seen.fluke.seen:
                written = write_crop(cut, path, out, taken)
            if as_json:
                click.echo(outputs.look_line(str(path), seen, written))
            else:
                look_row(str(path), seen)
            step(1)
    sys.exit(1 if failed else 0)


@cli.command()
@click.option(
    "--out",
    type=PATH,
    default=Path("flukeprint-demo"),
    show_default=True,
    help="Folder for the drawn photos and the sheet.",
)
@MODEL
def demo(out: Path, model_path: Path | None) -> None:
    """Draw a catalogue of 40 whales and identify new photos of them and of 20 strangers."""
    from flukeprint.console import demo_summary
    from flukeprint.console_progress import progress_bar
    from flukeprint.demo import run_demo

    with progress_bar() as progress:
        result = run_demo(out, model_path, progress=progress)
    demo_summary(result)


def main() -> None:
    """Run the command line; a FlukeprintError is one line on stderr and exit code 2."""
    # Of a photo's oddities the library tells in words of its own.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    if isinstance(sys.stdout, io.TextIOWrapper):  # Windows writes files in an older code page
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        cli(standalone_mode=False)
    except FlukeprintError as error:
        _stop(" ".join(str(error).split()), 2)
    except click.UsageError as error:
        shown = io.StringIO()
        error.show(shown)
        click.echo(printable(shown.getvalue()), err=True, nl=False)
        sys.exit(2)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _stop("stopped; what was done is kept, run the same command to go on", 130)
    except BrokenPipeError:
        _silence_stdout()
        sys.exit(1)
    except OSError as error:
        _silence_stdout()
        where = "cannot write the results"
        if error.filename is not None:
            where = f"{os.fsdecode(error.filename)}: cannot be read or written"
        _stop(f"{where}: {error.strerror or error}", 2)


def _silence_stdout() -> None:
    """Let what is still held back go nowhere: Python would fail once more on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop(message: str, code: int) -> None:
    say(f"flukeprint: {message}", err=True)
    sys.exit(code)


def _taken(out: Path, photos: Sequence[Path]) -> set[str]:
    """Names in ``out`` that no crop may have, in lower case: of all PNGs but earlier crops.

    Where one of the photos is there, a crop may be one of them, and none is written over.
    """
    from flukeprint.look import is_crop

    if not out.is_dir():
        return set()
    # Also what a link leads to is a photo that no crop may replace.
    places = (Path(place) for path in photos for place in (path, os.path.realpath(path)))
    asked = any(_is_in(place, out) for place in places)
    pictures = (name for name in os.listdir(out) if name.lower().endswith(".png"))
    return {name.lower() for name in pictures if asked or not is_crop(out / name)}


def _is_in(path: Path, folder: Path) -> bool:
    return os.path.realpath(path.parent) == os.path.realpath(folder)
