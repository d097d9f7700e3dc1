"""What the localiser learns from: flukes boxed by hand or drawn, and pictures without a fluke."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from flukeprint.crops import squashed
from flukeprint.drawn import draw_whale, photograph
from flukeprint.drawn.others import FONTS, draw_card, draw_on, draw_page
from flukeprint.drawn.scene import draw_sea
from flukeprint.errors import FlukeprintError
from flukeprint.photos import photos_under
from flukeprint.progress import Step
from flukeprint.records import Table
from flukeprint.tables import NOT_FLUKES, csv_rows
from flukeprint.training.config import TrainConfig
from flukeprint.training.data import (
    DRAWN_HEIGHT_PX,
    DRAWN_WIDTH_PX,
    Sample,
    drawn_samples,
    load_pixels,
)
from flukeprint.training.localiser import FlukeNet
from flukeprint.training.localiser_fit import flukes_on
from flukeprint.training.scenes import Stock, overlap

BOXES = "boxes.csv"
PHOTO_PX = 100
CORNERS = ("x0", "y0", "x1", "y1")
LEAST_STRIP_PX, GAP_PX = 18, 3  # of a photo's side beside its fluke, to be worth a picture
SEAS, SHUFFLED, PAGES, THINGS, TEXTS = 300, 300, 400, 1_500, 100
DRAWN, CARDS = 0.15, 0.12  # of the boxed flukes shown: drawn ones, and photos on cards
# How often each kind of picture is shown as one without a fluke, and set behind pasted flukes:
# photos of other things, what lies beside flukes, drawn seas, flukes shuffled to pieces, pages of
# text, and gulls, boats and backs drawn on what lies beside flukes.
SHOWN = (0.5, 0.14, 0.05, 0.06, 0.12, 0.13)
BEHIND = (0.0, 0.55, 0.3, 0.0, 0.0, 0.15)


@dataclass(frozen=True, slots=True)
class BoxedPhotos:
    """Photos squashed to (N, 1, 100, 100) uint8 with their fluke boxes (N, 4) float32 in 0..1."""

    photos: Tensor
    boxes: Tensor


def no_boxes() -> BoxedPhotos:
    """Not one photo."""
    return BoxedPhotos(_stacked([]), torch.zeros(0, 4))


def drawn_boxes(config: TrainConfig) -> BoxedPhotos:
    """Drawn photos know their boxes."""
    photos, boxes = [], []
    for sample in drawn_samples(config):
        assert sample.drawn is not None
        seed, shot = sample.drawn
        photo = photograph(
            draw_whale(seed), shot, width_px=DRAWN_WIDTH_PX, height_px=DRAWN_HEIGHT_PX
        )
        photos.append(squashed(photo.pixels, PHOTO_PX))
        boxes.append(photo.box.corners)
    return BoxedPhotos(_stacked(photos), torch.tensor(boxes).view(-1, 4))


def hand_boxes(listing: Path, table: Table, allowed: Sequence[str]) -> BoxedPhotos:
    """Boxes drawn by hand: ``Image,x0,y0,x1,y1`` in hundredths of the photo's width and height.

    Only photos in ``allowed`` are used, so that no query teaches the localiser.

    Raises:
        FlukeprintError: a line has a wrong header, is not four numbers, or boxes nothing.
    """
    boxes = boxes_of(listing)
    names = set(allowed)
    rows = {row.name: row for row in table.rows if row.name in names and row.name in boxes}
    photos = squashed_photos([row.path for row in rows.values()])
    return BoxedPhotos(photos, torch.tensor([boxes[name] for name in rows]).view(-1, 4))


def boxes_of(listing: Path) -> dict[str, list[float]]:
    """The listing's boxes x0 y0 x1 y1 in 0..1 by photo. See :func:`hand_boxes`."""
    return {
        row["Image"]: _corners(listing, line, row)
        for line, row in csv_rows(listing, ("Image", *CORNERS))
    }


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


def not_flukes(data: Path) -> Tensor:
    """The photos without a fluke in the collection's folder ``not_flukes``: (N, 1, 100, 100) uint8.

    Those that cannot be read are left out.
    """
    folder = _folder_of(data) / NOT_FLUKES
    photos = []
    for path in photos_under(folder) if folder.is_dir() else ():
        with suppress(FlukeprintError):
            photos.append(_square(path))
    return _stacked(photos)


def boxes_file(data: Path) -> Path:
    """Where a collection keeps boxes drawn by hand, if it has any."""
    return _folder_of(data) / BOXES


def _folder_of(data: Path) -> Path:
    return data if data.is_dir() else data.parent


def stock_of(by_hand: BoxedPhotos, drawn: BoxedPhotos, others: Tensor, seed: int) -> Stock:
    """What scenes are made of: flukes boxed by hand and drawn ones, and pictures without one.

    ``others`` (N, 1, 100, 100) uint8 are photos of other things than flukes.
    """
    cards = on_cards(by_hand, seed)
    flukes = (by_hand.photos, drawn.photos, cards.photos)
    boxed = BoxedPhotos(torch.cat(flukes), torch.cat([by_hand.boxes, drawn.boxes, cards.boxes]))
    strips = beside(by_hand)
    seas = torch.from_numpy(np.stack([_sea(seed, number) for number in range(SEAS)]))[:, None]
    shuffled = _shuffled(torch.cat(flukes[:2]), torch.Generator().manual_seed(seed))
    pages, things = drawn_pages(PAGES, seed), things_on(torch.cat([strips, seas]), THINGS, seed)
    kinds = (others, strips, seas, shuffled, pages, things)
    return Stock(
        boxed.photos,
        boxed.boxes,
        torch.ones(len(boxed.photos), dtype=torch.bool),
        _shares(flukes, (1 - DRAWN - CARDS, DRAWN, CARDS)),
        torch.cat(kinds),
        _shares(kinds, SHOWN),
        _shares(kinds, BEHIND),
    )


