"""Why two photos are taken for alike: which parts of a crop their likeness hangs on.

Each part is hidden in turn, and what the likeness then loses is that part's share. Source: Zeiler
and Fergus, "Visualizing and Understanding Convolutional Networks" (ECCV 2014), section 4.2. They
hide parts behind a grey square and read off a class's probability; here it is the cosine to
another photo.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from flukeprint.errors import FlukeprintError
from flukeprint.look import BATCH
from flukeprint.network import Network

PATCHES = 6  # side by side along each side of the crop: one hides a tip, or the notch
STEPS = 4  # of the patch to its own next place, so that many patches hide each pixel


def occlusion_map(
    network: Network, cut: NDArray[np.uint8], other: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """How much the likeness of two crops falls where a part of the first is hidden.

    ``cut`` and ``other`` are crops as :meth:`Network.cut` makes them. Gives ``cut``'s (rows,
    columns) float32: for each pixel the mean fall of the cosine over all patches that hide it,
    negative where hiding it makes the two more alike. A patch is a sixth of the crop high and wide,
    and has the crop's mean grey (of a colour crop, each channel's). For the map of the other crop,
    swap the two.

    Raises:
        FlukeprintError: the model compares with no photo, or does not run on such crops.
    """
    if network.model.manifest.kind != "embedding":
        raise FlukeprintError("a softmax model compares with no photo: there is no likeness to map")
    rows, columns = cut.shape[:2]
    grey = cut.mean(axis=(0, 1)).round().astype(np.uint8)
    whole, target = network.embed([cut, other])
    unhidden = float(whole @ target)
    total, often = np.zeros((2, rows, columns))
    patches = list(product(_spans(rows), _spans(columns)))
    for start in range(0, len(patches), BATCH):
        batch = patches[start : start + BATCH]
        hidden = np.repeat(cut[None], len(batch), axis=0)
        for picture, patch in zip(hidden, batch, strict=True):
            picture[patch] = grey
        likeness = network.embed(list(hidden)) @ target
        for patch, alike in zip(batch, likeness.tolist(), strict=True):
            total[patch] += unhidden - alike
            often[patch] += 1
    return np.asarray(total / often, dtype=np.float32)


def _spans(size_px: int) -> list[slice]:
    """The patches along one side; those at its ends stick out, so that all pixels are hidden as
    often."""
    patch_px = max(1, round(size_px / PATCHES))
    step_px = max(1, patch_px // STEPS)
    starts = range(step_px - patch_px, size_px, step_px)
    return [slice(max(start, 0), start + patch_px) for start in starts]
