"""What a person sees in the terminal: results on stdout, bars on stderr, no trust in any name.

Colour and cutting to the window's width are for terminals only: in a pipe every row is whole,
plain and on one line. This module imports rich; the command line imports it inside its commands.
"""

from __future__ import annotations

import math
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from flukeprint.outputs import likeliest, remarks, share, verdict
from flukeprint.records import NEW_WHALE, Failure, Identification, Interval, Look
from flukeprint.wording import one_line, plural

if TYPE_CHECKING:
    from flukeprint.demo import DemoResult
    from flukeprint.evaluate import Report

WHOLE = 4_096  # characters of a name in a pipe
NAME_CELLS, PHOTO_CELLS, PADDED_CELLS = 20, 28, 60
PAIRS_SHOWN = 5
METRICS = {
    "map5": "MAP@5",
    "top1_known": "top-1",
    "top5_known": "top-5",
    "auroc_known": "AUROC",
    "calibration_error": "ECE",
    "f1_macro": "macro F1",
}
NOT_NARROW = "calibration_error"  # left out of a window of 80 columns, which holds five

Cells = list[str]


def answers_table(answers: Sequence[Identification], top: int) -> None:
    """Print a row per photo with its likeliest ``top`` whales, then failures, then a summary."""
    console = _stdout()
    read = [answer for answer in answers if answer.failure is None]
    matched = [answer for answer in read if not answer.no_fluke]
    if matched:
        _print_rows(console, matched, top)
    for answer in read:
        if answer.no_fluke:
            _put(console, Text(f"{_photo(console, answer.photo)}: no fluke seen", style="yellow"))
    for answer in answers:
        if answer.failure is not None:
            text = f"{_photo(console, answer.photo)}: {one_line(answer.failure, 200)}"
            _put(console, Text(text, style="red"))
    verdicts = Counter(verdict(answer) for answer in read)
    counts = [(verdicts["known"], "likely known"), (verdicts["new"], "likely new")]
    counts += [(verdicts[what], what) for what in ("undecided", "no fluke") if verdicts[what]]
    counts += [(len(answers) - len(read), "could not be read")] if len(read) < len(answers) else []
    counts_text = ", ".join(f"{count:,} {what}" for count, what in counts)
    _put(console, Text(f"{plural(len(answers), 'photo')}: {counts_text}", style="bold"))


def places_shown(answers: Sequence[Identification], top: int) -> int:
    """How many places of the ranking :func:`answers_table` shows: what the window has room for."""
    matched = [answer for answer in answers if answer.failure is None and not answer.no_fluke]
    return len(_laid_out(_stdout(), matched, top).whales) if matched else top


def _print_rows(console: Console, answers: Sequence[Identification], top: int) -> None:
    """Photo, quality, new, the places of the ranking that the window has room for, and remarks."""
    photos, shares, shown, places = _laid_out(console, answers, top)
    cut = f", first {len(shown)} of {places}" if len(shown) < places else ""
    _put(console, Text(f"{photos[0]}  {shares[0]}  likeliest whales{cut}", style="dim"))
    for row, answer in enumerate(answers):
        new = likeliest(answer)[0] == NEW_WHALE
        line = Text(f"{photos[row + 1]}  ").append(shares[row + 1], "bold yellow" if new else "")
        for k, column in enumerate(shown):
            line.append(f"  {column[row]}", "bold" if k == 0 and not new else "")
        notes = "; ".join(remarks(answer.look)) if answer.look else ""
        if notes and not console.is_terminal:
            line.append(f"  ({notes})")
        _put(console, line)
        if notes and console.is_terminal:
            _put(console, Text(f"  {notes}", style="dim"))


class _Layout(NamedTuple):
    """Columns of text: ``whales`` those of the ``places`` that the window has room for.

    ``photos`` have each photo's quality beside its name.
    """

    photos: Cells
    shares: Cells
    whales: list[Cells]
    places: int


