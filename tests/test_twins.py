"""Copies and near copies are found; other photos are let be."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flukeprint.records import Failure
from flukeprint.twins import (
    Glance,
    difference_hash,
    glance,
    glance_all,
    groups,
    near_pairs,
    twin_groups,
)
from tests.tiny import Pixels, picture


def glanced(pixels: Pixels, sha256: str) -> Glance:
    """A glance without a file, as :func:`glance` makes it."""
    small = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BOX)
    thumb = np.asarray(small, dtype=np.float32)
    thumb = (thumb - thumb.mean()) / max(float(thumb.std()), 1.0) * 64.0 + 128.0
    return Glance(Path(sha256), sha256, 96, 64, thumb)


def test_a_glance_tells_size_brightness_and_colour(
    tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    tint = np.zeros((40, 60, 3), dtype=np.uint8)
    tint[:] = (200, 100, 50)
    seen = glance(write_picture(tmp_path / "a.png", tint))
    assert isinstance(seen, Glance)
    assert (seen.width, seen.height, seen.colour) == (60, 40, 150.0)


def test_a_bad_photo_is_a_failure_in_its_place(
    tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    good, bad = write_picture(tmp_path / "a.png", picture(1)), tmp_path / "bad.jpg"
    bad.write_text("no picture")
    told: list[int] = []
    seen = glance_all([bad, good, tmp_path / "missing.jpg"], told.append)
    assert [isinstance(item, Failure) for item in seen] == [True, False, True]
    assert told == [1, 1, 1]


def test_the_difference_hash_counts_cells_that_grow_brighter() -> None:
    rising = np.tile(np.arange(32, dtype=np.float32), (32, 1))
    thumbs = np.stack([rising, rising[:, ::-1], np.zeros((32, 32), dtype=np.float32)])
    assert difference_hash(thumbs).tolist() == [2**64 - 1, 0, 0]


def test_the_first_bit_is_the_top_left_cells() -> None:
    thumb = np.zeros((1, 32, 32), dtype=np.float32)
    thumb[0, :4, 4:] = 1.0  # the top row grows brighter once, from its first cell to the second
    assert difference_hash(thumb).tolist() == [2**63]


def test_a_photo_saved_again_smaller_or_lighter_is_a_near_twin() -> None:
    pixels = picture(1)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((60, 40)).save(stream, "JPEG", quality=60)
    saved = np.asarray(Image.open(stream))
    lighter = (pixels // 2 + 90).astype(np.uint8)
    seen = [glanced(p, f"{n}") for n, p in enumerate([pixels, picture(2), saved, lighter])]
    assert near_pairs(seen) == [(0, 2), (0, 3), (2, 3)]


def test_other_and_mirrored_photos_are_no_twins() -> None:
    shots = [picture(seed) for seed in range(20)] + [picture(seed)[:, ::-1] for seed in range(20)]
    assert near_pairs([glanced(p, str(n)) for n, p in enumerate(shots)]) == []


def test_copies_are_grouped_without_looking_at_their_pixels() -> None:
    one, other = glanced(picture(1), "a"), glanced(picture(2), "b")
    assert near_pairs([one, other, one]) == []
    assert twin_groups([one, other, one]).tolist() == [0, 1, 0]


def test_twins_of_twins_are_one_group() -> None:
    assert groups(6, [(4, 5), (0, 2), (2, 4)]).tolist() == [0, 1, 0, 3, 0, 0]


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_and_one_photo_have_no_twins(count: int) -> None:
    seen = [glanced(picture(1), "a")] * count
    assert near_pairs(seen) == []
    assert twin_groups(seen).tolist() == [0] * count


def test_hundreds_of_blank_photos_fit_in_memory() -> None:
    """Each is a twin of each: 244,650 pairs, whose pixels must not be gathered at once."""
    blank = np.full((8, 8), 200, dtype=np.uint8)
    seen = [glanced(blank, str(number)) for number in range(700)]
    assert (twin_groups(seen) == 0).all()


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(
    st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))),
)))  # fmt: skip
def test_groups_join_what_is_paired_and_are_named_by_their_least(
    case: tuple[int, list[tuple[int, int]]],
) -> None:
    count, pairs = case
    number = groups(count, pairs)
    assert all(number[a] == number[b] for a, b in pairs)
    assert all(number[number] == number)
    assert all(number <= np.arange(count))


def test_the_real_copies(whales: Path, tmp_path: Path) -> None:
    paths = sorted((whales / "train").iterdir())[:200]
    copy = Path(shutil.copy(paths[3], tmp_path / "copy.jpg"))
    seen = [item for item in glance_all([*paths, copy]) if isinstance(item, Glance)]
    assert len(seen) == 201
    number = twin_groups(seen)
    assert number[200] == number[3]
