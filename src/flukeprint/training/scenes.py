"""Pictures to learn to find flukes from: photos moved about, flukes set into other seas, no flukes.

Most photos at hand are tight crops of one fluke, upright and level. Those that a camera brings home
are not: a fluke may be small, one of two, tilted, upside down or not there. All geometry runs in a
frame of -1..1 on both axes; a map ``out -> in`` is a matrix (N, 2, 2) and a shift (N, 2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from flukeprint.training.augment import Warp, relight, uniform
from flukeprint.training.config import TrainConfig
from flukeprint.training.localiser import SIDE_PX

MOST_FLUKES = 2
MOVED, PAIRED, PASTED = 0.45, 0.05, 0.2  # of the pictures; the others show no fluke
TWO = 0.45  # of the pasted pictures try for a second fluke
# Most cameras are held nearly level: a standard deviation. The others by anything up to the most.
TILT_DEG, TILTED, MOST_TILT_DEG = 7.0, 0.25, 40.0
STEEPEST = 1.5
APART = 0.05  # most of the smaller of two flukes that may lie in the box of the other
LIGHT = TrainConfig(noise=0.08, blur_px=1.0, light=0.4, erase=0.0)


@dataclass(frozen=True, slots=True)
class Stock:
    """What scenes are made of.

    ``photos`` (P, 1, H, W) uint8 with their flukes' ``boxes`` (P, 4) float32 in 0..1, ``exact``
    (P,) bool where those are known and not guessed, taken as often as ``weights`` (P,) say;
    ``empty`` (M, 1, H, W) uint8 without a fluke, shown as often as
    ``shown`` (M,) says and set behind flukes as often as ``behind`` (M,).
    """

    photos: Tensor
    boxes: Tensor
    exact: Tensor
    weights: Tensor
    empty: Tensor
    shown: Tensor
    behind: Tensor


@dataclass(frozen=True, slots=True)
class Scenes:
    """N pictures (N, 1, 96, 96) float32 in 0..255 with up to two flukes each.

    ``boxes`` (N, 2, 4) float32, ``there``, ``exact``, ``upside_down`` (N, 2) bool and ``slope``
    (N, 2) float32 as :class:`flukeprint.records.Fluke` has them; a box may reach beyond the
    picture.
    """

    pictures: Tensor
    boxes: Tensor
    there: Tensor
    exact: Tensor
    upside_down: Tensor
    slope: Tensor


def draw_scenes(stock: Stock, count: int, generator: torch.Generator) -> Scenes:
    """Draw so many scenes."""
    scenes = Scenes(
        torch.zeros(count, 1, SIDE_PX, SIDE_PX),
        torch.zeros(count, MOST_FLUKES, 4),
        there=_none(count),
        exact=_none(count),
        upside_down=_none(count),
        slope=torch.zeros(count, MOST_FLUKES),
    )
    kind = torch.rand(count, generator=generator)
    moved = kind < MOVED
    paired = ~moved & (kind < MOVED + PAIRED)
    pasted = ~moved & ~paired & (kind < MOVED + PAIRED + PASTED)
    empty = ~moved & ~paired & ~pasted
    _move_photos(scenes, moved.nonzero()[:, 0], stock, generator)
    _pair_photos(scenes, paired.nonzero()[:, 0], stock, generator)
    _show_empty(scenes, pasted.nonzero()[:, 0], stock, stock.behind, generator)
    _show_empty(scenes, empty.nonzero()[:, 0], stock, stock.shown, generator)
    two = torch.rand(count, generator=generator) < TWO
    for which, rows in enumerate((pasted, pasted & two)):
        _paste(scenes, which, rows.nonzero()[:, 0], stock, generator)
    return replace(scenes, pictures=relight(scenes.pictures, LIGHT, generator))


def _none(count: int) -> Tensor:
    return torch.zeros(count, MOST_FLUKES, dtype=torch.bool)


def _move_photos(scenes: Scenes, rows: Tensor, stock: Stock, generator: torch.Generator) -> None:
    """Photos zoomed, shifted, mirrored, tilted and turned, most of the fluke still inside."""
    count = len(rows)
    chosen = _chosen(stock.weights, count, generator)
    boxes = stock.boxes[chosen]
    zoom = torch.exp(uniform(2 * count, -0.5, 0.35, generator)).view(count, 2)
    shape = _turned(count, generator) @ torch.diag_embed(zoom)
    reach = _reach(torch.linalg.inv(shape), boxes)
    middle = uniform(2 * count, -1, 1, generator).view(count, 2) * ((1 - reach).abs() + 0.1)
    shift = _middle(boxes) - _through(shape, middle)
    scenes.pictures[rows] = _sampled(stock.photos[chosen], shape, shift)
    _note(scenes, 0, rows, stock, chosen, shape, _landed(shape, shift, boxes))


def _pair_photos(scenes: Scenes, rows: Tensor, stock: Stock, generator: torch.Generator) -> None:
    """Two photos side by side or one above the other, as some are kept in one file."""
    count = len(rows)
    above = torch.rand(count, generator=generator) < 0.3
    cut = uniform(count, -0.15, 0.15, generator)
    at = (torch.arange(SIDE_PX) + 0.5) / SIDE_PX * 2 - 1
    across = torch.where(above[:, None, None], at[:, None], at)  # (N, 96, 96), by way of the cut
    for which, side in enumerate((-1.0, 1.0)):
        chosen = _chosen(stock.weights, count, generator)
        half, middle = (1 - side * cut) / 2, (side + cut) / 2
        scale = torch.stack([1 / half, torch.ones(count)], dim=1)
        shift = torch.stack([-middle / half, torch.zeros(count)], dim=1)
        scale, shift = (torch.where(above[:, None], x.flip(1), x) for x in (scale, shift))
        shape = torch.diag_embed(scale)
        photos = _sampled(stock.photos[chosen], shape, shift)
        mine = (across - cut[:, None, None]) * side > 0
        scenes.pictures[rows] = torch.where(mine[:, None], photos, scenes.pictures[rows])
        landed = _landed(shape, shift, stock.boxes[chosen])
        _note(scenes, which, rows, stock, chosen, shape, landed)


def _show_empty(
    scenes: Scenes, rows: Tensor, stock: Stock, weights: Tensor, generator: torch.Generator
) -> None:
    """Some part of a photo without a fluke."""
    count = len(rows)
    chosen = _chosen(weights, count, generator)
    zoom = torch.exp(uniform(2 * count, -1.2, 0.0, generator)).view(count, 2)
    shape = _turned(count, generator) @ torch.diag_embed(zoom)
    shift = uniform(2 * count, -1, 1, generator).view(count, 2) * (1 - zoom)
    scenes.pictures[rows] = _sampled(stock.empty[chosen], shape, shift)


def _paste(
    scenes: Scenes, which: int, rows: Tensor, stock: Stock, generator: torch.Generator
) -> None:
    """Set a small fluke into each of the pictures, none over another."""
    count = len(rows)
    chosen = _chosen(stock.weights, count, generator)
    boxes = stock.boxes[chosen]
    wide = torch.exp(uniform(count, -2.3, -0.35, generator))
    tall = (wide * torch.exp(uniform(count, -1.0, 0.2, generator))).clamp(0.06, 0.9)
    half = torch.stack([wide, tall], dim=1)
    middle = uniform(2 * count, -1, 1, generator).view(count, 2) * (1 - half).clamp_min(0.02)
    shape = torch.diag_embed(boxes[:, 2:] - boxes[:, :2]) @ _turned(count, generator)
    shape = shape @ torch.diag_embed(1 / half)
    shift = _middle(boxes) - _through(shape, middle)
    margin = uniform(count, 0.05, 0.3, generator).view(-1, 1, 1, 1)
    match = uniform(count, 0.3, 1.0, generator).view(-1, 1, 1, 1)
    landed = _landed(shape, shift, boxes)
    clash = _covered(landed[:, None], scenes.boxes[rows]) * scenes.there[rows] > APART
    free = ~clash.any(dim=1)
    rows, chosen, boxes, shape, shift, landed = (
        part[free] for part in (rows, chosen, boxes, shape, shift, landed)
    )
    if not len(rows):
        return
    patch = _sampled(stock.photos[chosen], shape, shift)
    weight, rim = _mask(shape, shift, boxes, margin[free])
    ground = scenes.pictures[rows]
    # Its own sea should not give the fluke away: bring the light at its rim to that around it.
    patch = (patch + match[free] * (_mean(ground, rim) - _mean(patch, rim))).clamp(0.0, 255.0)
    scenes.pictures[rows] = ground + weight * (patch - ground)
    _note(scenes, which, rows, stock, chosen, shape, landed)


def _mask(shape: Tensor, shift: Tensor, boxes: Tensor, margin: Tensor) -> tuple[Tensor, Tensor]:
    """How much of each pixel is the pasted photo, fading over ``margin`` of the box, and the rim.

    Both (N, 1, 96, 96) float32.
    """
    theta = torch.cat([shape, shift[:, :, None]], dim=2)
    grid = F.affine_grid(theta, [len(theta), 1, SIDE_PX, SIDE_PX], align_corners=False)
    half = (boxes[:, 2:] - boxes[:, :2])[:, None, None]
    away = ((grid - _middle(boxes)[:, None, None]) / half).abs()
    weight = ((1 + margin - away) / margin).clamp(0.0, 1.0).prod(dim=-1)
    weight = weight * (grid.abs() <= 1.0).all(dim=-1)
    rim = (away.amax(dim=-1) > 1.0) & (weight > 0)
    return weight[:, None], rim[:, None].float()


def _mean(pictures: Tensor, part: Tensor) -> Tensor:
    total = (pictures * part).sum(dim=(1, 2, 3), keepdim=True)
    return total / part.sum(dim=(1, 2, 3), keepdim=True).clamp_min(1.0)


def _note(
    scenes: Scenes,
    which: int,
    rows: Tensor,
    stock: Stock,
    chosen: Tensor,
    shape: Tensor,
    landed: Tensor,
) -> None:
    """Write down where the chosen flukes landed and how they lie there."""
    inverse = torch.linalg.inv(shape)
    run = inverse[:, 0, 0]
    run = torch.where(run.abs() < 1e-3, torch.full_like(run, 1e-3), run)
    scenes.boxes[rows, which] = landed
    scenes.exact[rows, which] = stock.exact[chosen]
    scenes.there[rows, which] = True
    scenes.upside_down[rows, which] = inverse[:, 1, 1] < 0
    scenes.slope[rows, which] = (inverse[:, 1, 0] / run).clamp(-STEEPEST, STEEPEST)


def _landed(shape: Tensor, shift: Tensor, boxes: Tensor) -> Tensor:
    """The boxes' places in the pictures: (N, 4) in 0..1, of ellipses that fill the boxes."""
    inverse = torch.linalg.inv(shape)
    middle = _through(inverse, _middle(boxes) - shift)
    reach = _reach(inverse, boxes)
    return (torch.cat([middle - reach, middle + reach], dim=1) + 1) / 2


