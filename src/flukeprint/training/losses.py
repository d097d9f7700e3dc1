"""Losses over embeddings and integer labels."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flukeprint.training.mining import batch_hard, distances, semi_hard


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


def class_weights(counts: Tensor, power: float) -> Tensor:
    """(C,) float32 weights that make up for (C,) int64 ``counts`` of photos, one at least in all.

    They are proportional to 1 / count ** power, and 1 in the mean over the photos, not over the
    classes: so the size of the gradients, and with it the learning rate, keeps its meaning. A class
    without photos weighs nothing.

    Source: Tseng, Hu, Chiang, "Humpback Whale Identification" (UC San Diego), equation 6, with
    power 0.75; the scale is ours.
    """
    photos = counts.double()
    weights = torch.where(counts > 0, photos.clamp_min(1.0) ** -power, 0.0)
    return (weights * (photos.sum() / (photos * weights).sum())).float()


class WeightedSoftmax(nn.Module):
    """Cross-entropy in which each class has its weight, as (C,) float32.

    Source: the ``class_weight`` of Keras, which Tseng, Hu, Chiang, "Humpback Whale Identification"
    (UC San Diego), section 2.4, train with. It divides by the number of pictures, where torch's
    own ``weight`` divides by the batch's weights: then a batch of one rare whale would teach no
    more than a batch of one common whale.
    """

    weights: Tensor

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of (N, C) float32 logits with (N,) int64 labels."""
        each: Tensor = self.weights[labels] * F.cross_entropy(logits, labels, reduction="none")
        return each.mean()


class TripletLoss(nn.Module):
    """A picture shall lie nearer to its whale's other pictures than to other whales', by a margin.

    loss = max(d(a, p) - d(a, n) + margin, 0), in the mean over the triplets that ``mining``
    ("batch-hard" or "semi-hard") chooses from the batch; d is the ``distance`` between embeddings,
    "euclidean" or "squared".

    Sources: Tseng, Hu, Chiang, "Humpback Whale Identification" (UC San Diego), section 3.3.6;
    Zweig, Negre, "A Fluke in the Data" (Stanford, 2018), equation 2, which squares the distance
    after Schroff, Kalenichenko, Philbin, "FaceNet" (CVPR 2015), section 3.1.
    """

    def __init__(self, margin: float, distance: str, mining: str) -> None:
        super().__init__()
        self.margin, self.distance, self.mining = margin, distance, mining

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of (N, D) unit float32 embeddings with (N,) int64 labels.

        0, with gradients of 0, where the batch holds no triplet.
        """
        between = distances(embeddings, self.distance)
        if self.mining == "semi-hard":
            anchors, positives, negatives = semi_hard(between, labels, self.margin)
        else:
            anchors, positives, negatives = batch_hard(between, labels)
        if not len(anchors):
            return 0.0 * embeddings.sum()
        anchor = embeddings[anchors]
        near = _distance(anchor - embeddings[positives], self.distance)
        far = _distance(anchor - embeddings[negatives], self.distance)
        return (near - far + self.margin).clamp_min(0.0).mean()


def _distance(difference: Tensor, kind: str) -> Tensor:
    """(T,) lengths of (T, D) differences; the gradient of a length of 0 is 0."""
    if kind == "squared":
        return difference.square().sum(dim=1)
    length: Tensor = torch.linalg.vector_norm(difference, dim=1)
    return length
