"""How much of a fluke a photo shows: its size, sharpness, contrast and how far it is turned."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from flukeprint.crops import crop
from flukeprint.records import Fluke, Quality

SIDE_PX = 64  # of the crop that is measured: the same for every model
ENOUGH_PX = 96.0  # a fluke of so many pixels tells all that a crop can show
LEAST_PX = 12.0  # and one of so few nothing
FULL_CONTRAST = 50.0  # the standard deviation of greys, 0 to 255, from which a crop is full of it
FULL_SHARPNESS = 0.5  # the mean step to the next pixel but one, in standard deviations


def quality_of(pixels: NDArray[np.uint8], fluke: Fluke, photo_size_px: tuple[int, int]) -> Quality:
    """The quality of the fluke in a photo, grey (H, W) or colour (H, W, 3) uint8.

    ``photo_size_px`` is the width and height of the photo as it was taken, before any shrinking.
    ``value`` is the geometric mean of three shares: of the size on a scale of octaves, of the
    contrast, and of the sharpness, times the cosine of the tilt.
    """
    width_px = (fluke.box.x1 - fluke.box.x0) * photo_size_px[0]
    height_px = (fluke.box.y1 - fluke.box.y0) * photo_size_px[1]
    cut = crop(pixels, fluke, SIDE_PX, SIDE_PX).astype(np.float32)
    cut = cut.reshape(SIDE_PX, SIDE_PX, -1).mean(axis=2)
    spread = float(cut.std())
    contrast = min(spread / FULL_CONTRAST, 1.0)
    steps = float(np.abs(cut[:, 2:] - cut[:, :-2]).mean() + np.abs(cut[2:] - cut[:-2]).mean()) / 2
    sharpness = min(steps / (spread + 1.0) / FULL_SHARPNESS, 1.0)
    octaves = math.log2(ENOUGH_PX / LEAST_PX)
    side_px = max(math.sqrt(width_px * height_px), 1e-6)
    size = min(max(math.log2(side_px / LEAST_PX) / octaves, 0.0), 1.0)
    tilt = math.atan(fluke.slope * photo_size_px[1] / photo_size_px[0])
    value = (size * contrast * sharpness) ** (1 / 3) * math.cos(tilt)
    return Quality(width_px, height_px, sharpness, contrast, math.degrees(tilt), value)
