"""Tests of what the localiser learns from: boxed flukes and pictures without one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="training needs torch")

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from flukeprint.drawn import draw_whale, photograph
from flukeprint.errors import FlukeprintError
from flukeprint.records import LabelledPhoto, Table
from flukeprint.training import boxed as making
from flukeprint.training.boxed import (
    BEHIND,
    CARDS,
    DRAWN,
    GAP_PX,
    LEAST_STRIP_PX,
    PHOTO_PX,
    SHOWN,
    BoxedPhotos,
    _shuffled,
    beside,
    boxes_of,
    drawn_boxes,
    drawn_pages,
    hand_boxes,
    mean_overlap,
    no_boxes,
    not_flukes,
    on_cards,
    overlaps,
    squashed_photos,
    stock_of,
    things_on,
)
from flukeprint.training.config import TrainConfig
from flukeprint.training.localiser import FlukeNet

NONE = torch.zeros(0, 1, PHOTO_PX, PHOTO_PX, dtype=torch.uint8)
LISTING = "\ufeffImage,x0,y0,x1,y1,who\n"


def _noise(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    size = (count, 1, PHOTO_PX, PHOTO_PX)
    return torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)


def _boxed(*boxes: tuple[float, float, float, float]) -> BoxedPhotos:
    return BoxedPhotos(_noise(len(boxes)), torch.tensor(boxes).view(-1, 4))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer pictures without a fluke."""
    monkeypatch.setattr(making, "SEAS", 5)
    monkeypatch.setattr(making, "SHUFFLED", 8)
    monkeypatch.setattr(making, "PAGES", 6)
    monkeypatch.setattr(making, "THINGS", 7)
    monkeypatch.setattr(making, "TEXTS", 3)


@pytest.fixture
def three_photos(tmp_path: Path) -> Table:
    rows = []
    for light, name in enumerate(("a.png", "b.png", "c.png"), 1):
        Image.new("L", (60, 40), 50 * light).save(tmp_path / name)
        rows.append(LabelledPhoto(name, tmp_path / name, "x"))
    return Table(tmp_path, tuple(rows))


def _listing(table: Table, text: str) -> Path:
    path = table.source / "boxes.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_drawn_boxes_know_their_flukes() -> None:
    boxed = drawn_boxes(TrainConfig(drawn_whales=2, drawn_photos=2))
    assert boxed.photos.shape == (4, 1, PHOTO_PX, PHOTO_PX)
    truth = photograph(draw_whale(1), 0, width_px=192, height_px=108).box
    torch.testing.assert_close(
        boxed.boxes[2], torch.tensor([truth.x0, truth.y0, truth.x1, truth.y1])
    )
    nothing = drawn_boxes(TrainConfig(drawn_whales=0))
    assert nothing.photos.equal(NONE)
    assert nothing.boxes.shape == (0, 4)


def test_hand_boxes_of_allowed_photos(three_photos: Table) -> None:
    """In the table's order, whatever the listing's; each with its own photo."""
    listing = _listing(
        three_photos,
        f"{LISTING}c.png,-5,0,50,104,me\nb.png,0,0,100,100,me\n"
        "a.png,10,20,60.5,80,me\nelse.png,1,2,3,4,me\n",
    )
    boxed = hand_boxes(listing, three_photos, ["a.png", "c.png", "else.png"])
    assert boxed.photos.shape == (2, 1, PHOTO_PX, PHOTO_PX)
    assert boxed.photos[:, 0, 0, 0].tolist() == [50, 150]
    wanted = torch.tensor([[0.1, 0.2, 0.605, 0.8], [0.0, 0.0, 0.5, 1.0]])
    torch.testing.assert_close(boxed.boxes, wanted)
    nothing = hand_boxes(listing, three_photos, ["else.png"])
    assert nothing.photos.equal(NONE) and nothing.boxes.shape == (0, 4)


def test_a_photo_of_two_whales_is_boxed_once(three_photos: Table) -> None:
    (row, *_) = three_photos.rows
    table = Table(three_photos.source, (row, LabelledPhoto(row.name, row.path, "y")))
    listing = _listing(three_photos, f"{LISTING}a.png,10,20,60,80,me\n")
    assert len(hand_boxes(listing, table, ["a.png"]).photos) == 1


