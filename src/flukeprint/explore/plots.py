"""The plots of an exploration, as PNG bytes. None holds a name that a stranger chose, so none
can be taken for a formula."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flukeprint.explore.records import Colour, Exploration, Sizes, Whales
from flukeprint.plotting import (
    CORAL,
    INK,
    PAPER,
    QUIET,
    RULE,
    SEA,
    SHALLOW,
    blank_figure,
    png_of,
)
from flukeprint.wording import number, percent, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GROUND = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 1.5}  # behind words
MOST_BARS = 60


def whales_plot(whales: Whales) -> bytes:
    """How many individuals have how many photos, on a log scale, with the tail in words."""
    figure, axes = blank_figure(3.5)
    photos = np.array([step.photos for step in whales.tail])
    counts = np.array([step.individuals for step in whales.tail])
    if not len(photos):
        return _words(figure, axes, "no named whale")
    wide = max(1.5, min(9.0, 220 / photos.max()))
    axes.vlines(photos, 0.6, counts, color=np.where(photos == 1, CORAL, SEA), linewidth=wide)
    axes.set_yscale("log")
    axes.set_ylim(0.6, counts.max() * 4)
    if photos.max() > MOST_BARS:
        axes.set_xscale("log")
        axes.set_xlim(0.8, photos.max() * 1.3)
    else:
        axes.set_xlim(0.3, max(photos.max() + 0.8, 10.5))
    _counts_on(axes.xaxis, photos.max())
    _counts_on(axes.yaxis, counts.max())
    axes.set_xlabel("photos of one whale")
    axes.set_ylabel("whales (log scale)")
    for line, height, colour in _tail_words(whales):
        axes.text(0.99, height, line, transform=axes.transAxes, ha="right", va="top", color=colour,
                  bbox=GROUND)  # fmt: skip
    return png_of(figure)


def _tail_words(whales: Whales) -> list[tuple[str, float, str]]:
    """Lines for the empty upper right, where a long tail leaves room: words, height, colour."""
    total, top = whales.individuals, whales.tail[-1]
    few = sum(step.individuals for step in whales.tail if 2 <= step.photos <= 4)
    many = total - few - whales.one_photo
    lines = [
        (f"{plural(whales.one_photo, 'whale')} ({percent(whales.one_photo, total)}): one photo",
         CORAL),
        (f"{plural(few, 'whale')} ({percent(few, total)}): two to four", SEA),
        (f"{plural(many, 'whale')} ({percent(many, total)}): five or more", SEA),
        (f"the most photographed has {number(top.photos)}", QUIET),
    ]  # fmt: skip
    return [(line, 0.99 - 0.085 * i, colour) for i, (line, colour) in enumerate(lines)]


def sizes_plot(sizes: Sizes) -> bytes:
    """Width against height in pixels; a dot's area grows with the photos of that size."""
    figure, axes = blank_figure(3.9)
    if not sizes.sizes:
        return _words(figure, axes, "no photo could be read")
    if len(sizes.sizes) == 1:
        only = sizes.sizes[0]
        size = f"{number(only.width_px)} x {number(only.height_px)} pixels"
        who = "the one photo is" if only.photos == 1 else f"all {number(only.photos)} photos are"
        return _one_size(only.width_px / only.height_px, f"{who}\n{size}")
    width = np.array([size.width_px for size in sizes.sizes])
    height = np.array([size.height_px for size in sizes.sizes])
    photos = np.array([size.photos for size in sizes.sizes])
    right, top = width.max() * 1.12, height.max() * 1.12
    axes.set(xlim=(0, right), ylim=(0, top), xlabel="width, pixels", ylabel="height, pixels")
    for aspect, name in ((1.0, "1 : 1"), (1.5, "3 : 2"), (2.0, "2 : 1"), (3.0, "3 : 1")):
        end = min(right, top * aspect)
        axes.plot([0, end], [0, end / aspect], color=RULE, linewidth=1, zorder=1)
        axes.text(end, end / aspect, name, color=QUIET, fontsize=8.5, ha="right", va="top",
                  bbox=GROUND, zorder=1.5)  # fmt: skip
    area = 8 + (500 if len(photos) < 50 else 250) * photos / photos.max()
    axes.scatter(width, height, area, color=SEA, alpha=0.55, linewidth=0, zorder=2)
    _name_sizes(axes, sizes, top)
    _counts_on(axes.xaxis, right)
    _counts_on(axes.yaxis, top)
    axes.grid(visible=False)
    return png_of(figure)


def _name_sizes(axes: Axes, sizes: Sizes, top: float) -> None:
    """Words beside the three commonest sizes, where they do not lie on one another."""
    taken: list[float] = []
    for size in sizes.sizes[:3]:
        if any(abs(size.height_px - other) < 0.06 * top for other in taken):
            continue
        taken.append(size.height_px)
        words = f"{size.width_px} x {size.height_px}: {plural(size.photos, 'photo')}"
        left = size.width_px > sizes.width_px.most / 2
        axes.annotate(words, (size.width_px, size.height_px), (-13 if left else 13, 0),
                      textcoords="offset points", ha="right" if left else "left", va="center",
                      fontsize=9, color=INK, bbox=GROUND, zorder=3)  # fmt: skip


def _one_size(aspect: float, words: str) -> bytes:
    figure, axes = blank_figure(2.2)
    axes.axis("off")
    axes.set_aspect("equal")
    wide, high = min(aspect, 4.0) * 0.8, 0.8 * min(aspect, 4.0) / aspect
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((0, 0), wide, high, facecolor=SHALLOW, edgecolor=SEA, linewidth=1.2))
    axes.text(wide + 0.12, high / 2, words, va="center", fontsize=12, linespacing=1.5)
    axes.set_xlim(-0.05, wide + 2.2)
    axes.set_ylim(-0.1, max(high, 0.8) + 0.1)
    return png_of(figure)


def colour_plot(colour: Colour) -> bytes:
    """How colourful the photos are, from grey to strong colour."""
    figure, axes = blank_figure(2.5)
    total = colour.grey + colour.colour
    if not total:
        return _words(figure, axes, "no photo could be read")
    tints = ("#8d989e", "#b5cdd3", "#7fb3c2", "#3f8ca6", SEA)
    counts = [shade.photos for shade in colour.shades]
    rows = np.arange(len(counts))[::-1]
    axes.barh(rows, counts, height=0.66, color=tints)
    for row, count in zip(rows, counts, strict=True):
        words = f"{number(count)}  ({percent(count, total)})"
        axes.text(count + max(counts) * 0.015, row, words, va="center", fontsize=9.5)
    axes.set_yticks(rows, [shade.name for shade in colour.shades])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_xlim(0, max(counts) * 1.25)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False)
    return png_of(figure)


def _counts_on(axis: Any, most: float) -> None:
    """Whole numbers with their thousands set apart, no minor ticks."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    if axis.get_scale() == "log":
        axis.set_major_locator(FixedLocator([10**power for power in range(9) if 10**power <= most]))
    else:
        axis.set_major_locator(MaxNLocator(7, integer=True, min_n_ticks=1))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _words(figure: Figure, axes: Axes, words: str) -> bytes:
    axes.axis("off")
    axes.text(0.5, 0.5, words, ha="center", va="center", color=QUIET, transform=axes.transAxes)
    return png_of(figure)


def all_plots(found: Exploration) -> dict[str, bytes]:
    """The plots of counts by their file names."""
    return {
        "whales.png": whales_plot(found.whales),
        "sizes.png": sizes_plot(found.sizes),
        "colour.png": colour_plot(found.colour),
    }
