"""A plot of how often answers of like probability are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flukeprint.metrics import mean_over
from flukeprint.plotting import CORAL, QUIET, RULE, SEA, blank_figure, png_of


def reliability_plot(bins: Sequence[dict[str, Any]], error: float) -> bytes:
    """The PNG of first answers in bins of equal mass, as :func:`metrics.reliability` made them.

    ``error`` is the expected calibration error. Beside the diagonal it shades what is chance.
    """
    figure, axes = blank_figure(4.2)
    axes.plot([0, 1], [0, 1], color=RULE, linewidth=1.2, zorder=1)
    said, right, chance = ([part[name] for part in bins] for name in ("said", "right", "by_chance"))
    low = [where - off for where, off in zip(said, chance, strict=True)]
    high = [where + off for where, off in zip(said, chance, strict=True)]
    axes.fill_between(said, low, high, color=RULE, alpha=0.5, linewidth=0, zorder=0)
    axes.vlines(said, said, right, color=CORAL, linewidth=1.5, alpha=0.6, zorder=2)
    axes.plot(said, right, color=SEA, marker="o", markersize=6, linewidth=1.2, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability said", ylabel="share right")
    counts = [part["answers"] for part in bins]
    by_chance = mean_over(zip(counts, chance, strict=True))
    axes.text(
        0.02, 0.96,
        f"{sum(counts):,} first answers, error {error:.3f} ({by_chance:.3f} by chance alone)",
        color=QUIET, va="top", transform=axes.transAxes,
    )  # fmt: skip
    return png_of(figure)
