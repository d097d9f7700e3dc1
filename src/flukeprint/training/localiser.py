"""Train the network that finds the fluke, from boxes drawn by hand."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flukeprint.training.augment import Warp, relight, uniform
from flukeprint.training.config import TrainConfig

SIDE_PX = 64


class BoxNet(nn.Module):
    """Squashed grey photos (N, 1, 64, 64), 0..255 float32, to boxes (N, 4): x0 y0 x1 y1, 0..1."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for width in (16, 32, 64, 96, 128):
            layers += [
                nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            before = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(128 * 4, 4))

    def forward(self, photos: Tensor) -> Tensor:
        centred = photos - photos.mean(dim=(1, 2, 3), keepdim=True)
        scale = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        raw = self.head(self.features(centred / (scale + 1.0)))
        middle, half = torch.sigmoid(raw[:, :2]), 0.5 * torch.sigmoid(raw[:, 2:])
        corners = torch.cat([middle - half, middle + half], dim=1)
        return corners.clamp(0.0, 1.0)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of (N, 4) boxes with (N, 4) boxes: (N,)."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    shared = (high - low).clamp_min(0.0).prod(dim=1)
    areas = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1)
    return shared / (areas - shared).clamp_min(1e-6)


def fit_localiser(
    photos: Tensor,
    boxes: Tensor,
    *,
    steps: int,
    seed: int,
    batch_size: int = 64,
    progress: Callable[[int], object] | None = None,
) -> BoxNet:
    """Fit a BoxNet to (N, 1, H, W) uint8 photos and their (N, 4) float32 boxes in 0..1."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    net = BoxNet().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    light = TrainConfig(noise=0.08, blur_px=1.0, light=0.5)
    for _ in range(steps):
        chosen = torch.randint(len(photos), (batch_size,), generator=generator)
        images, wanted = _moved(photos[chosen].float(), boxes[chosen], generator)
        images = relight(images, light, generator)
        found = net(images.to(memory_format=torch.channels_last))
        corners = F.smooth_l1_loss(found, wanted, beta=0.02)
        loss = corners + 0.1 * (1 - overlap(found, wanted)).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if progress:
            progress(1)
    return net.eval()


def _moved(images: Tensor, boxes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Zoom, shift and mirror photos and their boxes alike."""
    count = len(images)
    zoom = torch.exp(uniform(2 * count, -0.45, 0.25, generator)).view(count, 2)
    shift = uniform(2 * count, -0.25, 0.25, generator).view(count, 2)
    turned = torch.rand(count, 2, generator=generator) < torch.tensor([0.5, 0.05])
    flip = torch.where(turned, -1.0, 1.0)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = (zoom * flip).T
    theta[:, :, 2] = shift
    corners = (boxes.view(count, 2, 2) * 2 - 1 - shift[:, None]) / (zoom * flip)[:, None]
    low, high = corners.amin(dim=1), corners.amax(dim=1)
    moved = ((torch.cat([low, high], dim=1) + 1) / 2).clamp(0.0, 1.0)
    return Warp(theta).apply(images, SIDE_PX, SIDE_PX), moved
