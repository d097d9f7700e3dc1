"""What a run learns from: fluke crops in memory, as whom each counts, and boxes drawn by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from flukeprint.crops import WHOLE, crop, planes
from flukeprint.drawn import draw_whale, photograph
from flukeprint.errors import FlukeprintError
from flukeprint.network import box_of
from flukeprint.photos import decode, read_photo
from flukeprint.records import NEW_WHALE, Box, Failure, Table, whale_apart
from flukeprint.tables import csv_rows
from flukeprint.training.config import TrainConfig
from flukeprint.training.localiser import SIDE_PX, BoxNet, overlap

STORED_MARGIN = 0.15  # of the box, on each side: room for augmentation to move the crop in
SEEN_MARGIN = 0.04  # what the network sees of it
INNER = (1 + 2 * SEEN_MARGIN) / (1 + 2 * STORED_MARGIN)
BOX_PHOTO_PX = 100
CORNERS = ("x0", "y0", "x1", "y1")
DRAWN_WIDTH_PX, DRAWN_HEIGHT_PX = 192, 108

Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture to learn from: who it shows, and where to read it or what was drawn."""

    name: str
    individual: str
    path: Path | None = None
    drawn: tuple[int, int] | None = None


def samples_of(
    split_names: Sequence[str], table: Table, twin_group: dict[str, int], config: TrainConfig
) -> list[Sample]:
    """The photos to learn from: one of each set of twins per individual.

    A photo labelled ``new_whale`` counts as an individual of its own, as one of the class
    ``new_whale`` or not at all, unless a twin of it is named: then the name is the better label.
    """
    side = set(split_names)
    rows = sorted((r for r in table.rows if r.name in side), key=lambda r: (r.name, r.individual))
    named = {twin_group[r.name] for r in rows if r.individual != NEW_WHALE}
    seen: set[tuple[int, str]] = set()
    samples = []
    for row in rows:
        group = twin_group[row.name]
        unidentified = row.individual == NEW_WHALE
        if (group, row.individual) in seen:
            continue
        if unidentified and (group in named or config.new_whale == "left-out"):
            continue
        seen.add((group, row.individual))
        alone = config.new_whale == "individuals"
        whale = whale_apart(row.individual, row.name) if alone else row.individual
        samples.append(Sample(row.name, whale, path=row.path))
    return samples


def rows_of(names: Sequence[str], table: Table) -> list[Sample]:
    """The table's rows of the named photos as they are, for galleries and queries."""
    side = set(names)
    return [Sample(r.name, r.individual, path=r.path) for r in table.rows if r.name in side]


def drawn_samples(config: TrainConfig) -> list[Sample]:
    """The drawn whales that join in; their seeds are never those of the demo."""
    return [
        Sample(f"drawn {seed} {shot}", f"drawn {seed}", drawn=(seed, shot))
        for seed in range(config.drawn_whales)
        for shot in range(config.drawn_photos)
    ]


def load_pixels(sample: Sample, channels: int = 1) -> NDArray[np.uint8]:
    """One picture upright: (height, width) uint8 grey, of 3 channels (height, width, 3) colour.

    Raises:
        FlukeprintError: the photo cannot be read any more.
    """
    if sample.drawn is not None:
        seed, shot = sample.drawn
        photo = photograph(
            draw_whale(seed), shot, width_px=DRAWN_WIDTH_PX, height_px=DRAWN_HEIGHT_PX
        )
        return photo.pixels if channels == 3 else _grey(photo.pixels)
    assert sample.path is not None
    read = read_photo(sample.path)
    least_px = 4 * BOX_PHOTO_PX
    pixels = read if isinstance(read, Failure) else decode(read, channels, least_px=least_px)
    if isinstance(pixels, Failure):
        raise FlukeprintError(f"{pixels.path}: {pixels.reason}")
    return pixels


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).convert("L"))


def crops_of(
    samples: Sequence[Sample],
    localiser: BoxNet | None,
    config: TrainConfig,
    progress: Progress | None = None,
) -> Tensor:
    """Stored crops (N, channels, H, W) uint8, with room around the fluke to move the crop in.

    ``config.channels`` says whether they are grey or colour; the localiser always sees grey.
    """
    height = round(config.height_px * (1 + 2 * STORED_MARGIN))
    width = round(config.width_px * (1 + 2 * STORED_MARGIN))
    stored = np.empty((len(samples), config.channels, height, width), dtype=np.uint8)
    for row, sample in enumerate(samples):
        pixels = load_pixels(sample, config.channels)
        box = locate(localiser, pixels) if localiser else WHOLE
        stored[row] = planes(crop(pixels, box, height, width, margin=STORED_MARGIN))
        if progress:
            progress(1)
    return torch.from_numpy(stored)


