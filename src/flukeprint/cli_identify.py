"""The main command: photos in, names with probabilities out; of a folder or of a catalogue."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from flukeprint.cli_options import (
    CACHE,
    DEVICE,
    JSON,
    MODEL,
    PATH,
    ROOT,
    cache_folder,
    found_photos,
    say,
    tell_failures,
)

if TYPE_CHECKING:
    from flukeprint.catalogue import Catalogue
    from flukeprint.network import Network
    from flukeprint.records import Failure, Identification, Table
    from flukeprint.resight import Asked


UNNAMED = "encounter"
"""What an encounter without a name is called."""


BEGINS = MappingProxyType(
    {"--csv": '"photo","fluke"', "--kaggle": "Image,Id", "--sheet": "<!doctype html>"}
)
"""How the files begin that these options write; no other file is written over."""


class Answered(NamedTuple):
    """Answers with the gallery they come from; ``context`` is what the catalogue adds to each."""

    answers: Sequence[Identification]
    table: Table
    failures: tuple[Failure, ...]
    context: Sequence[dict[str, Any]] = ()


class Wanted(NamedTuple):
    """What the options say of every answer, whatever it is compared with."""

    top: int
    as_json: bool
    cache: Path
    new_share: float | None
    miss_rate: float | None
    model_path: Path | None
    device: str
    outputs: dict[str, Path | None]

    def check(self, photos: Sequence[Path], table: Table, read: Sequence[Path]) -> None:
        """Refuse what cannot be written before anybody waits; ``read`` is what else is read."""
        from flukeprint.files import check_outputs
        from flukeprint.submission import check_submission

        models = [self.model_path] if self.model_path else []
        check_outputs(self.outputs, [*photos, *read, *models], begins=BEGINS)
        if self.outputs["--kaggle"]:
            check_submission(photos, table.individuals)

    def network(self) -> Network:
        """The model, ready to work."""
        from flukeprint.model import load_model
        from flukeprint.network import Network

        return Network(load_model(self.model_path), device=self.device)

    def shown(self, answers: Sequence[Identification]) -> int:
        """How many whales of these answers a person gets to see, on the screen or in a file."""
        from flukeprint.console import places_shown

        whole = self.as_json or self.outputs["--csv"] or self.outputs["--sheet"]
        return self.top if whole else places_shown(answers, self.top)

    def of(self, network: Network) -> dict[str, Any]:
        """What the library wants to know of the answers."""
        from flukeprint.cache import Cache
        from flukeprint.records import ANSWERS

        return {
            "cache": Cache(self.cache, network.model.id),
            "top": max(self.top, ANSWERS),  # a competition file needs so many
            "new_share": self.new_share,
            "miss_rate": self.miss_rate,
        }


@click.command()
@click.argument("photos", nargs=-1, type=PATH)
@click.option(
    "--gallery", type=PATH, help="Who is known: a folder with one subfolder per whale, or a CSV."
)
@click.option(
    "--catalogue",
    "file",
    type=PATH,
    help="Who is known: a catalogue's file; else $FLUKEPRINT_CATALOGUE.",
)
@ROOT
@click.option(
    "--encounter",
    default="",
    metavar="[NAME]",
    is_flag=False,
    flag_value=UNNAMED,
    help="All PHOTOS show one whale, met once.",
)
@click.option("--encounters", type=PATH, help="CSV with path,encounter: one whale each.")
@click.option(
    "--top",
    default=5,
    show_default=True,
    type=click.IntRange(1),
    help="How many whales to name, at most.",
)
@MODEL
@CACHE
@DEVICE
@JSON
@click.option(
    "--miss-rate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Say how many whales to look at to miss this share of true matches.",
)
@click.option(
    "--new-share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of new whales to expect; else the competition's, 0.328.",
)
@click.option("--csv", "csv_path", type=PATH, help="Write a CSV file.")
@click.option("--kaggle", type=PATH, help="Write a competition file, Image,Id.")
@click.option("--sheet", type=PATH, help="Write an HTML page to look at.")
def identify(
    photos: tuple[Path, ...],
    gallery: Path | None,
    file: Path | None,
    root: Path | None,
    encounter: str,
    encounters: Path | None,
    top: int,
    model_path: Path | None,
    cache: Path | None,
    device: str,
    as_json: bool,
    miss_rate: float | None,
    new_share: float | None,
    csv_path: Path | None,
    kaggle: Path | None,
    sheet: Path | None,
) -> None:
    """Name the likeliest whales on PHOTOS (files and folders), or say "new".

    Give --gallery or --catalogue. The gallery is embedded once and kept; a second run only does
    what is new. A catalogue notes what was shown of its photos; without PHOTOS, all those that are
    unidentified are asked about. Exit code 1 means that some photos could not be read and the rest
    were answered.
    """
    if gallery is None and file is None and os.environ.get("FLUKEPRINT_CATALOGUE"):
        file = Path(os.environ["FLUKEPRINT_CATALOGUE"])
    if (gallery is None) == (file is None):
        raise click.UsageError("give one of --gallery DATA and --catalogue FILE")
    wanted = Wanted(
        top,
        as_json,
        cache_folder(cache),
        new_share,
        miss_rate,
        model_path,
        device,
        {"--csv": csv_path, "--kaggle": kaggle, "--sheet": sheet},
    )
    if gallery is not None:
        if encounter or encounters or root:
            raise click.UsageError("--encounter, --encounters and --root go with --catalogue")
        done = _from_folder(gallery, photos, wanted)
    else:
        assert file is not None
        # --encounter before PHOTOS, without a name; encounters are often named as their folder is
        if os.path.isfile(encounter) or (encounter and not photos and os.path.exists(encounter)):
            photos, encounter = (Path(encounter), *photos), UNNAMED
        if encounter and encounters:
            raise click.UsageError("give one of --encounter and --encounters")
        met = (encounter, encounters)
        done = _from_catalogue(file, root, photos, met, wanted)
    _write(done, wanted.outputs, top)
    _tell(done, top, as_json)
    sys.exit(1 if any(answer.failure for answer in done.answers) else 0)


def _from_folder(gallery: Path, photos: tuple[Path, ...], wanted: Wanted) -> Answered:
    """Compare with a labelled collection."""
    from flukeprint.console_progress import progress_bar
    from flukeprint.identify import identify as library
    from flukeprint.tables import files_of, read_table

    if not photos:
        raise click.UsageError("give PHOTOS to identify")
    table = read_table(gallery)
    for note in table.notes:
        say(f"note: {gallery}: {note}", err=True)
    found = found_photos(photos)
    wanted.check(found, table, files_of(table))
    network = wanted.network()
    with progress_bar() as progress:
        answers, failures = library(found, table, network, progress=progress, **wanted.of(network))
    return Answered(answers, table, failures)


def _from_catalogue(
    file: Path,
    root: Path | None,
    photos: tuple[Path, ...],
    met: tuple[str, Path | None],
    wanted: Wanted,
) -> Answered:
    """Compare with a catalogue, and note there what is shown."""
    from flukeprint.catalogue import Catalogue
    from flukeprint.catalogued import table_of
    from flukeprint.cli_opening import writable
    from flukeprint.console_progress import progress_bar
    from flukeprint.resight import resight

    note = writable(file)
    with Catalogue.open(file, root=root, read_only=not note) as book:
        if not note:
            say(f"note: {file}: read-only; what is shown is not noted there", err=True)
        asked = _asked(book, photos, *met)
        known = book.present()
        table = table_of(book, known.photos, known.names)
        kept = [book.root / path for photo in known.photos for path in photo.paths]
        lists = [met[1]] if met[1] else []
        wanted.check([one.path for one in asked], table, [file, *lists, *kept])
        network = wanted.network()
        with progress_bar() as progress:
            found, failures = resight(
                book,
                asked,
                network,
                note=note,
                known=known,
                shown=wanted.shown,
                progress=progress,
                **wanted.of(network),
            )
    strange = sum(one.photo is None and one.answer.failure is None for one in found)
    if strange:
        click.echo(
            f"note: {strange:,} of {len(found):,} photos are not in the catalogue; "
            "flukeprint catalogue add brings them in",
            err=True,
        )
    context = [
        {
            # Another picture may lie where a photo of the catalogue was: that is not it.
            "number": one.photo if one.answer.failure is None else ask.number,
            "ranking": one.ranking,
            "encounter": ask.encounter or None,
            "revision": known.revision,
        }
        for one, ask in zip(found, asked, strict=True)
    ]
    return Answered([one.answer for one in found], table, failures, context)


def _asked(
    book: Catalogue, photos: tuple[Path, ...], encounter: str, listing: Path | None
) -> list[Asked]:
    """What to identify: the photos named, those that a CSV lists, or all that are unidentified."""
    from flukeprint.resight import Asked, read_encounters, unidentified

    if listing is not None:
        if photos:
            raise click.UsageError("give PHOTOS or --encounters, not both")
        return read_encounters(listing)
    if photos:
        return [Asked(path, encounter) for path in found_photos(photos)]
    if encounter:
        raise click.UsageError("--encounter needs the PHOTOS that are from it")
    found = unidentified(book)
    if not found:
        say(f"note: {book.path}: no photo is unidentified; name PHOTOS to identify", err=True)
        sys.exit(0)
    return found


def _write(done: Answered, outputs: dict[str, Path | None], top: int) -> None:
    """Write the files that were asked for."""
    from flukeprint.console_progress import progress_bar
    from flukeprint.outputs import write_csv
    from flukeprint.submission import fillers, write_submission

    sheet, kaggle, csv_path = (outputs[name] for name in ("--sheet", "--kaggle", "--csv"))
    if sheet:
        from flukeprint.sheet import write_sheet

        with progress_bar() as progress:
            write_sheet(done.answers, done.table, sheet, top=top, progress=progress)
    tell_failures(done.failures)
    if kaggle:
        write_submission(done.answers, fillers(done.table), kaggle)
    if csv_path:
        write_csv(done.answers, top, csv_path)


def _tell(done: Answered, top: int, as_json: bool) -> None:
    from flukeprint.console import answers_table
    from flukeprint.outputs import json_line

    if not as_json:
        answers_table(done.answers, top)
        return
    for place, answer in enumerate(done.answers):
        click.echo(json_line(answer, top, done.context[place] if done.context else {}))
