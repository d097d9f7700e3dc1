"""A bench's results, small enough to keep: the table, and each run's scores, answers and curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flukeprint.files import make_folder, write_bytes, write_text
from flukeprint.plotting import CORAL, INK, QUIET, SEA, png_of
from flukeprint.training.bench import table
from flukeprint.training.bench.kept import CONFUSED, QUERIES, SCORES
from flukeprint.training.bench.rows import Row
from flukeprint.training.curves import read_log
from flukeprint.training.runfolder import RunFolder

RESULTS = "results"
_KEPT = (SCORES, QUERIES, CONFUSED, "log.jsonl", "curves.png")
_COLUMNS = 4


def write_results(rows: Sequence[Row], out: Path) -> Path:
    """Write the table and the curves of all runs, and copy each run's small files beside them.

    Weights and models stay where they are: hundreds of megabytes that another bench can remake.
    """
    folder = make_folder(out / RESULTS)
    write_text(folder / "papers.md", table.markdown(rows))
    write_text(folder / "papers.csv", table.table_csv(rows))
    write_text(folder / "papers.json", json.dumps([row.to_dict() for row in rows], indent=1) + "\n")
    write_bytes(folder / "papers.png", table.draw(rows))
    runs = sorted(path.parent for path in out.rglob(SCORES) if not path.is_relative_to(folder))
    for run in runs:
        there = make_folder(folder / run.relative_to(out))
        for name in _KEPT:
            if (run / name).is_file():
                write_bytes(there / name, (run / name).read_bytes())
    logs = {
        " ".join(run.relative_to(out).parts): log
        for run in runs
        if (log := read_log(RunFolder(run)))
    }
    if logs:
        write_bytes(folder / "curves.png", draw_curves(logs))
    return folder


def draw_curves(logs: dict[str, list[dict[str, Any]]]) -> bytes:
    """A PNG with a panel for each run: its training loss, and above it validation MAP@5."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    deep = -(-len(logs) // _COLUMNS)
    figure = Figure(figsize=(3.2 * _COLUMNS, 2.3 * deep), layout="constrained")
    grid = figure.subplots(deep, _COLUMNS, squeeze=False).ravel()
    for axes, (name, log) in zip(grid, logs.items(), strict=False):
        first = max(entry["loss"] for entry in log)
        axes.plot(
            [entry["epoch"] for entry in log],
            [entry["loss"] / first if first else 0.0 for entry in log],
            color=SEA,
            linewidth=1.2,
        )
        scored = [entry for entry in log if "map5" in entry]
        axes.plot(
            [entry["epoch"] for entry in scored],
            [entry["map5"] for entry in scored],
            color=CORAL,
            marker="o",
            markersize=2.5,
            linewidth=1.2,
        )
        axes.set_ylim(0, 1.05)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(name, loc="left", fontsize=7.5, color=INK)
        axes.tick_params(labelsize=7, colors=QUIET)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[len(logs) :]:
        axes.set_visible(False)
    figure.suptitle(
        "training loss, as a share of its largest (blue), and validation MAP@5 (coral), by epoch",
        fontsize=9,
        color=INK,
        x=0.01,
        ha="left",
    )
    return png_of(figure)
