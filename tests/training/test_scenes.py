"""Tests of the pictures that the localiser learns from."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from flukeprint import localise
from flukeprint.training import scenes as drawing
from flukeprint.training.config import TrainConfig
from flukeprint.training.localiser import SIDE_PX
from flukeprint.training.scenes import (
    APART,
    MOST_FLUKES,
    MOST_TILT_DEG,
    MOVED,
    PAIRED,
    PASTED,
    STEEPEST,
    TILT_DEG,
    TILTED,
    TWO,
    Scenes,
    Stock,
    _turned,
    draw_scenes,
    overlap,
)

STILL = TrainConfig(light=0.0, blur_px=0.0, noise=0.0, erase=0.0)
PHOTO_PX = 200
PIXEL = 1 / SIDE_PX
BOXES = ((0.25, 0.3, 0.8, 0.6), (0.1, 0.2, 0.9, 0.7), (0.4, 0.4, 0.7, 0.8))

Corners = Sequence[float]
Lit = Callable[[Tensor, Tensor], Tensor]


def _across() -> tuple[Tensor, Tensor]:
    """x and y of each of a photo's pixels, in 0..1."""
    at = (torch.arange(PHOTO_PX) + 0.5) / PHOTO_PX
    return at[None, :].expand(PHOTO_PX, -1), at[:, None].expand(-1, PHOTO_PX)


def _photo(lit: Lit) -> Tensor:
    return 255 * lit(*_across()).to(torch.uint8)


def _ellipse(box: Corners) -> Tensor:
    """A bright ellipse that fills its box, on black."""
    x0, y0, x1, y1 = box
    return _photo(
        lambda x, y: (
            ((2 * x - x0 - x1) / (x1 - x0)) ** 2 + ((2 * y - y0 - y1) / (y1 - y0)) ** 2 <= 1
        )
    )


def _rectangle(box: Corners) -> Tensor:
    x0, y0, x1, y1 = box
    return _photo(lambda x, y: (x > x0) & (x < x1) & (y > y0) & (y < y1))


def _dot(at: tuple[float, float], radius: float = 0.04) -> Tensor:
    return _photo(lambda x, y: (x - at[0]) ** 2 + (y - at[1]) ** 2 <= radius**2)


def _flat(light: int) -> Tensor:
    return torch.full((PHOTO_PX, PHOTO_PX), light, dtype=torch.uint8)


def _stock(
    photos: Sequence[Tensor], boxes: Sequence[Corners], empty: Sequence[int] = (0,)
) -> Stock:
    """Photos of the same weight, and evenly lit ones without a fluke."""
    return Stock(
        torch.stack(list(photos))[:, None],
        torch.tensor(boxes),
        torch.ones(len(photos), dtype=torch.bool),
        torch.ones(len(photos)),
        torch.stack([_flat(light) for light in empty])[:, None],
        torch.ones(len(empty)),
        torch.ones(len(empty)),
    )


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No change of light, so that bright pixels are the fluke's and only those."""
    monkeypatch.setattr(drawing, "LIGHT", STILL)


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, still: None) -> Callable[..., None]:
    """Draw one kind of picture only."""

    def choose(
        *, moved: float = 0.0, paired: float = 0.0, pasted: float = 0.0, two: float = 0.0
    ) -> None:
        shares = {"MOVED": moved, "PAIRED": paired, "PASTED": pasted, "TWO": two}
        for name, share in shares.items():
            monkeypatch.setattr(drawing, name, share)

    return choose


def _bounds(bright: Tensor) -> Tensor:
    """The box of the set pixels of (96, 96) bool, in 0..1."""
    columns, rows = bright.any(dim=0).nonzero(), bright.any(dim=1).nonzero()
    ends = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return torch.tensor([float(end) for end in ends]) / SIDE_PX


def _assert_inside(bright: Tensor, box: Tensor, spare: float = 1.5 * PIXEL) -> None:
    found = _bounds(bright)
    assert bool((found[:2] >= box[:2] - spare).all()), (found, box)
    assert bool((found[2:] <= box[2:] + spare).all()), (found, box)


