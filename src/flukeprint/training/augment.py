"""Real-time augmentation of whole batches of pictures, all from one seeded generator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from flukeprint.training.config import TrainConfig

BEND_GRID = (4, 5)  # rows and columns: a fluke's lobes bend as wholes, its edge does not ripple
COARSEST = 0.4  # of the size


@dataclass(frozen=True, slots=True)
class Warp:
    """Maps from output to input coordinates, both -1..1.

    ``theta`` (N, 2, 3) float32 is the affine part; ``bends`` (N, 2, rows, columns) float32, where
    given, moves what the places of a coarse grid see in x and y, and smoothly what lies between.
    """

    theta: Tensor
    bends: Tensor | None = None

    def apply(self, images: Tensor, height_px: int, width_px: int) -> Tensor:
        """Sample (N, C, H, W) float32 pictures at (N, C, height_px, width_px), bilinear."""
        size = [len(images), images.shape[1], height_px, width_px]
        grid = F.affine_grid(self.theta, size, align_corners=False)
        if self.bends is not None:
            between = F.interpolate(
                self.bends, (height_px, width_px), mode="bicubic", align_corners=True
            )
            grid = grid + between.permute(0, 2, 3, 1)
        return F.grid_sample(
            images, grid, mode="bilinear", padding_mode="border", align_corners=False
        )


def uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """(count,) float32 drawn evenly from low..high."""
    draw = torch.rand(count, generator=generator, device=generator.device)
    return draw * (high - low) + low


def draw_warp(
    mirrored: Tensor, inner: float, config: TrainConfig, generator: torch.Generator
) -> Warp:
    """Draw a pose for each of N crops.

    ``mirrored`` (N,) bool flips left and right. ``inner`` is the share of the stored crop, margin
    included, that the network sees when nothing is drawn.
    """
    count = len(mirrored)
    angle = torch.deg2rad(uniform(count, -config.rotate_deg, config.rotate_deg, generator))
    zoom_x = torch.exp(uniform(count, -config.zoom, config.zoom, generator)) * inner
    zoom_y = torch.exp(uniform(count, -config.zoom, config.zoom, generator)) * inner
    shear = uniform(count, -config.shear, config.shear, generator)
    shift_x = uniform(count, -config.shift, config.shift, generator) * 2 * inner
    shift_y = uniform(count, -config.shift, config.shift, generator) * 2 * inner
    flip = torch.where(mirrored, -1.0, 1.0)
    cos, sin = torch.cos(angle), torch.sin(angle)
    row_x = torch.stack([flip * cos * zoom_x, flip * (shear * cos - sin) * zoom_x, shift_x], dim=1)
    row_y = torch.stack([sin * zoom_y, (shear * sin + cos) * zoom_y, shift_y], dim=1)
    theta = torch.stack([row_x, row_y], dim=1)
    if not config.bend:
        return Warp(theta)
    grid = (count, 2, *BEND_GRID)
    return Warp(
        theta, config.bend * torch.randn(grid, generator=generator, device=generator.device)
    )


def centre_warp(mirrored: Tensor, inner: float) -> Warp:
    """The pose that an embedding sees outside training."""
    theta = torch.zeros(len(mirrored), 2, 3, device=mirrored.device)
    theta[:, 0, 0] = torch.where(mirrored, -inner, inner)
    theta[:, 1, 1] = inner
    return Warp(theta)


def relight(images: Tensor, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """Change gamma, a light gradient, blur, noise, hide a patch, coarsen: (N, C, H, W) in 0..255.

    The light is the same for all channels, grey (C = 1) or colour (C = 3); noise, as in a camera,
    is each channel's own.
    """
    count, _, height, width = images.shape
    shape = (count, 1, 1, 1)
    gamma = torch.exp(uniform(count, -config.light, config.light, generator) * 1.5).view(shape)
    bright = (images / 255.0).clamp(1e-4, 1.0) ** gamma
    slope = uniform(count, -config.light, config.light, generator).view(shape)
    tilt = uniform(count, -config.light, config.light, generator).view(shape)
    ramp_x = torch.linspace(-0.5, 0.5, width, device=images.device).view(1, 1, 1, width)
    ramp_y = torch.linspace(-0.5, 0.5, height, device=images.device).view(1, 1, height, 1)
    bright = bright * (1.0 + slope * ramp_x + tilt * ramp_y)
    bright = _blurred(bright, uniform(count, -1.0, 1.0, generator), config.blur_px)
    if config.noise:
        strength = uniform(count, -config.noise, config.noise, generator).clamp_min(0).view(shape)
        grain = torch.randn(bright.shape, generator=generator, device=images.device)
        bright = bright + strength * grain
    return _coarsened(_erased(bright, config.erase, generator), config.coarse, generator) * 255.0


def _coarsened(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Bring the first half of ``share`` of the batches down in size and up again: far flukes.

    A batch's pictures are in no order; one size for all that are coarsened costs one pass.
    """
    if not share:
        return images
    often, size = uniform(2, 0.0, 1.0, generator).tolist()
    if often >= share:
        return images
    height, width = images.shape[2:]
    scale = COARSEST + (1.0 - COARSEST) * size
    small = max(round(scale * height), 1), max(round(scale * width), 1)
    some, rest = images.tensor_split([len(images) // 2])
    far = F.interpolate(some, small, mode="bilinear", antialias=True, align_corners=False)
    near = F.interpolate(far, (height, width), mode="bilinear", align_corners=False)
    return torch.cat([near, rest])


def _blurred(images: Tensor, amount: Tensor, most_px: float) -> Tensor:
    """Mix each picture with its 3 x 3 binomial blur; half of them stay sharp."""
    if not most_px:
        return images
    kernel = torch.tensor([1.0, 2.0, 1.0], device=images.device) / 4.0
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    channels = images.shape[1]
    each = torch.outer(kernel, kernel).expand(channels, 1, 3, 3)
    soft = F.conv2d(padded, each, groups=channels)
    share = (amount.clamp_min(0.0) * most_px).clamp_max(1.0).view(-1, 1, 1, 1)
    return images + share * (soft - images)


def _erased(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Grey out one rectangle in ``share`` of the pictures, as splash and other whales do."""
    count, _, height, width = images.shape
    draw = torch.rand(5, count, generator=generator, device=images.device)
    side_x, side_y = 0.1 + 0.25 * draw[1], 0.1 + 0.25 * draw[2]
    x = torch.linspace(0, 1, width, device=images.device)
    y = torch.linspace(0, 1, height, device=images.device)
    left, top = draw[3] * (1 - side_x), draw[4] * (1 - side_y)
    inside_x = (x >= left[:, None]) & (x <= (left + side_x)[:, None])
    inside_y = (y >= top[:, None]) & (y <= (top + side_y)[:, None])
    hidden = inside_y[:, :, None] & inside_x[:, None, :] & (draw[0] < share)[:, None, None]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return torch.where(hidden[:, None], mean, images)