def _laid_out(console: Console, answers: Sequence[Identification], top: int) -> _Layout:
    photos = _column(["photo", *(_photo(console, answer.photo) for answer in answers)])
    looks = [answer.look for answer in answers]
    if any(looks):
        qualities = ["quality", *(f"{look.quality.value:.2f}" if look else "" for look in looks)]
        pairs = zip(photos, _column(qualities, right=True), strict=True)
        photos = [f"{name}  {quality}" for name, quality in pairs]
    shares = _column(["new", *(share(answer.new or 0.0) for answer in answers)], right=True)
    named = [[c.individual for c in answer.candidates[:top]] for answer in answers]
    columns = _whale_columns(answers, named, NAME_CELLS if console.is_terminal else WHOLE)
    if any(answer.to_review is not None for answer in answers):
        reviews = ["look at", *(f"{answer.to_review or 0:,}" for answer in answers)]
        pairs = zip(shares, _column(reviews, right=True), strict=True)
        shares = [f"{part}  {count}" for part, count in pairs]
    room = console.width - cell_len(photos[0]) - 2 - len(shares[0])
    shown = [c for k, c in enumerate(columns) if k == 0 or _fits(console, columns[: k + 1], room)]
    return _Layout(photos, shares, shown, len(columns))


def _whale_columns(
    answers: Sequence[Identification], named: Sequence[Cells], most: int
) -> list[Cells]:
    """For each place of the ranking, the whale and its probability in every row."""
    columns = []
    for k, names in enumerate(zip_longest(*named, fillvalue="")):
        shares = [
            share(answer.candidates[k].probability) if k < len(row) else ""
            for answer, row in zip(answers, named, strict=True)
        ]
        cut = _column([one_line(name, most) for name in names])
        pairs = zip(cut, _column(shares, right=True), strict=True)
        columns.append([f"{name} {probability}" for name, probability in pairs])
    return columns


def _fits(console: Console, columns: Sequence[Cells], room: int) -> bool:
    return not console.is_terminal or sum(2 + cell_len(column[0]) for column in columns) <= room


def look_row(photo: str, seen: Look | Failure) -> None:
    """Print what was seen in one photo."""
    console = _stdout()
    name = _photo(console, photo)
    if isinstance(seen, Failure):
        _put(console, Text(f"{name}: {one_line(seen.reason, 200)}", style="red"))
        return
    fluke, quality = seen.fluke, seen.quality
    notes = "; ".join(remarks(seen))
    if fluke.seen:
        size = f"{quality.width_px:.0f} x {quality.height_px:.0f} pixels"
        line = f"fluke {share(fluke.probability)}, {size}, quality {quality.value:.2f}"
        _put(console, Text(f"{name}  {line}{'; ' if notes else ''}{notes}"))
    else:
        _put(console, Text(f"{name}  {notes} (fluke {share(fluke.probability)})", style="yellow"))


def metrics_table(reports: Sequence[Report]) -> None:
    """Print a block per split: a row per system, the counts, the whales most often confused."""
    console = _stdout()
    for place, block in enumerate(_blocks(reports)):
        if place:
            _put(console, Text())
        first = block[0]
        _put(console, Text(one_line(first.protocol), style="bold"))
        for row, line in enumerate(_metric_lines(console, block)):
            _put(console, Text(line, style="" if row else "dim"))
        queries = first.queries_known + first.queries_new
        for line in (
            f"{queries:,} queries: {first.queries_known:,} of known whales, "
            f"{first.queries_new:,} of new whales",
            f"gallery: {plural(first.gallery_photos, 'photo')} of "
            f"{plural(first.gallery_whales, 'whale')}",
        ):
            _put(console, Text(line))
        pairs = [
            pair for report in block if report.system == "flukeprint" for pair in report.confused
        ]
        if pairs:
            _put(console, Text("flukeprint most often took", style="dim"))
        for true, said, often in pairs[:PAIRS_SHOWN]:
            times = plural(often, "time")
            _put(console, Text(f"  {one_line(true, 28)} for {one_line(said, 28)}  {times}"))


