"""The bench's table: Markdown to read, CSV to compute with, a plot to look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flukeprint.cells import Cell, csv_text
from flukeprint.outputs import interval_text
from flukeprint.plotting import CORAL, INK, PAPER, QUIET, RULE, SEA, png_of
from flukeprint.records import Interval
from flukeprint.training.bench.rows import Row, Scored
from flukeprint.wording import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEW_WHALE_FIRST = "new_whale first"  # the row of no learning that the plot draws as a line
NOT_MEASURED = "not measured here"
DPI = 150
_DASHES = (0, (4, 3))

_PAPER_HEAD = ("system", "paper", "published", "MAP@5", "top-1", "top-5", "macro F1", "top three")
_OPEN_HEAD = (
    "system", "MAP@5", "more than new_whale alone", "more than stanford-cnn", "top-1", "top-5",
    "macro F1", "AUROC", "top three", "parameters", "epochs", "seconds an epoch",
)  # fmt: skip
_LEGEND = (
    "Shares from 0 to 1 with 95 % intervals, whales resampled. Top-1 and top-5: the true whale "
    "among the first whales named, new_whale aside, over queries of known whales. Macro F1: of "
    "the first answer. Top three: the share of queries whose five answers hold any of the three "
    "whales answered most often. More than: the difference in MAP@5 on the same queries. Seconds "
    "an epoch: the median."
)
_PAPER_LEGEND = (
    "Twins lie on both sides here, as in the papers, so that copying labels scores. Labels are "
    "true as written: a whale that the photos to learn from lack is a miss. UCSD and no learning: "
    "new_whale is a label like others, and among the queries. Stanford: new_whale is among "
    "neither, and always the first of five answers, so that MAP@5 cannot pass 0.5; their dev "
    "accuracy compares with top-1. Macro F1: of the first whale named, over named whales. Of the "
    "80 %, 6 % validate, for early stopping. The published Kaggle figures are on other photos, a "
    "third of them of new whales."
)
_INTERVALS = (
    "map5", "top1", "top5", "auroc_known", "gain_over_new_whale", "gain_over_stanford_cnn",
)  # fmt: skip


def markdown(rows: Sequence[Row]) -> str:
    """Two tables, the papers' protocol and the open-set split, then what rows have to note."""
    parts = [
        "### The papers' protocol: photos at random, 80 % to learn from, 20 % to ask about\n\n",
        _table(_PAPER_HEAD, [_paper_cells(row) for row in rows if not row.partial]),
        f"\n{_PAPER_LEGEND}\n",
        "\n### Open-set, no twins on both sides\n\n",
        _table(_OPEN_HEAD, [_open_cells(row) for row in rows if _is_open(row)]),
        f"\n{_LEGEND}\n",
    ]
    notes = [f"- {_cell(row.name)}: {one_line(row.note, 1_000)}\n" for row in rows if row.note]
    return "".join([*parts, *(["\n", *notes] if notes else [])])


def _is_open(row: Row) -> bool:
    """Whether a row belongs on the open-set split: some are for the papers' protocol only."""
    return row.open_set is not None or row.paper_protocol is None


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(head)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, rule, *rows))


def _paper_cells(row: Row) -> list[str]:
    source = ", ".join(_cell(part) for part in (row.paper, row.section) if part)
    given = [_cell(row.name), source or "-", _cell(row.published) or "-"]
    scored = row.paper_protocol
    if scored is None:
        return [*given, _missing(row), *["-"] * 4]
    return [*given, *_scores(scored), f"{scored.collapse:.3f}"]


def _open_cells(row: Row) -> list[str]:
    name, scored = _cell(row.name), row.open_set
    size = "-" if row.parameters is None else millions(row.parameters)
    seconds = "-" if row.seconds_per_epoch is None else f"{row.seconds_per_epoch:.3g}"
    cost = [size, epochs_text(row), seconds]
    if scored is None:
        return [name, _missing(row), *["-"] * 7, *cost]
    map5, *others = _scores(scored)
    gains = (scored.gain_over_new_whale, scored.gain_over_stanford_cnn)
    more = [interval_text(gain, "+") for gain in gains]
    known = interval_text(scored.auroc_known)
    return [name, map5, *more, *others, known, f"{scored.collapse:.3f}", *cost]


def _missing(row: Row) -> str:
    """For MAP@5 that is not there: some rows are for one protocol only."""
    return NOT_MEASURED if row.paper_protocol is None and row.open_set is None else "-"


def _scores(scored: Scored) -> list[str]:
    shown = [interval_text(part) for part in (scored.map5, scored.top1, scored.top5)]
    return [
        *shown,
        f"{scored.f1_macro.value:.3f}",
    ]  # a bootstrap's classes differ from draw to draw


def millions(parameters: int) -> str:
    """Such as ``87.8 M``."""
    return f"{parameters / 1e6:,.{1 if parameters >= 10_000_000 else 2}f} M"


