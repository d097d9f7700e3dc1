"""From photos to whales, on a matrix of similarities written by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.rank import Likeness, best_photos, compare, index_gallery
from flukeprint.records import NEW_WHALE

# Four queries against five gallery photos; queries are unit axes, so a photo's coordinates are
# its similarities.
SIMILAR = np.array([
    [0.9, 0.1, 0.8, 0.2, 0.3],
    [0.2, 0.7, 0.1, 0.6, 0.5],
    [0.0, 0.0, 0.0, 0.0, 0.9],
    [-0.5, -0.2, -0.3, -0.4, -0.1],
], dtype=np.float32)  # fmt: skip
LABELS = ["w_b", "w_a", "w_b", "w_a", NEW_WHALE]
PHOTOS = ["1", "2", "3", "4", "5"]
QUERIES = np.eye(4, dtype=np.float32)


def halfway(best: float, columns: list[int], row: int) -> float:
    """The rule by hand: between the best photo and the photos' mean direction."""
    total = SIMILAR[:, columns].sum(axis=1)
    return float((best + total[row] / np.sqrt((total**2).sum())) / 2)


def test_likeness_is_halfway_between_best_photo_and_mean_direction() -> None:
    gallery = index_gallery(SIMILAR.T, LABELS, PHOTOS)
    likeness = compare(QUERIES, gallery)
    assert gallery.individuals == ("w_a", "w_b")
    best = [[0.2, 0.9], [0.7, 0.2], [0.0, 0.0], [-0.2, -0.3]]
    for row, (a, b) in enumerate(best):
        wanted = [halfway(a, [1, 3], row), halfway(b, [0, 2], row)]
        assert likeness.whales[row] == pytest.approx(wanted, abs=1e-6)
    assert likeness.new.tolist() == SIMILAR[:, 4].tolist()


def test_one_photo_is_its_own_direction() -> None:
    unit = np.eye(4, dtype=np.float32)
    gallery = index_gallery(unit[:2], ["w_a", "w_b"], ["1", "2"])
    assert compare(unit, gallery).whales.tolist() == [[1, 0], [0, 1], [0, 0], [0, 0]]


def test_new_whale_is_no_candidate() -> None:
    assert NEW_WHALE not in index_gallery(SIMILAR.T, LABELS, PHOTOS).individuals


def test_the_background_is_the_mean_of_the_second_to_sixth() -> None:
    whales = np.array([[0.1, 0.9, 0.5, 0.4, 0.3, 0.2, 0.6, 0.0]], dtype=np.float32)
    none = np.full(1, -np.inf, dtype=np.float32)
    assert Likeness(whales, none).background() == pytest.approx([0.4])  # 0.6 0.5 0.4 0.3 0.2
    assert Likeness(whales[:, :3], none).background() == pytest.approx([0.3])  # 0.5 0.1
    assert np.isnan(Likeness(whales[:, :1], none).background()).all()
    assert np.isnan(Likeness(whales[:, :0], none).background()).all()


def test_a_photo_with_two_labels_counts_for_both() -> None:
    gallery = index_gallery(SIMILAR.T[[0, 0]], ["w_b", "w_a"], ["1", "1"])
    (alike,) = compare(QUERIES[:1], gallery).whales
    assert alike[0] == alike[1]
    assert (
        best_photos(QUERIES[0], gallery, 0, 3) == best_photos(QUERIES[0], gallery, 1, 3) == ("1",)
    )


def test_a_gallery_without_new_whales_is_like_nothing_new() -> None:
    gallery = index_gallery(SIMILAR.T[:4], LABELS[:4], PHOTOS[:4])
    assert compare(QUERIES, gallery).new.tolist() == [-np.inf] * 4


@pytest.mark.parametrize("count", [0, 2])
def test_a_gallery_without_whales(count: int) -> None:
    gallery = index_gallery(SIMILAR.T[:count], [NEW_WHALE] * count, PHOTOS[:count])
    likeness = compare(QUERIES, gallery)
    assert likeness.whales.shape == (4, 0)
    assert np.isfinite(likeness.new).all() == bool(count)


def test_a_whales_best_photos_come_first_ties_in_order() -> None:
    gallery = index_gallery(SIMILAR.T, LABELS, PHOTOS)
    assert best_photos(QUERIES[0], gallery, 1, 5) == ("1", "3")
    assert best_photos(QUERIES[2], gallery, 0, 1) == ("2",)


@given(st.lists(st.sampled_from(["a", "b", "c", NEW_WHALE]), min_size=1, max_size=12))
def test_likeness_agrees_with_looking_at_each_photo(labels: list[str]) -> None:
    vectors = np.random.default_rng(len(labels)).normal(size=(len(labels), 4)).astype(np.float32)
    gallery = index_gallery(vectors, labels, [str(n) for n in range(len(labels))])
    likeness = compare(QUERIES, gallery)
    for row, query in enumerate(QUERIES):
        for column, whale in enumerate(gallery.individuals):
            own = [v @ query for v, label in zip(vectors, labels, strict=True) if label == whale]
            mean = np.sum(
                [v for v, label in zip(vectors, labels, strict=True) if label == whale], axis=0
            )
            wanted = (max(own) + mean @ query / np.linalg.norm(mean)) / 2
            assert likeness.whales[row, column] == pytest.approx(wanted, abs=1e-5)
