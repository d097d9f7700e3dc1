"""What is in a labelled collection: counted, drawn, and written as a folder with one web page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from flukeprint import pages
from flukeprint.explore.plots import all_plots
from flukeprint.explore.records import Exploration, Identical, Near, Twins
from flukeprint.explore.sheets import Side, sample_sheet, twin_pictures
from flukeprint.explore.tally import photo_paths, tally
from flukeprint.files import check_outside, make_folder, write_bytes, write_text
from flukeprint.progress import Progress, no_progress
from flukeprint.records import NEW_WHALE, Table
from flukeprint.tables import read_table
from flukeprint.twins import glance_all

PAIRS_SHOWN = 18
LISTED = 200  # rows of a list on the page; explore.json has them all


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos that show one picture under different labels, to look at side by side."""

    photos: tuple[str, str]
    labels: tuple[str, str]
    kind: str


def explore(data: Path, out: Path, *, progress: Progress = no_progress) -> Exploration:
    """Read a collection, count what is in it and write what was found into ``out``.

    Writes ``explore.json`` (everything), ``explore.html`` (one self-contained page) and
    ``whales.png``, ``sizes.png``, ``colour.png``, ``twins.png``, ``photos.png``. A photo
    that cannot be read is listed and does not stop it.

    Raises:
        FlukeprintError: the collection is not one (see ``tables.read_table``), or ``out`` lies in
            it, holds one of its photos or cannot be written.
    """
    table = read_table(data)
    paths = photo_paths(table)
    check_outside(out, data, paths)
    make_folder(out)
    found = tally(table, glance_all(paths, progress("reading", len(paths))))
    write(found, table, out)
    return found


def to_json(found: Exploration) -> str:
    """Everything found, as ASCII JSON in the order of the fields; names survive unchanged."""
    return json.dumps(asdict(found), indent=1, default=str) + "\n"


def write(found: Exploration, table: Table, out: Path) -> None:
    """Write the JSON, the pictures and the page. See :func:`explore`."""
    paths = {row.name: row.path for row in table.rows}
    unreadable = {failure.path for failure in found.unreadable}
    shown = disagreeing(found.twins, PAIRS_SHOWN)
    pictures = all_plots(found)
    pictures["photos.png"] = sample_sheet(
        [path for path in photo_paths(table) if path not in unreadable]
    )
    sides = [_captioned(pair, paths) for pair in shown]
    pictures["twins.png"], bare = twin_pictures(sides)
    write_text(out / "explore.json", to_json(found))
    for name, png in pictures.items():
        write_bytes(out / name, png)
    page = pages.render(
        "explore.html",
        found=found,
        pictures={name.removesuffix(".png"): png for name, png in pictures.items()},
        pairs=list(zip(shown, bare, strict=True)),
        listed=LISTED,
    )
    write_text(out / "explore.html", page)


def disagreeing(twins: Twins, most: int) -> list[Pair]:
    """Pairs with different labels worth a look: identical files with two named whales first, then
    near twins, then identical files of a named whale and ``new_whale``."""
    named = (_identical_pair(same) for same in twins.identical if same.named > 1)
    near = (_near_pair(pair) for pair in twins.near if not pair.agree)
    new = (
        _identical_pair(same)
        for same in twins.identical
        if same.named <= 1 and len(same.all_labels) > 1
    )
    chosen = list(islice(named, most))
    for others, share in ((near, most - 3), (new, most)):
        chosen += islice(others, max(0, share - len(chosen)))
    return chosen


def _identical_pair(same: Identical) -> Pair:
    """Its two photos that disagree most: two named whales rather than one and ``new_whale``."""
    several = [i for i, found in enumerate(same.labels) if found != (NEW_WHALE,)]
    order = several + [i for i in range(len(same.photos)) if i not in several]
    left = order[0]
    right = next((i for i in order if same.labels[i] != same.labels[left]), order[1])
    photos = (same.photos[left], same.photos[right])
    return Pair(photos, _joined((same.labels[left], same.labels[right])), "the same file")


def _near_pair(pair: Near) -> Pair:
    return Pair(pair.photos, _joined(pair.labels), "near twins")


def _joined(labels: tuple[tuple[str, ...], tuple[str, ...]]) -> tuple[str, str]:
    return " / ".join(labels[0]), " / ".join(labels[1])


def _captioned(pair: Pair, paths: dict[str, Path]) -> tuple[Side, Side]:
    left, right = zip(pair.photos, pair.labels, strict=True)
    return (paths[left[0]], *left), (paths[right[0]], *right)