def locate(localiser: BoxNet, pixels: NDArray[np.uint8]) -> Box:
    """The fluke's box in one photo, grey or colour, as the exported network finds it."""
    grey = Image.fromarray(pixels).convert("L")
    squashed = grey.resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
    batch = torch.from_numpy(np.asarray(squashed, dtype=np.float32))[None, None]
    with torch.inference_mode():
        return box_of(localiser(batch)[0].numpy())


def labels_of(samples: Sequence[Sample]) -> tuple[Tensor, tuple[str, ...]]:
    """Number the individuals: (N,) int64 labels and the individuals in their order."""
    individuals = tuple(sorted({sample.individual for sample in samples}))
    number = {name: code for code, name in enumerate(individuals)}
    return torch.tensor([number[sample.individual] for sample in samples]), individuals


@dataclass(frozen=True, slots=True)
class BoxedPhotos:
    """Photos squashed to (N, 1, 100, 100) uint8 with their fluke boxes (N, 4) float32 in 0..1."""

    photos: Tensor
    boxes: Tensor


def drawn_boxes(config: TrainConfig) -> BoxedPhotos:
    """Drawn photos know their boxes."""
    photos, boxes = [], []
    for sample in drawn_samples(config):
        assert sample.drawn is not None
        seed, shot = sample.drawn
        photo = photograph(
            draw_whale(seed), shot, width_px=DRAWN_WIDTH_PX, height_px=DRAWN_HEIGHT_PX
        )
        photos.append(_boxed_pixels(_grey(photo.pixels)))
        boxes.append([photo.box.x0, photo.box.y0, photo.box.x1, photo.box.y1])
    return _boxed(photos, boxes)


def hand_boxes(listing: Path, table: Table, allowed: Sequence[str]) -> BoxedPhotos:
    """Boxes drawn by hand: ``Image,x0,y0,x1,y1`` in hundredths of the photo's width and height.

    Only photos in ``allowed`` are used, so that no query teaches the localiser.

    Raises:
        FlukeprintError: a line has a wrong header, is not four numbers, or boxes nothing.
    """
    paths = {row.name: row.path for row in table.rows}
    side = set(allowed)
    photos, boxes = [], []
    for line, row in csv_rows(listing, ("Image", *CORNERS)):
        name = row["Image"]
        if name in side and name in paths:
            boxes.append(_corners(listing, line, row))
            photos.append(_boxed_pixels(load_pixels(Sample(name, "", path=paths[name]))))
    return _boxed(photos, boxes)


def _corners(listing: Path, line: int, row: dict[str, str]) -> list[float]:
    try:
        corners = [min(max(float(row[key]) / 100.0, 0.0), 1.0) for key in CORNERS]
    except ValueError:
        corners = [0.0] * 4
    if not (corners[0] < corners[2] and corners[1] < corners[3]):  # nan, too, is not less
        raise FlukeprintError(
            f"{listing}, line {line}: expected a box x0,y0,x1,y1 with numbers from 0 to 100, "
            "x0 below x1 and y0 below y1"
        )
    return corners


def mean_overlap(localiser: BoxNet, boxed: BoxedPhotos) -> float:
    """Mean intersection over union of found and true boxes; nan without any."""
    if not len(boxed.photos):
        return float("nan")
    found = [locate(localiser, photo[0].numpy()) for photo in boxed.photos]
    corners = torch.tensor([[box.x0, box.y0, box.x1, box.y1] for box in found])
    return float(overlap(corners, boxed.boxes).mean())


def _boxed_pixels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = (BOX_PHOTO_PX, BOX_PHOTO_PX)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


def _boxed(photos: list[NDArray[np.uint8]], boxes: list[list[float]]) -> BoxedPhotos:
    empty = np.empty((0, BOX_PHOTO_PX, BOX_PHOTO_PX), dtype=np.uint8)
    stacked = np.stack(photos) if photos else empty
    return BoxedPhotos(torch.from_numpy(stacked)[:, None], torch.tensor(boxes).view(-1, 4))
