"""Photos come into a catalogue: labelled ones, new ones, or everything of another catalogue."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flukeprint.cli_opening import back_up, open_to_write
from flukeprint.cli_options import (
    CATALOGUE,
    DATA,
    DRY_RUN,
    JSON,
    PATH,
    ROOT,
    WHO,
    WHY,
    found_photos,
    json_text,
    say,
)
from flukeprint.errors import FlukeprintError
from flukeprint.wording import command_text

if TYPE_CHECKING:
    from flukeprint.catalogue import Imported, Listed
    from flukeprint.records import Failure

CONFLICTS_SHOWN = 10
NAMES_SHOWN = 5
ORDERS = ("dmy", "mdy")  # the catalogue's, named here so that --help need not load it


@click.command("import")
@DATA
@CATALOGUE
@ROOT
@click.option(
    "--columns", multiple=True, metavar="FIELD=COLUMN", help="Which column of a CSV holds what."
)
@click.option(
    "--unnamed", multiple=True, metavar="LABEL", help="A label, such as unknown, that names nobody."
)
@click.option(
    "--dates", type=click.Choice(ORDERS), help="How a CSV writes dates that end with their year."
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
    unnamed: tuple[str, ...],
    dates: str | None,
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
    from flukeprint.catalogue import columns_of, from_table, read_sheet, without_names
    from flukeprint.tables import read_table

    skipped: list[Any] = []
    if data.suffix.lower() == ".jsonl":
        if columns or unnamed or dates or root or why or dry_run or as_json:
            raise FlukeprintError(f"{data}: lines of a whole catalogue; they take no options")
        _from_lines(data, file)
        return
    if data.suffix.lower() == ".csv":
        named = _pairs(columns)
        _tell_columns(data, columns_of(data, named))
        listed, skipped = read_sheet(data, named, dates or "")
    elif columns or dates:
        raise FlukeprintError("--columns and --dates are for a CSV; folders have none")
    elif os.path.isfile(data) and data.suffix != ".fpc":
        raise FlukeprintError(
            f"{data}: give a folder, a .csv file, or JSON Lines, whose name ends in .jsonl"
        )
    else:
        table = read_table(data, skipped)
        listed = from_table(table)
        for note in table.notes:
            say(f"note: {data}: {note}", err=True)
    listed = without_names(listed, unnamed)
    _tell_names(data, listed)
    _tell_doubtful(data, listed)
    _tell_halves(data, listed)
    _bring_in(file, root, listed, skipped, who, why, dry_run, as_json)


@click.command()
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

    listed = from_files(found_photos(photos), facts)
    _bring_in(file, root, listed, [], who, why, dry_run, as_json)


COMMANDS = (import_, add)


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
    from flukeprint.catalogue import bring_in
    from flukeprint.console_progress import progress_bar

    with open_to_write(file, root) as book, progress_bar() as progress:
        done = bring_in(book, listed, who=who, why=why, dry_run=dry_run, progress=progress)
        if done.events:
            back_up(book, every=1)
        labels = {one.label.strip() for one in listed} - {""}
        names = book.individuals().values() if labels else ()
    missed = [*skipped, *done.skipped]
    for failure in missed:
        say(failure.warning("skipped"), err=True)
    _tell_alike(names, labels)
    _tell_import(done, missed, dry_run, as_json)
    sys.exit(1 if missed else 0)


def _tell_import(done: Imported, skipped: Sequence[Failure], dry_run: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from flukeprint.wording import plural

    if as_json:
        counted = {"events": done.events, **asdict(done.counts), "skipped": len(skipped)}
        files = [{"photo": str(one.path), "reason": one.reason} for one in skipped]
        click.echo(json_text({**counted, "left_out": files}))
        return
    counts = done.counts
    begin = "would be " if dry_run else ""
    facts = f"; facts set on {plural(counts.described, 'photo')}" if counts.described else ""
    named = f"; {plural(counts.named, 'known photo')} named" if counts.named else ""
    click.echo(f"{begin}{counts}; {plural(counts.known, 'file')} known already{named}{facts}")
    for line in counts.conflicts[:CONFLICTS_SHOWN]:
        say(f"conflict: {line}")
    more = len(counts.conflicts) - CONFLICTS_SHOWN
    if more > 0:
        click.echo(f"and {more:,} more conflicts (--json names them all)")
    for number, path in counts.replaced[:NAMES_SHOWN]:
        lost = f"photo {number} has no file any more"
        say(f"note: {path} holds another picture now; {lost}", err=True)
    if len(counts.replaced) > NAMES_SHOWN:
        others = plural(len(counts.replaced) - NAMES_SHOWN, "more photo has", "more photos have")
        say(f"note: {others} no file any more (--json names them all)", err=True)
    if skipped:
        click.echo(f"{plural(len(skipped), 'photo')} skipped")


def _tell_columns(sheet: Path, chosen: dict[str, str]) -> None:
    """What each column was taken for: a wrong guess is seen at once."""
    from flukeprint.tables import csv_header

    taken = ", ".join(f"{field} from {column}" for field, column in chosen.items())
    left = [column for column in csv_header(sheet) if column not in chosen.values()]
    aside = f"; left aside: {', '.join(left)}" if left else ""
    say(f"note: {sheet}: {taken}{aside}", err=True)


def _tell_names(data: Path, listed: list[Listed]) -> None:
    """Whom the photos are said to show: seasons taken for whales are seen at once."""
    from flukeprint.records import NEW_WHALE
    from flukeprint.wording import plural

    names = sorted({one.label.strip() for one in listed} - {"", NEW_WHALE})
    if names:
        more = len(names) - NAMES_SHOWN
        shown = ", ".join(names[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
        say(f"note: {data}: {plural(len(names), 'whale')}: {shown}", err=True)


def _tell_doubtful(data: Path, listed: list[Listed]) -> None:
    """Labels that may mean nobody: as a whale's name they would put strangers together."""
    from flukeprint.catalogue import doubtful_names
    from flukeprint.wording import plural

    for label, count in doubtful_names(listed).items():
        say(
            f"note: {data}: {plural(count, 'row')} labelled {label!r}, taken for one whale of that "
            f"name; if it names nobody, undo this and say {command_text('--unnamed', label)}",
            err=True,
        )