def epochs_text(row: Row) -> str:
    """Such as ``12 of 50`` where fewer were trained than the recipe has."""
    if row.epochs is None:
        return "-"
    whole = row.recipe_epochs is None or row.recipe_epochs == row.epochs
    return f"{row.epochs}" if whole else f"{row.epochs} of {row.recipe_epochs}"


def _cell(text: str) -> str:
    return one_line(text, 300).replace("|", "\\|")


def table_csv(rows: Sequence[Row]) -> str:
    """One line a row; shares from 0 to 1, empty where nothing was measured."""
    lines = [list(_record(row).values()) for row in rows]
    return csv_text(list(_record(_NOTHING)), lines)[0]


def _record(row: Row) -> dict[str, Cell]:
    return {
        "system": row.name,
        "paper": row.paper,
        "section": row.section,
        "published": row.published,
        "published_kaggle_map5": row.published_map5,
        "parameters": row.parameters,
        "epochs": row.epochs,
        "recipe_epochs": row.recipe_epochs,
        "seconds_per_epoch": row.seconds_per_epoch,
        **_numbers("paper_protocol", row.paper_protocol),
        **_numbers("open_set", row.open_set),
        "note": row.note,
    }


def _numbers(protocol: str, scored: Scored | None) -> dict[str, Cell]:
    numbers: dict[str, Cell] = {
        f"{protocol}_queries": None if scored is None else scored.queries,
        f"{protocol}_f1_macro": None if scored is None else round(scored.f1_macro.value, 6),
        f"{protocol}_top_three_share": None if scored is None else scored.collapse,
    }
    for name in _INTERVALS:
        interval: Interval | None = getattr(scored, name, None)
        for part, ending in (("value", ""), ("low", "_low"), ("high", "_high")):
            number = getattr(interval, part, math.nan)
            numbers[f"{protocol}_{name}{ending}"] = None if math.isnan(number) else round(number, 6)
    return numbers


_NOTHING = Row("", "", "", "", None, None, None, None, None, None)


def draw(rows: Sequence[Row]) -> bytes:
    """PNG: each system's open-set MAP@5 with its interval, and its paper's figure from Kaggle.

    Rows that are for the papers' protocol only, or of half of the whales, are left out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in rows if not row.partial and _is_open(row)]
    size = (8.2, 1.5 + 0.36 * max(len(rows), 3))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        _draw_row(axes, place, row)
    bar = next((r.open_set for r in rows if r.name == NEW_WHALE_FIRST and r.open_set), None)
    if bar is not None:
        axes.axvline(bar.map5.value, color=INK, linewidth=1, linestyle=_DASHES, zorder=1)
    _key(axes, line=bar is not None)
    axes.set_yticks(range(len(rows)), [one_line(row.name, 40) for row in rows])
    axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)  # the first row on top
    axes.set_xlim(0, _most(rows))
    axes.set_xlabel("MAP@5")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.tick_params(axis="y", length=0, pad=9, labelcolor=INK, labelsize=9.5)
    axes.tick_params(axis="x", color=RULE, labelcolor=QUIET, labelsize=9)
    axes.xaxis.label.set_color(QUIET)
    axes.grid(visible=True, axis="x", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    return png_of(figure)


def _draw_row(axes: Axes, place: int, row: Row) -> None:
    if row.published_map5 is not None:
        axes.plot(row.published_map5, place, marker="D", markersize=6, markerfacecolor=PAPER,
                  markeredgecolor=CORAL, markeredgewidth=1.4, zorder=2, clip_on=False)  # fmt: skip
    if row.open_set is None:
        right = (row.published_map5 or 0.0) + 0.015
        axes.text(right, place, NOT_MEASURED, color=QUIET, fontsize=8.5, va="center")
        return
    map5 = row.open_set.map5
    axes.plot([map5.low, map5.high], [place, place], color=SEA, linewidth=2.2, zorder=3)
    axes.plot(map5.value, place, marker="o", markersize=6.5, color=SEA, zorder=4)
    axes.text(1.01, place, f"{map5.value:.3f}", transform=axes.get_yaxis_transform(), ha="left",
              va="center", fontsize=9, color=INK)  # fmt: skip


def _key(axes: Axes, *, line: bool) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], color=SEA, marker="o", linewidth=2.2, label="here, open-set, with 95 %"),
        Line2D([], [], linestyle="", marker="D", markerfacecolor=PAPER, markeredgecolor=CORAL,
               markeredgewidth=1.4, label="the paper's, Kaggle's photos"),
    ]  # fmt: skip
    if line:
        marks.append(
            Line2D([], [], color=INK, linewidth=1, linestyle=_DASHES, label="new_whale alone")
        )
    axes.legend(handles=marks, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=len(marks),
                frameon=False, fontsize=9, labelcolor=INK)  # fmt: skip


def _most(rows: Sequence[Row]) -> float:
    """The axis's end: room for every interval, figure and the number beside it."""
    ends = [row.open_set.map5.high for row in rows if row.open_set]
    ends += [row.published_map5 for row in rows if row.published_map5 is not None]
    return min(1.1, max([*ends, 0.2]) * 1.05)
