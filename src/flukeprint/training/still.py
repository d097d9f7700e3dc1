"""What a network makes of stored crops when nothing is learned: no pose drawn, no gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from flukeprint.training.augment import centre_warp
from flukeprint.training.data import INNER
from flukeprint.training.device import Device


def still_answers(
    part: Callable[[Tensor], Tensor],
    crops: Tensor,
    size: tuple[int, int],
    device: Device,
    *,
    batch: int,
) -> Tensor:
    """What part of a network says of (N, C, H, W) uint8 crops: (N, numbers) float32 on the CPU.

    ``size`` is the (height, width) in pixels that it sees, ``batch`` how many crops at a time.
    """
    parts = []
    for start in range(0, len(crops), batch):
        some = crops[start : start + batch].to(device.name).float()
        mirrored = torch.zeros(len(some), dtype=torch.bool, device=device.name)
        seen = centre_warp(mirrored, INNER).apply(some, *size)
        with torch.no_grad(), device.autocast():
            parts.append(part(seen.to(memory_format=torch.channels_last)).float().cpu())
    return torch.cat(parts)
