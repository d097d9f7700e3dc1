"""A plot of how often answers of like probability are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flukeprint.plotting import CORAL, QUIET, RULE, SEA, blank_figure, png_of


def reliability_plot(bins: Sequence[dict[str, Any]], error: float) -> bytes:
    """The PNG of first answers in bins of equal mass, as :func:`metrics.reliability` made them.

    ``error`` is the expected calibration error.
    """
    figure, axes = blank_figure(4.2)
    axes.plot([0, 1], [0, 1], color=RULE, linewidth=1.2, zorder=1)
    said, right = [part["said"] for part in bins], [part["right"] for part in bins]
    axes.vlines(said, said, right, color=CORAL, linewidth=1.5, alpha=0.6, zorder=2)
    axes.plot(said, right, color=SEA, marker="o", markersize=6, linewidth=1.2, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability said", ylabel="share right")
    answers = sum(part["answers"] for part in bins)
    axes.text(
        0.02, 0.96, f"{answers:,} first answers, error {error:.3f}",
        color=QUIET, va="top", transform=axes.transAxes,
    )  # fmt: skip
    return png_of(figure)
