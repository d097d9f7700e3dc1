"""The bodies of the networks in "Humpback Whale Identification" (Tseng, Hu and Chiang, UCSD).

Each maps (N, channels, H, W) float32 to (N, num_features, h, w) feature maps. The fully connected
layers that the paper draws after them belong to a run's head.
"""

from __future__ import annotations

from torch import Tensor, nn


class UcsdBaseline(nn.Module):
    """Two convolutions, each followed by max-pooling: (N, 64, H/4, W/4).

    Source: section 3.3.1 and figure 8, which give the order of the layers and no sizes. The 32 and
    64 maps, the 3 x 3 kernels, the ReLUs and the 2 x 2 pooling are our choice.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_features = 64
        self.features = nn.Sequential(
            *_convolution(channels, 32), nn.MaxPool2d(2), *_convolution(32, 64), nn.MaxPool2d(2)
        )
        start_for_relu(self)

    def forward(self, crops: Tensor) -> Tensor:
        return _maps(self.features, crops)


class AlexNetWhole(nn.Module):
    """AlexNet in one piece instead of two halves: (N, 256, h, w), 1 x 1 at 128 x 128 pixels.

    Sources: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional
    neural networks" (NIPS 2012), section 3.5, for the layers; the students' section 3.3.2 for the
    whole network on one GPU and for a further pooling after the fourth convolution, which
    ``extra_pool=False`` leaves out. The first convolution has a border of 2, which at 227 x 227
    changes no size after the first pooling and lets 128 x 128 reach the last one. 127 pixels is
    the least side (63 without the extra pooling).

    Local response normalisation is left out: it has no weights, the original puts its gain at
    1.4 % of the top-1 error (section 3.3) and the students do not mention it.
    """

    def __init__(self, channels: int, *, extra_pool: bool = True) -> None:
        super().__init__()
        self.num_features = 256
        fourth = [nn.MaxPool2d(3, 2)] if extra_pool else []
        self.features = nn.Sequential(
            nn.Conv2d(channels, 96, 11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            *_convolution(96, 256, 5),
            nn.MaxPool2d(3, 2),
            *_convolution(256, 384),
            *_convolution(384, 384),
            *fourth,
            *_convolution(384, 256),
            nn.MaxPool2d(3, 2),
        )
        start_for_relu(self)

    def forward(self, crops: Tensor) -> Tensor:
        return _maps(self.features, crops)


class Vgg19(nn.Module):
    """The sixteen convolutions of VGG-19: (N, 512, H/32, W/32).

    Sources: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
    recognition" (2014), table 1, column E; the students' section 3.3.3. The layers are numbered as
    in torchvision's and timm's published weights (``features.0.weight``, ...), which load as they
    are.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_features = 512
        layers: list[nn.Module] = []
        before = channels
        for width, convolutions in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
            for _ in range(convolutions):
                layers += _convolution(before, width)
                before = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        start_for_relu(self)

    def forward(self, crops: Tensor) -> Tensor:
        return _maps(self.features, crops)


class UcsdSiamese(nn.Module):
    """The encoder that both sides of the Siamese network share: (N, 512, H/64, W/64).

    Source: section 3.3.6 and figure 11, which name the network and give no layers. Five blocks of
    a convolution to 32, 64, 128, 256 and 512 maps, batch normalisation, ReLU and 2 x 2 max-pooling
    are our choice, the first 5 x 5 with a stride of 2, the others 3 x 3: what a laptop trains for
    many epochs did better than what it trains for a few.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_features = 512
        layers: list[nn.Module] = []
        before, side, stride = channels, 5, 2
        for width in (32, 64, 128, 256, 512):
            # Rectifying after the pooling gives the same numbers from a quarter of the work.
            layers += [
                nn.Conv2d(before, width, side, stride, side // 2, bias=False),
                nn.BatchNorm2d(width),
                nn.MaxPool2d(2),
                nn.ReLU(inplace=True),
            ]
            before, side, stride = width, 3, 1
        self.features = nn.Sequential(*layers)

    def forward(self, crops: Tensor) -> Tensor:
        return _maps(self.features, crops)


def start_for_relu(network: nn.Module) -> None:
    """Draw the convolutions' weights so that a deep stack without batch normalisation can learn.

    Torch's own start shrinks the signal at every layer; this one keeps its size. Source: He et
    al., "Delving deep into rectifiers" (ICCV 2015), equation 10.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _convolution(before: int, width: int, side: int = 3) -> list[nn.Module]:
    return [nn.Conv2d(before, width, side, padding=side // 2), nn.ReLU(inplace=True)]


def _maps(layers: nn.Sequential, crops: Tensor) -> Tensor:
    maps: Tensor = layers(crops)
    return maps
