"""Fit the localiser to scenes: first from boxes drawn by hand, then from its own boxes as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flukeprint.localise import CORNERS, LOGIT, SHOWN, SLOPE, UPSIDE_DOWN, fluke_of
from flukeprint.records import Fluke
from flukeprint.training.device import find_device
from flukeprint.training.localiser import PLACES, SIDE_PX, FlukeNet
from flukeprint.training.scenes import Scenes, Stock, draw_scenes, overlap

BATCH = 64
LEARNING_RATE = 3e-3
BOXED_SHARE = 0.4  # of the steps; from then on photos boxed by the network join
BOXED_WEIGHT = 0.6  # of the photos shown after that
CERTAIN = 0.3  # the probability from which a photo boxed by the network joins
MIDDLE = 0.35  # the part of a fluke, from its centre to its edge, whose places are to tell of it
HALF_PLACE = 0.55 / PLACES  # a fluke smaller than the grid still has one place


@dataclass(frozen=True, slots=True)
class Aims:
    """What each place of N pictures is to say: (N, P) int64 which fluke, -1 none; bool if asked."""

    which: Tensor
    asked: Tensor


def fit_localiser(
    stock: Stock,
    others: Tensor,
    *,
    steps: int,
    seed: int,
    progress: Callable[[int], object] | None = None,
) -> FlukeNet:
    """Fit a FlukeNet to scenes of ``stock``.

    ``others`` (M, 1, H, W) uint8 are photos of flukes without boxes: after a part of the steps the
    network boxes them itself and learns from them, too, all but the boxes' edges (self-training).
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    cpu = find_device("cpu")
    network = FlukeNet().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    for step in range(steps):
        if step == int(steps * BOXED_SHARE):
            stock = with_own_boxes(network.eval(), stock, others)
            network.train()
        scenes = draw_scenes(stock, BATCH, generator)
        with cpu.autocast():
            answers = network(scenes.pictures.to(memory_format=torch.channels_last))
        optimiser.zero_grad()
        surprise(answers, scenes, network.get_buffer("middles")).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        if progress:
            progress(1)
    return network.eval()


def surprise(answers: Tensor, scenes: Scenes, middles: Tensor) -> Tensor:
    """The loss of the network's answers (N, P, 8) to N scenes."""
    aims = aims_of(scenes, middles)
    here = aims.which >= 0
    logits_of = answers[:, :, LOGIT]
    wrong = F.binary_cross_entropy_with_logits(logits_of, here.float(), reduction="none")
    doubt = (torch.sigmoid(logits_of) - here.float()).abs()  # sure places teach little: focal loss
    weight = doubt * torch.where(here, 0.6, 0.4) * aims.asked
    places = (weight * wrong).sum() / (here.sum() + 50)
    there = scenes.there.any(dim=1).float()
    shown = F.binary_cross_entropy_with_logits(answers[:, 0, SHOWN], there)
    if not here.any():
        return 4 * places + 2 * shown
    row = torch.arange(len(answers))[:, None]
    which = aims.which.clamp_min(0)
    exact = here & scenes.exact[row, which]
    wanted = scenes.boxes[row, which][exact].clamp(0.0, 1.0)
    found = answers[:, :, CORNERS][exact]
    apart = 8 * F.smooth_l1_loss(found, wanted, beta=0.02, reduction="none").mean(dim=1)
    edges = (apart + 1 - overlap(found, wanted)).sum() / max(len(wanted), 1)
    down = scenes.upside_down[row, which][here].float()
    turned = F.binary_cross_entropy_with_logits(answers[:, :, UPSIDE_DOWN][here], down)
    falling = scenes.slope[row, which][here]
    slope = F.smooth_l1_loss(answers[:, :, SLOPE][here], falling, beta=0.1)
    return 4 * places + edges + 0.5 * turned + slope + 2 * shown


def aims_of(scenes: Scenes, middles: Tensor) -> Aims:
    """Which fluke each place is to tell of: that whose middle it lies in, the smallest of several.

    A place inside a fluke but off its middle is not asked.
    """
    boxes, there = scenes.boxes[:, :, None], scenes.there[:, :, None]
    half = (boxes[..., 2:] - boxes[..., :2]) / 2
    away = (middles - (boxes[..., 2:] + boxes[..., :2]) / 2).abs()
    inside = (away <= half).all(dim=-1) & there
    middle = (away <= (MIDDLE * half).clamp_min(HALF_PLACE)).all(dim=-1) & there
    area = half.prod(dim=-1).expand(middle.shape).masked_fill(~middle, torch.inf)
    which = torch.where(middle.any(dim=1), area.argmin(dim=1), -1)
    return Aims(which, (which >= 0) | ~inside.any(dim=1))


def with_own_boxes(network: FlukeNet, stock: Stock, others: Tensor) -> Stock:
    """The stock and the other photos with the boxes that the network finds in them."""
    flukes = flukes_on(network, others)
    sure = [row for row, fluke in enumerate(flukes) if fluke.probability >= CERTAIN]
    if not sure:
        return stock
    boxes = torch.tensor([flukes[row].box.corners for row in sure])
    photos = others[sure].clone()
    for row, place in enumerate(sure):
        if flukes[place].upside_down:  # the photos of a stock are upright
            photos[row] = photos[row].flip(1, 2)
            boxes[row] = 1 - boxes[row, [2, 3, 0, 1]]
    own = torch.full((len(sure),), (1 - BOXED_WEIGHT) / len(sure))
    return replace(
        stock,
        photos=torch.cat([stock.photos, photos]),
        boxes=torch.cat([stock.boxes, boxes]),
        exact=torch.cat([stock.exact, torch.zeros(len(sure), dtype=torch.bool)]),
        weights=torch.cat([BOXED_WEIGHT * stock.weights / stock.weights.sum(), own]),
    )


def flukes_on(network: FlukeNet, photos: Tensor) -> list[Fluke]:
    """The fluke in each of (N, 1, H, W) uint8 photos."""
    flukes: list[Fluke] = []
    for start in range(0, len(photos), BATCH):
        some = photos[start : start + BATCH].float()
        if some.shape[2:] != (SIDE_PX, SIDE_PX):
            some = F.interpolate(some, (SIDE_PX, SIDE_PX), mode="bilinear", antialias=True)
        with torch.inference_mode():
            answers = network(some).numpy()
        flukes += [fluke_of(np.asarray(places)) for places in answers]
    return flukes
