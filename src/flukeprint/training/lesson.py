"""What a run learns from: crops in memory, copies of them, and what validates beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from flukeprint.collection import Collection
from flukeprint.errors import FlukeprintError
from flukeprint.progress import Progress
from flukeprint.records import Split, Table
from flukeprint.training.config import TrainConfig
from flukeprint.training.copies import grey_copies, offline_copies
from flukeprint.training.data import (
    INNER,
    Sample,
    crops_of,
    drawn_samples,
    labels_of,
    rows_of,
    samples_of,
)
from flukeprint.training.distil import targets_of
from flukeprint.training.localiser import FlukeNet
from flukeprint.training.taught import Taught
from flukeprint.training.validate import Validation


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is learned from: stored crops (N + M, C, H, W) uint8, labels (N,) int64, who they are.

    ``counts`` (individuals,) int64 says how many photos each has, copies not counted. The last M
    crops are nobody's; they come with ``targets`` (N + M, 2, D) float16, what a teacher makes of
    each crop as it is and mirrored.
    """

    crops: Tensor
    labels: Tensor
    individuals: tuple[str, ...]
    counts: Tensor
    targets: Tensor | None = None


def lesson_of(
    collection: Collection,
    inner: Split,
    taught: Sequence[Taught],
    config: TrainConfig,
    localiser: FlukeNet | None,
    progress: Progress,
) -> tuple[Lesson, Validation | None]:
    """Cut the crops of a run's inner split and of its teacher's photos, with copies as asked for.

    Nothing validates where the inner split asks nothing.

    Raises:
        FlukeprintError: too few photos or whales are left, or a photo cannot be read any more.
    """
    table = collection.table
    samples = samples_of(inner.train, table, collection.twin_group, config)
    pictures = [Sample(one.photo, one.individual, path=Path(one.photo)) for one in taught]
    samples += [picture for picture in pictures if picture.individual]
    if config.loss != "softmax":  # a classifier would offer drawn whales as answers
        samples += drawn_samples(config)
    if len(samples) < 2:
        raise FlukeprintError(
            f"{table.source}: {len(samples)} photo is left to learn from; bring more, or draw "
            "whales with --set drawn_whales=300"
        )
    labels, individuals = labels_of(samples)
    if len(individuals) < 2:
        raise FlukeprintError(f"{table.source}: only one whale is left to learn; bring more")
    counts = torch.bincount(labels, minlength=len(individuals))  # without copies of any kind
    unnamed = [picture for picture in pictures if not picture.individual]
    cut = [*samples, *unnamed]
    crops = crops_of(cut, localiser, config, progress("cutting", len(cut)))
    if config.grey_copies:
        crops, labels = grey_copies(crops, labels)
    crops, labels = offline_copies(crops, labels, config, INNER)
    validation = _validation_of(table, inner, config, localiser, progress)
    targets = None
    if config.distil_weight:
        step = progress("asking the teacher", len(crops))
        targets = targets_of(crops, Path(config.teacher), step)
    return Lesson(crops, labels, individuals, counts, targets), validation


def _validation_of(
    table: Table,
    inner: Split,
    config: TrainConfig,
    localiser: FlukeNet | None,
    progress: Progress,
) -> Validation | None:
    """What the inner split asks, and of which gallery; nothing where it asks nothing."""
    if not inner.queries:
        return None
    # A classifier knows its whales itself.
    gallery = [] if config.loss == "softmax" else rows_of(inner.gallery, table)
    asked = rows_of(inner.queries, table)
    return Validation(
        crops_of(gallery, localiser, config, progress("cutting", len(gallery))),
        tuple(sample.individual for sample in gallery),
        crops_of(asked, localiser, config, progress("cutting", len(asked))),
        tuple(sample.individual for sample in asked),
    )
