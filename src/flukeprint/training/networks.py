"""A run's network: crops brought to a scale, a backbone, pooling, a head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flukeprint.training.backbones import feature_shape, make_backbone
from flukeprint.training.config import TrainConfig

# Mean and deviation of ImageNet's training photos, red, green and blue, as the published weights
# of torchvision and timm were trained with.
_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class GeneralisedMean(nn.Module):
    """GeM pooling, (N, C, H, W) -> (N, C): the p-th root of the mean p-th power, p learned.

    Source: Radenovic, Tolias and Chum, "Fine-tuning CNN image retrieval with no human annotation"
    (TPAMI 2019), equation 3.
    """

    def __init__(self, power: float = 3.0) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor(power))

    def forward(self, features: Tensor) -> Tensor:
        raised = features.float().clamp_min(1e-4) ** self.power
        return raised.mean(dim=(2, 3)) ** (1.0 / self.power)


class Mean(nn.Module):
    """(N, C, H, W) -> (N, C): each map's mean."""

    def forward(self, features: Tensor) -> Tensor:
        return features.float().mean(dim=(2, 3))


class Scale(nn.Module):
    """Bring crops (N, C, H, W) of 0..255 float32 to the scale that a backbone learns from.

    ``photo``: each crop to mean 0 and deviation 1, so that exposure does not matter. ``unit``: to
    0..1. ``imagenet``: less ImageNet's mean, by its deviation. ``centred``: to -1..1, as the
    Inception networks and FaceNet were trained.
    """

    def __init__(self, how: str, channels: int) -> None:
        super().__init__()
        self.how = how
        mean, deviation = torch.tensor(_IMAGENET_MEAN), torch.tensor(_IMAGENET_DEVIATION)
        if channels == 1:
            mean, deviation = mean.mean()[None], deviation.mean()[None]
        self.register_buffer("mean", 255.0 * mean.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("deviation", 255.0 * deviation.view(1, -1, 1, 1), persistent=False)

    def forward(self, crops: Tensor) -> Tensor:
        if self.how == "unit":
            return crops / 255.0
        if self.how == "centred":
            return (crops - 127.5) / 128.0
        if self.how == "imagenet":
            mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
            return (crops - mean) / deviation
        centred = crops - crops.mean(dim=(1, 2, 3), keepdim=True)
        scale = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        return centred / (scale + 1.0)


class Network(nn.Module):
    """Crops (N, channels, H, W), 0..255 float32, to answers (N, outputs) float32.

    With loss ``softmax`` the answers are logits, one a class; else unit vectors.

    Raises:
        FlukeprintError: there is no backbone of that name, or not for crops of this size.
    """

    def __init__(self, config: TrainConfig, classes: int) -> None:
        super().__init__()
        self.scale = Scale(config.normalise, config.channels)
        self.backbone = make_backbone(config.backbone, config.channels)
        self.pool, width = _pooling(self.backbone, config)
        self.unit = config.loss != "softmax"
        self.outputs = config.embedding_size if self.unit else classes
        self.head = _head(width, self.outputs, config)

    def bottleneck(self, crops: Tensor) -> Tensor:
        """What the head sees of the crops: (N, width)."""
        pooled: Tensor = self.pool(self.backbone(self.scale(crops)))
        return pooled

    def answer(self, bottleneck: Tensor) -> Tensor:
        """The head's answers to (N, width) bottleneck features."""
        answers: Tensor = self.head(bottleneck).float()
        return F.normalize(answers, dim=1) if self.unit else answers

    def forward(self, crops: Tensor) -> Tensor:
        return self.answer(self.bottleneck(crops))


class BothSides(nn.Module):
    """A network's embedding of a crop beside that of the crop mirrored: (N, 2 D) unit vectors.

    Two photos are as alike as their right ways round and their mirrored ones are on average.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.outputs = 2 * network.outputs

    def forward(self, crops: Tensor) -> Tensor:
        sides = torch.cat([self.network(crops), self.network(crops.flip(3))], dim=1)
        return sides / 2**0.5


class Together(nn.Module):
    """Several networks' embeddings of a crop side by side: (N, sum of their sizes) unit vectors."""

    def __init__(self, networks: Sequence[Network | BothSides]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.outputs = sum(network.outputs for network in networks)

    def forward(self, crops: Tensor) -> Tensor:
        answers = [network(crops) for network in self.networks]
        together: Tensor = torch.cat(answers, dim=1) / len(answers) ** 0.5
        return together


def _pooling(backbone: nn.Module, config: TrainConfig) -> tuple[nn.Module, int]:
    """The pooling and how many numbers it gives."""
    maps, height, width = feature_shape(
        backbone, config.channels, config.height_px, config.width_px
    )
    if config.pooling == "flatten":
        if not config.squeeze:
            return nn.Flatten(), maps * height * width
        return _squeezed(maps, config), config.squeeze * height * width
    return (GeneralisedMean() if config.pooling == "gem" else Mean()), maps


def _squeezed(maps: int, config: TrainConfig) -> nn.Module:
    """Fewer maps, each place of each then a number of its own, some hidden while it learns.

    Where flukes lie on a crop as faces do on one that was aligned, the place says which part of the
    fluke it is, and pooling would forget it.

    Source: Deng et al., "ArcFace" (CVPR 2019), section 3.2.2, their option E, here on fewer maps.
    """
    return nn.Sequential(
        nn.Conv2d(maps, config.squeeze, 1, bias=False),
        nn.BatchNorm2d(config.squeeze),
        nn.Flatten(),
        nn.Dropout(config.dropout),
    )


def _head(width: int, outputs: int, config: TrainConfig) -> nn.Module:
    """Fully connected layers as the config lists them, then the softmax layer or the embedding."""
    layers: list[nn.Module] = []
    for wide in config.head:
        layers.append(nn.Linear(width, wide, bias=not config.head_batch_norm))
        if config.head_batch_norm:
            layers.append(nn.BatchNorm1d(wide))
        layers.append(nn.ReLU(inplace=True))
        if config.dropout:
            layers.append(nn.Dropout(config.dropout))
        width = wide
    if config.loss == "softmax":
        layers.append(nn.Linear(width, outputs))
    else:
        if not config.squeeze:  # what is squeezed has been normalised
            layers.append(nn.BatchNorm1d(width))
        layers += [nn.Linear(width, outputs, bias=False), nn.BatchNorm1d(outputs)]
    return nn.Sequential(*layers)
