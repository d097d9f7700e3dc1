"""Cut a fluke out of a photo, level and the right way up, and bring it to a network's input size.

The fluke fills the crop whatever its aspect: distance and foreshortening are taken out, as a person
does who compares two flukes. All geometry is in fractions of the photo's width and height, so that
a photo and the same photo squashed to a square give the same crop.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flukeprint.records import Fluke


def crop(
    pixels: NDArray[np.uint8], fluke: Fluke, height_px: int, width_px: int, *, margin: float = 0.0
) -> NDArray[np.uint8]:
    """The part of a photo that a fluke fills, levelled and upright.

    A grey photo (H, W) uint8 gives (height_px, width_px) uint8, one in colour (H, W, 3) gives
    (height_px, width_px, 3).

    The fluke's box, its height that of the levelled fluke, is first widened on each side by
    ``margin`` of its own size; what then lies outside the photo repeats the photo's edge.
    """
    box, middle = fluke.box, (fluke.box.y0 + fluke.box.y1) / 2
    wide, tall = (1 + 2 * margin) * (box.x1 - box.x0), (1 + 2 * margin) * level_height(fluke)
    left = (box.x0 + box.x1 - wide) / 2
    # A fluke that slopes is cut from a taller part, whose columns are then moved up or down.
    fall_px = height_px * fluke.slope * wide / tall
    spare = math.ceil(abs(fall_px) / 2)
    half = tall / 2 * (1 + 2 * spare / height_px)
    cut = _resized(
        pixels, (left, middle - half, left + wide, middle + half), height_px + 2 * spare, width_px
    )
    if spare:
        offsets = fall_px * ((np.arange(width_px) + 0.5) / width_px - 0.5) + spare
        cut = _moved(cut, offsets, height_px)
    return np.ascontiguousarray(np.rot90(cut, 2)) if fluke.upside_down else cut


def level_height(fluke: Fluke) -> float:
    """The fluke's height once it is level, as a fraction of the photo's.

    Of an ellipse that slopes, the box is as tall as the root of the summed squares of its own
    height and its fall. At least half the box's height is left.
    """
    width, height = fluke.box.x1 - fluke.box.x0, fluke.box.y1 - fluke.box.y0
    return math.sqrt(max(height**2 - (fluke.slope * width) ** 2, (height / 2) ** 2))


def evened(cut: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A crop for a person to look at: grey, (H, W) uint8, with the contrast that a network sees.

    Mean 128 and standard deviation 50, whatever the photo's exposure.
    """
    grey = cut.reshape(*cut.shape[:2], -1).mean(axis=2)
    spread = (grey - grey.mean()) / (grey.std() + 1.0)
    return np.asarray(np.clip(128.0 + 50.0 * spread, 0, 255).round(), dtype=np.uint8)


def squashed(pixels: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """A whole photo, grey or colour, as a grey square: (side_px, side_px) uint8."""
    grey = Image.fromarray(pixels).convert("L")
    return np.asarray(grey.resize((side_px, side_px), Image.Resampling.BILINEAR))


def planes(cut: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A crop as a network takes it: (H, W) to (1, H, W), (H, W, 3) to (3, H, W); a view."""
    return cut[None] if cut.ndim == 2 else np.moveaxis(cut, -1, 0)


def _resized(
    pixels: NDArray[np.uint8],
    part: tuple[float, float, float, float],
    height_px: int,
    width_px: int,
) -> NDArray[np.uint8]:
    """The part x0 y0 x1 y1 of a photo at a new size, the photo's edge repeated outside of it."""
    height, width = pixels.shape[:2]
    left, right, before_x, after_x = _span(part[0], part[2], width_px)
    top, bottom, before_y, after_y = _span(part[1], part[3], height_px)
    inner = (width_px - before_x - after_x, height_px - before_y - after_y)
    region = (left * width, top * height, right * width, bottom * height)
    cut = np.asarray(Image.fromarray(pixels).resize(inner, Image.Resampling.BILINEAR, box=region))
    if inner == (width_px, height_px):
        return cut
    colours = [(0, 0)] * (cut.ndim - 2)
    return np.pad(cut, [(before_y, after_y), (before_x, after_x), *colours], mode="edge")


def _span(low: float, high: float, size_px: int) -> tuple[float, float, int, int]:
    """The part of [low, high] inside 0..1, and the pixels of ``size_px`` before and after it."""
    per_px = (high - low) / size_px
    before = min(max(round(-low / per_px), 0), size_px - 1)
    after = min(max(round((high - 1.0) / per_px), 0), size_px - 1 - before)
    return max(low, 0.0), min(high, 1.0), before, after


def _moved(
    cut: NDArray[np.uint8], offsets: NDArray[np.float64], height_px: int
) -> NDArray[np.uint8]:
    """Each column read from its own offset down, between two pixels where that falls between."""
    rows = np.clip(np.arange(height_px)[:, None] + offsets[None, :], 0, len(cut) - 1)
    above = np.floor(rows).astype(np.intp)
    below = np.minimum(above + 1, len(cut) - 1)
    columns = np.arange(cut.shape[1])[None, :]
    share = (rows - above).astype(np.float32).reshape(*rows.shape, *[1] * (cut.ndim - 2))
    mixed = cut[above, columns] * (1 - share) + cut[below, columns] * share
    return np.asarray(mixed.round(), dtype=np.uint8)
