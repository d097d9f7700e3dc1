"""What a run learns from: fluke crops in memory, and as whom each counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from flukeprint.crops import crop, planes, squashed
from flukeprint.drawn import draw_whale, photograph
from flukeprint.errors import FlukeprintError
from flukeprint.photos import decode, read_photo
from flukeprint.progress import Step
from flukeprint.records import NEW_WHALE, WHOLE, Failure, Fluke, Table, whale_apart
from flukeprint.training.config import TrainConfig
from flukeprint.training.localiser import SIDE_PX, FlukeNet
from flukeprint.training.localiser_fit import flukes_on

BATCH = 64  # photos looked at together
STORED_MARGIN = 0.15  # of the box, on each side: room for augmentation to move the crop in
SEEN_MARGIN = 0.05  # what the network sees of it
INNER = (1 + 2 * SEEN_MARGIN) / (1 + 2 * STORED_MARGIN)
DRAWN_WIDTH_PX, DRAWN_HEIGHT_PX = 192, 108
LEAST_PX = 400  # a photo is read at no less where it is larger


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
        return photo.pixels if channels == 3 else grey(photo.pixels)
    assert sample.path is not None
    read = read_photo(sample.path)
    pixels = read if isinstance(read, Failure) else decode(read, channels, least_px=LEAST_PX)
    if isinstance(pixels, Failure):
        raise FlukeprintError(f"{pixels.path}: {pixels.reason}")
    return pixels


def grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colour (H, W, 3) uint8 to grey (H, W) uint8."""
    return np.asarray(Image.fromarray(pixels).convert("L"))


def crops_of(
    samples: Sequence[Sample],
    localiser: FlukeNet | None,
    config: TrainConfig,
    step: Step | None = None,
) -> Tensor:
    """Stored crops (N, channels, H, W) uint8, with room around the fluke to move the crop in.

    ``config.channels`` says whether they are grey or colour; the localiser always sees grey.
    """
    height = round(config.height_px * (1 + 2 * STORED_MARGIN))
    width = round(config.width_px * (1 + 2 * STORED_MARGIN))
    stored = np.empty((len(samples), config.channels, height, width), dtype=np.uint8)
    for start in range(0, len(samples), BATCH):
        photos = [load_pixels(one, config.channels) for one in samples[start : start + BATCH]]
        flukes = locate(localiser, photos) if localiser else [Fluke(WHOLE)] * len(photos)
        for row, (pixels, fluke) in enumerate(zip(photos, flukes, strict=True), start):
            stored[row] = planes(crop(pixels, fluke, height, width, margin=STORED_MARGIN))
        if step:
            step(len(photos))
    return torch.from_numpy(stored)


def locate(localiser: FlukeNet, photos: Sequence[NDArray[np.uint8]]) -> list[Fluke]:
    """The fluke in each photo, grey or colour, as the exported network finds it."""
    squares = np.stack([squashed(pixels, SIDE_PX) for pixels in photos])
    return flukes_on(localiser, torch.from_numpy(squares)[:, None])


def labels_of(samples: Sequence[Sample]) -> tuple[Tensor, tuple[str, ...]]:
    """Number the individuals: (N,) int64 labels and the individuals in their order."""
    individuals = tuple(sorted({sample.individual for sample in samples}))
    number = {name: code for code, name in enumerate(individuals)}
    return torch.tensor([number[sample.individual] for sample in samples]), individuals