def mean_overlap(localiser: FlukeNet, boxed: BoxedPhotos) -> float:
    """Mean intersection over union of found and true boxes; nan without any."""
    if not len(boxed.photos):
        return float("nan")
    return float(overlaps(localiser, boxed).mean())


def overlaps(localiser: FlukeNet, boxed: BoxedPhotos) -> Tensor:
    """Intersection over union of the box found in each of N photos with the true one: (N,)."""
    found = [fluke.box.corners for fluke in flukes_on(localiser, boxed.photos)]
    return overlap(torch.tensor(found), boxed.boxes)


def squashed_photos(paths: Sequence[Path], step: Step | None = None) -> Tensor:
    """Photos as (N, 1, 100, 100) uint8 grey.

    Raises:
        FlukeprintError: one cannot be read any more.
    """
    photos = []
    for path in paths:
        photos.append(_square(path))
        if step:
            step(1)
    return _stacked(photos)


def _shares(kinds: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Each kind's pictures together as often as its share, where there are any."""
    return torch.cat(
        [
            torch.full((len(kind),), share / max(len(kind), 1))
            for kind, share in zip(kinds, shares, strict=True)
        ]
    )


def beside(boxed: BoxedPhotos) -> Tensor:
    """The strips of sea, sky and text beside the boxes, each as a picture of its own."""
    strips = []
    for photo, box in zip(boxed.photos, boxed.boxes, strict=True):
        left, top, right, bottom = (round(PHOTO_PX * float(side)) for side in box)
        for x0, y0, x1, y1 in (
            (0, 0, left - GAP_PX, PHOTO_PX),
            (right + GAP_PX, 0, PHOTO_PX, PHOTO_PX),
            (0, 0, PHOTO_PX, top - GAP_PX),
            (0, bottom + GAP_PX, PHOTO_PX, PHOTO_PX),
        ):
            if min(x1 - x0, y1 - y0) >= LEAST_STRIP_PX:
                strips.append(squashed(photo[0, y0:y1, x0:x1].numpy(), PHOTO_PX))
    return _stacked(strips)


def drawn_pages(count: int, seed: int, fonts: Sequence[str] = FONTS) -> Tensor:
    """Pages of text: (count, 1, 100, 100) uint8."""
    draws = [np.random.default_rng([seed, number]) for number in range(count)]
    return _stacked([squashed(draw_page(rng, fonts), PHOTO_PX) for rng in draws])


def things_on(grounds: Tensor, count: int, seed: int) -> Tensor:
    """Gulls, boats and backs on ``count`` of (N, 1, H, W) uint8 pictures: (count, 1, 100, 100)."""
    draws = [np.random.default_rng([seed, number]) for number in range(count)]
    return _stacked(
        [
            squashed(draw_on(grounds[int(rng.integers(len(grounds))), 0].numpy(), rng), PHOTO_PX)
            for rng in draws
        ]
    )


def on_cards(boxed: BoxedPhotos, seed: int) -> BoxedPhotos:
    """Each photo on a card with text."""
    texts = [draw_page(np.random.default_rng([seed, number])) for number in range(TEXTS)]
    photos, boxes = [], []
    for number, (photo, box) in enumerate(zip(boxed.photos, boxed.boxes, strict=True)):
        rng = np.random.default_rng([seed, number])
        card, place = draw_card(photo[0].numpy(), texts[rng.integers(TEXTS)], rng)
        photos.append(squashed(card, PHOTO_PX))
        x0, y0, x1, y1 = place.corners
        corner, size = torch.tensor([x0, y0, x0, y0]), torch.tensor([x1 - x0, y1 - y0] * 2)
        boxes.append(corner + size * box)
    return BoxedPhotos(_stacked(photos), torch.stack(boxes) if boxes else torch.zeros(0, 4))


def _sea(seed: int, number: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng([seed, number])
    sea, _ = draw_sea(rng, (PHOTO_PX, PHOTO_PX), float(rng.uniform(0.3, 1.0)) * PHOTO_PX)
    return np.asarray(np.clip(255.0 * sea.mean(axis=2), 0.0, 255.0), dtype=np.uint8)


def _shuffled(photos: Tensor, generator: torch.Generator) -> Tensor:
    """Photos cut into nine or sixteen pieces and put together wrong: texture without a fluke."""
    pictures = torch.zeros(0, 1, PHOTO_PX, PHOTO_PX, dtype=torch.uint8)
    if not len(photos):
        return pictures
    for across in (3, 4):
        side = PHOTO_PX // across
        chosen = torch.randint(len(photos), (SHUFFLED // 2,), generator=generator)
        whole = photos[chosen, :, : side * across, : side * across].float()
        pieces = F.unfold(whole, side, stride=side)
        order = torch.rand(len(pieces), across**2, generator=generator).argsort(dim=1)
        mixed = pieces.gather(2, order[:, None].expand_as(pieces))
        back = F.fold(mixed, (side * across, side * across), side, stride=side)
        grown = F.interpolate(back, (PHOTO_PX, PHOTO_PX))
        pictures = torch.cat([pictures, grown.to(torch.uint8)])
    return pictures


def _square(path: Path) -> NDArray[np.uint8]:
    return squashed(load_pixels(Sample("", "", path=path)), PHOTO_PX)


def _stacked(photos: Sequence[NDArray[np.uint8]]) -> Tensor:
    empty = np.empty((0, PHOTO_PX, PHOTO_PX), dtype=np.uint8)
    return torch.from_numpy(np.stack(photos) if photos else empty)[:, None]
