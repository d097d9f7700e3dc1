"""Which photos an epoch shows, and as whom."""

from __future__ import annotations

import torch
from torch import Tensor


def epoch_order(labels: Tensor, balance_power: float, generator: torch.Generator) -> Tensor:
    """Photo indices of one epoch, (N,) int64, as many as there are photos.

    A whale with n photos gets n ** (1 - balance_power) of the draws: 0 shows each photo once, 1
    shows each whale equally often. Draws are spread evenly (systematic sampling), so that a
    photo's count never strays by one or more from its expected count.
    """
    counts = torch.bincount(labels)[labels].double()
    weights = counts ** (-balance_power)
    order = torch.randperm(len(labels), generator=generator)
    ends = torch.cumsum(weights[order], dim=0)
    start = torch.rand(1, generator=generator, dtype=torch.float64)
    ticks = (torch.arange(len(labels)) + start) * (ends[-1] / len(labels))
    places = torch.searchsorted(ends, ticks, right=True).clamp_max(len(labels) - 1)
    drawn = order[places]
    return drawn[torch.randperm(len(drawn), generator=generator)]
