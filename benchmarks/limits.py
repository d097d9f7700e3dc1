"""What limits identification: photos per whale, pixels, quality; and the worst mistakes to look at.

    python benchmarks/limits.py DATA --out FOLDER [--model MODEL] [--mistakes 50]

Scores a model on its own split of DATA, a labelled collection, by its own calibration, with 95 %
bootstrap intervals over whales. Writes FOLDER/limits.json, limits.md and limits.png, and two sheets
of the most confident mistakes: FOLDER/mistakes.png where another whale was named, missed.png where
a catalogued whale was taken for new. The sheets show the photos themselves: keep FOLDER out of the
repository.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ending import plain_errors
from flukeprint import metrics
from flukeprint.cache import Cache, default_folder
from flukeprint.collection import Collection, read_collection
from flukeprint.console_progress import progress_bar
from flukeprint.crops import evened
from flukeprint.errors import FlukeprintError
from flukeprint.evaluate import EmbeddedTable, evaluate_split, gallery_of, likeliest_whale
from flukeprint.files import check_outside, make_folder, write_bytes, write_text
from flukeprint.forecasts import BANDS
from flukeprint.look import look_at
from flukeprint.model import MEASURED, load_model
from flukeprint.network import Network
from flukeprint.outputs import interval_text, share
from flukeprint.photos import decode, decode_grey, read_photo
from flukeprint.plotting import CORAL, INK, PAPER, QUIET, RULE, SEA, blank_figure, png_of
from flukeprint.progress import Progress
from flukeprint.rank import best_photos
from flukeprint.records import NEW_WHALE, Failure, Interval, LabelledPhoto, Split, whale_apart
from flukeprint.scoring import embed_collection, own_split
from flukeprint.splits import check_leaks
from markdown_table import table_text

PHOTOS = ((1, 1), (2, 2), (3, 3), (4, 5), (6, None))  # of the true whale: from, to
MOST = (1, 2, 3, 5)  # photos kept of each whale
DRAWS = 5  # of the photos kept
SIDES_PX = (48, 64, 80)
WIDE_PX, HIGH_PX = 160, 84  # of a crop on the sheet: a square is not how a fluke looks to a person
GAP_PX, WORDS_PX, DPI = 8, 18, 100

Pixels = NDArray[np.uint8]
Row = dict[str, Any]
"""One query as :func:`flukeprint.evaluate.query_rows` tells of it."""
Line = list[tuple[Pixels | None, str]]
"""Pictures beside one another, grey, with the words below each; the first has the line's number."""


