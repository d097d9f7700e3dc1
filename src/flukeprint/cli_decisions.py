"""The commands by which people decide: whose fluke a photo shows, who is who, what was wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flukeprint.cli_opening import (
    back_up,
    echo_lines,
    individual_number,
    open_to_write,
    photo_number,
)
from flukeprint.cli_options import CATALOGUE, DRY_RUN, JSON, WHO, WHY, json_text, say
from flukeprint.errors import FlukeprintError

if TYPE_CHECKING:
    from flukeprint.catalogue import Catalogue, Outcome
    from flukeprint.catalogue.draft import Decision

MADE_UP = "\0"
"""Stands for a name that the catalogue makes up; no name can hold it."""
NO_RANKING = "none"
"""Says that no ranking was on the screen."""
SEEN = click.option(
    "--seen",
    type=int,
    help="The revision you looked at: refuse if what you decide about changed since.",
)
HOW = ("who", "why", "seen", "dry_run", "as_json")
"""What the options of every decision say: the arguments of ``_note``."""
FACTS = ("date", "place", "latitude", "longitude", "photographer")
CHANGES_SHOWN = 40

Command = Callable[..., None]


def _noting(command: Command) -> Command:
    """The options that every decision has."""
    for option in (JSON, DRY_RUN, WHY, WHO):
        command = option(command)
    return command


@click.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
@CATALOGUE
@click.option("--same", metavar="WHALE", help="It shows this individual.")
@click.option(
    "--new",
    metavar="[NAME]",
    is_flag=False,
    flag_value=MADE_UP,
    help="It shows an individual new to the catalogue; without NAME one is made up.",
)
@click.option("--different", metavar="WHALE", help="It does not show this individual.")
@click.option("--unsure", is_flag=True, help="Someone looked and could not tell.")
@click.option("--no-whale", is_flag=True, help="It shows no whale: a boat, a bird.")
@click.option("--move", metavar="WHALE", help="It goes to another individual.")
@click.option("--encounter", metavar="NAME", help="It goes to another encounter.")
@click.option("--box", metavar="X0,Y0,X1,Y1", help="Where the fluke is, in shares of the photo.")
@click.option("--date", help="When it was taken; settles what disagrees.")
@click.option("--place", help="Where it was taken.")
@click.option("--latitude", help="In decimal degrees, south negative.")
@click.option("--longitude", help="In decimal degrees, west negative.")
@click.option("--photographer", help="Who took it.")
@click.option(
    "--ranking",
    metavar="N|none",
    help="Number of the ranking on screen, as identify --json has it; else the last one shown.",
)
@SEEN
@_noting
def decide(
    photos: tuple[str, ...],
    file: Path,
    ranking: str | None,
    **said: Any,
) -> None:
    """Note what PHOTO shows: --same, --new, ...

    PHOTO is a path or a number; of several the same is noted, each as an event of its own. Say one
    thing at a time; facts may come together. It says exactly what it changes. Nothing is
    overwritten: undo takes any event back.
    """
    how = {name: said.pop(name) for name in HOW}
    as_json = how.pop("as_json")
    chosen = {name: value for name, value in said.items() if value}
    with open_to_write(file) as book:
        name = chosen.get("new", "")
        if os.path.isfile(name) or (len(photos) > 1 and name.isdecimal()):
            raise FlukeprintError(f"--new {name}: that is a photo; say --new last")
        numbers = list(dict.fromkeys(photo_number(book, photo) for photo in photos))
        if len(numbers) > 1 and (ranking not in (None, NO_RANKING) or "box" in chosen):
            raise FlukeprintError("--ranking and --box are about one photo; give one PHOTO")
        if how["dry_run"]:
            outcomes = _decided(book, numbers, chosen, ranking, **how)
        else:
            with book.together():
                outcomes = _decided(book, numbers, chosen, ranking, **how)
        for kind, outcome in outcomes:
            _tell(outcome, kind, as_json=as_json, one_line=len(photos) > 1)
        if how["dry_run"] and "new" in chosen and len(numbers) > 1:
            say("note: the other photos would be put with that whale", err=True)
        elif not how["dry_run"]:
            back_up(book)


@click.command()
@click.argument("kept")
@click.argument("gone")
@CATALOGUE
@SEEN
@_noting
def merge(kept: str, gone: str, file: Path, **how: Any) -> None:
    """Say that GONE is the same whale as KEPT.

    Its photos go there, its names become aliases there.
    """
    from flukeprint.catalogue import Merge

    with open_to_write(file) as book:
        decision = Merge(individual_number(book, kept), individual_number(book, gone))
        _note(book, decision, **how)


@click.command()
@click.argument("whale")
@click.argument("more", nargs=-1, metavar="[PHOTOS]...")
@CATALOGUE
@click.option("--photos", "-p", multiple=True, required=True, help="Photos that go.")
@click.option("--name", default="", help="The other whale's name; else one is made up.")
@SEEN
@_noting
def split(
    whale: str,
    more: tuple[str, ...],
    file: Path,
    photos: tuple[str, ...],
    name: str,
    **how: Any,
) -> None:
    """Say that some photos of WHALE show another whale.

    Such as: split Pepper --photos IMG_7.JPG IMG_8.JPG --name Salt
    """
    from flukeprint.catalogue import Split

    with open_to_write(file) as book:
        numbers = tuple(
            photo_number(book, part) for text in (*photos, *more) for part in _parts(text)
        )
        decision = Split(individual_number(book, whale), numbers, name)
        _note(book, decision, **how)


@click.command()
@click.argument("whale")
@click.argument("name")
@CATALOGUE
@SEEN
@_noting
def rename(whale: str, name: str, file: Path, **how: Any) -> None:
    """Give WHALE another NAME; the old one stays an alias."""
    from flukeprint.catalogue import Rename

    with open_to_write(file) as book:
        decision = Rename(individual_number(book, whale), name)
        _note(book, decision, **how)


@click.command()
@click.argument("event", type=int)
@CATALOGUE
@_noting
def undo(event: int, file: Path, **how: Any) -> None:
    """Take back EVENT, by its number, in any order.

    It restores exactly what the event changed, or says which later ones stand on it.
    """
    from flukeprint.catalogue import Undo

    with open_to_write(file) as book:
        _note(book, Undo(event), **how)


COMMANDS = (decide, merge, split, rename, undo)


def _decided(
    book: Catalogue,
    photos: Sequence[int],
    said: Mapping[str, Any],
    ranking: str | None,
    *,
    who: str,
    why: str,
    seen: int | None,
    dry_run: bool,
) -> list[tuple[str, Outcome]]:
    """What is said of photos, noted or previewed one by one: the kinds of events and outcomes."""
    from flukeprint.catalogue import New, Same

    decisions = [_about_photo(book, photo, dict(said)) for photo in photos]
    cited = [_cited(book, photo, ranking) for photo in photos]
    if seen is None:
        for photo, number in zip(photos, cited, strict=True):
            _check_overtaken(book, photo, number, who)
    # As things are before the first is noted: it may change what the others name.
    previews = [
        book.decide(one, who=who, why=why, seen=seen, ranking=number, dry_run=True)
        for one, number in zip(decisions, cited, strict=True)
    ]
    if dry_run:
        kept = 1 if isinstance(decisions[0], New) else len(decisions)
        return [(one.kind, was) for one, was in zip(decisions, previews, strict=True)][:kept]
    outcomes = []
    whale: int | None = None
    for decision, number in zip(decisions, cited, strict=True):
        if whale is not None and isinstance(decision, New):
            decision = Same(decision.photo, whale)
        outcomes.append((decision.kind, book.decide(decision, who=who, why=why, ranking=number)))
        if isinstance(decision, New):
            whale = book.photo(decision.photo).individual
    return outcomes


def _about_photo(book: Catalogue, photo: int, said: dict[str, Any]) -> Decision:
    """The one decision that the options name."""
    from flukeprint.catalogue import (
        CorrectBox,
        Describe,
        Different,
        Move,
        New,
        NoWhale,
        Same,
        Unsure,
    )

    facts = {name: said.pop(name) for name in FACTS if name in said}
    where = {name for name in ("move", "encounter") if name in said}
    ways = [*(said.keys() - where), *(["move"] if where else []), *(["facts"] if facts else [])]
    if len(ways) != 1:
        raise FlukeprintError("say one thing about the photo, such as --same WHALE or --new NAME")
    match ways[0]:
        case "same":
            return Same(photo, individual_number(book, said["same"]))
        case "new":
            return New(photo, "" if said["new"] == MADE_UP else said["new"])
        case "different":
            return Different(photo, individual_number(book, said["different"]))
        case "unsure":
            return Unsure(photo)
        case "no_whale":
            return NoWhale(photo)
        case "box":
            return CorrectBox(photo, _box(said["box"]))
        case "facts":
            return Describe(photo, **facts)
    whale = individual_number(book, said["move"]) if "move" in said else None
    return Move(photo, whale, said.get("encounter"))


def _cited(book: Catalogue, photo: int, ranking: str | None) -> int | None:
    """The ranking that a decision about a photo rests on, by its number."""
    if ranking is None:
        return book.last_ranking(photo)
    if ranking == NO_RANKING:
        return None
    if not (ranking.isascii() and ranking.isdigit()):
        raise FlukeprintError(f"--ranking {ranking}: give a ranking's number, or {NO_RANKING}")
    return int(ranking)


def _check_overtaken(book: Catalogue, photo: int, ranking: int | None, who: str) -> None:
    """Refuse a decision that rests on a ranking shown before others changed the photo."""
    shown = None if ranking is None else book.ranking(ranking)
    if shown is None:
        return
    for entry in book.photo_history(photo):
        event = entry.event
        later = event.at > shown.at if shown.revision is None else event.id > shown.revision
        if later and event.who != who:
            raise FlukeprintError(
                f"{book.photo(photo).called} changed since ranking {shown.id} was shown, by "
                f"{event}; identify it again, or say --seen {book.revision} if you know that"
            )


def _box(text: str) -> Any:
    from flukeprint.records import Box

    try:
        return Box(*(float(part) for part in text.split(",")))
    except (TypeError, ValueError):
        raise FlukeprintError(
            f"--box {text}: write left,top,right,bottom in shares of the photo, 0 to 1"
        ) from None


def _parts(text: str) -> list[str]:
    """The photos that one --photos names: a path, or several numbers."""
    numbers = text.split(",")
    return numbers if all(part.isdecimal() for part in numbers) else [text]


def _note(
    book: Catalogue,
    decision: Decision,
    *,
    who: str,
    why: str,
    dry_run: bool,
    as_json: bool,
    seen: int | None = None,
) -> None:
    """Note a decision, or preview it, and say exactly what it changed."""
    done = book.decide(decision, who=who, why=why, seen=seen, dry_run=dry_run)
    _tell(done, decision.kind, as_json=as_json)
    if done.event:
        back_up(book)


def _tell(done: Outcome, kind: str, *, as_json: bool, one_line: bool = False) -> None:
    """Say exactly what a decision of a kind changed; JSON in one line if so."""
    import json

    if as_json:
        body = {"event": done.event, "revision": done.revision, "changes": list(done.lines)}
        body["notes"] = list(done.notes)
        click.echo(json.dumps(body) if one_line else json_text(body))
    else:
        begin = f"event {done.event}" if done.event else "would be"
        click.echo(f"{begin}: {kind}")
        echo_lines(done.lines[:CHANGES_SHOWN])
        more = len(done.lines) - CHANGES_SHOWN
        if more > 0:  # to undo an import changes tens of thousands of cells
            click.echo(f"  and {more:,} more (--json names them all)")
        for note in done.notes:
            say(f"note: {note}", err=True)