def test_overlap_by_hand() -> None:
    whole = (0.0, 0.0, 1.0, 1.0)
    cases = [
        (whole, whole, 1.0),
        (whole, (0.0, 0.0, 0.5, 1.0), 0.5),
        ((0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0), 0.0),  # touching
        ((0.0, 0.0, 0.2, 0.2), (0.6, 0.0, 0.9, 0.2), 0.0),  # apart
        ((0.0, 0.0, 0.4, 0.4), (0.2, 0.2, 0.6, 0.6), 0.04 / 0.28),
        ((0.3, 0.3, 0.3, 0.3), (0.3, 0.3, 0.3, 0.3), 0.0),  # nothing
    ]
    found = overlap(torch.tensor([a for a, _, _ in cases]), torch.tensor([b for _, b, _ in cases]))
    torch.testing.assert_close(found, torch.tensor([wanted for *_, wanted in cases]))


@given(st.integers(0, 10_000))
def test_overlap_is_that_of_the_localiser(seed: int) -> None:
    """The same measure in torch here and in NumPy where flukes are told apart; one to many, too."""
    draw = torch.rand(2, 7, 4, generator=_generator(seed))
    boxes = torch.cat([draw[..., :2], draw[..., :2] + draw[..., 2:] + 0.05], dim=-1)
    found = overlap(boxes[0], boxes[1])
    assert bool(((found >= 0) & (found <= 1)).all())
    torch.testing.assert_close(found, overlap(boxes[1], boxes[0]))
    torch.testing.assert_close(overlap(boxes, boxes), torch.ones(2, 7))
    one = localise.overlap(boxes[0, 0].double().numpy(), boxes[1].double().numpy())
    torch.testing.assert_close(
        overlap(boxes[0, :1], boxes[1]).double(), torch.from_numpy(one), atol=1e-5, rtol=0
    )


