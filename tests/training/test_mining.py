"""Tests of the triplets that are chosen, against choosing them one by one."""

import math

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from flukeprint.training.mining import Triplets, batch_hard, distances, semi_hard

Rows = list[list[float]]


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Distances in quarters, so that sums are exact and ties common, and labels."""
    count = draw(st.integers(1, 9))
    labels = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    distance = torch.zeros(count, count)
    for row in range(count):
        for column in range(row):
            distance[row, column] = distance[column, row] = draw(st.integers(0, 6)) / 4
    return distance, torch.tensor(labels)


def _listed(triplets: Triplets) -> list[tuple[int, int, int]]:
    assert all(part.dtype == torch.int64 and part.ndim == 1 for part in triplets)
    anchors, positives, negatives = (part.tolist() for part in triplets)
    return list(zip(anchors, positives, negatives, strict=True))


def _slow_batch_hard(distance: Rows, labels: list[int]) -> list[tuple[int, int, int]]:
    chosen = []
    for anchor, whale in enumerate(labels):
        farthest, nearest = -1, -1
        for other, its_whale in enumerate(labels):
            away = distance[anchor][other]
            if its_whale != whale:
                if nearest < 0 or away < distance[anchor][nearest]:
                    nearest = other
            elif other != anchor and (farthest < 0 or away > distance[anchor][farthest]):
                farthest = other
        if farthest >= 0 and nearest >= 0:
            chosen.append((anchor, farthest, nearest))
    return chosen


def _slow_semi_hard(distance: Rows, labels: list[int], margin: float) -> list[tuple[int, int, int]]:
    chosen = []
    for anchor, whale in enumerate(labels):
        for positive, its_whale in enumerate(labels):
            if its_whale != whale or positive == anchor:
                continue
            near = distance[anchor][positive]
            best, best_away = -1, math.inf
            for negative, another in enumerate(labels):
                away = distance[anchor][negative]
                if another != whale and near < away < near + margin and away < best_away:
                    best, best_away = negative, away
            if best >= 0:
                chosen.append((anchor, positive, best))
    return chosen


@settings(max_examples=200, deadline=None)
@given(batch=batches())
def test_batch_hard_is_what_looking_at_each_finds(batch: tuple[Tensor, Tensor]) -> None:
    distance, labels = batch
    wanted = _slow_batch_hard(distance.tolist(), labels.tolist())
    assert _listed(batch_hard(distance, labels)) == wanted


@settings(max_examples=200, deadline=None)
@given(batch=batches(), margin=st.integers(0, 8).map(lambda quarters: quarters / 4))
def test_semi_hard_is_what_looking_at_each_finds(
    batch: tuple[Tensor, Tensor], margin: float
) -> None:
    distance, labels = batch
    wanted = _slow_semi_hard(distance.tolist(), labels.tolist(), margin)
    assert _listed(semi_hard(distance, labels, margin)) == wanted


@settings(max_examples=50, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["euclidean", "squared"]),
)
def test_both_on_the_distances_of_embeddings(labels: list[int], seed: int, kind: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    whales = torch.tensor(labels)
    # Doubles, so that the margin added here in Python is the one added there.
    embeddings = torch.randn(len(labels), 3, generator=generator, dtype=torch.float64)
    distance = distances(torch.nn.functional.normalize(embeddings, dim=1), kind)
    rows = distance.tolist()
    assert _listed(batch_hard(distance, whales)) == _slow_batch_hard(rows, labels)
    assert _listed(semi_hard(distance, whales, 0.3)) == _slow_semi_hard(rows, labels, 0.3)


def test_distances_by_hand() -> None:
    points = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], requires_grad=True)
    squared = distances(points, "squared")
    wanted = torch.tensor([[0.0, 2.0, 4.0], [2.0, 0.0, 2.0], [4.0, 2.0, 0.0]])
    torch.testing.assert_close(squared, wanted)
    torch.testing.assert_close(distances(points, "euclidean"), wanted.sqrt())
    assert not squared.requires_grad


@pytest.mark.parametrize("kind", ["euclidean", "squared"])
def test_equal_embeddings_are_exactly_no_way_apart(kind: str) -> None:
    one = torch.nn.functional.normalize(
        torch.randn(1, 512, generator=torch.Generator().manual_seed(0)), dim=1
    )
    assert not distances(one.repeat(40, 1), kind).any()


def test_a_positive_at_the_negatives_distance_is_not_semi_hard() -> None:
    distance = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.5], [1.0, 1.5, 0.0]])
    labels = torch.tensor([0, 0, 1])
    assert _listed(semi_hard(distance, labels, 0.5)) == []  # 1 is no farther, 1.5 not within 0.5
    assert _listed(semi_hard(distance, labels, 0.6)) == [(1, 0, 2)]