@dataclass(frozen=True, slots=True)
class Part:
    """The scores of some queries, or of all of them under some condition."""

    label: str
    known: int
    new: int
    scores: dict[str, Interval]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: a model, and what it is asked about."""

    network: Network
    collection: Collection
    split: Split

    def rows(self, embedded: EmbeddedTable, split: Split | None = None) -> list[Row]:
        """The answers to the split's queries, or to another's."""
        return evaluate_split(self.network.model, split or self.split, embedded).queries

    def part(self, label: str, rows: Sequence[Row]) -> Part:
        """The scores of these answers; a query may come several times."""
        whales = {r.name: whale_apart(r.individual, r.name) for r in self.collection.table.rows}
        known = sum(row["truth"] != NEW_WHALE for row in rows)
        scores = scores_of(rows, [whales[row["photo"]] for row in rows])
        return Part(label, known, len(rows) - known, scores)


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=Path(MEASURED))
    parser.add_argument("--mistakes", type=int, default=50, help="how many to show")
    asked = parser.parse_args()
    with plain_errors(parser), progress_bar() as progress:
        measure(asked.data, asked.out, asked.model, asked.mistakes, progress)


def measure(data: Path, out: Path, model_path: Path | None, shown: int, progress: Progress) -> None:
    """Everything that limits a model, written to ``out``.

    Raises:
        FlukeprintError: the data or the model cannot be used, it compares with no photo, or ``out``
            lies in the data or cannot be written to.
    """
    check_outside(out, data)
    model = load_model(model_path)
    if model.manifest.kind == "softmax":
        raise FlukeprintError("a softmax model compares with no photo; name one of embeddings")
    make_folder(out)
    collection = read_collection(data, progress)
    split = own_split(model, collection)
    check_leaks(split, collection.table, collection.twin_group)
    subject = Subject(Network(model), collection, split)
    embedded = embed_collection(
        collection, subject.network, Cache(default_folder(), model.id), progress
    )
    rows = subject.rows(embedded)
    if len(rows) < BANDS:
        raise FlukeprintError(
            f"{data}: {len(rows)} queries do not divide into {BANDS} bands of quality"
        )
    wrong = [row for row in rows if row["answer_1"] != row["truth"]]
    for name, kind in (
        ("mistakes.png", [row for row in wrong if row["answer_1"] != NEW_WHALE]),
        ("missed.png", [row for row in wrong if row["answer_1"] == NEW_WHALE]),
    ):
        worst = sorted(kind, key=lambda row: (-row["probability"], row["photo"]))[: max(shown, 0)]
        if worst:
            write_bytes(out / name, mistakes_sheet(subject, embedded, worst, progress))
    groups = {
        "photos of the true whale in the gallery": by_photos(subject, rows),
        "photos kept of each whale": by_kept(subject, embedded, rows, progress),
        "photos squashed to": by_side(subject, rows, progress),
        "quality of the query": by_quality(subject, rows),
    }
    body = {
        "model": model.id,
        "groups": {title: [_for_json(part) for part in parts] for title, parts in groups.items()},
    }
    write_text(out / "limits.json", json.dumps(body, indent=1) + "\n")
    write_text(out / "limits.md", tables(groups))
    write_bytes(out / "limits.png", plot(groups))


def scores_of(rows: Sequence[Row], whales: Sequence[str]) -> dict[str, Interval]:
    """MAP@5 and the top-1 of known whales, as ``flukeprint evaluate`` counts both."""
    places = np.array([row["place"] for row in rows], dtype=np.int64)
    known = np.array([row["truth"] != NEW_WHALE for row in rows], dtype=np.float64)
    first = np.array([likeliest_whale(row) == row["truth"] for row in rows], dtype=np.float64)
    return metrics.bootstrap(
        lambda weights: {
            "map5": metrics.weighted_mean(metrics.reciprocal(places), weights),
            "top1_known": metrics.weighted_mean(first, weights * known),
        },
        whales,
    )


def by_photos(subject: Subject, rows: Sequence[Row]) -> list[Part]:
    """Known whales apart by how many photos the gallery has of them, twins counted once."""
    sets = photo_sets(subject.collection, subject.split)
    parts = []
    for low, high in PHOTOS:
        fits = [r for r in rows if low <= len(sets.get(r["truth"], ())) <= (high or math.inf)]
        if fits:
            label = f"{low} or more" if high is None else f"{low}" + f" or {high}" * (high > low)
            parts.append(subject.part(label, fits))
    return parts


def photo_sets(collection: Collection, split: Split) -> dict[str, dict[int, str]]:
    """Each whale's sets of twins in the gallery, each with the name of its first photo."""
    sets: dict[str, dict[int, str]] = defaultdict(dict)
    for row in gallery_rows(collection, split):
        group = collection.twin_group[row.name]
        sets[row.individual][group] = min(row.name, sets[row.individual].get(group, row.name))
    return sets


def gallery_rows(collection: Collection, split: Split) -> list[LabelledPhoto]:
    """The readable photos of named whales in the gallery."""
    side = set(split.gallery).intersection(collection.twin_group)
    return [r for r in collection.table.rows if r.name in side and r.individual != NEW_WHALE]