def test_a_moved_rectangle_fills_its_box(
    only: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without tilt its corners tell: cut at the picture's edge, the box is that of what is seen."""
    only(moved=1.0)
    monkeypatch.setattr(drawing, "TILT_DEG", 0.0)
    monkeypatch.setattr(drawing, "TILTED", 0.0)
    scenes = draw_scenes(_stock([_rectangle(box) for box in BOXES], BOXES), 100, _generator(1))
    assert scenes.there.tolist() == [[True, False]] * 100
    for picture, box in zip(scenes.pictures[:, 0], scenes.boxes[:, 0], strict=True):
        found = _bounds(picture > 127)
        torch.testing.assert_close(found, box.clamp(0, 1), rtol=0, atol=1.01 * PIXEL)
    assert scenes.slope.abs().max() < 1e-6


def test_a_moved_and_tilted_ellipse_fills_its_box(only: Callable[..., None]) -> None:
    only(moved=1.0)
    scenes = draw_scenes(_stock([_ellipse(box) for box in BOXES], BOXES), 200, _generator(2))
    whole = 0
    for picture, box in zip(scenes.pictures[:, 0], scenes.boxes[:, 0], strict=True):
        _assert_inside(picture > 127, box)
        if bool((box >= 0).all() and (box <= 1).all()):
            torch.testing.assert_close(_bounds(picture > 127), box, rtol=0, atol=1.5 * PIXEL)
            whole += 1
    assert whole > 50
    assert (scenes.slope[:, 0].abs() > 0.05).sum() > 50


def test_most_of_a_moved_fluke_is_in_the_picture(only: Callable[..., None]) -> None:
    """On both axes all of it but a twentieth of the picture, or all of the picture but that."""
    only(moved=1.0)
    scenes = draw_scenes(_stock([_flat(9)] * len(BOXES), BOXES), 300, _generator(3))
    low, high = scenes.boxes[:, 0, :2], scenes.boxes[:, 0, 2:]
    seen = high.clamp_max(1) - low.clamp_min(0)
    assert bool((seen >= (high - low).clamp_max(1) - 0.0501).all())


def test_a_pasted_ellipse_fills_its_box(only: Callable[..., None]) -> None:
    only(pasted=1.0)
    scenes = draw_scenes(_stock([_ellipse(box) for box in BOXES], BOXES), 200, _generator(4))
    assert scenes.there.tolist() == [[True, False]] * 200
    whole = 0
    for picture, box in zip(scenes.pictures[:, 0], scenes.boxes[:, 0], strict=True):
        _assert_inside(picture > 127, box)
        if bool((box >= 0).all() and (box <= 1).all()):
            torch.testing.assert_close(_bounds(picture > 127), box, rtol=0, atol=2 * PIXEL)
            whole += 1
    assert whole > 100


def test_pasted_flukes_lie_apart(only: Callable[..., None]) -> None:
    only(pasted=1.0, two=1.0)
    scenes = draw_scenes(_stock([_ellipse(box) for box in BOXES], BOXES), 300, _generator(5))
    both = scenes.there.all(dim=1)
    assert scenes.there[:, 0].all()
    assert 100 < int(both.sum()) < 300, "where there is no room for a second one there is none"
    assert overlap(scenes.boxes[both, 0], scenes.boxes[both, 1]).max() <= APART
    at = (torch.arange(SIDE_PX) + 0.5) / SIDE_PX
    for picture, boxes in zip(scenes.pictures[both, 0], scenes.boxes[both], strict=True):
        free = picture > 127
        for x0, y0, x1, y1 in boxes.tolist():
            across = (at >= x0 - 2 * PIXEL) & (at <= x1 + 2 * PIXEL)
            down = (at >= y0 - 2 * PIXEL) & (at <= y1 + 2 * PIXEL)
            free = free & ~(down[:, None] & across[None, :])
        assert not free.any(), "light outside of both boxes"


def test_a_pasted_photo_takes_the_light_of_its_place(only: Callable[..., None]) -> None:
    """An even photo set into an even sea: at its rim it is nearer to the sea, and never darker."""
    only(pasted=1.0)
    scenes = draw_scenes(_stock([_flat(200)], BOXES[:1], empty=(100,)), 50, _generator(6))
    for picture, box in zip(scenes.pictures[:, 0], scenes.boxes[:, 0], strict=True):
        column, row = ((box[:2] + box[2:]) / 2 * SIDE_PX).long().tolist()
        assert float(picture.min()) >= 100 - 0.5 and float(picture.max()) <= 170.5
        assert 100 - 0.5 <= float(picture[row, column]) <= 170.5


def _centre(picture: Tensor) -> Tensor | None:
    """The middle x, y in 0..1 of a dot that lies wholly in the picture."""
    bright = picture > 100
    edge = torch.cat([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    if edge.any() or bright.sum() < 3:
        return None
    weight = picture * bright
    at = (torch.arange(SIDE_PX) + 0.5) / SIDE_PX
    total = weight.sum()
    return torch.stack([(weight.sum(0) * at).sum() / total, (weight.sum(1) * at).sum() / total])


@pytest.mark.parametrize("kind", ["moved", "pasted"])
def test_slope_and_upside_down_are_those_of_marks_on_the_photo(
    kind: str, only: Callable[..., None]
) -> None:
    """Dots at the tips tell the slope; one at the top of the box is at the bottom upside down."""
    only(**{kind: 1.0})
    box = (0.2, 0.2, 0.8, 0.8)
    marks = ((0.26, 0.5), (0.74, 0.5), (0.5, 0.26))
    drawn = [draw_scenes(_stock([_dot(at)], [box]), 150, _generator(7)) for at in marks]
    scenes = drawn[0]
    slopes = downs = 0
    for row, noted in enumerate(scenes.boxes[:, 0]):
        left, right, top = (_centre(one.pictures[row, 0]) for one in drawn)
        if left is not None and right is not None and float((noted[2:] - noted[:2]).min()) > 0.25:
            run, fall = (right - left).tolist()
            slope = min(max(fall / run, -STEEPEST), STEEPEST)
            assert slope == pytest.approx(float(scenes.slope[row, 0]), abs=0.06)
            slopes += 1
        if top is not None:
            below = float(top[1]) > float(noted[1] + noted[3]) / 2
            assert below == bool(scenes.upside_down[row, 0])
            downs += 1
    assert slopes > 15 and downs > 60
    assert 50 < int(scenes.upside_down[:, 0].sum()) < 100, "one in two is upside down"
    assert scenes.slope.abs().max() <= STEEPEST


def test_a_tilted_camera_turns_the_photo_that_was_squashed() -> None:
    """Stretched back to the photo's aspect, from 0.9 to 2, it is a turn, mirrored or not."""
    turned = _turned(500, _generator(11)).double()
    assert turned.det().abs().numpy() == pytest.approx(1.0, abs=1e-5)
    tilted = turned[turned[:, 0, 1].abs() > 1e-3]
    aspect = (tilted[:, 1, 0] / tilted[:, 0, 1]).abs().sqrt()
    assert float(aspect.min()) > 0.9 and float(aspect.max()) < 2.02
    stretch = torch.stack([aspect, torch.ones_like(aspect)], dim=1).diag_embed()
    turn = stretch @ tilted @ torch.linalg.inv(stretch)
    torch.testing.assert_close(
        turn @ turn.mT, torch.eye(2).double().expand_as(turn), rtol=0, atol=1e-4
    )
    angle = torch.rad2deg(torch.asin(turn[:, 1, 0].abs()))
    spread = (1 - TILTED) * TILT_DEG**2 + TILTED * MOST_TILT_DEG**2 / 3
    assert float(angle.square().mean().sqrt()) == pytest.approx(spread**0.5, rel=0.15)
    assert 0.9 * MOST_TILT_DEG < float(angle.max()) < MOST_TILT_DEG
    signs = [(float(one[0, 0]) > 0, float(one[1, 1]) > 0) for one in turned]
    assert all(0.2 < signs.count((x, y)) / 500 < 0.3 for x in (True, False) for y in (True, False))


def test_no_slope_is_steeper_than_the_steepest(
    only: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    only(moved=1.0)
    monkeypatch.setattr(drawing, "MOST_TILT_DEG", 89.0)
    slopes = draw_scenes(_stock([_flat(9)], BOXES[:1]), 200, _generator(12)).slope
    assert {float(slopes.min()), float(slopes.max())} == {-STEEPEST, STEEPEST}


def test_pictures_without_a_fluke_have_none(only: Callable[..., None]) -> None:
    only()
    scenes = draw_scenes(_stock([_flat(255)], BOXES[:1], empty=(90,)), 20, _generator(8))
    assert not scenes.there.any()
    assert not scenes.boxes.any() and not scenes.slope.any() and not scenes.upside_down.any()
    torch.testing.assert_close(scenes.pictures, torch.full_like(scenes.pictures, 90))


def test_kinds_come_as_often_as_they_should(still: None) -> None:
    """Photos are white, seas behind flukes grey, pictures without a fluke black."""
    count = 1_200
    stock = _stock([_flat(255)], BOXES[:1], empty=(0, 100))
    shown, behind = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    stock = replace(stock, shown=shown, behind=behind)
    scenes = draw_scenes(stock, count, _generator(9))
    low, high = scenes.pictures.amin((1, 2, 3)), scenes.pictures.amax((1, 2, 3))
    moved, empty = low > 250, high < 5
    pasted = ~moved & ~empty
    assert bool((low[pasted] > 95).all())
    paired = moved & scenes.there[:, 1]
    for found, share in (
        (moved & ~paired, MOVED),
        (paired, PAIRED),
        (pasted, PASTED),
        (empty, 1 - MOVED - PAIRED - PASTED),
    ):
        assert float(found.float().mean()) == pytest.approx(share, abs=0.05)
    assert scenes.there[:, 0].equal(~empty)
    assert TWO / 3 < float(scenes.there[pasted, 1].float().mean()) < TWO + 0.1


def test_two_photos_in_one_share_it_and_keep_their_boxes(only: Callable[..., None]) -> None:
    """Each photo is one colour but for its fluke: a straight cut parts them near the middle."""
    only(paired=1.0)
    photos = [_rectangle(box) for box in BOXES]
    scenes = draw_scenes(_stock(photos, BOXES), 80, _generator(14))
    assert scenes.there.all() and not scenes.upside_down.any() and not scenes.slope.any()
    aside = (scenes.boxes[:, 0, 2] <= scenes.boxes[:, 1, 0] + PIXEL) & (scenes.boxes[:, 0, 0] < 0.5)
    below = (scenes.boxes[:, 0, 3] <= scenes.boxes[:, 1, 1] + PIXEL) & (scenes.boxes[:, 0, 1] < 0.5)
    assert (aside | below).all()
    assert int(aside.sum()) > 40 and int((~aside).sum()) > 10
    for picture, (first, second) in zip(scenes.pictures[:, 0], scenes.boxes, strict=True):
        both = torch.stack([first, second])
        around = torch.cat([both[:, :2].amin(dim=0), both[:, 2:].amax(dim=0)])
        torch.testing.assert_close(_bounds(picture > 127), around, rtol=0, atol=1.5 * PIXEL)


def test_photos_come_as_often_as_their_weights_say(only: Callable[..., None]) -> None:
    only(moved=1.0)
    stock = _stock([_flat(50), _flat(100), _flat(200)], BOXES)
    stock = replace(stock, weights=torch.tensor([0.3, 0.0, 0.1]))
    light = draw_scenes(stock, 400, _generator(10)).pictures.mean(dim=(1, 2, 3)).round()
    assert set(light.tolist()) == {50.0, 200.0}
    assert float((light == 50).float().mean()) == pytest.approx(0.75, abs=0.08)


@pytest.mark.parametrize("kind", ["moved", "pasted"])
def test_guessed_boxes_are_told_from_known_ones(kind: str, only: Callable[..., None]) -> None:
    """Photos whose boxes are known are lighter than the others."""
    only(**{kind: 1.0}, two=1.0)
    stock = _stock([_flat(200), _flat(50)], BOXES[:2])
    stock = replace(stock, exact=torch.tensor([True, False]))
    scenes = draw_scenes(stock, 60, _generator(13))
    assert not scenes.exact[~scenes.there].any()
    light = scenes.pictures.amax(dim=(1, 2, 3))
    if kind == "moved":
        assert scenes.exact[:, 0].equal(light > 100)
    assert 10 < int(scenes.exact[:, 0].sum()) < 50
    for which in (True, False):
        known = replace(stock, exact=torch.tensor([which, which]))
        assert draw_scenes(known, 60, _generator(13)).exact.equal(scenes.there & which)


@given(seed=st.integers(0, 10_000), count=st.integers(1, 5))
def test_scenes_are_finite_and_their_flukes_are_flukes(seed: int, count: int) -> None:
    """However few pictures are drawn, whatever kinds are among them, their light changed."""
    stock = _stock([_ellipse(box) for box in BOXES], BOXES, empty=(0, 128))
    scenes = draw_scenes(stock, count, _generator(seed))
    assert scenes.pictures.shape == (count, 1, SIDE_PX, SIDE_PX)
    assert scenes.boxes.shape == (count, MOST_FLUKES, 4)
    for part in (scenes.pictures, scenes.boxes, scenes.slope):
        assert part.dtype == torch.float32 and bool(torch.isfinite(part).all())
    there = scenes.boxes[scenes.there]
    assert bool((there[:, 2:] > there[:, :2]).all())
    assert bool((there[:, 2:] > 0).all() and (there[:, :2] < 1).all()), "some of it is seen"
    assert not scenes.boxes[~scenes.there].any()
    assert bool((scenes.there[:, 0] | ~scenes.there[:, 1]).all()), "no second without a first"


def _parts(scenes: Scenes) -> tuple[Tensor, ...]:
    return tuple(getattr(scenes, part.name) for part in fields(scenes))


def test_the_same_seed_draws_the_same_scenes() -> None:
    stock = _stock([_ellipse(box) for box in BOXES], BOXES, empty=(0, 128))
    one, two, other = (_parts(draw_scenes(stock, 16, _generator(seed))) for seed in (3, 3, 4))
    assert all(a.equal(b) for a, b in zip(one, two, strict=True))
    assert not one[0].equal(other[0])


def test_drawing_leaves_the_stock_as_it_was() -> None:
    stock = _stock([_ellipse(box) for box in BOXES], BOXES)
    photos, boxes = stock.photos.clone(), stock.boxes.clone()
    draw_scenes(stock, 16, _generator())
    assert stock.photos.equal(photos) and stock.boxes.equal(boxes)
