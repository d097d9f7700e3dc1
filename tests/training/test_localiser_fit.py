"""Tests of how the localiser learns: what is asked of it, what an answer costs, its own boxes."""

from collections.abc import Callable
from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from flukeprint.localise import CORNERS, LOGIT, NUMBERS, SHOWN, SLOPE, UPSIDE_DOWN
from flukeprint.training import localiser_fit as fitting
from flukeprint.training.boxed import BoxedPhotos, mean_overlap
from flukeprint.training.localiser import PLACES, SIDE_PX, FlukeNet
from flukeprint.training.localiser_fit import (
    BOXED_WEIGHT,
    CERTAIN,
    MIDDLE,
    aims_of,
    fit_localiser,
    flukes_on,
    surprise,
    with_own_boxes,
)
from flukeprint.training.scenes import MOST_FLUKES, Scenes, Stock

Corners = tuple[float, float, float, float]
Telling = Callable[[Tensor], FlukeNet]
MIDDLES = FlukeNet().get_buffer("middles")
NOTHING = torch.zeros(0, 1, 100, 100, dtype=torch.uint8)


def _scenes(*pictures: list[Corners]) -> Scenes:
    """Pictures of which only the boxes of their flukes matter."""
    count = len(pictures)
    scenes = Scenes(
        torch.zeros(count, 1, SIDE_PX, SIDE_PX),
        torch.zeros(count, MOST_FLUKES, 4),
        there=torch.zeros(count, MOST_FLUKES, dtype=torch.bool),
        exact=torch.zeros(count, MOST_FLUKES, dtype=torch.bool),
        upside_down=torch.zeros(count, MOST_FLUKES, dtype=torch.bool),
        slope=torch.zeros(count, MOST_FLUKES),
    )
    for row, boxes in enumerate(pictures):
        for which, box in enumerate(boxes):
            scenes.boxes[row, which] = torch.tensor(box)
            scenes.there[row, which] = scenes.exact[row, which] = True
    return scenes


