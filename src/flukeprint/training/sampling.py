"""Which photos an epoch shows, and as whom."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flukeprint.training.config import TrainConfig


def batches(labels: Tensor, config: TrainConfig, generator: torch.Generator) -> list[Tensor]:
    """One epoch's batches of photo indices, each (batch,) int64, as the config asks for them.

    ``labels`` (N,) int64. Triplets need several photos of a whale at once: see
    :func:`whale_batches`. Otherwise :func:`epoch_order` over the photos, :func:`oversampled` where
    asked for, is cut into full batches and the rest left to other epochs; too few photos for one
    batch are one smaller batch. There are equally many batches in every epoch.
    """
    if config.loss == "triplet":
        return whale_batches(labels, config.batch_size, config.photos_per_whale, generator)
    shown = oversampled(labels, config.oversample_to, generator)
    order = shown[epoch_order(labels[shown], config.balance_power, generator)]
    full = max(len(order) // config.batch_size, 1) * config.batch_size
    return list(torch.split(order[:full], config.batch_size))


def with_others(
    order: Sequence[Tensor], others: Tensor, count: int, generator: torch.Generator
) -> list[Tensor]:
    """Batches of picture indices with ``count`` of ``others`` (M,) int64 behind each.

    M is 1 or more. All others are drawn before one is drawn again.
    """
    rounds = -(-count * len(order) // len(others))
    drawn = [others[torch.randperm(len(others), generator=generator)] for _ in range(rounds)]
    places = torch.cat([others[:0], *drawn])
    return [
        torch.cat([chosen, places[batch * count : (batch + 1) * count]])
        for batch, chosen in enumerate(order)
    ]


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


def oversampled(labels: Tensor, floor: int, generator: torch.Generator) -> Tensor:
    """Photo indices, (M,) int64: every photo, those of whales with fewer than ``floor`` repeated.

    Such a whale gets exactly ``floor``, none of its photos more than once oftener than another;
    which ones is drawn. A floor of 0 draws nothing from the generator.

    Source: Tseng, Hu, Chiang, "Humpback Whale Identification" (UC San Diego), section 2.3.
    """
    photos = torch.arange(len(labels))
    if not floor:
        return photos
    has = torch.bincount(labels)[labels]
    wanted = has.clamp_min(floor)
    times = wanted // has + (_rank_in_whale(labels, generator) < wanted % has)
    return photos.repeat_interleave(times)


def _rank_in_whale(labels: Tensor, generator: torch.Generator) -> Tensor:
    """(N,) int64: each photo's place, from 0, when its whale's photos are shuffled."""
    shuffled = torch.randperm(len(labels), generator=generator)
    by_whale = shuffled[labels[shuffled].argsort(stable=True)]
    counts = torch.bincount(labels)
    firsts = counts.cumsum(dim=0) - counts
    rank = torch.empty_like(shuffled)
    rank[by_whale] = torch.arange(len(labels)) - firsts[labels[by_whale]]
    return rank


def whale_batches(
    labels: Tensor, batch_size: int, photos_per_whale: int, generator: torch.Generator
) -> list[Tensor]:
    """One epoch of batches for triplets: P whales each, K photos of every one, (P * K,) int64.

    ``labels`` (N,) int64; K is ``photos_per_whale`` and P = batch_size // K, or all the whales
    where there are fewer. A whale with fewer than K photos shows them repeatedly and evenly, one
    with more shows K of them, drawn anew each time. There are ceil(N / batch_size) batches, about
    as many pictures as photos: the whales come in shuffled rounds, each at most once in a batch and
    at most once oftener than another, and the last round may break off.

    Source: Hermans, Beyer, Leibe, "In Defense of the Triplet Loss for Person Re-Identification"
    (2017), section 2, there called PK batches.
    """
    counts = torch.bincount(labels)
    albums = torch.split(labels.argsort(stable=True), counts.tolist())
    whales = counts.nonzero()[:, 0]
    per_batch = min(batch_size // photos_per_whale, len(whales))
    waiting = whales[:0]
    made = []
    for _ in range(-(-len(labels) // batch_size)):
        chosen, waiting = waiting[:per_batch], waiting[per_batch:]
        if len(chosen) < per_batch:  # the round is over; the next leaves out who is here already
            fresh = whales[torch.randperm(len(whales), generator=generator)]
            joins = ~torch.isin(fresh, chosen)
            joins &= joins.cumsum(dim=0) <= per_batch - len(chosen)
            chosen, waiting = torch.cat([chosen, fresh[joins]]), fresh[~joins]
        shown = [
            _album_draw(albums[whale], photos_per_whale, generator) for whale in chosen.tolist()
        ]
        made.append(torch.cat(shown))
    return made


def _album_draw(photos: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``count`` of a whale's photos, drawn as evenly as can be."""
    rounds, rest = divmod(count, len(photos))
    drawn = photos[torch.randperm(len(photos), generator=generator)[:rest]]
    return torch.cat([photos.repeat(rounds), drawn])
