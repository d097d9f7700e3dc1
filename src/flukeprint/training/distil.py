"""A teacher's embeddings for a network to come near: what several networks know, in one.

Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network" (NIPS workshop 2014),
for the idea; embeddings are matched where they match a classifier's answers, for a teacher that
embeds has no answer for a whale that it does not know.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from flukeprint.errors import FlukeprintError
from flukeprint.model import load_model
from flukeprint.network import Network
from flukeprint.progress import Step
from flukeprint.training.augment import centre_warp
from flukeprint.training.data import INNER

BATCH = 64
SAME = 1e-3  # of a unit vector's numbers: mirrored there and back, a crop may round differently


class Imitation(nn.Module):
    """How far embeddings, brought to the teacher's space, are from the teacher's: 1 - cosine."""

    def __init__(self, embedding_size: int, teacher_size: int) -> None:
        super().__init__()
        self.to_teacher = nn.Linear(embedding_size, teacher_size, bias=False)
        nn.init.orthogonal_(self.to_teacher.weight)

    def forward(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Mean over (N, D) embeddings and (N, teacher's size) targets, both float32."""
        return (1.0 - F.cosine_similarity(self.to_teacher(embeddings), targets, dim=1)).mean()


def targets_of(crops: Tensor, teacher: Path, step: Step | None = None) -> Tensor:
    """What the teacher makes of stored crops (N, C, H, W) uint8: (N, 2, D) float16.

    First of each crop as it is, then of it mirrored. A teacher that puts the embedding of a crop
    beside that of its mirror image gives the former alone: the network that learns sees one side
    at a time.

    Raises:
        FlukeprintError: the teacher cannot be read, or sees colour where these crops are grey, or
            the other way round.
    """
    model = load_model(teacher)
    manifest = model.manifest
    if manifest.channels != crops.shape[1]:
        raise FlukeprintError(
            f"{teacher}: sees {manifest.channels} channels, these crops have {crops.shape[1]}; "
            f"set channels to {manifest.channels}"
        )
    network, twin = Network(model), None
    targets = []
    for start in range(0, len(crops), BATCH):
        some = crops[start : start + BATCH]
        plain = _asked(network, some, mirrored=False)
        if twin is None:
            mirrored = _asked(network, some, mirrored=True)
            twin = _twins(plain, mirrored) if start == 0 else None
        if twin is not None:
            first = np.arange(len(twin)) < twin
            plain, mirrored = plain[:, first], plain[:, twin[first]]
        targets.append(np.stack([plain, mirrored], axis=1).astype(np.float16))
        if step:
            step(len(some))
    return torch.from_numpy(np.concatenate(targets))


def _asked(network: Network, crops: Tensor, *, mirrored: bool) -> NDArray[np.float32]:
    """The teacher's embeddings of stored crops (N, C, H, W) uint8: (N, D)."""
    manifest = network.model.manifest
    warp = centre_warp(torch.full((len(crops),), mirrored), INNER)
    seen = warp.apply(crops.float(), manifest.height_px, manifest.width_px)
    cuts = seen.round().byte().permute(0, 2, 3, 1).numpy()
    return network.embed([cut[..., 0] if cut.shape[2] == 1 else cut for cut in cuts])


def _twins(plain: NDArray[np.float32], mirrored: NDArray[np.float32]) -> NDArray[np.int64] | None:
    """Which number of (N, D) embeddings of crops is which one when the crops are mirrored: (D,).

    None where the mirrored ones are no such change of places.
    """
    squares = np.square(plain).sum(axis=0)[:, None] + np.square(mirrored).sum(axis=0)
    twin = (squares - 2.0 * plain.T @ mirrored).argmin(axis=1)
    numbers = np.arange(len(twin))
    places = (twin[twin] == numbers).all() and (twin != numbers).all()
    return twin if places and np.abs(plain - mirrored[:, twin]).max() < SAME else None