def _reach(inverse: Tensor, boxes: Tensor) -> Tensor:
    """Half the width and height of the moved ellipses: (N, 2)."""
    half = boxes[:, 2:] - boxes[:, :2]
    return (inverse * half[:, None]).square().sum(dim=2).sqrt()


def _middle(boxes: Tensor) -> Tensor:
    return boxes[:, :2] + boxes[:, 2:] - 1


def _through(shape: Tensor, points: Tensor) -> Tensor:
    return (shape @ points[:, :, None])[:, :, 0]


def _sampled(photos: Tensor, shape: Tensor, shift: Tensor) -> Tensor:
    if not len(photos):  # affine_grid refuses none
        return torch.zeros(0, 1, SIDE_PX, SIDE_PX)
    theta = torch.cat([shape, shift[:, :, None]], dim=2)
    return Warp(theta).apply(photos.float(), SIDE_PX, SIDE_PX)


def _chosen(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    if not count:
        return torch.zeros(0, dtype=torch.long)
    return torch.multinomial(weights, count, replacement=True, generator=generator)


def _turned(count: int, generator: torch.Generator) -> Tensor:
    """Mirrored, turned upside down by half, and tilted as a camera is, in a squashed photo."""
    flip = torch.where(torch.rand(count, 2, generator=generator) < 0.5, -1.0, 1.0)
    level = TILT_DEG * torch.randn(count, generator=generator)
    any_way = uniform(count, -MOST_TILT_DEG, MOST_TILT_DEG, generator)
    tilted = torch.rand(count, generator=generator) < TILTED
    tilt = torch.deg2rad(torch.where(tilted, any_way, level))
    aspect = torch.exp(uniform(count, -0.1, 0.7, generator))  # width over height of the photo
    cos, sin = torch.cos(tilt), torch.sin(tilt)
    rows = [torch.stack([cos, -sin / aspect], 1), torch.stack([sin * aspect, cos], 1)]
    return torch.diag_embed(flip) @ torch.stack(rows, dim=1)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4) with boxes (..., 4): (...)."""
    shared = _shared(a, b)
    return shared / (_area(a) + _area(b) - shared).clamp_min(1e-6)


def _covered(a: Tensor, b: Tensor) -> Tensor:
    """The share of the smaller of two boxes (..., 4) that lies in the other: (...)."""
    return _shared(a, b) / torch.minimum(_area(a), _area(b)).clamp_min(1e-6)


def _shared(a: Tensor, b: Tensor) -> Tensor:
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    return (high - low).clamp_min(0.0).prod(dim=-1)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1)