def by_kept(
    subject: Subject, embedded: EmbeddedTable, rows: Sequence[Row], progress: Progress
) -> list[Part]:
    """The gallery with fewer photos of each whale, drawn several times; the network stays as is."""
    step = progress("smaller galleries", len(MOST) * DRAWS)
    parts = []
    for most in MOST:
        asked = []
        for draw in range(DRAWS):
            asked += subject.rows(embedded, cut_down(subject, most, draw))
            step(1)
        part = subject.part(f"{most}", asked)
        parts.append(replace(part, known=part.known // DRAWS, new=part.new // DRAWS))
    return [*parts, subject.part("all", rows)]


def cut_down(subject: Subject, most: int, draw: int) -> Split:
    """The split with at most so many photos of each whale in its gallery; twins count once."""

    def lot(name: str) -> bytes:
        return hashlib.sha256(f"{draw}\0kept\0{name}".encode(errors="surrogatepass")).digest()

    sets = photo_sets(subject.collection, subject.split)
    kept = {
        (whale, group)
        for whale, groups in sets.items()
        for group in sorted(groups, key=lambda group: lot(groups[group]))[:most]
    }
    rows = gallery_rows(subject.collection, subject.split)
    dropped = {r.name for r in rows} - {
        r.name for r in rows if (r.individual, subject.collection.twin_group[r.name]) in kept
    }
    gallery = tuple(name for name in subject.split.gallery if name not in dropped)
    return replace(subject.split, gallery=gallery)


def by_side(subject: Subject, rows: Sequence[Row], progress: Progress) -> list[Part]:
    """Queries and gallery with fewer pixels, through the same networks."""
    parts = []
    for side_px in SIDES_PX:
        with tempfile.TemporaryDirectory() as folder:
            squashed = squashed_collection(subject, side_px, Path(folder), progress)
            nothing_kept = Cache(None, subject.network.model.id)
            embedded = embed_collection(squashed, subject.network, nothing_kept, progress)
        parts.append(subject.part(f"{side_px} x {side_px} pixels", subject.rows(embedded)))
    return [*parts, subject.part("as they are", rows)]


def squashed_collection(
    subject: Subject, side_px: int, folder: Path, progress: Progress
) -> Collection:
    """The collection with its photos squashed to squares, as lossless files in ``folder``."""
    collection, channels = subject.collection, subject.network.model.manifest.channels
    paths = {row.name: row.path for row in collection.table.rows}
    step = progress(f"{side_px} pixels", len(paths))
    places = {}
    for number, (name, path) in enumerate(paths.items()):
        places[name] = folder / f"{number}.png"
        photo = read_photo(path)
        pixels = photo if isinstance(photo, Failure) else decode(photo, channels)
        if not isinstance(pixels, Failure):
            small = Image.fromarray(pixels).resize((side_px, side_px), Image.Resampling.LANCZOS)
            small.save(places[name])
        step(1)
    rows = tuple(replace(row, path=places[row.name]) for row in collection.table.rows)
    return replace(collection, table=replace(collection.table, rows=rows))


def by_quality(subject: Subject, rows: Sequence[Row]) -> list[Part]:
    """The queries in thirds by the quality of their photos, worst first."""
    ranked = np.argsort([row["quality"] for row in rows], kind="stable")
    parts = []
    for third in np.array_split(ranked, BANDS):
        ends = [rows[third[end]]["quality"] for end in (0, -1)]
        label = f"{ends[0]:.2f} to {ends[1]:.2f}"
        parts.append(subject.part(label, [rows[place] for place in third]))
    return parts


def tables(groups: dict[str, list[Part]]) -> str:
    """A Markdown table for each group."""
    return "\n".join(
        table_text(
            [
                {
                    title: part.label,
                    "known": str(part.known),
                    "new": str(part.new),
                    "MAP@5": interval_text(part.scores["map5"]),
                    "top-1, known whales": interval_text(part.scores["top1_known"]),
                }
                for part in parts
            ]
        )
        for title, parts in groups.items()
    )


def plot(groups: dict[str, list[Part]]) -> bytes:
    """All groups below one another: a line a part, its scores with their intervals."""
    lines = sum(len(parts) + 1.6 for parts in groups.values())
    figure, axes = blank_figure(0.5 + 0.23 * lines)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color=RULE, linewidth=0.6)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    kinds = (("map5", "MAP@5", SEA, -0.13), ("top1_known", "top-1, known whales", CORAL, 0.13))
    ticks, labels, down = [], [], 0.0
    for title, parts in groups.items():
        axes.text(0.0, down, title, color=INK, weight="bold", fontsize=9.5, va="center")
        down += 1.0
        for part in parts:
            ticks.append(down)
            labels.append(part.label)
            for key, name, colour, apart in kinds:
                found = part.scores[key]
                axes.plot([found.low, found.high], [down + apart] * 2, color=colour, alpha=0.45)
                axes.plot(found.value, down + apart, "o", color=colour, markersize=4.5,
                          label=None if len(ticks) > 1 else name)  # fmt: skip
            down += 1.0
        down += 0.6
    axes.set_yticks(ticks, labels)
    axes.set(xlim=(0, 1), ylim=(down - 0.6, -0.7))
    axes.legend(frameon=False, fontsize=9, labelcolor=QUIET, loc="upper right")
    return png_of(figure)


def mistakes_sheet(
    subject: Subject, embedded: EmbeddedTable, worst: Sequence[Row], progress: Progress
) -> bytes:
    """Wrong first answers as the PNG of a sheet.

    For each the query whole and as the model sees it, the photo most like it of the likeliest
    whale, and of the true whale where the gallery has it.
    """
    index = gallery_of(subject.split, embedded, subject.network.model.manifest)
    number = {whale: place for place, whale in enumerate(index.individuals)}
    own = {row.name: row.individual for row in subject.collection.table.rows}
    paths = {row.name: row.path for row in subject.collection.table.rows}
    step = progress("mistakes", len(worst))
    lines: list[Line] = []
    for row in worst:
        vector = embedded.embeddings.vectors[embedded.row_of[row["photo"]]]
        said, truth = likeliest_whale(row), own[row["photo"]]
        shown = [(row["photo"], f"{row['photo'][:14]}  new {share(row['new'])}")]
        for whale in (said, truth):
            photo = best_photos(vector, index, number[whale], 1)[0] if whale in number else None
            shown.append((photo, whale if photo else f"{whale}: not there"))
        if row["answer_1"] == said:
            shown[1] = (shown[1][0], f"{said} {share(row['probability'])}")
        pictures = [(_whole(paths[row["photo"]]), "")]
        pictures += [(_cut(paths[name], subject.network) if name else None, w) for name, w in shown]
        lines.append(pictures)
        step(1)
    return _sheet(lines)


def _cut(path: Path, network: Network) -> Pixels | None:
    ((_, _, cut),) = look_at([path], network)
    return None if cut is None else evened(cut)


def _whole(path: Path) -> Pixels | None:
    photo = read_photo(path)
    pixels = photo if isinstance(photo, Failure) else decode_grey(photo)
    return None if isinstance(pixels, Failure) else pixels


def _sheet(lines: Sequence[Line]) -> bytes:
    """Two lines of pictures beside one another, numbered."""
    from matplotlib.figure import Figure

    wide, high = 4 * (WIDE_PX + GAP_PX) + 3 * GAP_PX, HIGH_PX + WORDS_PX + GAP_PX
    across, down = 2 * wide, -(-len(lines) // 2) * high + GAP_PX
    figure = Figure(figsize=(across / DPI, down / DPI), dpi=DPI, facecolor=PAPER)
    for place, line in enumerate(lines):
        bottom = down - GAP_PX - place // 2 * high - HIGH_PX - WORDS_PX
        for column, (picture, words) in enumerate(line):
            left = place % 2 * wide + column * (WIDE_PX + GAP_PX)
            figure.text(left / across, (bottom + 4) / down, words or f"{place + 1}", fontsize=7.5,
                        color=INK if words else QUIET, parse_math=False)  # fmt: skip
            if picture is not None:
                corner = left / across, (bottom + WORDS_PX) / down
                axes = figure.add_axes((*corner, WIDE_PX / across, HIGH_PX / down))
                axes.set_axis_off()
                axes.imshow(picture, cmap="gray", vmin=0, vmax=255, aspect="auto")
    return png_of(figure)


def _for_json(part: Part) -> dict[str, Any]:
    """A part without its nan, which JSON has not."""
    made = asdict(part)
    for found in made["scores"].values():
        found.update({end: None for end, value in found.items() if math.isnan(value)})
    return made


if __name__ == "__main__":
    main()
