"""The network that finds flukes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flukeprint.localise import CORNERS, LOGIT, NUMBERS
from flukeprint.training.networks import Scale

SIDE_PX = 96
PLACES = SIDE_PX // 8  # on a side of the grid
_WIDTHS = (16, 32, 64, 96, 128)


class FlukeNet(nn.Module):
    """Squashed grey photos (N, 1, 96, 96), 0..255 float32, to (N, 144, 8) float32 answers.

    A grid of 12 x 12 places, each with the numbers that :mod:`flukeprint.localise` reads: whether
    a fluke's middle is there, its box as distances to the four edges (Tian et al., "FCOS: fully
    convolutional one-stage object detection", ICCV 2019, section 3.1), whether it is upside down,
    its slope, and whether the whole photo shows a fluke, the same for every place. Coarse maps
    are brought to the fine one as in Lin et al., "Feature pyramid networks" (CVPR 2017).
    """

    def __init__(self) -> None:
        super().__init__()
        first, second, fine, coarse, coarsest = _WIDTHS
        self.scale = Scale("photo", 1)
        self.stem = nn.Sequential(_halved(1, first), _halved(first, second), _halved(second, fine))
        self.coarse, self.coarsest = _halved(fine, coarse), _halved(coarse, coarsest)
        self.across = nn.ModuleList(nn.Conv2d(width, fine, 1) for width in _WIDTHS[2:])
        self.whole = nn.Linear(coarsest, fine)
        self.mix = nn.Sequential(
            nn.BatchNorm2d(fine), nn.ReLU(inplace=True), *_same(fine, fine), *_same(fine, fine)
        )
        self.head = nn.Conv2d(fine, NUMBERS - 1, 1)
        nn.init.constant_(self.head.bias[LOGIT], -3.0)  # type: ignore[index]  # most places are sea
        self.photo = nn.Sequential(
            nn.Linear(coarse + coarsest, fine), nn.ReLU(inplace=True), nn.Dropout(0.2)
        )
        self.shown = nn.Linear(fine + 1, 1)
        middles = (torch.arange(PLACES) + 0.5) / PLACES
        rows, columns = torch.meshgrid(middles, middles, indexing="ij")
        self.register_buffer("middles", torch.stack([columns, rows], -1).view(-1, 2), False)

    def forward(self, photos: Tensor) -> Tensor:
        fine = self.stem(self.scale(photos))
        coarse = self.coarse(fine)
        coarsest = self.coarsest(coarse)
        means = coarse.mean(dim=(2, 3)), coarsest.mean(dim=(2, 3))
        mixed = self.across[0](fine) + self.whole(means[1])[:, :, None, None]
        for layer, maps, times in ((1, coarse, 2.0), (2, coarsest, 4.0)):
            mixed = mixed + F.interpolate(
                self.across[layer](maps), scale_factor=times, mode="bilinear"
            )
        raw = self.head(self.mix(mixed)).flatten(2).transpose(1, 2).float()
        reach = torch.sigmoid(raw[:, :, CORNERS])
        middles = self.get_buffer("middles")
        boxes = torch.cat([middles - reach[..., :2], middles + reach[..., 2:]], dim=2)
        # A small fluke is seen from its place, what is no fluke from all around it.
        likeliest = raw[:, :, LOGIT].amax(dim=1, keepdim=True)
        judged = torch.cat([self.photo(torch.cat(means, dim=1)).float(), likeliest], dim=1)
        shown = self.shown(judged).float()[:, None]
        return torch.cat(
            [
                raw[:, :, : CORNERS.start],
                boxes,
                raw[:, :, CORNERS.stop :],
                shown.expand(-1, PLACES**2, 1),
            ],
            dim=2,
        )


def _halved(before: int, width: int) -> nn.Sequential:
    return nn.Sequential(*_same(before, width, 2), *_same(width, width))


def _same(before: int, width: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(before, width, 3, stride, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    ]
