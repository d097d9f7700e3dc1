"""Why answers were given: a right one, a wrong one and a new whale, as a sheet to look at.

    python benchmarks/why.py [DATA] --out FILE.png [--model MODEL]

Of all queries the most confident answer of each kind: a whale named rightly, a whale named wrongly
(a catalogued one taken for another, if there is any), a new whale taken for new. Each is shown with
its box, as the model sees it, and beside the most alike photos of the likeliest whale; the wrong
one beside those of the true whale, too. Colour shows what their likeness hangs on. DATA is a
labelled collection, asked about by the model's own split; then the sheet shows the photos
themselves, so keep it out of the repository. Without DATA all whales are drawn.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ending import plain_errors
from flukeprint.cache import Cache, default_folder
from flukeprint.collection import Collection, read_collection
from flukeprint.console_progress import progress_bar
from flukeprint.crops import evened
from flukeprint.drawn.catalogue import write_catalogue
from flukeprint.errors import FlukeprintError
from flukeprint.evaluate import evaluate_split, gallery_of, likeliest_whale
from flukeprint.files import write_bytes
from flukeprint.look import look_at
from flukeprint.model import MEASURED, load_model
from flukeprint.network import Network
from flukeprint.outputs import share
from flukeprint.photos import decode_rgb, read_photo
from flukeprint.plotting import CORAL, INK, PAPER, QUIET, SEA, png_of
from flukeprint.progress import Progress
from flukeprint.rank import best_photos
from flukeprint.records import NEW_WHALE, Failure, Fluke, Split, Table
from flukeprint.scoring import embed_collection, own_split
from flukeprint.splits import check_leaks
from flukeprint.tables import fingerprint, read_table
from flukeprint.why import occlusion_map
from flukeprint.wording import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWN = {"whales": 150, "photos": 3, "strangers": 40, "queries": 2, "seed": 2019}
PHOTOS = 3
COLUMNS = PHOTOS + 3
WIDTH_IN, LINE_IN, LEGEND_IN, DPI = 9.6, 1.15, 0.35, 110
DEEPEST = 0.75  # the colour's share where most likeness is lost
KINDS = {"right": "right", "wrong": "wrong", "new": "new, and named so"}
GROUND = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 1.5}  # behind words

Pixels = NDArray[np.uint8]
Row = dict[str, Any]
"""One query as :func:`flukeprint.evaluate.query_rows` tells of it."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A whale that a query is compared with: its name and its most alike photos, best first."""

    whale: str
    photos: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """An answer to show, what kind it is, and the whales to show beside it."""

    kind: str
    row: Row
    whales: tuple[Beside, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """A photo's colours as it is, its fluke, and the crop that the model sees."""

    photo: Pixels
    fluke: Fluke
    cut: Pixels


def main() -> None:
    """Parse, ask, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, required=True, help="the PNG to write")
    parser.add_argument("--model", type=Path, default=Path(MEASURED))
    asked = parser.parse_args()
    with plain_errors(parser):
        network = Network(load_model(asked.model))
        with progress_bar() as progress, tempfile.TemporaryDirectory() as scratch:
            if asked.data:
                collection = read_collection(asked.data, progress)
                split = own_split(network.model, collection)
                check_leaks(split, collection.table, collection.twin_group)
                cache = Cache(default_folder(), network.model.id)
            else:
                collection, split = drawn(Path(scratch), progress)
                cache = Cache(None, network.model.id)
            examples = chosen(network, collection, split, cache, progress)
            write_bytes(asked.out, sheet(network, collection.table, examples, progress))


def drawn(folder: Path, progress: Progress) -> tuple[Collection, Split]:
    """A drawn catalogue as the demo's, larger so that mistakes are made, and its queries."""
    size = DRAWN["whales"] * (DRAWN["photos"] + DRAWN["queries"]) + DRAWN["strangers"]
    made = write_catalogue(folder, **DRAWN, progress=progress("drawing", size))
    gallery, queries = read_table(made.gallery).rows, read_table(folder / "answers.csv").rows
    table = Table(folder, gallery + queries)
    names = [row.name for row in table.rows]
    no_twins = {name: number for number, name in enumerate(names)}
    split = Split(
        "drawn",
        DRAWN["seed"],
        fingerprint(table),
        (),
        tuple(row.name for row in gallery),
        tuple(row.name for row in queries),
    )
    return Collection(table, no_twins, {}, ()), split


def chosen(
    network: Network, collection: Collection, split: Split, cache: Cache, progress: Progress
) -> list[Example]:
    """The most confident answer of each kind that there is.

    Raises:
        FlukeprintError: the model compares with no photo, the photos cannot be used, or there is
            no answer of any kind.
    """
    model = network.model
    if model.manifest.kind != "embedding":
        raise FlukeprintError("a softmax model compares with no photo; name one of embeddings")
    embedded = embed_collection(collection, network, cache, progress)
    rows = [  # a photo without a fluke is compared with none
        row
        for row in evaluate_split(model, split, embedded).queries
        if embedded.looks[embedded.row_of[row["photo"]]].fluke.seen
    ]
    index = gallery_of(split, embedded, model.manifest)
    number = {whale: place for place, whale in enumerate(index.individuals)}
    kinds = {
        "right": [r for r in rows if r["answer_1"] == r["truth"] != NEW_WHALE],
        "wrong": [r for r in rows if r["answer_1"] != r["truth"] and r["answer_1"] != NEW_WHALE],
        "new": [r for r in rows if r["answer_1"] == r["truth"] == NEW_WHALE],
    }
    examples = []
    for kind, fits in kinds.items():
        if not fits:
            continue
        # Of wrong answers sooner one whose whale is there, to be shown what was missed.
        row = min(
            fits,
            key=lambda row: (
                kind == "wrong" and row["truth"] == NEW_WHALE,
                -row["probability"],
                row["photo"],
            ),
        )
        vector = embedded.embeddings.vectors[embedded.row_of[row["photo"]]]
        likeliest = likeliest_whale(row)
        whales = dict.fromkeys([likeliest, row["truth"]])
        beside = [
            Beside(whale, best_photos(vector, index, number[whale], PHOTOS))
            for whale in whales
            if whale in number
        ]
        examples.append(Example(kind, row, tuple(beside)))
    if not examples:
        raise FlukeprintError("no query is answered rightly, none named wrongly: nothing to show")
    return examples


def sheet(network: Network, table: Table, examples: Sequence[Example], progress: Progress) -> bytes:
    """The PNG of all examples, a line for each whale beside them, in 256 colours."""
    from matplotlib.figure import Figure

    paths = {row.name: row.path for row in table.rows}
    lines = [(example, place) for example in examples for place in range(len(example.whales))]
    high_in = LINE_IN * len(lines) + LEGEND_IN
    figure = Figure(figsize=(WIDTH_IN, high_in), dpi=DPI, facecolor=PAPER)
    step = progress("explaining", len(lines))
    for number, (example, place) in enumerate(lines):
        names = [example.row["photo"], *example.whales[place].photos]
        seen = [_seen(paths[name], network) for name in names]
        cells = _cells(figure, 1 - LINE_IN * number / high_in, LINE_IN / high_in, len(names) + 2)
        _compare(cells[2:], seen, network)
        if place == 0:
            _introduce(cells, example, seen[0])
        else:
            _say(cells[3], f"it is {example.whales[place].whale}")
        step(1)
    _legend(figure, LEGEND_IN / high_in / 2)
    return _fewer_colours(png_of(figure))


def _seen(path: Path, network: Network) -> Seen:
    """A photo that could be read a moment ago.

    Raises:
        FlukeprintError: it is gone.
    """
    ((_, look, cut),) = look_at([path], network)
    photo = read_photo(path)
    pixels = photo if isinstance(photo, Failure) else decode_rgb(photo)
    if isinstance(look, Failure) or isinstance(pixels, Failure) or cut is None:
        raise FlukeprintError(f"{path}: could be read a moment ago, and cannot any more")
    return Seen(pixels, look.fluke, cut)


def _cells(figure: Figure, top: float, high: float, count: int) -> list[Axes]:
    """A line's places for pictures, from the left, under room for a line of words."""
    wide = 1 / COLUMNS
    cells = [
        figure.add_axes((column * wide + 0.005, top - high * 0.96, wide - 0.01, high * 0.76))
        for column in range(count)
    ]
    for axes in cells:
        axes.set_axis_off()
    return cells


def _introduce(cells: Sequence[Axes], example: Example, query: Seen) -> None:
    """The query as it is and as the model sees it, and what was answered."""
    row, likeliest = example.row, example.whales[0].whale
    _show_photo(cells[0], query)
    _show(cells[1], query.cut)
    not_there = example.kind == "wrong" and row["truth"] == NEW_WHALE
    _say(cells[0], "wrong: a new whale" if not_there else KINDS[example.kind], bold=True)
    _say(cells[1], "as the model sees it")
    _say(cells[2], f"new {share(row['new'])}")
    said = row["answer_1"] == likeliest
    _say(cells[3], f"{likeliest} {share(row['probability'])}" if said else f"not {likeliest}")


def _compare(cells: Sequence[Axes], seen: Sequence[Seen], network: Network) -> None:
    """The query coloured, the photo most like it coloured, the other photos; cosines on each."""
    query, nearest = seen[0].cut, seen[1].cut
    maps = [occlusion_map(network, query, nearest), occlusion_map(network, nearest, query)]
    most = max(float(np.abs(part).max()) for part in maps) or 1.0
    for axes, one, falls in zip(cells, seen, maps, strict=False):
        _show(axes, one.cut, falls / most)
    for axes, one in zip(cells[2:], seen[2:], strict=True):
        _show(axes, one.cut)
    vectors = network.embed([one.cut for one in seen])
    for axes, cosine in zip(cells[1:], (vectors[1:] @ vectors[0]).tolist(), strict=True):
        axes.text(0.97, 0.05, f"{cosine:.2f}", ha="right", va="bottom", fontsize=8, color=INK,
                  transform=axes.transAxes, bbox=GROUND)  # fmt: skip


def _show(axes: Axes, cut: Pixels, falls: NDArray[np.float32] | None = None) -> None:
    """A crop, evened as the network evens it; ``falls`` from -1 to 1 colour it."""
    from matplotlib.colors import to_rgb

    axes.imshow(evened(cut), cmap="gray", vmin=0, vmax=255, aspect="auto")
    if falls is not None:
        colour = np.where((falls > 0)[..., None], to_rgb(CORAL), to_rgb(SEA))
        axes.imshow(np.dstack([colour, DEEPEST * np.abs(falls)]), aspect="auto")


def _show_photo(axes: Axes, seen: Seen) -> None:
    from matplotlib.patches import Rectangle

    height, width = seen.photo.shape[:2]
    x0, y0, x1, y1 = seen.fluke.box.corners
    corner, size = (x0 * width - 0.5, y0 * height - 0.5), ((x1 - x0) * width, (y1 - y0) * height)
    axes.imshow(seen.photo, aspect="auto")
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=CORAL, linewidth=1.5))


def _say(axes: Axes, words: str, *, bold: bool = False) -> None:
    """A line of words above a picture."""
    axes.text(0.0, 1.05, one_line(words, 26), color=INK, fontsize=9, va="bottom",
              parse_math=False, weight="bold" if bold else "normal",
              transform=axes.transAxes)  # fmt: skip


def _legend(figure: Figure, middle: float) -> None:
    for left, colour, words in (
        (0.005, CORAL, "hide this and the two are less alike"),
        (0.33, SEA, "hide this and they are more alike"),
        (0.65, PAPER, "number: likeness to the query (cosine)"),
    ):
        figure.text(left, middle, "■", color=colour, fontsize=11, va="center")
        figure.text(left + 0.02, middle, words, color=QUIET, fontsize=9, va="center")


def _fewer_colours(png: bytes) -> bytes:
    """The picture in a palette, a third of the size."""
    stream = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        few = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(stream, "PNG", optimize=True)
    return stream.getvalue()


if __name__ == "__main__":
    main()