def test_boxes_are_fractions_inside_the_photo(three_photos: Table) -> None:
    listing = _listing(three_photos, f"{LISTING}a.png,10,20,60,80,me\nno.png,-5,0,50,104,me\n")
    assert boxes_of(listing) == {"a.png": [0.1, 0.2, 0.6, 0.8], "no.png": [0.0, 0.0, 0.5, 1.0]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Image,x0,y0,x1\na.png,1,2,3\n", "y1 is missing"),
        (
            "Image,x0,y0,x1,y1\na.png,1,2,3,4\nb.png,1,2,3\n",
            "line 3: 4 cells where the first line has 5",
        ),
        ("Image,x0,y0,x1,y1\na.png,1,2,3,wide\n", "line 2: expected a box"),
        ("Image,x0,y0,x1,y1\na.png,1,2,nan,4\n", "line 2: expected a box"),
        ("Image,x0,y0,x1,y1\na.png,1,2,1,4\n", "line 2: expected a box"),
        ("Image,x0,y0,x1,y1\na.png,1,2,3,4\nelse.png,3,2,1,4\n", "line 3: expected a box"),
        ("a.png,1,2,3,4\nb.png,1,2,3,4\n", "the first line must name the columns"),
    ],
)
def test_a_wrong_line_of_boxes_is_named(text: str, message: str, three_photos: Table) -> None:
    with pytest.raises(FlukeprintError, match=f"boxes.csv.*{message}"):
        hand_boxes(_listing(three_photos, text), three_photos, ["a.png", "b.png"])


def test_photos_are_squashed_in_their_order(three_photos: Table) -> None:
    told: list[int] = []
    paths = [row.path for row in reversed(three_photos.rows)]
    photos = squashed_photos(paths, told.append)
    assert (photos.shape, photos.dtype) == ((3, 1, PHOTO_PX, PHOTO_PX), torch.uint8)
    assert photos.float().mean(dim=(1, 2, 3)).tolist() == [150, 100, 50]
    assert told == [1, 1, 1]
    assert squashed_photos([]).equal(NONE)
    paths[1].unlink()
    with pytest.raises(FlukeprintError, match=r"b\.png: no such file"):
        squashed_photos(paths)


