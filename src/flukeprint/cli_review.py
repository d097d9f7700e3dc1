"""What a model finds in a catalogue for people to look at: groups of unnamed photos, and doubts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from flukeprint.cli_options import (
    CACHE,
    CATALOGUE,
    DEVICE,
    JSON,
    MODEL,
    ROOT,
    cache_folder,
    say,
    tell_failures,
)
from flukeprint.wording import command_text

if TYPE_CHECKING:
    from flukeprint.catalogue import Catalogue

SHOWN = 6  # photos named on one line


@click.command()
@CATALOGUE
@ROOT
@click.option(
    "--least",
    default=0.8,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Least probability with which photos join a group.",
)
@MODEL
@CACHE
@DEVICE
@JSON
def cluster(file: Path, least: float, as_json: bool, **how: Any) -> None:
    """Group unidentified photos that look like one whale.

    Surest groups first, each with the command that would make it a whale.
    """
    from flukeprint.doubts import cluster_catalogue
    from flukeprint.outputs import share
    from flukeprint.wording import plural

    with _ready(file, **how) as (book, ready):
        groups, failures = cluster_catalogue(book, least=least, **ready)
        paths = _paths(book)
    tell_failures(failures)
    for group in groups:
        if as_json:
            _echo_json({**asdict(group), "paths": [paths[number] for number in group.photos]})
            continue
        say(f"{share(group.probability)}  {_named(group.photos, paths)}")
        say(f"  if so: {_command(file, *group.remedy)}")
    if not as_json:
        photos = sum(len(group.photos) for group in groups)
        click.echo(f"{plural(len(groups), 'group')} of {plural(photos, 'unidentified photo')}")
    if failures:
        sys.exit(1)


@click.command()
@CATALOGUE
@ROOT
@click.option(
    "--most",
    default=20,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Suspicions of each kind.",
)
@MODEL
@CACHE
@DEVICE
@JSON
def audit(file: Path, most: int, as_json: bool, **how: Any) -> None:
    """Rank what may be wrong: names, whales, photos, twins.

    One whale under two names, one name over two whales, photos under a wrong name, twins under
    several names: strongest first, each with its evidence and the commands that would put it right
    or say that it is right as it is. Strengths are natural log-odds: the higher the surer, and
    below 0 it is probably nothing.
    """
    from collections import Counter

    from flukeprint.doubts import audit_catalogue

    with _ready(file, **how) as (book, ready):
        doubts, failures = audit_catalogue(book, most=most, **ready)
        paths, names = _paths(book), book.all_names()
    tell_failures(failures)
    for doubt in doubts:
        whales = [names[number] for number in doubt.individuals]
        if as_json:
            _echo_json(
                {
                    **asdict(doubt),
                    "names": whales,
                    "paths": [paths[number] for number in doubt.photos],
                }
            )
            continue
        say(f"{doubt.kind}: {', '.join(whales)} (log-odds {doubt.strength:.1f})")
        if doubt.photos:
            say(f"  {_named(doubt.photos, paths)}")
        for one in doubt.evidence:
            pair = " beside ".join(f"{n} ({paths[n]})" for n in one.photos)
            say(f"  alike {one.similarity:.2f}: {pair}")
        if doubt.remedy:
            say(f"  if so: {_command(file, *doubt.remedy)}")
        for dismissal in doubt.dismissals:
            say(f"  if not: {_command(file, *dismissal)}")
    if not as_json:
        counts = Counter(doubt.kind for doubt in doubts)
        counts_text = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
        click.echo(f"to look at: {counts_text or 'nothing'}")
    if failures:
        sys.exit(1)


COMMANDS = (cluster, audit)


@contextmanager
def _ready(
    file: Path, root: Path | None, model_path: Path | None, cache: Path | None, device: str
) -> Iterator[tuple[Catalogue, dict[str, Any]]]:
    """The catalogue opened, and how to look over it."""
    from flukeprint.cache import Cache
    from flukeprint.catalogue import Catalogue
    from flukeprint.cli_opening import writable
    from flukeprint.console_progress import progress_bar
    from flukeprint.model import load_model
    from flukeprint.network import Network

    note = writable(file)
    with (
        Catalogue.open(file, root=root, read_only=not note) as book,
        progress_bar() as progress,
    ):
        network = Network(load_model(model_path), device=device)
        kept = Cache(cache_folder(cache), network.model.id)
        yield book, {"network": network, "cache": kept, "note": note, "progress": progress}


def _command(file: Path, command: str, *said: str) -> str:
    """A command on this catalogue, as it can be pasted."""
    named = click.get_current_context().get_parameter_source("file")
    where = ["--catalogue", str(file)] if named is ParameterSource.COMMANDLINE else []
    return command_text("flukeprint", "catalogue", command, *where, *said)


def _paths(book: Catalogue) -> dict[int, str]:
    return {photo.number: photo.called for photo in book.photos()}


def _named(photos: tuple[int, ...], paths: dict[int, str]) -> str:
    """Photos by number and path, a few of them."""
    listed = ", ".join(f"{number} ({paths[number]})" for number in photos[:SHOWN])
    more = f" and {len(photos) - SHOWN} more" if len(photos) > SHOWN else ""
    return f"photos {listed}{more}"


def _echo_json(body: dict[str, Any]) -> None:
    import json

    click.echo(json.dumps(body))
