"""A catalogue for other programs."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from flukeprint.cli_opening import open_to_read
from flukeprint.cli_options import CATALOGUE, PATH, ROOT, say

if TYPE_CHECKING:
    from flukeprint.catalogue import PhotoNow

FORMATS = (
    *("capture-history", "photos", "darwin-core", "xmp", "wildbook", "competition"),
    "lines",
)
"""As ``flukeprint.exports`` has them, which --help must not wait for, and everything as lines."""
BEGINS = MappingProxyType(
    {
        "capture-history": '"individual"',
        "photos": '"image_id"',
        "darwin-core": "PK",
        "competition": '"Image","Id"',
        "lines": '{"format":"flukeprint catalogue"',
    }
)
HOLDS = MappingProxyType({"darwin-core": "meta.xml"})
"""How the files of the forms begin that are files, and what one among them holds, a zip file as
many are; no other file is written over."""


@click.command()
@click.argument("form", metavar="FORMAT", type=click.Choice(FORMATS))
@click.argument("out", type=PATH, required=False)
@CATALOGUE
@ROOT
@click.option(
    "--by",
    type=click.Choice(("year", "month", "day", "encounter")),
    default="year",
    show_default=True,
    help="capture-history: what an occasion is.",
)
@click.option(
    "--sidecars",
    type=click.Choice(("full", "bare")),
    default="full",
    show_default=True,
    help="xmp: IMG.JPG.xmp or IMG.xmp.",
)
@click.option("--in-place", is_flag=True, help="xmp: write beside the photos.")
@click.option("--title", help="darwin-core: the data set's title.")
@click.option("--publisher", default="", help="darwin-core: who publishes it.")
@click.option(
    "--licence",
    type=click.Choice(("cc0", "cc-by", "cc-by-nc")),
    help="darwin-core: the licence.",
)
@click.option("--media-url", default="", help="darwin-core: where the photos can be had.")
@click.option("--no-embeddings", is_flag=True, help="lines: leave embeddings out.")
def export(
    form: str, out: Path | None, file: Path, root: Path | None, no_embeddings: bool, **chosen: Any
) -> None:
    """Write OUT in a FORMAT that other programs read.

    capture-history, photos, competition: a CSV; darwin-core: a .zip; xmp, wildbook: a folder;
    lines: everything as JSON Lines, which import reads back. What is left out is said. OUT is not
    needed for xmp --in-place.
    """
    from flukeprint.catalogue import replaced_files
    from flukeprint.catalogue.lines import write_lines
    from flukeprint.console_progress import progress_bar
    from flukeprint.exports import FORMATS as WRITERS
    from flukeprint.exports import Exporting, matches_file
    from flukeprint.files import check_outputs
    from flukeprint.wording import plural

    if out is None and not (form == "xmp" and chosen["in_place"]):
        raise click.UsageError("Missing argument 'OUT'.")
    with open_to_read(file, root) as book:
        out = out or book.root
        photos, names, shares = book.moment()
        beside = matches_file(out) if form == "capture-history" else None
        kept = [file, *(book.root / path for one in photos for path in one.paths)]
        begins = {"OUT": BEGINS[form]} if form in BEGINS else {}
        outputs = {"OUT": out, "capture-history": beside}
        holds = {"OUT": HOLDS[form]} if form in HOLDS else {}
        check_outputs(outputs, kept, folders=form not in BEGINS, begins=begins, holds=holds)
        if form == "lines":
            rows = write_lines(file, out, embeddings=not no_embeddings)
            rows_text = ", ".join(f"{count:,} {table}" for table, count in rows.items() if count)
            say(f"{out}: {rows_text}")
            return
        with progress_bar() as progress:
            replaced = replaced_files(book, progress)
        options = {name: value for name, value in chosen.items() if value}
        there = [_without_files(photo, replaced) for photo in photos]
        lines = WRITERS[form](Exporting(there, names, book.root, shares, **options), out)
    say(lines[0])
    for line in lines[1:]:
        say(f"note: {line}", err=True)
    if replaced:
        files = plural(len(replaced), "file holds", "files hold")
        such = f"such as {min(replaced)}: left out; import again"
        say(f"note: {files} another picture than when imported, {such}", err=True)


def _without_files(photo: PhotoNow, replaced: Set[str]) -> PhotoNow:
    """A photo without those of its files that hold another picture now."""
    if replaced.isdisjoint(photo.paths):
        return photo
    return replace(photo, paths=tuple(path for path in photo.paths if path not in replaced))
