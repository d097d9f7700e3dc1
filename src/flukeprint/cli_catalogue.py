"""The commands about a catalogue as a whole; those about a photo or a whale are cli_decisions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flukeprint import cli_decisions, cli_export, cli_import, cli_lists, cli_review
from flukeprint.cli_opening import echo_lines, open_to_read, whale_or_photo
from flukeprint.cli_options import CATALOGUE, JSON, PATH, json_text, say, user_name

if TYPE_CHECKING:
    from flukeprint.catalogue import Entry, Ranking

EVENTS_SHOWN = 20


@click.command()
@click.argument("file", type=PATH)
@click.option("--root", type=PATH, help="Folder that paths start from; else the file's own.")
def init(file: Path, root: Path | None) -> None:
    """Make a new, empty catalogue FILE."""
    from flukeprint.catalogue import Catalogue

    with Catalogue.create(file, root=root) as made:
        click.echo(f"{file}: an empty catalogue; its photos' paths start from {made.root}")


@click.command()
@CATALOGUE
@JSON
def show(file: Path, as_json: bool) -> None:
    """How much a catalogue holds, and what waits for a person."""
    from dataclasses import asdict

    from flukeprint.wording import plural

    with open_to_read(file) as book:
        counts, waiting = asdict(book.counts()), len(book.conflicts())
        body = {**counts, "to_settle": waiting, "events": book.revision, "root": str(book.root)}
    if as_json:
        click.echo(json_text(body))
        return
    for name, word, more in (
        ("files", "file", ""),
        ("photos", "photo", " (a file and its copies are one)"),
        ("individuals", "individual", ""),
        ("unidentified", "photo", " unidentified"),
        ("without_whale", "photo", " without a whale"),
        ("label_conflicts", "photo", " with labels that disagree"),
        ("to_settle", "photo", " with labels or facts to settle"),
        ("events", "event", " in the log"),
    ):
        count, noun = plural(body[name], word).split()
        click.echo(f"{count:>9} {noun}{more}")


@click.command()
@CATALOGUE
@JSON
def conflicts(file: Path, as_json: bool) -> None:
    """Photos whose labels or facts disagree.

    Settle a label with decide PHOTO --same WHALE, a fact with decide PHOTO --date and the like.
    """
    import json

    with open_to_read(file) as book:
        photos = [book.photo(number) for number in book.conflicts()]
        names = book.all_names()
    for photo in photos:
        open_labels = [one for one in photo.labels if one not in photo.not_individuals]
        labels = [names[one] for one in open_labels or photo.labels]
        labels += ["new_whale"] * photo.unnamed
        facts = {
            name: [value for value in (photo.facts.get(name), *more) if value]
            for name, more in photo.disputed.items()
        }
        if not photo.in_conflict:
            labels = []
        if as_json:
            body = {"photo": photo.number, "path": photo.called, "labels": labels, "facts": facts}
            click.echo(json.dumps(body))
            continue
        said = [f"labelled {' or '.join(labels)}"] if labels else []
        said += [f"{name} {' or '.join(values)}" for name, values in facts.items()]
        say(f"photo {photo.number} ({photo.called}): {'; '.join(said)}")
    if not as_json:
        how = "; say decide PHOTO --same WHALE, --no-whale, --date ..." if photos else ""
        click.echo(f"{len(photos):,} to settle{how}")


@click.command()
@click.argument("whale", metavar="WHALE_OR_PHOTO")
@CATALOGUE
@JSON
def history(whale: str, file: Path, as_json: bool) -> None:
    """What was decided about a whale or a photo, oldest first.

    WHALE_OR_PHOTO is the name of an individual, or the path or number of a photo.
    """
    from dataclasses import asdict

    with open_to_read(file) as book:
        kind, number = whale_or_photo(book, whale)
        entries = (book.individual_history if kind == "individual" else book.photo_history)(number)
        now = asdict((book.individual if kind == "individual" else book.photo)(number))
        cited = {entry.event.ranking for entry in entries if entry.event.ranking}
        rankings = {ranking: book.ranking(ranking) for ranking in cited}

    def shown_for(entry: Entry) -> Ranking | None:
        return rankings.get(entry.event.ranking or 0)

    if as_json:
        past = [
            {
                "event": entry.event.id,
                **{name: getattr(entry.event, name) for name in ("at", "who", "why", "kind")},
                "undone_by": entry.undone,
                "about": list(entry.about),
                "changes": list(entry.lines),
                "evidence": asdict(shown) if (shown := shown_for(entry)) else None,
            }
            for entry in entries
        ]
        click.echo(json_text({"kind": kind, "now": now, "history": past}))
        return
    for entry in entries:
        undone = f", undone by event {entry.undone}" if entry.undone else ""
        why = f": {entry.event.why}" if entry.event.why else ""
        about = f", about {' and '.join(entry.about)}" if entry.about else ""
        say(f"{entry.event}{undone}{about}{why}")
        echo_lines(entry.lines)
        if entry.event.ranking:
            echo_lines([_evidence(entry.event.ranking, shown_for(entry))])


@click.command()
@CATALOGUE
@click.option("--rescue", "new", type=PATH, help="Save what can be read to this new file.")
@click.option(
    "--who",
    envvar="FLUKEPRINT_WHO",
    help="Who rescues; else $FLUKEPRINT_WHO, else your user name.",
)
@JSON
def check(file: Path, new: Path | None, who: str | None, as_json: bool) -> None:
    """Read everything and say whether the catalogue is whole.

    Exit code 2: it is not. Nothing is written but the new file of --rescue.
    """
    from flukeprint.catalogue import check as library
    from flukeprint.catalogue import rescue

    report = library(file)
    saved = rescue(file, new, who=who or user_name()) if new else None
    if as_json:
        body = {
            **{"whole": report.whole, "problems": report.problems, "savable": report.savable},
            **{"notes": report.notes, "not_saved_before": report.rescued},
            "rescued": saved.rows if saved else None,
        }
        click.echo(json_text(body))
    else:
        for line in report.problems:
            say(line)
        rows = ", ".join(f"{count:,} {table}" for table, count in report.savable.items() if count)
        click.echo(f"{file}: {'whole' if report.whole else 'not whole'}; can be read: {rows}")
        for line in report.notes:
            say(f"note: {line}", err=True)
        if report.rescued:
            events = ", ".join(map(str, report.rescued[:EVENTS_SHOWN]))
            more = len(report.rescued) - EVENTS_SHOWN
            others = f" and {more:,} more" if more > 0 else ""
            click.echo(f"a rescue could not save these events as they were: {events}{others}")
        if saved:
            echo_lines(saved.lines)
            click.echo(f"{new}: what could be saved")
        elif not report.whole:
            click.echo("save what can be read with --rescue NEW, or go back to a backup")
    sys.exit(0 if report.whole else 2)


@click.command()
@CATALOGUE
@JSON
def rebuild(file: Path, as_json: bool) -> None:
    """Derive the present state from the log again."""
    with open_to_read(file) as book:
        lines = book.rebuild()
    if as_json:
        click.echo(json_text({"differed": lines}))
    else:
        echo_lines(lines)
        result = f"{len(lines):,} cells differed and were put right" if lines else "as it was"
        click.echo(f"{file}: the state is derived from the log again: {result}")


@click.command()
@click.argument("to", type=PATH, required=False)
@CATALOGUE
@JSON
def backup(to: Path | None, file: Path, as_json: bool) -> None:
    """Make a whole, checked copy, also while others decide.

    Without TO the copy goes to FILE.backups, where the last ten stay.
    """
    with open_to_read(file) as book:
        if to:
            book.backup(to)
        made = to or book.keep_backup()
    if as_json:
        click.echo(json_text({"backup": str(made) if made else None}))
    else:
        click.echo(f"{made}: whole" if made else f"{file}: backed up already; nothing is new")


COMMANDS = (
    *(init, *cli_import.COMMANDS, show, *cli_lists.COMMANDS, conflicts, history),
    *(*cli_decisions.COMMANDS, check, rebuild, backup),
    *(*cli_review.COMMANDS, cli_export.export),
)


def _evidence(number: int, ranking: Ranking | None) -> str:
    """What was on the screen when a decision was made."""
    from flukeprint.outputs import share

    if ranking is None:
        return f"shown was ranking {number}, which is lost"
    named = [f"{name} {share(probability)}" for _, name, probability in ranking.candidates]
    shown = ", ".join([*named, f"new {share(ranking.new)}"])
    return f"shown was ranking {ranking.id}: {shown} (model {ranking.model_id[:12]}, {ranking.at})"
