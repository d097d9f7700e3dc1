"""The commands that list what a catalogue holds, photo by photo or whale by whale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flukeprint.cli_opening import open_to_read
from flukeprint.cli_options import CATALOGUE, JSON, say
from flukeprint.errors import FlukeprintError

if TYPE_CHECKING:
    from flukeprint.catalogue import PhotoNow

UNIDENTIFIED, UNDECIDED = "unidentified", "undecided"
STATES = ("imported", "confirmed", "unsure", "conflict", "no-whale", UNDECIDED, UNIDENTIFIED)


@click.command()
@CATALOGUE
@click.option("--whale", help="Only photos of the whale of this name.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES),
    help="Only photos in this state; repeat for several. undecided: nobody said anything; "
    "unidentified: all that wait for a name, undecided, unsure or in conflict.",
)
@click.option("--encounter", help="Only photos of this encounter.")
@JSON
def photos(
    file: Path, whale: str | None, states: tuple[str, ...], encounter: str | None, as_json: bool
) -> None:
    """List photos: number, file, whom it shows or its state, when and where.

    With --json one object a line.
    """
    from flukeprint.records import spelled
    from flukeprint.wording import plural

    with open_to_read(file) as book:
        whom = None if whale is None else book.find(whale)
        _, everything, names = book.present()
    if encounter is not None:
        encounter = spelled(encounter)
        if all(photo.facts.get("encounter") != encounter for photo in everything):
            raise FlukeprintError(f"no photo is of an encounter {encounter!r}; check the spelling")
    shown = [
        photo
        for photo in everything
        if (whom is None or photo.individual == whom)
        and (encounter is None or photo.facts.get("encounter") == encounter)
        and (not states or _states(photo) & set(states))
    ]
    for photo in shown:
        name = None if photo.individual is None else names[photo.individual]
        state = _state(photo)
        if as_json:
            body = {
                **{"photo": photo.number, "paths": photo.paths, "whale": name, "state": state},
                **{"date": photo.date, "position": photo.position, **_said(photo)},
            }
            click.echo(json.dumps(body))
            continue
        called = name if state == "confirmed" else f"{name} ({state})" if name else state
        told = (photo.date, photo.facts.get("place", ""))
        say("  ".join([f"{photo.number:>6}", photo.called, called or "", *filter(None, told)]))
    if not as_json:
        click.echo(plural(len(shown), "photo"))


@click.command()
@CATALOGUE
@JSON
def whales(file: Path, as_json: bool) -> None:
    """List individuals: name, photos, and when they were first and last seen.

    With --json one object a line.
    """
    from flukeprint.wording import plural

    with open_to_read(file) as book:
        _, everything, names = book.present()
        found = [book.individual(number) for number in sorted(names, key=names.__getitem__)]
    date_of = {photo.number: photo.date for photo in everything}
    for whale in found:
        dates = sorted(filter(None, map(date_of.get, whale.photos)))
        seen = dates[:1] + dates[-1:]
        if as_json:
            body = {
                **{"individual": whale.number, "name": whale.name, "aliases": whale.aliases},
                **{"photos": len(whale.photos)},
                **{"first": "".join(seen[:1]), "last": "".join(seen[-1:])},
            }
            click.echo(json.dumps(body))
            continue
        when = " to ".join(dict.fromkeys(seen))
        also = f"also {', '.join(whale.aliases)}" if whale.aliases else ""
        say("  ".join(filter(None, [whale.name, plural(len(whale.photos), "photo"), when, also])))
    if not as_json:
        click.echo(plural(len(found), "individual"))


COMMANDS = (photos, whales)


def _state(photo: PhotoNow) -> str:
    """A photo's state in a word of the command line."""
    return (photo.state or UNDECIDED).replace(" ", "-")


def _states(photo: PhotoNow) -> set[str]:
    return {_state(photo)} | ({UNIDENTIFIED} if photo.unidentified else set())


def _said(photo: PhotoNow) -> dict[str, str]:
    """What its owner said that is a name or a text."""
    return {name: photo.facts.get(name, "") for name in ("place", "photographer", "encounter")}
