"""Tests of the scores on hand-made crops with a network that is no network."""

import math
from typing import cast

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
from torch import Tensor, nn

from flukeprint.records import NEW_WHALE
from flukeprint.training.device import Device
from flukeprint.training.networks import Network
from flukeprint.training.validate import (
    BATCH,
    Scores,
    Validation,
    _halves,
    embed_crops,
    validate,
)

CPU = Device("cpu", False)


class _ByBrightness(nn.Module):
    """Embeds a crop of grey g as the unit vector at g degrees."""

    def forward(self, crops: Tensor) -> Tensor:
        angle = crops.mean(dim=(1, 2, 3)).deg2rad()
        return torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)


NETWORK = cast(Network, _ByBrightness())


def _crops(*greys: int) -> Tensor:
    return torch.tensor(greys, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 13, 13)


def _scores(gallery: dict[int, str], queries: list[tuple[int, str]]) -> Scores:
    validation = Validation(
        _crops(*gallery),
        tuple(gallery.values()),
        _crops(*(grey for grey, _ in queries)),
        tuple(whale for _, whale in queries),
    )
    return validate(NETWORK, validation, (10, 10), CPU)


GALLERY = {0: "a", 40: "b", 80: "c", 120: "d"}


def test_crops_become_unit_vectors_in_order() -> None:
    greys = [k % 180 for k in range(BATCH + 5)]
    found = embed_crops(NETWORK, _crops(*greys), (8, 8), CPU)
    angle = np.deg2rad(np.array(greys))
    np.testing.assert_allclose(found, np.stack([np.cos(angle), np.sin(angle)], 1), atol=1e-5)


def test_all_right_and_all_wrong() -> None:
    right = _scores(GALLERY, [(1, "a"), (41, "b"), (79, "c"), (121, "d")])
    assert (right.top1_known, right.map5) == (1.0, 1.0)
    wrong = _scores(GALLERY, [(41, "a"), (1, "b"), (119, "c"), (81, "d")])
    assert wrong.top1_known == 0.0
    assert wrong.map5 <= 0.5


def test_top_1_counts_known_queries_alone() -> None:
    queries = [(1, "a"), (41, "b"), (79, "c"), (119, "a"), (60, "stranger"), (61, NEW_WHALE)]
    found = _scores(GALLERY, queries)
    assert found.top1_known == 0.75
    # The strangers lie 20 and 19 degrees from the nearest whale, the known ones 1.
    assert found.auroc_known == 1.0


def test_the_mean_of_reciprocal_places() -> None:
    """Nearness orders the whales, whatever the fit: places 1, 2, 3 and 4, or one later with new."""
    queries = [(1, "a"), (2, "b"), (3, "c"), (4, "d")]
    found = _scores(GALLERY, queries)
    earliest = [1.0, 1 / 2, 1 / 3, 1 / 4]
    latest = [1 / 2, 1 / 3, 1 / 4, 1 / 5]
    assert np.mean(latest) <= found.map5 <= np.mean(earliest)
    assert found.top1_known == 0.25


def test_unidentified_gallery_photos_are_no_candidates() -> None:
    found = _scores(GALLERY | {3: NEW_WHALE}, [(2, "a"), (41, "b")])
    assert found.top1_known == 1.0


@pytest.mark.parametrize(
    "queries",
    [
        [(1, "a")],
        [(1, "a"), (2, "a")],  # one whale: one half has no query
        [(1, "a"), (41, "b")],  # none new
        [(1, "x"), (41, "y")],  # none known
    ],
)
@pytest.mark.parametrize("unidentified", [False, True])
def test_lopsided_queries_do_not_crash(queries: list[tuple[int, str]], unidentified: bool) -> None:
    found = _scores(GALLERY | ({170: NEW_WHALE} if unidentified else {}), queries)
    assert 0.0 <= found.map5 <= 1.0
    assert math.isnan(found.auroc_known)  # known against new needs both


def test_halves_never_split_a_whale() -> None:
    labels = ["a", "b", "a", NEW_WHALE, "c", "b", NEW_WHALE, "a"]
    halves = _halves(labels)
    assert halves.tolist() == [0, 1, 0, 0, 1, 1, 0, 0]
    side: dict[str, int] = {}
    for label, half in zip(labels, halves.tolist(), strict=True):
        if label != NEW_WHALE:
            assert side.setdefault(label, half) == half


class _Classifier(nn.Module):
    """Logits of a crop of grey g over classes at 0, 40, 80, ...: minus the distance to each."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, crops: Tensor) -> Tensor:
        greys = crops.mean(dim=(1, 2, 3))[:, None]
        return -(greys - 40.0 * torch.arange(self.classes)).abs()


def _named(classes: tuple[str, ...], queries: list[tuple[int, str]]) -> Scores:
    """Scores of a classifier: it compares with no photo, so the gallery is empty."""
    validation = Validation(
        _crops(), (), _crops(*(grey for grey, _ in queries)), tuple(whale for _, whale in queries)
    )
    network = cast(Network, _Classifier(len(classes)))
    return validate(network, validation, (10, 10), CPU, classes)


def test_a_classifier_names_its_whales_by_their_places() -> None:
    right = _named(("a", "b", "c"), [(1, "a"), (41, "b"), (79, "c")])
    assert (right.top1_known, right.map5) == (1.0, 1.0)
    wrong = _named(("b", "c", "a"), [(1, "a"), (41, "b"), (79, "c")])
    assert wrong.top1_known == 0.0


def test_a_classifiers_class_for_new_whales_is_no_whale() -> None:
    """Logit 0 at grey 0 is ``new_whale``'s: of the whales, ``a`` at 40 is then the likeliest."""
    queries = [(1, "a"), (39, "a"), (81, "b"), (0, NEW_WHALE), (2, "stranger")]
    found = _named((NEW_WHALE, "a", "b"), queries)
    assert found.top1_known == 1.0
    assert 0.0 <= found.map5 <= 1.0


def test_logits_come_as_they_are() -> None:
    network = cast(Network, _Classifier(3))
    found = embed_crops(network, _crops(0, 100), (8, 8), CPU)
    np.testing.assert_allclose(found, [[0, -40, -80], [-100, -60, -20]], atol=1e-4)
