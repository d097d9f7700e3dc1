"""From photos to whales, on a matrix of similarities written by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.rank import best_photos, compare, index_gallery
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


def test_a_whale_is_as_like_as_its_best_photo() -> None:
    gallery = index_gallery(SIMILAR.T, LABELS, PHOTOS)
    likeness = compare(QUERIES, gallery)
    assert gallery.individuals == ("w_a", "w_b")
    best = [[0.2, 0.9], [0.7, 0.2], [0.0, 0.0], [-0.2, -0.3]]
    assert likeness.whales.tolist() == np.array(best, dtype=np.float32).tolist()
    assert likeness.new.tolist() == SIMILAR[:, 4].tolist()


def test_photos_are_counted_and_new_whale_is_no_candidate() -> None:
    gallery = index_gallery(SIMILAR.T, LABELS, PHOTOS)
    assert NEW_WHALE not in gallery.individuals
    assert gallery.photos_per_whale.tolist() == [2, 2]


def test_a_photo_with_two_labels_counts_for_both() -> None:
    gallery = index_gallery(SIMILAR.T[[0, 0]], ["w_b", "w_a"], ["1", "1"])
    assert compare(QUERIES[:1], gallery).whales.tolist() == [[SIMILAR[0, 0]] * 2]
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
            assert likeness.whales[row, column] == max(own)
