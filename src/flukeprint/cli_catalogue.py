"""The commands about a catalogue as a whole; those about a photo or a whale are cli_decisions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flukeprint import cli_decisions, cli_export, cli_review
from flukeprint.cli_options import CATALOGUE, DATA, JSON, PATH, ROOT, WHO, WHY, json_text
from flukeprint.errors import FlukeprintError

if TYPE_CHECKING:
    from flukeprint.catalogue import Catalogue, Imported
    from flukeprint.catalogue.listing import Listed

DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
FACTS = ("date", "place", "latitude", "longitude", "photographer", "encounter")
CONFLICTS_SHOWN = 10


@click.group()
def catalogue() -> None:
    """Keep a catalogue: photos, individuals and every decision, in one file.

    Start with: flukeprint catalogue init whales.fluke-catalogue. $FLUKEPRINT_CATALOGUE may name the
    file for all commands.
    """


for command in (*cli_decisions.COMMANDS, *cli_review.COMMANDS, cli_export.export):
    catalogue.add_command(command)


@catalogue.command()
@click.argument("file", type=PATH)
@click.option("--root", type=PATH, help="Folder that paths start from; else the file's own.")
def init(file: Path, root: Path | None) -> None:
    """Make a new, empty catalogue FILE."""
    from flukeprint.catalogue import Catalogue

    with Catalogue.create(file, root=root) as made:
        click.echo(f"{file}: an empty catalogue; its photos' paths start from {made.root}")


@catalogue.command("import")
@DATA
@CATALOGUE
@ROOT
@click.option(
    "--columns", multiple=True, metavar="FIELD=COLUMN", help="Which column of a CSV holds what."
)
@WHO
@WHY
@DRY_RUN
@JSON
def import_(
    data: Path,
    file: Path,
    root: Path | None,
    columns: tuple[str, ...],
    who: str,
    why: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring in labelled photos: a folder or a CSV.

    DATA is a Kaggle folder, a folder with one subfolder per whale, a CSV, or the .jsonl of export
    lines, which becomes a catalogue equal to the one it came from. A CSV's columns are known by
    their usual names, or named by --columns: path, identity, date, place, latitude, longitude,
    photographer, encounter. Photos are known by their content: bringing them in again changes
    nothing, and an import that was cut off goes on. Labels that disagree are kept as conflicts for
    a person to settle. Exit code 1: some photos were skipped.
    """
    from flukeprint.catalogue import from_table, read_sheet
    from flukeprint.tables import read_table

    skipped: list[Any] = []
    if data.suffix.lower() == ".jsonl":
        if columns or root or dry_run:
            raise FlukeprintError(f"{data}: lines of a whole catalogue; they take no options")
        _from_lines(data, file)
        return
    if data.suffix.lower() == ".csv":
        listed, skipped = read_sheet(data, _pairs(columns))
    elif columns:
        raise FlukeprintError("--columns is for a CSV; folders have none")
    else:
        table = read_table(data)
        listed = from_table(table)
        for note in table.notes:
            click.echo(f"note: {data}: {note}", err=True)
    _bring_in(file, root, listed, skipped, who, why, dry_run, as_json)


@catalogue.command()
@click.argument("photos", nargs=-1, required=True, type=PATH)
@CATALOGUE
@ROOT
@click.option("--date", default="", help="When they were taken: YYYY-MM-DD, or less.")
@click.option("--place", default="", help="Where.")
@click.option("--latitude", default="", help="In decimal degrees, south negative.")
@click.option("--longitude", default="", help="In decimal degrees, west negative.")
@click.option("--photographer", default="", help="Who took them.")
@click.option("--encounter", default="", help="The name of the encounter they are from.")
@WHO
@WHY
@DRY_RUN
@JSON
def add(
    photos: tuple[Path, ...],
    file: Path,
    root: Path | None,
    who: str,
    why: str,
    dry_run: bool,
    as_json: bool,
    **facts: str,
) -> None:
    """Bring in PHOTOS of whales not identified yet.

    PHOTOS are files and folders. Date and place are read from the photos themselves where nothing
    is said. Exit code 1: some photos were skipped.
    """
    from flukeprint.catalogue import from_files
    from flukeprint.photos import find_photos, left_out

    found = find_photos(photos)
    for line in left_out(photos):
        click.echo(f"warning: {line}", err=True)
    _bring_in(file, root, from_files(found, facts), [], who, why, dry_run, as_json)


@catalogue.command()
@CATALOGUE
@JSON
def show(file: Path, as_json: bool) -> None:
    """How much a catalogue holds, and what waits for a person."""
    from dataclasses import asdict

    with _open(file) as book:
        counts, waiting = asdict(book.counts()), len(book.conflicts())
        told = {**counts, "to_settle": waiting, "events": book.revision, "root": str(book.root)}
    if as_json:
        click.echo(json_text(told))
        return
    for name, words in (
        ("files", "files"),
        ("photos", "photos (a file and its copies are one)"),
        ("individuals", "individuals"),
        ("unidentified", "photos unidentified"),
        ("label_conflicts", "photos with labels that disagree"),
        ("to_settle", "photos with labels or facts to settle"),
        ("events", "events in the log"),
    ):
        click.echo(f"{told[name]:>9,} {words}")


