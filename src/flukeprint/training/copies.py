"""Pictures made once from the crops and learned from as if they were further photos."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from flukeprint.training.augment import draw_warp
from flukeprint.training.config import TrainConfig

_CHUNK = 256  # crops worked on at once, so that their float32 forms stay small beside the crops

# A grey photo saved as colour JPEG is not quite grey: where its chroma is off by the two steps that
# a change of colour space and the JPEG's own rounding make, R, G and B differ by up to 7 of 255.
# Measured: grey pictures with each channel off by up to 2, saved at quality 30 to 100, differ by at
# most 8; of 232 colour files of a public collection, 95 differ by 0, one by 8, all others by 11 up.
_GREY_TOLERANCE = 8


def offline_copies(
    crops: Tensor, labels: Tensor, config: TrainConfig, inner: float = 1.0
) -> tuple[Tensor, Tensor]:
    """(N, C, H, W) uint8 crops and (N,) int64 labels, with each whale's generated crops after them.

    With ``config.augment`` "offline", each whale gets ``offline_shifts`` crops shifted by up to
    ``shift`` of the width and the height, ``offline_rotations`` turned by up to ``rotate_deg`` and
    ``offline_zooms`` zoomed by up to ``zoom``, made from its photos in turn; otherwise nothing is
    added. ``inner`` is the share of a crop that the network sees: shifts are shares of that. Poses
    are those of :func:`draw_warp`: angles are true in square crops, and the zoom of the width is
    not that of the height.

    All draws come from ``config.seed`` alone: every epoch, and a resumed run, sees the same crops.

    Source: Zweig, Negre, "A Fluke in the Data" (Stanford, 2018), section 2.2: two shifts, two
    rotations and one zoom of each whale; section 4 has the ranges.
    """
    if config.augment != "offline":
        return crops, labels
    still = replace(config, shift=0.0, rotate_deg=0.0, zoom=0.0, shear=0.0)
    ranges = [
        *[replace(still, shift=config.shift * inner)] * config.offline_shifts,
        *[replace(still, rotate_deg=config.rotate_deg)] * config.offline_rotations,
        *[replace(still, zoom=config.zoom)] * config.offline_zooms,
    ]
    taken = _in_turn(labels, len(ranges))
    generator = torch.Generator().manual_seed(config.seed)
    made = [
        _posed(crops[some], only, generator)
        for sources, only in zip(taken, ranges, strict=True)
        for some in torch.split(sources, _CHUNK)
    ]
    return torch.cat([crops, *made]), torch.cat([labels, labels[taken.flatten()]])


def _in_turn(labels: Tensor, count: int) -> Tensor:
    """(count, whales) int64: each whale's crops in turn, from its first on and round again."""
    by_whale = labels.argsort(stable=True)
    has = torch.unique(labels, return_counts=True)[1]
    firsts = has.cumsum(dim=0) - has
    return by_whale[firsts + torch.arange(count)[:, None] % has]


def _posed(crops: Tensor, ranges: TrainConfig, generator: torch.Generator) -> Tensor:
    """Each of (N, C, H, W) uint8 crops in a pose drawn from the ranges, its edges drawn out."""
    height, width = crops.shape[2:]
    warp = draw_warp(torch.zeros(len(crops), dtype=torch.bool), 1.0, ranges, generator)
    return warp.apply(crops.float(), height, width).round().clamp(0, 255).to(torch.uint8)


def grey_copies(crops: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, H, W) uint8 crops and (N,) labels, with grey forms of the coloured ones after them.

    A crop is coloured where the channels of any pixel differ by more than a JPEG makes grey ones
    differ. Its grey form has three equal channels of ITU-R BT.601 luma, as Pillow's mode "L".
    Crops of one channel have nothing to add.

    Source: Tseng, Hu, Chiang, "Humpback Whale Identification" (UC San Diego), section 3.1.2.
    """
    if crops.shape[1] == 1:
        return crops, labels
    coloured = torch.cat([_coloured(some) for some in torch.split(crops, _CHUNK)]).nonzero()[:, 0]
    grey = [_luma(crops[some]) for some in torch.split(coloured, _CHUNK)]
    return torch.cat([crops, *grey]), torch.cat([labels, labels[coloured]])


def _coloured(crops: Tensor) -> Tensor:
    """(N,) bool of (N, 3, H, W) uint8."""
    spread = crops.amax(dim=1) - crops.amin(dim=1)
    return spread.flatten(1).amax(dim=1) > _GREY_TOLERANCE


def _luma(crops: Tensor) -> Tensor:
    """(N, 3, H, W) uint8 with three equal channels."""
    red, green, blue = crops.int().unbind(dim=1)
    luma = (299 * red + 587 * green + 114 * blue + 500) // 1000
    return luma.to(torch.uint8)[:, None].expand_as(crops)