def _places(answers: Tensor) -> set[tuple[int, int]]:
    """Column and row of the places that are set."""
    return {(int(place) % PLACES, int(place) // PLACES) for place in answers.nonzero()[:, 0]}


def _square(columns: range, rows: range) -> set[tuple[int, int]]:
    return {(column, row) for column in columns for row in rows}


def test_the_places_at_a_flukes_middle_tell_of_it() -> None:
    """Middles lie at 0.5/12, 1.5/12 ...: four are within 0.35 of the half sides of the centre."""
    aims = aims_of(_scenes([(0.25, 0.25, 0.75, 0.75)]), MIDDLES)
    assert aims.which.shape == aims.asked.shape == (1, 144)
    assert _places(aims.which[0] == 0) == _square(range(5, 7), range(5, 7))
    # The other places inside are not asked, those outside are to say no.
    assert _places(~aims.asked[0]) == _square(range(3, 9), range(3, 9)) - _places(
        aims.which[0] == 0
    )
    assert set(aims.which[0].tolist()) == {0, -1}


def test_a_wide_fluke_has_a_wide_middle() -> None:
    """As wide as the picture and a tenth as high: 0.175 to each side, but one place high."""
    aims = aims_of(_scenes([(0.0, 0.075, 1.0, 0.175)]), MIDDLES)
    assert _places(aims.which[0] == 0) == _square(range(4, 8), range(1, 2))
    assert _places(~aims.asked[0]) == _square(range(12), range(1, 2)) - _square(
        range(4, 8), range(1, 2)
    )


def test_a_fluke_smaller_than_a_place_still_has_one() -> None:
    aims = aims_of(_scenes([(0.295, 0.295, 0.305, 0.305)]), MIDDLES)
    assert _places(aims.which[0] == 0) == {(3, 3)}
    assert aims.asked.all()


def test_the_smallest_of_two_flukes_wins() -> None:
    whole, small = (0.0, 0.0, 1.0, 1.0), (0.4, 0.4, 0.6, 0.6)
    for boxes, wins in (([whole, small], 1), ([small, whole], 0)):
        aims = aims_of(_scenes(boxes), MIDDLES)
        inner = _square(range(5, 7), range(5, 7))
        assert _places(aims.which[0] == wins) == inner
        assert _places(aims.which[0] == 1 - wins) == _square(range(4, 8), range(4, 8)) - inner


def test_only_flukes_that_are_there_are_told_of() -> None:
    scenes = _scenes([(0.0, 0.0, 1.0, 1.0)], [])
    scenes.boxes[1, 1] = torch.tensor([0.2, 0.2, 0.4, 0.4])
    aims = aims_of(scenes, MIDDLES)
    assert bool((aims.which[1] == -1).all() and aims.asked[1].all())
    assert not aims.asked[0].all()


@given(
    x=st.floats(0.0, 1.0),
    y=st.floats(0.0, 1.0),
    width=st.floats(0.01, 2.0),
    height=st.floats(0.01, 2.0),
)
def test_every_fluke_in_the_picture_has_a_place(
    x: float, y: float, width: float, height: float
) -> None:
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    aims = aims_of(_scenes([box]), MIDDLES)
    tells = aims.which[0] == 0
    assert tells.any() and aims.asked[0][tells].all()
    near = (MIDDLES - torch.tensor([x, y])).abs()
    reach = torch.tensor([width, height]) / 2 * max(MIDDLE, 0.0)
    assert bool((near[tells] <= reach.clamp_min(1 / PLACES) + 1e-6).all())


def _perfect(scenes: Scenes) -> Tensor:
    """Answers that could not be better."""
    aims = aims_of(scenes, MIDDLES)
    row, which = torch.arange(len(aims.which))[:, None], aims.which.clamp_min(0)
    answers = torch.zeros(*aims.which.shape, NUMBERS)
    answers[:, :, LOGIT] = torch.where(aims.which >= 0, 20.0, -20.0)
    answers[:, :, CORNERS] = scenes.boxes[row, which]
    answers[:, :, UPSIDE_DOWN] = torch.where(scenes.upside_down[row, which], 20.0, -20.0)
    answers[:, :, SLOPE] = scenes.slope[row, which]
    answers[:, :, SHOWN] = torch.where(scenes.there.any(dim=1), 20.0, -20.0)[:, None]
    return answers


@pytest.fixture
def scenes() -> Scenes:
    """Two flukes, one upside down and sloping; one fluke; none."""
    made = _scenes([(0.0, 0.1, 0.4, 0.3), (0.5, 0.5, 0.9, 0.9)], [(0.2, 0.3, 0.9, 0.8)], [])
    made.upside_down[0, 1], made.slope[0, 1] = True, 0.3
    return made


def test_perfect_answers_cost_nothing(scenes: Scenes) -> None:
    assert float(surprise(_perfect(scenes), scenes, MIDDLES)) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("wrong", ["place", "sea", "edge", "turned", "slope", "shown", "not shown"])
def test_each_wrong_answer_costs(wrong: str, scenes: Scenes) -> None:
    answers = _perfect(scenes)
    here = aims_of(scenes, MIDDLES).which >= 0
    if wrong == "place":
        answers[:, :, LOGIT][here] = -3.0
    elif wrong == "sea":
        answers[2, 0, LOGIT] = 5.0
    elif wrong == "edge":
        answers[:, :, 3][here] += 0.05
    elif wrong == "turned":
        answers[:, :, UPSIDE_DOWN] *= -1
    elif wrong == "slope":
        answers[:, :, SLOPE][here] += 0.1
    else:
        answers[0 if wrong == "not shown" else 2, :, SHOWN] *= -1
    assert float(surprise(answers, scenes, MIDDLES)) > 0.01


def test_the_cost_by_hand() -> None:
    """A picture without a fluke, no idea of anything: log 2 at each place, twice of the photo."""
    answers = torch.zeros(1, PLACES**2, NUMBERS)
    log2 = float(torch.tensor(2.0).log())
    places = 4 * (144 * 0.5 * 0.4 * log2) / 50  # half in doubt, of weight 0.4
    assert float(surprise(answers, _scenes([]), MIDDLES)) == pytest.approx(
        places + 2 * log2, rel=1e-5
    )


def test_a_box_is_cut_at_the_pictures_edge_before_it_is_asked_for() -> None:
    scenes = _scenes([(-0.2, 0.1, 0.7, 1.3)])
    answers = _perfect(scenes)
    answers[:, :, CORNERS] = torch.tensor([0.0, 0.1, 0.7, 1.0])
    assert float(surprise(answers, scenes, MIDDLES)) == pytest.approx(0.0, abs=1e-4)


def test_the_cost_of_an_edge_by_hand() -> None:
    """Both edges of a square 0.1 too far: beyond 0.02 the cost grows evenly, from 0.01 less."""
    scenes = _scenes([(0.2, 0.2, 0.6, 0.6)])
    answers = _perfect(scenes)
    answers[:, :, CORNERS] = torch.tensor([0.2, 0.2, 0.7, 0.7])
    edges = 8 * (0 + 0 + 0.09 + 0.09) / 4 + 1 - 0.16 / 0.25
    assert float(surprise(answers, scenes, MIDDLES)) == pytest.approx(edges, abs=1e-4)


def test_edges_that_were_guessed_are_not_learned(scenes: Scenes) -> None:
    """All else of such a fluke is; and the edges of others cost as if there were only these."""
    answers = _perfect(scenes)
    answers[1, :, CORNERS] += 0.1
    assert float(surprise(answers, scenes, MIDDLES)) > 0.01
    scenes.exact[1, 0] = False
    assert float(surprise(answers, scenes, MIDDLES)) == pytest.approx(0.0, abs=1e-4)
    answers[1, :, SLOPE] += 0.1
    assert float(surprise(answers, scenes, MIDDLES)) > 0.01
    answers = _perfect(scenes)
    answers[0, :, 3] += 0.1
    only = replace(scenes, there=scenes.there & scenes.exact)
    apart = aims_of(only, MIDDLES).which[1] >= 0
    assert not apart.any()
    answers[1, :, LOGIT], answers[1, :, SHOWN] = -20.0, -20.0
    alone = float(surprise(answers, only, MIDDLES))
    answers[1] = _perfect(scenes)[1]
    assert float(surprise(answers, scenes, MIDDLES)) == pytest.approx(alone, abs=1e-4)


def test_what_is_not_asked_does_not_matter(scenes: Scenes) -> None:
    """Of places off a fluke's middle, and of boxes where there is no fluke."""
    answers, aims = _perfect(scenes), aims_of(scenes, MIDDLES)
    answers[:, :, LOGIT][~aims.asked] = 7.0
    answers[:, :, 1:SHOWN][aims.which < 0] = 5.0
    assert not aims.asked.all()
    assert float(surprise(answers, scenes, MIDDLES)) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("boxes", [[], [(0.2, 0.2, 0.7, 0.6)], [(0.9, 0.9, 1.4, 1.4)]])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3])