def _tell_halves(data: Path, listed: list[Listed]) -> None:
    """A latitude without a longitude, or the other way round, is no position."""
    from flukeprint.wording import plural

    halves = [one for one in listed if ("latitude" in one.facts) != ("longitude" in one.facts)]
    if halves:
        files = plural(len(halves), "file has", "files have")
        such = f"such as {halves[0].path}: no position"
        say(f"note: {data}: {files} a latitude or a longitude alone, {such}", err=True)


def _tell_alike(names: Iterable[str], labels: set[str]) -> None:
    """Names that came in and differ from another by capitals alone: one whale, most likely."""
    spelled: dict[str, list[str]] = {}
    for name in names:
        spelled.setdefault(name.casefold(), []).append(name)
    for alike in spelled.values():
        if len(alike) > 1 and labels & {*alike}:
            spellings = " and ".join(repr(name) for name in sorted(alike))
            say(f"note: {spellings} are whales of their own; merge them if they are one", err=True)


def _from_lines(lines: Path, file: Path) -> None:
    """Make a catalogue of another's lines; never in place of one that somebody may be using."""
    from flukeprint.catalogue.lines import read_lines
    from flukeprint.wording import plural

    if os.path.lexists(file):
        raise FlukeprintError(
            f"{file}: is there already; lines make a catalogue of their own, name a new file "
            "with --catalogue"
        )
    rows = read_lines(lines, file)
    rows_text = ", ".join(plural(count, table) for table, count in rows.items() if count)
    say(f"{file}: {rows_text}")


def _pairs(columns: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in columns:
        for pair in text.split(","):
            field, equals, column = pair.partition("=")
            if not equals:
                raise FlukeprintError(f"--columns {pair}: write FIELD=COLUMN, such as path=Photo")
            pairs[field.strip()] = column.strip()
    return pairs
