"""Twins: identical files, and near ones found by perceptual hash and checked by their pixels.

A twin of a query in the gallery gives the answer away, so splits and scores need to know them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flukeprint.photos import decode_grey, decode_rgb, read_photo, upright_size
from flukeprint.records import Failure

THUMB_PX = 32
MAX_HASH_BITS = 8  # of 64: a wide net, because the pixel check below decides
MAX_PIXEL_GAP = 10.0  # grey levels, mean over a contrast-stretched thumbnail (of 0..255)
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Glance:
    """What finding twins needs of one photo.

    ``thumb`` is (32, 32) float32, contrast-stretched to mean 128 and deviation 64;
    ``width`` and ``height`` are the upright photo's size in pixels. ``colour`` is the mean
    difference between the strongest and weakest of red, green and blue, in grey levels (0 is pure
    grey).
    """

    path: Path
    sha256: str
    width: int
    height: int
    thumb: NDArray[np.float32]
    colour: float = 0.0


def glance(path: Path) -> Glance | Failure:
    """Read one photo small."""
    photo = read_photo(path)
    if isinstance(photo, Failure):
        return photo
    # A big JPEG is decoded at an eighth of its size in a fraction of the time.
    pixels = decode_grey(photo, least_px=2 * THUMB_PX)
    if isinstance(pixels, Failure):
        return pixels
    tinted = decode_rgb(photo, least_px=2 * THUMB_PX)
    if isinstance(tinted, Failure):
        return tinted
    small = Image.fromarray(pixels).resize((THUMB_PX, THUMB_PX), Image.Resampling.BOX)
    thumb = np.asarray(small, dtype=np.float32)
    stretched = (thumb - thumb.mean()) / max(float(thumb.std()), 1.0) * 64.0 + 128.0
    return Glance(path, photo.sha256, *upright_size(photo, pixels), stretched, _colour(tinted))


def _colour(pixels: NDArray[np.uint8]) -> float:
    small = Image.fromarray(pixels).resize((THUMB_PX, THUMB_PX), Image.Resampling.BOX)
    return float(np.ptp(np.asarray(small), axis=2).mean())


def glance_all(
    paths: Sequence[Path], progress: Callable[[int], object] | None = None
) -> list[Glance | Failure]:
    """:func:`glance` for many, in order; ``progress`` is told of each photo done."""
    found = []
    with ThreadPoolExecutor(max_workers=4) as pool:  # Pillow decodes outside Python's lock
        for result in pool.map(glance, paths):
            found.append(result)
            if progress:
                progress(1)
    return found


def difference_hash(thumbs: NDArray[np.float32]) -> NDArray[np.uint64]:
    """64-bit dHash of (N, 32, 32) thumbnails: is each of 8 x 8 cells brighter than its left one?

    Source: N. Krawetz, "Kind of Like That" (2013).
    """
    count = len(thumbs)
    rows = thumbs.reshape(count, 8, 4, THUMB_PX).mean(axis=2)
    edges = np.linspace(0, THUMB_PX, 10).round().astype(int)
    cells = np.stack([rows[:, :, a:b].mean(axis=2) for a, b in pairwise(edges)], axis=2)
    bits = (cells[:, :, 1:] > cells[:, :, :-1]).reshape(count, 64)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


def near_pairs(glances: Sequence[Glance]) -> list[tuple[int, int]]:
    """Index pairs of different files that show the same picture, (smaller, larger), sorted.

    Of files with the same bytes only the first is compared.
    """
    firsts = {item.sha256: place for place, item in reversed(list(enumerate(glances)))}
    places = sorted(firsts.values())
    if len(places) < 2:
        return []
    thumbs = np.stack([glances[place].thumb for place in places])
    codes = difference_hash(thumbs)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(codes), _BLOCK):
        block = codes[start : start + _BLOCK]
        bits = np.bitwise_count(block[:, None] ^ codes[None, start:])
        left, right = np.nonzero(bits <= MAX_HASH_BITS)
        left, right = left + start, right + start
        keep = left < right
        left, right = left[keep], right[keep]
        for few in range(0, len(left), _BLOCK):  # a thousand blank photos make a million pairs
            a, b = left[few : few + _BLOCK], right[few : few + _BLOCK]
            near = np.abs(thumbs[a] - thumbs[b]).mean(axis=(1, 2)) <= MAX_PIXEL_GAP
            pairs += [
                (places[i], places[j])
                for i, j in zip(a[near].tolist(), b[near].tolist(), strict=True)
            ]
    return pairs


def groups(count: int, pairs: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Number the connected groups of ``count`` things: (count,) int64, each its least member."""
    root = np.arange(count)

    def find(item: int) -> int:
        while root[item] != item:
            root[item] = root[root[item]]
            item = int(root[item])
        return item

    for a, b in pairs:
        low, high = sorted((find(a), find(b)))
        root[high] = low
    return np.array([find(item) for item in range(count)], dtype=np.int64)


def twin_groups(glances: Sequence[Glance]) -> NDArray[np.int64]:
    """Group identical files and near twins: (N,) int64 group numbers."""
    first: dict[str, int] = {}
    same = [(first.setdefault(item.sha256, i), i) for i, item in enumerate(glances)]
    return groups(len(glances), [*same, *near_pairs(glances)])
