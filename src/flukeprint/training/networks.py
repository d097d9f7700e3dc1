"""Embedding networks: a timm backbone, generalised-mean pooling, a linear layer, a unit vector."""

from __future__ import annotations

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flukeprint.errors import FlukeprintError


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


class Embedder(nn.Module):
    """Grey crops (N, 1, H, W), 0..255 float32, to unit vectors (N, embedding_size) float32.

    Each crop is first brought to mean 0 and deviation 1, so that exposure does not matter.

    Raises:
        FlukeprintError: timm has no backbone of that name.
    """

    def __init__(self, backbone: str, embedding_size: int) -> None:
        super().__init__()
        try:
            self.backbone = timm.create_model(
                backbone, pretrained=False, in_chans=1, num_classes=0, global_pool=""
            )
        except RuntimeError as error:
            raise FlukeprintError(f"config: backbone {backbone!r}: {error}") from None
        self.pool = GeneralisedMean()
        width = int(self.backbone.num_features)  # type: ignore[arg-type]
        self.head = nn.Sequential(
            nn.BatchNorm1d(width),
            nn.Linear(width, embedding_size, bias=False),
            nn.BatchNorm1d(embedding_size),
        )

    def forward(self, crops: Tensor) -> Tensor:
        centred = crops - crops.mean(dim=(1, 2, 3), keepdim=True)
        scale = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        features = self.backbone(centred / (scale + 1.0))
        return F.normalize(self.head(self.pool(features)).float(), dim=1)
