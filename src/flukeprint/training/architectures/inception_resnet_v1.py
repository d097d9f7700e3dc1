"""FaceNet's network, Inception-ResNet-v1, named and shaped as its published VGGFace2 weights.

Sources: Szegedy et al., "Inception-v4, Inception-ResNet and the impact of residual connections on
learning" (AAAI 2017), figures 10 to 14 and section 3.3, for the network; Schroff, Kalenichenko and
Philbin, "FaceNet" (CVPR 2015), for what it was trained to do; and, for the names of the layers,
what the paper leaves open (scales of the residuals, batch normalisation) and the embedding, the
file ``20180402-114759-vggface2.pt`` that facenet-pytorch publishes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

EMBEDDING_SIZE = 512
LEAST_SIDE_PX = 75
"""The least height and width of a crop: below it nothing is left for the last reduction."""


class InceptionResnetV1(nn.Module):
    """(N, channels, H, W) float32 to its embedding (N, 512, 1, 1), not yet of unit length.

    The published network is whole up to the embedding: mean pooling, ``last_linear`` and
    ``last_bn`` are part of this body, so that a run which retrains only a classifier starts from
    the published 512 numbers. The dropout before ``last_linear`` has no weights and is left out:
    a frozen body has no use for it. H and W must be at least ``LEAST_SIDE_PX``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_features = EMBEDDING_SIZE
        self.conv2d_1a = Unit(channels, 32, 3, stride=2)
        self.conv2d_2a = Unit(32, 32, 3)
        self.conv2d_2b = Unit(32, 64, 3, padding=1)
        self.maxpool_3a = nn.MaxPool2d(3, 2)
        self.conv2d_3b = Unit(64, 80, 1)
        self.conv2d_4a = Unit(80, 192, 3)
        self.conv2d_4b = Unit(192, 256, 3, stride=2)
        self.repeat_1 = nn.Sequential(*[ResidualA() for _ in range(5)])
        self.mixed_6a = ReductionA()
        self.repeat_2 = nn.Sequential(*[ResidualB() for _ in range(10)])
        self.mixed_7a = ReductionB()
        self.repeat_3 = nn.Sequential(*[ResidualC(scale=0.2) for _ in range(5)])
        self.block8 = ResidualC(scale=1.0, rectify=False)
        self.last_linear = nn.Linear(1792, EMBEDDING_SIZE, bias=False)
        self.last_bn = nn.BatchNorm1d(EMBEDDING_SIZE, eps=0.001, momentum=0.1)

    def forward(self, crops: Tensor) -> Tensor:
        maps = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(crops)))
        maps = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(self.maxpool_3a(maps))))
        maps = self.repeat_2(self.mixed_6a(self.repeat_1(maps)))
        maps = self.block8(self.repeat_3(self.mixed_7a(maps)))
        embedding: Tensor = self.last_bn(self.last_linear(maps.mean(dim=(2, 3))))
        return embedding[:, :, None, None]


class Unit(nn.Module):
    """A convolution without bias, batch normalisation and ReLU."""

    def __init__(
        self,
        before: int,
        width: int,
        side: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, width, side, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=0.001, momentum=0.1)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(maps)))


class Residual(nn.Module):
    """maps + scale * conv2d(what the branches find, side by side), rectified; the shape stays."""

    def __init__(
        self, width: int, branches: list[nn.Module], found: int, *, scale: float, rectify: bool
    ) -> None:
        super().__init__()
        self.branches = len(branches)
        for number, branch in enumerate(branches):
            self.add_module(f"branch{number}", branch)
        self.conv2d = nn.Conv2d(found, width, 1)
        self.scale = scale
        self.rectify = rectify

    def forward(self, maps: Tensor) -> Tensor:
        found = [self.get_submodule(f"branch{n}")(maps) for n in range(self.branches)]
        maps = maps + self.scale * self.conv2d(torch.cat(found, dim=1))
        return torch.relu(maps) if self.rectify else maps


class ResidualA(Residual):
    """Inception-ResNet-A on 256 maps (figure 10)."""

    def __init__(self) -> None:
        super().__init__(
            256,
            [
                Unit(256, 32, 1),
                nn.Sequential(Unit(256, 32, 1), Unit(32, 32, 3, padding=1)),
                nn.Sequential(
                    Unit(256, 32, 1), Unit(32, 32, 3, padding=1), Unit(32, 32, 3, padding=1)
                ),
            ],
            96,
            scale=0.17,
            rectify=True,
        )


class ResidualB(Residual):
    """Inception-ResNet-B on 896 maps (figure 11)."""

    def __init__(self) -> None:
        across = Unit(128, 128, (1, 7), padding=(0, 3))
        down = Unit(128, 128, (7, 1), padding=(3, 0))
        super().__init__(
            896,
            [Unit(896, 128, 1), nn.Sequential(Unit(896, 128, 1), across, down)],
            256,
            scale=0.1,
            rectify=True,
        )


class ResidualC(Residual):
    """Inception-ResNet-C on 1792 maps (figure 13)."""

    def __init__(self, *, scale: float, rectify: bool = True) -> None:
        across = Unit(192, 192, (1, 3), padding=(0, 1))
        down = Unit(192, 192, (3, 1), padding=(1, 0))
        super().__init__(
            1792,
            [Unit(1792, 192, 1), nn.Sequential(Unit(1792, 192, 1), across, down)],
            384,
            scale=scale,
            rectify=rectify,
        )


class ReductionA(nn.Module):
    """256 maps to 896 of half the side (figure 7 with k, l, m, n = 192, 192, 256, 384)."""

    def __init__(self) -> None:
        super().__init__()
        self.branch0 = Unit(256, 384, 3, stride=2)
        self.branch1 = nn.Sequential(
            Unit(256, 192, 1), Unit(192, 192, 3, padding=1), Unit(192, 256, 3, stride=2)
        )
        self.branch2 = nn.MaxPool2d(3, 2)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([self.branch0(maps), self.branch1(maps), self.branch2(maps)], dim=1)


class ReductionB(nn.Module):
    """896 maps to 1792 of half the side (figure 12)."""

    def __init__(self) -> None:
        super().__init__()
        self.branch0 = nn.Sequential(Unit(896, 256, 1), Unit(256, 384, 3, stride=2))
        self.branch1 = nn.Sequential(Unit(896, 256, 1), Unit(256, 256, 3, stride=2))
        self.branch2 = nn.Sequential(
            Unit(896, 256, 1), Unit(256, 256, 3, padding=1), Unit(256, 256, 3, stride=2)
        )
        self.branch3 = nn.MaxPool2d(3, 2)

    def forward(self, maps: Tensor) -> Tensor:
        found = [self.branch0(maps), self.branch1(maps), self.branch2(maps), self.branch3(maps)]
        return torch.cat(found, dim=1)
