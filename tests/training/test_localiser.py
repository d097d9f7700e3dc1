"""Tests of the network that finds the fluke."""

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
import torch.nn.functional as F
from torch import Tensor

from flukeprint.localise import CORNERS, LOGIT, NUMBERS, SHOWN, SLOPE, UPSIDE_DOWN
from flukeprint.training.localiser import PLACES, SIDE_PX, FlukeNet


@pytest.fixture(scope="module")
def net() -> FlukeNet:
    """Random weights, with norms that have seen photos, so that each layer's numbers matter."""
    torch.manual_seed(0)
    made = FlukeNet()
    with torch.no_grad():
        for seed in range(30):
            made(_photos(8, seed))
    return made.eval()


def _photos(count: int, seed: int = 100) -> Tensor:
    """Coarse noise of 0..115."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, SIDE_PX // 8, SIDE_PX // 8, generator=generator)
    return F.interpolate(coarse, (SIDE_PX, SIDE_PX), mode="bilinear") * 115


def _answers(net: FlukeNet, photos: Tensor) -> Tensor:
    with torch.inference_mode():
        answers = net(photos)
    assert isinstance(answers, Tensor)
    return answers


def test_eight_numbers_for_each_of_144_places(net: FlukeNet) -> None:
    answers = _answers(net, _photos(3))
    assert (answers.shape, answers.dtype) == ((3, 144, 8), torch.float32)
    assert (PLACES, NUMBERS) == (12, 8)
    # Each number is one that some part of the answer is made of.
    places = [LOGIT, *range(NUMBERS)[CORNERS], UPSIDE_DOWN, SLOPE, SHOWN]
    assert sorted(places) == list(range(NUMBERS))


def test_places_run_along_rows(net: FlukeNet) -> None:
    middles = net.get_buffer("middles")
    assert middles.shape == (144, 2)
    wanted = torch.tensor([[0.5, 0.5], [1.5, 0.5], [0.5, 1.5], [11.5, 11.5]]) / 12
    torch.testing.assert_close(middles[[0, 1, 12, 143]], wanted)
    assert "middles" not in net.state_dict(), "they are no weights"


def test_each_place_lies_in_its_own_box(net: FlukeNet) -> None:
    middles, boxes = net.get_buffer("middles"), _answers(net, _photos(3))[:, :, CORNERS]
    assert bool((boxes[..., :2] < middles).all() and (boxes[..., 2:] > middles).all())
    assert bool((boxes[..., :2] > middles - 1).all() and (boxes[..., 2:] < middles + 1).all())


def test_whether_there_is_a_fluke_is_the_same_at_all_places(net: FlukeNet) -> None:
    shown = _answers(net, _photos(3))[:, :, SHOWN]
    assert shown.equal(shown[:, :1].expand(-1, 144))
    assert len(set(shown[:, 0].tolist())) == 3, "but not in all photos"


@pytest.mark.parametrize("light", [0.0, 1.0, 255.0])
def test_blank_photos_are_answered(light: float, net: FlukeNet) -> None:
    answers = _answers(net, torch.full((2, 1, SIDE_PX, SIDE_PX), light))
    assert bool(torch.isfinite(answers).all())
    assert answers.equal(answers[:1].expand_as(answers))
    torch.testing.assert_close(answers[:1], _answers(net, torch.zeros(1, 1, SIDE_PX, SIDE_PX)))


def test_exposure_does_not_change_the_answers(net: FlukeNet) -> None:
    photos = _photos(3)
    answers = _answers(net, photos)
    torch.testing.assert_close(answers, _answers(net, 2 * photos + 20), rtol=0, atol=0.05)
    spread = answers[:, :, :SHOWN].std(dim=(0, 1))
    assert float(spread.min()) > 0.05, "they do change with the photo"


def test_photos_are_answered_one_by_one(net: FlukeNet) -> None:
    photos = _photos(3)
    alone = torch.cat([_answers(net, photo[None]) for photo in photos])
    torch.testing.assert_close(_answers(net, photos), alone, rtol=0, atol=1e-4)


def test_an_untrained_network_expects_sea() -> None:
    torch.manual_seed(0)
    logits = _answers(FlukeNet().eval(), _photos(2))[:, :, LOGIT]
    assert float(torch.sigmoid(logits).max()) < 0.5


def test_a_place_is_told_of_what_is_there(net: FlukeNet) -> None:
    """The answers move with the picture: a spot changes those around it most."""
    plain = torch.full((1, 1, SIDE_PX, SIDE_PX), 100.0)
    spotted = plain.clone()
    spotted[0, 0, 8:24, 64:80] = 200.0  # rows 1 and 2, columns 8 and 9 of places
    change = (
        (_answers(net, spotted) - _answers(net, plain))[0, :, :SHOWN].abs().sum(dim=1).view(12, 12)
    )
    row, column = divmod(int(change.argmax()), 12)
    assert 0 <= row <= 3 and 7 <= column <= 10