def _blocks(reports: Sequence[Report]) -> list[list[Report]]:
    """Reports of one split together: a system that comes again begins the next fold."""
    blocks: list[list[Report]] = []
    for report in reports:
        here = blocks[-1] if blocks else []
        again = any(report.system == other.system for other in here)
        if not here or again or here[0].protocol != report.protocol:
            blocks.append([])
        blocks[-1].append(report)
    return blocks


def _metric_lines(console: Console, block: Sequence[Report]) -> Cells:
    """The header and a row per system; in a narrow window the intervals go under the values."""
    names = _column(["", *(one_line(report.system, 40) for report in block)])
    whole = len(names[0]) + len(METRICS) * 21
    narrow = console.is_terminal and console.width < whole
    keys = [key for key in METRICS if not (narrow and key == NOT_NARROW)]
    heads = _spread((METRICS[key] for key in keys), 13 if narrow else 21)
    lines = [f"{'' if narrow else names[0]:14}" + heads]
    for name, report in zip(names[1:], block, strict=True):
        scores = [_score(report.metrics.get(key)) for key in keys]
        if narrow:
            first, *rest = textwrap.wrap(name, 14)
            lines.append(f"{first:14}" + _spread((value for value, _ in scores), 13))
            lines.append(f"{' '.join(rest)[:14]:14}" + _spread((span for _, span in scores), 13))
        else:
            spans = (f"{value} ({span})" if span else value for value, span in scores)
            lines.append(name + _spread(spans, 21))
    return lines


def _spread(cells: Iterable[str], width: int) -> str:
    return "".join(f"{cell:>{width}}" for cell in cells)


def _score(interval: Interval | None) -> tuple[str, str]:
    if interval is None or math.isnan(interval.value):
        return "-", ""
    return f"{interval.value:.3f}", f"{interval.low:.3f}-{interval.high:.3f}"


def demo_summary(result: DemoResult) -> None:
    """Print how many of the demo's photos were answered right, a few answers, and where to look."""
    console = _stdout()
    lines = [
        f"{result.known_right} of {result.known} new photos of catalogued whales: named right",
        f"{result.strangers_told} of {result.strangers} photos of strangers: recognised as new",
    ]
    if result.failures:
        lines.append(f"{plural(result.failures, 'photo')} could not be read")
    for line in lines:
        _put(console, Text(line, style="bold"))
    photos = _column([one_line(Path(answer.photo).name, 28) for _, answer in result.examples])
    for photo, (true, answer) in zip(photos, result.examples, strict=True):
        said, probability = likeliest(answer)
        outcome = "right" if said == true else f"wrong: it is {one_line(true, NAME_CELLS)}"
        answer_text = f"{one_line(said, NAME_CELLS)} ({share(probability)})"
        _put(console, Text(f"  {photo}  {answer_text}, {outcome}"))
    _put(console, Text(f"look at them: {one_line(str(result.sheet), WHOLE)}"))


def _column(cells: Cells, *, right: bool = False) -> Cells:
    """Cells padded to one width, as a terminal counts it; a very long one widens only its row."""
    width = max((size for cell in cells if (size := cell_len(cell)) <= PADDED_CELLS), default=0)
    pads = [" " * (width - cell_len(cell)) for cell in cells]
    return [pad + cell if right else cell + pad for cell, pad in zip(cells, pads, strict=True)]


def _photo(console: Console, photo: str) -> str:
    """A photo's name whole in a pipe; in a terminal without its folders where it is long."""
    line = one_line(photo, WHOLE)
    if not console.is_terminal or cell_len(line) <= PHOTO_CELLS:
        return line
    line = one_line(Path(photo).name, PHOTO_CELLS)
    return set_cell_size(line, min(PHOTO_CELLS, cell_len(line)))


def _stdout() -> Console:
    # A pipe stays a pipe, whatever FORCE_COLOR says: a program reads it.
    return Console(highlight=False, force_terminal=sys.stdout.isatty())


def _put(console: Console, line: Text) -> None:
    """Print one line whole; a character that the stream cannot carry becomes "?"."""
    encoding = console.encoding
    line.plain = line.plain.rstrip().encode(encoding, "replace").decode(encoding)
    console.print(line, soft_wrap=True)