def test_photos_of_other_things_are_those_in_their_folder(tmp_path: Path) -> None:
    """Subfolders, too; broken ones, hidden ones and what is no photo are left out."""
    folder = tmp_path / "not_flukes"
    (folder / "birds").mkdir(parents=True)
    Image.new("RGB", (300, 200), (90, 90, 90)).save(folder / "birds" / "b.png")
    Image.new("L", (30, 200), 40).save(folder / "z.png")
    (folder / "a.png").write_bytes(b"\x89PNG broken")
    (folder / "c.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("no photo")
    Image.new("L", (30, 20), 200).save(folder / ".hidden.png")
    (tmp_path / "photos.csv").write_text("path,identity\n")
    for data in (tmp_path, tmp_path / "photos.csv"):
        photos = not_flukes(data)
        assert (photos.shape, photos.dtype) == ((2, 1, PHOTO_PX, PHOTO_PX), torch.uint8)
        assert sorted(photos.float().mean(dim=(1, 2, 3)).tolist()) == [40, 90]


def test_without_their_folder_there_are_none(tmp_path: Path) -> None:
    assert not_flukes(tmp_path).equal(NONE)
    (tmp_path / "not_flukes").write_text("a file")
    assert not_flukes(tmp_path).equal(NONE)
    (tmp_path / "not_flukes").unlink()
    (tmp_path / "not_flukes").mkdir()
    assert not_flukes(tmp_path).equal(NONE)


def test_strips_beside_a_box_by_hand() -> None:
    """Left, right and above there is room for a strip, below there is not."""
    column = torch.arange(PHOTO_PX, dtype=torch.uint8)
    photo = column.expand(1, 1, PHOTO_PX, PHOTO_PX)
    boxed = BoxedPhotos(photo, torch.tensor([[0.3, 0.25, 0.7, 0.9]]))
    strips = beside(boxed)
    assert strips.shape == (3, 1, PHOTO_PX, PHOTO_PX)
    ranges = [(int(strip.min()), int(strip.max())) for strip in strips]
    assert ranges == [(0, 26), (73, 99), (0, 99)]
    assert beside(_boxed((0.1, 0.1, 0.9, 0.9))).equal(NONE), "none is wide enough"
    least = (LEAST_STRIP_PX + GAP_PX) / 100
    assert len(beside(_boxed((least, 0.0, 1.0, 1.0)))) == 1
    assert len(beside(_boxed((least - 0.01, 0.0, 1.0, 1.0)))) == 0


@given(st.tuples(*(st.floats(0.0, 1.0) for _ in range(4))))
def test_strips_beside_a_box_show_nothing_of_it(numbers: tuple[float, ...]) -> None:
    """The box is white, all else black: so are the strips, and there are all that fit."""
    (x0, x1), (y0, y1) = sorted(numbers[:2]), sorted(numbers[2:])
    at = torch.arange(PHOTO_PX)
    across = (at + 1 > 100 * x0) & (at < 100 * x1)
    down = (at + 1 > 100 * y0) & (at < 100 * y1)
    photo = 255 * (down[:, None] & across[None, :]).to(torch.uint8)
    strips = beside(BoxedPhotos(photo[None, None], torch.tensor([[x0, y0, x1, y1]])))
    assert not strips.any()
    room = [100 * side - GAP_PX for side in (x0, 1 - x1, y0, 1 - y1)]
    assert sum(one >= LEAST_STRIP_PX + 1 for one in room) <= len(strips)
    assert len(strips) <= sum(one >= LEAST_STRIP_PX - 1 for one in room)


def _pieces(picture: Tensor, across: int) -> list[bytes]:
    side = PHOTO_PX // across
    return sorted(
        picture[row * side : (row + 1) * side, column * side : (column + 1) * side]
        .numpy()
        .tobytes()
        for row in range(across)
        for column in range(across)
    )


def test_shuffled_photos_hold_the_same_pieces(few: None) -> None:
    """Nine of 33 pixels, grown by a row and a column, or sixteen of 25; put together wrong."""
    photos = _noise(1)
    shuffled = _shuffled(photos, torch.Generator().manual_seed(0))
    assert (shuffled.shape, shuffled.dtype) == ((8, 1, PHOTO_PX, PHOTO_PX), torch.uint8)
    photo = photos[0, 0]
    for picture in shuffled[:4, 0]:
        assert picture[0].equal(picture[1]) and picture[:, 0].equal(picture[:, 1])
        assert _pieces(picture[1:, 1:], 3) == _pieces(photo[:99, :99], 3)
        assert not picture[1:, 1:].equal(photo[:99, :99])
    for picture in shuffled[4:, 0]:
        assert _pieces(picture, 4) == _pieces(photo, 4)
        assert not picture.equal(photo)
    assert _shuffled(NONE, torch.Generator()).equal(NONE)


def test_a_stock_is_the_boxed_photos_and_what_shows_no_fluke(few: None) -> None:
    boxed, others = _boxed((0.3, 0.25, 0.7, 0.9), (0.1, 0.1, 0.9, 0.9)), _noise(4, seed=1)
    drawn = BoxedPhotos(_noise(1, seed=2), torch.tensor([[0.3, 0.3, 0.7, 0.7]]))
    stock = stock_of(boxed, drawn, others, seed=0)
    cards = on_cards(boxed, 0)
    assert stock.photos.equal(torch.cat([boxed.photos, drawn.photos, cards.photos]))
    assert stock.boxes.equal(torch.cat([boxed.boxes, drawn.boxes, cards.boxes]))
    assert stock.exact.tolist() == [True] * 5
    assert stock.empty.shape == (4 + 3 + 5 + 8 + 6 + 7, 1, PHOTO_PX, PHOTO_PX)
    assert stock.empty.dtype == torch.uint8
    assert stock.empty[:4].equal(others)
    assert stock.empty[4:7].equal(beside(boxed)), "what is drawn has no sea worth a picture"
    seas = stock.empty[7:12].float()
    assert float(seas.std(dim=(2, 3)).min()) > 1, "a sea is not one colour"
    again, other = (stock_of(boxed, drawn, others, seed=seed) for seed in (0, 1))
    assert again.empty.equal(stock.empty)
    assert not other.empty.equal(stock.empty)


@pytest.mark.parametrize(
    ("photos", "strips", "kinds"),
    [(4, 3, {0, 1}), (0, 3, {1}), (4, 0, {0}), (0, 0, set())],
)
def test_each_kind_is_shown_as_often_as_its_share(
    photos: int, strips: int, kinds: set[int], few: None
) -> None:
    """Of the kinds that there are; each of a kind's pictures as often as the others."""
    box = (0.3, 0.25, 0.7, 0.9) if strips else (0.1, 0.1, 0.9, 0.9)
    stock = stock_of(_boxed(box), no_boxes(), _noise(photos), seed=0)
    counts, kinds = [photos, strips, 5, 8, 6, 7], kinds | {2, 3, 4, 5}
    for found, shares in ((stock.shown, SHOWN), (stock.behind, BEHIND)):
        assert len(found) == len(stock.empty) == sum(counts)
        for kind, part in enumerate(torch.split(found, counts)):
            assert float(part.sum()) == pytest.approx(shares[kind] if kind in kinds else 0.0)
            assert len(set(part.tolist())) <= 1
        assert float(found.sum()) > 0
    assert sum(SHOWN) == pytest.approx(1) and sum(BEHIND) == pytest.approx(1)
    assert not stock.behind[:photos].any(), "no fluke is set into a photo of something else"


def test_pages_and_things_follow_from_their_seed() -> None:
    """A thing stands before one of the grounds: what it leaves free is as it was."""
    grounds = torch.full((3, 1, 40, 60), 128, dtype=torch.uint8)
    made = [(drawn_pages(4, seed), things_on(grounds, 4, seed)) for seed in (0, 0, 1)]
    for pictures, again, other in zip(*made, strict=True):
        assert (pictures.shape, pictures.dtype) == ((4, 1, PHOTO_PX, PHOTO_PX), torch.uint8)
        assert pictures.equal(again) and not pictures.equal(other)
        assert float(pictures.float().std(dim=(2, 3)).max()) > 5
    assert (things_on(grounds, 20, 2) == 128).float().mean() > 0.5


@pytest.mark.parametrize(("by_hand", "drawn"), [(3, 5), (1, 40), (0, 2), (2, 0)])
def test_drawn_flukes_have_their_share(by_hand: int, drawn: int, few: None) -> None:
    """However many there are, and so have photos on cards; without one kind the rest have all."""
    box = (0.1, 0.1, 0.9, 0.9)
    kinds = [_boxed(*[box] * count) if count else no_boxes() for count in (by_hand, drawn)]
    weights = stock_of(kinds[0], kinds[1], NONE, seed=0).weights
    parts = torch.split(weights, [by_hand, drawn, by_hand])
    assert all(len(set(part.tolist())) <= 1 for part in parts)
    plain, made, cards = (float(part.sum()) for part in parts)
    assert made == pytest.approx(DRAWN if drawn else 0.0)
    assert plain == pytest.approx(1 - DRAWN - CARDS if by_hand else 0.0)
    assert cards == pytest.approx(CARDS if by_hand else 0.0)


def test_on_a_card_the_box_is_where_the_fluke_is() -> None:
    """The fluke is brighter than any paper, ink or sea around it."""
    boxed = _boxed(*[(0.3, 0.4, 0.7, 0.8)] * 20)
    photos = torch.full_like(boxed.photos, 60)
    photos[:, :, 40:80, 30:70] = 140
    cards = on_cards(BoxedPhotos(photos, boxed.boxes), seed=3)
    assert cards.photos.shape == photos.shape
    for card, (x0, y0, x1, y1) in zip(
        cards.photos[:, 0], (100 * cards.boxes).tolist(), strict=True
    ):
        inside = card[round(y0) + 2 : round(y1) - 1, round(x0) + 2 : round(x1) - 1]
        assert inside.numel() > 200 and (inside.int() - 140).abs().max() <= 8
        assert (card[round(y0) - 3, round(x0) + 2 : round(x1) - 1].int() - 60).abs().max() <= 8
    assert no_boxes().boxes.equal(on_cards(no_boxes(), 0).boxes)


def test_no_boxes_are_none() -> None:
    nothing = no_boxes()
    assert nothing.photos.equal(NONE) and nothing.boxes.equal(torch.zeros(0, 4))


def test_overlap_with_found_boxes_by_hand(telling: Callable[[Tensor], FlukeNet]) -> None:
    boxed = _boxed((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0))
    localiser = telling(torch.tensor([4.0, 0.0, 0.0, 0.5, 0.5, -20.0, 0.0, 4.0]))
    found = overlaps(localiser, boxed)
    torch.testing.assert_close(found, torch.tensor([0.25, 1.0, 0.0]))
    assert mean_overlap(localiser, boxed) == pytest.approx(1.25 / 3)
    assert np.isnan(mean_overlap(localiser, _boxed()))
