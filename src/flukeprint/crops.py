"""Cut a fluke out of a photo and bring it to a network's input size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flukeprint.records import Box

WHOLE = Box(0.0, 0.0, 1.0, 1.0)


def crop(
    pixels: NDArray[np.uint8], box: Box, height_px: int, width_px: int, *, margin: float = 0.0
) -> NDArray[np.uint8]:
    """Resize the part of a photo inside ``box``.

    A grey photo (H, W) uint8 gives (height_px, width_px) uint8, one in colour (H, W, 3) gives
    (height_px, width_px, 3).

    The box is first widened on each side by ``margin`` of its own size; what then lies outside the
    photo repeats the photo's edge. The fluke fills the result whatever its aspect: distance and
    foreshortening are taken out, as a person does who compares two flukes.
    """
    height, width = pixels.shape[:2]
    pad_x, pad_y = margin * (box.x1 - box.x0), margin * (box.y1 - box.y0)
    left, right, before_x, after_x = _span(box.x0 - pad_x, box.x1 + pad_x, width_px)
    top, bottom, before_y, after_y = _span(box.y0 - pad_y, box.y1 + pad_y, height_px)
    inner = (width_px - before_x - after_x, height_px - before_y - after_y)
    region = (left * width, top * height, right * width, bottom * height)
    part = Image.fromarray(pixels).resize(inner, Image.Resampling.BILINEAR, box=region)
    cut = np.asarray(part)
    if inner == (width_px, height_px):
        return cut
    colours = [(0, 0)] * (cut.ndim - 2)
    return np.pad(cut, [(before_y, after_y), (before_x, after_x), *colours], mode="edge")


def planes(cut: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A crop as a network takes it: (H, W) to (1, H, W), (H, W, 3) to (3, H, W); a view."""
    return cut[None] if cut.ndim == 2 else np.moveaxis(cut, -1, 0)


def _span(low: float, high: float, size_px: int) -> tuple[float, float, int, int]:
    """The part of [low, high] inside 0..1, and the pixels of ``size_px`` before and after it."""
    per_px = (high - low) / size_px
    before = min(max(round(-low / per_px), 0), size_px - 1)
    after = min(max(round((high - 1.0) / per_px), 0), size_px - 1 - before)
    return max(low, 0.0), min(high, 1.0), before, after