@pytest.mark.parametrize("known", [True, False])
def test_gradients_are_finite(boxes: list[Corners], scale: float, known: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    answers = scale * torch.randn(2, PLACES**2, NUMBERS, generator=generator)
    answers.requires_grad_()
    scenes = _scenes(boxes, [])
    cost = surprise(answers, replace(scenes, exact=scenes.there & known), MIDDLES)
    cost.backward()  # type: ignore[no-untyped-call]
    assert bool(torch.isfinite(cost)) and answers.grad is not None
    assert bool(torch.isfinite(answers.grad).all())
    assert answers.grad.abs().sum() > 0


def _stock(count: int = 3) -> Stock:
    return Stock(
        torch.zeros(count, 1, 100, 100, dtype=torch.uint8),
        torch.tensor([[0.1, 0.1, 0.9, 0.9]] * count),
        torch.ones(count, dtype=torch.bool),
        torch.ones(count),
        torch.zeros(2, 1, 100, 100, dtype=torch.uint8),
        torch.ones(2),
        torch.ones(2),
    )


def _answer(box: Corners, shown: float, down: float = -20.0) -> list[float]:
    return [4.0, *box, down, 0.0, shown]


def _unlike_photos(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    size = (count, 1, 100, 100)
    return torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)


def test_photos_with_own_boxes_join_the_right_way_up(telling: Telling) -> None:
    others = _unlike_photos(3)
    network = telling(
        torch.tensor(
            [
                _answer((0.1, 0.2, 0.5, 0.4), shown=3.0),
                _answer((0.1, 0.2, 0.5, 0.4), shown=-3.0),  # perhaps not a fluke
                _answer((0.1, 0.2, 0.5, 0.4), shown=3.0, down=20.0),
            ]
        )
    )
    stock = _stock(3)
    joined = with_own_boxes(network, stock, others)
    assert joined.photos[:3].equal(stock.photos) and joined.boxes[:3].equal(stock.boxes)
    assert joined.photos[3].equal(others[0])
    assert joined.photos[4].equal(torch.rot90(others[2], 2, (1, 2)))
    wanted = torch.tensor([[0.1, 0.2, 0.5, 0.4], [0.5, 0.6, 0.9, 0.8]])
    torch.testing.assert_close(joined.boxes[3:], wanted)
    assert joined.exact.tolist() == [True, True, True, False, False]
    assert (len(joined.photos), joined.photos.dtype) == (5, torch.uint8)
    for part in ("empty", "shown", "behind"):
        assert getattr(joined, part) is getattr(stock, part)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_known_boxes_keep_their_share(count: int, telling: Telling) -> None:
    """Among them each as often as before; those of the network are alike."""
    network = telling(torch.tensor(_answer((0.1, 0.2, 0.5, 0.4), shown=3.0)))
    stock = replace(_stock(3), weights=torch.tensor([1.0, 1.0, 2.0]))
    weights = with_own_boxes(network, stock, _unlike_photos(count)).weights
    assert len(weights) == 3 + count
    assert float(weights.sum()) == pytest.approx(1.0)
    torch.testing.assert_close(weights[:3], BOXED_WEIGHT * torch.tensor([0.25, 0.25, 0.5]))
    assert len(set(weights[3:].tolist())) == 1


def test_without_a_sure_box_the_stock_stays(telling: Telling) -> None:
    stock, unsure = _stock(), float(torch.logit(torch.tensor(CERTAIN - 0.01)))
    network = telling(torch.tensor(_answer((0.1, 0.2, 0.5, 0.4), shown=unsure)))
    assert with_own_boxes(network, stock, _unlike_photos(4)) is stock
    assert with_own_boxes(network, stock, NOTHING) is stock
    sure = telling(torch.tensor(_answer((0.1, 0.2, 0.5, 0.4), shown=unsure + 0.2)))
    assert len(with_own_boxes(sure, stock, _unlike_photos(4)).photos) == 7


def test_the_photos_that_others_were_given_stay_as_they_are(telling: Telling) -> None:
    others = _unlike_photos(2)
    kept = others.clone()
    with_own_boxes(telling(torch.tensor(_answer((0, 0, 0.5, 1), 3.0, 20.0))), _stock(), others)
    assert others.equal(kept)


def test_flukes_are_found_in_photos_of_any_number_and_size(telling: Telling) -> None:
    network = telling(torch.tensor(_answer((0.1, 0.2, 0.5, 0.4), shown=0.0)))
    for count, side in ((0, 96), (1, 96), (fitting.BATCH + 1, 40)):
        found = flukes_on(network, torch.zeros(count, 1, side, side, dtype=torch.uint8))
        assert len(found) == count
        for fluke in found:
            box = fluke.box
            assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((0.1, 0.2, 0.5, 0.4))
            assert fluke.probability == pytest.approx(0.5)


def _blobs(count: int, seed: int) -> BoxedPhotos:
    """Bright ellipses that fill their boxes, on dark noise."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(count, 4, generator=generator)
    low = 0.5 * draw[:, :2]
    boxes = torch.cat([low, low + 0.25 + 0.25 * draw[:, 2:]], dim=1)
    at = (torch.arange(100) + 0.5) / 100
    grid = torch.stack(torch.meshgrid(at, at, indexing="xy"), dim=-1)
    away = (2 * grid - (boxes[:, None, None, :2] + boxes[:, None, None, 2:])) / (
        boxes[:, None, None, 2:] - boxes[:, None, None, :2]
    )
    inside = away.square().sum(dim=-1) <= 1
    light = 60 * torch.rand(count, 100, 100, generator=generator) + 150 * inside
    return BoxedPhotos(light.to(torch.uint8)[:, None], boxes)


def _blob_stock(count: int = 12) -> Stock:
    blobs = _blobs(count, seed=0)
    generator = torch.Generator().manual_seed(1)
    empty = (60 * torch.rand(4, 1, 100, 100, generator=generator)).to(torch.uint8)
    return replace(
        _stock(count),
        photos=blobs.photos,
        boxes=blobs.boxes,
        empty=empty,
        shown=torch.ones(4),
        behind=torch.ones(4),
    )


def test_a_short_fit_finds_bright_blobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """In photos that were not shown to it; and it knows which photos show none."""
    monkeypatch.setattr(fitting, "BATCH", 16)
    shown = _blobs(12, seed=5)
    torch.manual_seed(0)
    before = mean_overlap(FlukeNet().eval(), shown)
    answers: list[int] = []
    net = fit_localiser(
        _blob_stock(), _blobs(6, seed=6).photos, steps=60, seed=0, progress=answers.append
    )
    assert not net.training
    assert answers == [1] * 60
    after = mean_overlap(net, shown)
    assert after > 0.5 > before + 0.2
    empty = torch.randint(0, 60, (6, 1, 100, 100), dtype=torch.uint8)
    with_blob = [fluke.probability for fluke in flukes_on(net, shown.photos)]
    without = [fluke.probability for fluke in flukes_on(net, empty)]
    assert sum(with_blob) / 12 > sum(without) / 6 + 0.2


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_same_seed_gives_the_same_net(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "BATCH", 4)
    others = _blobs(2, seed=6).photos
    one, two, other = (
        fit_localiser(_blob_stock(), others, steps=steps, seed=seed).state_dict()
        for seed in (4, 4, 5)
    )
    assert all(one[name].equal(two[name]) for name in one)
    assert not all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize(("steps", "alone"), [(1, 0), (2, 0), (5, 2), (10, 4)])
def test_own_boxes_join_once_after_a_part_of_the_steps(
    steps: int, alone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "BATCH", 2)
    joined: list[tuple[int, bool]] = []
    answers: list[int] = []

    def join(network: FlukeNet, stock: Stock, others: Tensor) -> Stock:
        joined.append((len(answers), network.training))
        return stock

    monkeypatch.setattr(fitting, "with_own_boxes", join)
    fit_localiser(_blob_stock(2), NOTHING, steps=steps, seed=0, progress=answers.append)
    assert joined == [(alone, False)]
