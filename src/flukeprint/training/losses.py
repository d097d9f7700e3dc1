"""Losses over embeddings and integer labels."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SubCentreArcFace(nn.Module):
    """ArcFace with K centres per class: the angle to the true class is widened by a margin.

    loss = cross-entropy of scale * cos(theta_j + margin_rad * [j is true]), where cos(theta_j) is
    the largest over class j's centres.

    Sources: Deng et al., "ArcFace" (CVPR 2019), equation 3; Deng et al., "Sub-center ArcFace"
    (ECCV 2020), equation 2. Past theta = pi - margin the cosine would rise again; there it is
    continued as a line, as in the authors' code base's description ("easy margin" off).
    """

    def __init__(self, embedding_size: int, classes: int, *, centres: int, scale: float) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.empty(classes * centres, embedding_size))
        nn.init.normal_(self.centres, std=0.05)
        self.per_class = centres
        self.scale = scale

    def forward(self, embeddings: Tensor, labels: Tensor, margin_rad: float) -> Tensor:
        """Mean loss of (N, D) unit embeddings with (N,) int64 labels."""
        cosine = embeddings @ F.normalize(self.centres, dim=1).T
        if self.per_class > 1:
            cosine = cosine.view(len(embeddings), -1, self.per_class).amax(dim=2)
        return F.cross_entropy(self.scale * with_margin(cosine, labels, margin_rad), labels)


def with_margin(cosine: Tensor, labels: Tensor, margin_rad: float) -> Tensor:
    """(N, C) cosines with the true class's angle widened by ``margin_rad``."""
    true = cosine.gather(1, labels[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
    sine = (1.0 - true.square()).sqrt()
    widened = true * math.cos(margin_rad) - sine * math.sin(margin_rad)
    beyond = true - math.sin(margin_rad) * margin_rad
    widened = torch.where(true > math.cos(math.pi - margin_rad), widened, beyond)
    return cosine.scatter(1, labels[:, None], widened)