@catalogue.command()
@click.argument("whale")
@CATALOGUE
@JSON
def history(whale: str, file: Path, as_json: bool) -> None:
    """What was decided about WHALE, oldest first.

    WHALE is the name of an individual, or the path or number of a photo.
    """
    from dataclasses import asdict

    with _open(file) as book:
        kind, number = cli_decisions.whale_or_photo(book, whale)
        entries = (book.individual_history if kind == "individual" else book.photo_history)(number)
        now = asdict((book.individual if kind == "individual" else book.photo)(number))
    if as_json:
        past = [
            {
                "event": entry.event.id,
                **{name: getattr(entry.event, name) for name in ("at", "who", "why", "kind")},
                "undone_by": entry.undone,
                "changes": list(entry.lines),
            }
            for entry in entries
        ]
        click.echo(json_text({"kind": kind, "now": now, "history": past}))
        return
    for entry in entries:
        undone = f", undone by event {entry.undone}" if entry.undone else ""
        why = f": {entry.event.why}" if entry.event.why else ""
        click.echo(cli_decisions.plain(f"{entry.event}{undone}{why}"))
        cli_decisions.echo_lines(entry.lines)


@catalogue.command()
@CATALOGUE
@click.option("--rescue", "new", type=PATH, help="Save what can be read to this new file.")
@WHO
@JSON
def check(file: Path, new: Path | None, who: str, as_json: bool) -> None:
    """Read everything and say whether the catalogue is whole.

    Exit code 2: it is not. Nothing is written but the new file of --rescue.
    """
    from flukeprint.catalogue import check as library
    from flukeprint.catalogue import rescue

    report = library(file)
    saved = rescue(file, new, who=who) if new else None
    if as_json:
        told = {"whole": report.whole, "problems": report.problems, "savable": report.savable}
        click.echo(json_text({**told, "rescued": saved.rows if saved else None}))
    else:
        for line in report.problems:
            click.echo(cli_decisions.plain(line))
        rows = ", ".join(f"{count:,} {table}" for table, count in report.savable.items() if count)
        click.echo(f"{file}: {'whole' if report.whole else 'not whole'}; can be read: {rows}")
        if saved:
            cli_decisions.echo_lines(saved.lines)
            click.echo(f"{new}: what could be saved")
        elif not report.whole:
            click.echo("save what can be read with --rescue NEW, or go back to a backup")
    sys.exit(0 if report.whole else 2)


@catalogue.command()
@CATALOGUE
@JSON
def rebuild(file: Path, as_json: bool) -> None:
    """Derive the present state from the log again."""
    with _open(file) as book:
        lines = book.rebuild()
    if as_json:
        click.echo(json_text({"differed": lines}))
    else:
        cli_decisions.echo_lines(lines)
        told = f"{len(lines):,} cells differed and were put right" if lines else "as it was"
        click.echo(f"{file}: the state is derived from the log again: {told}")


@catalogue.command()
@click.argument("to", type=PATH, required=False)
@CATALOGUE
@JSON
def backup(to: Path | None, file: Path, as_json: bool) -> None:
    """Make a whole, checked copy, also while others decide.

    Without TO the copy goes to FILE.backups, where the last ten stay.
    """
    with _open(file) as book:
        if to:
            book.backup(to)
        made = to or book.keep_backup()
    if as_json:
        click.echo(json_text({"backup": str(made) if made else None}))
    else:
        click.echo(f"{made}: whole" if made else f"{file}: backed up already; nothing is new")


def _open(file: Path, root: Path | None = None) -> Catalogue:
    from flukeprint.catalogue import Catalogue

    return Catalogue.open(file, root=root, read_only=not cli_decisions.writable(file))


def _bring_in(
    file: Path,
    root: Path | None,
    listed: list[Listed],
    skipped: list[Any],
    who: str,
    why: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    from flukeprint.catalogue import Catalogue, bring_in
    from flukeprint.console_progress import progress_bar

    with Catalogue.open(file, root=root) as book, progress_bar() as progress:
        done = bring_in(book, listed, who=who, why=why, dry_run=dry_run, progress=progress)
        if done.events:
            cli_decisions.back_up(book, every=1)
    for failure in (*skipped, *done.skipped):
        click.echo(f"warning: {failure.path}: {failure.reason}; skipped", err=True)
    missed = len(skipped) + len(done.skipped)
    _tell_import(done, missed, dry_run, as_json)
    sys.exit(1 if missed else 0)


def _tell_import(done: Imported, skipped: int, dry_run: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from flukeprint.pages import plural

    if as_json:
        click.echo(json_text({"events": done.events, **asdict(done.counts), "skipped": skipped}))
        return
    counts = done.counts
    begin = "would be " if dry_run else ""
    click.echo(f"{begin}{counts}; {plural(counts.known, 'file')} known already")
    for line in counts.conflicts[:CONFLICTS_SHOWN]:
        click.echo(cli_decisions.plain(f"conflict: {line}"))
    more = len(counts.conflicts) - CONFLICTS_SHOWN
    if more > 0:
        click.echo(f"and {more:,} more conflicts (--json names them all)")
    if skipped:
        click.echo(f"{plural(skipped, 'photo')} skipped")


def _from_lines(lines: Path, file: Path) -> None:
    """Make a catalogue of another's lines; one that is there has to be empty."""
    import os

    from flukeprint.catalogue import Catalogue
    from flukeprint.catalogue.lines import read_lines

    if not file.exists():
        rows = read_lines(lines, file)
    else:
        with Catalogue.open(file) as book:
            if book.revision:
                raise FlukeprintError(
                    f"{file}: holds decisions already; lines make a catalogue of their own, "
                    "name a new file with --catalogue"
                )
        fresh = file.with_name(f".{file.name}.lines")
        fresh.unlink(missing_ok=True)
        rows = read_lines(lines, fresh)
        os.replace(fresh, file)
    told = ", ".join(f"{count:,} {table}" for table, count in rows.items() if count)
    click.echo(f"{file}: {told}")


def _pairs(columns: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in columns:
        for pair in text.split(","):
            field, equals, column = pair.partition("=")
            if not equals:
                raise FlukeprintError(f"--columns {pair}: write FIELD=COLUMN, such as path=Photo")
            pairs[field.strip()] = column.strip()
    return pairs
