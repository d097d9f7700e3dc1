"""Which triplets of a batch teach: an anchor, a positive (its whale) and a negative (another's)."""

from __future__ import annotations

import torch
from torch import Tensor

Triplets = tuple[Tensor, Tensor, Tensor]
"""Places in the batch of the anchors, positives and negatives: three (T,) int64 tensors."""


def distances(embeddings: Tensor, kind: str) -> Tensor:
    """(N, N) float32 distances of (N, D) embeddings, "euclidean" or "squared"; 0 from itself.

    For choosing only: no gradient flows back through them.
    """
    with torch.no_grad():
        # By way of the product of the embeddings, two equal ones would come out 0.0005 apart.
        apart = torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")
    return apart.square() if kind == "squared" else apart


def batch_hard(distance: Tensor, labels: Tensor) -> Triplets:
    """One triplet per anchor: the farthest positive and the nearest negative in the batch.

    ``distance`` (N, N), ``labels`` (N,) int64. Of equals the first is taken; an anchor without a
    positive or without a negative is left out.

    Source: Hermans, Beyer, Leibe, "In Defense of the Triplet Loss for Person Re-Identification"
    (2017), equation 5.
    """
    positive, negative = _relations(labels)
    anchors = (positive.any(dim=1) & negative.any(dim=1)).nonzero()[:, 0]
    farthest = distance.masked_fill(~positive, -torch.inf).argmax(dim=1)
    nearest = distance.masked_fill(~negative, torch.inf).argmin(dim=1)
    return anchors, farthest[anchors], nearest[anchors]


def semi_hard(distance: Tensor, labels: Tensor, margin: float) -> Triplets:
    """One triplet per pair of an anchor and a positive: the nearest negative beyond the positive.

    ``distance`` (N, N), ``labels`` (N,) int64. The negative lies farther from the anchor than the
    positive, but by less than ``margin``; of equals the first is taken. A pair that has no such
    negative is left out: the paper names no other choice for it. A negative nearer than the
    positive would be what the paper warns of, as it can collapse the embedding early on, and one
    beyond the margin would teach nothing.

    Source: Schroff, Kalenichenko, Philbin, "FaceNet" (CVPR 2015), section 3.2.
    """
    positive, negative = _relations(labels)
    anchors, positives = positive.nonzero(as_tuple=True)
    to_positive = distance[anchors, positives][:, None]
    to_all = distance[anchors]
    fitting = negative[anchors] & (to_all > to_positive) & (to_all < to_positive + margin)
    nearest = to_all.masked_fill(~fitting, torch.inf).argmin(dim=1)
    kept = fitting.any(dim=1)
    return anchors[kept], positives[kept], nearest[kept]


def _relations(labels: Tensor) -> tuple[Tensor, Tensor]:
    """(N, N) bool each: another picture of the same whale; a picture of another whale."""
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return same & ~itself, ~same
