"""Tests of the loss against values worked out by hand."""

import math

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from flukeprint.training.losses import SubCentreArcFace, with_margin


def _unit(*degrees: float) -> Tensor:
    """Unit vectors in the plane at these angles."""
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([torch.cos(angles), torch.sin(angles)], dim=1)


def _loss(centres: Tensor, per_class: int, scale: float) -> SubCentreArcFace:
    loss = SubCentreArcFace(2, len(centres) // per_class, centres=per_class, scale=scale)
    with torch.no_grad():
        loss.centres.copy_(centres)
    return loss


def _cross_entropy(logits: list[float], label: int) -> float:
    return math.log(sum(math.exp(logit) for logit in logits)) - logits[label]


def test_one_centre_widens_the_true_angle_alone() -> None:
    loss = _loss(_unit(0, 90) * 3.0, 1, scale=4.0)  # the length of a centre must not matter
    found = loss(_unit(30), torch.tensor([0]), 0.2)
    logits = [4 * math.cos(math.radians(30) + 0.2), 4 * math.cos(math.radians(60))]
    assert float(found.detach()) == pytest.approx(_cross_entropy(logits, 0), rel=1e-5)


def test_the_nearest_of_two_centres_speaks_for_its_class() -> None:
    # Class 0 has its centres at 0 and 180 degrees, class 1 at 90 and 200.
    loss = _loss(_unit(0, 180, 90, 200), 2, scale=5.0)
    found = loss(_unit(170, 80), torch.tensor([0, 1]), 0.1)
    first = [5 * math.cos(math.radians(10) + 0.1), 5 * math.cos(math.radians(30))]
    second = [5 * math.cos(math.radians(80)), 5 * math.cos(math.radians(10) + 0.1)]
    wanted = (_cross_entropy(first, 0) + _cross_entropy(second, 1)) / 2
    assert float(found.detach()) == pytest.approx(wanted, rel=1e-5)


def test_without_a_margin_it_is_scaled_cross_entropy() -> None:
    torch.manual_seed(0)
    loss = SubCentreArcFace(6, 5, centres=1, scale=24.0)
    vectors = F.normalize(torch.randn(7, 6), dim=1)
    labels = torch.tensor([0, 1, 2, 3, 4, 0, 1])
    plain = F.cross_entropy(24.0 * vectors @ F.normalize(loss.centres, dim=1).T, labels)
    torch.testing.assert_close(loss(vectors, labels, 0.0), plain, rtol=1e-5, atol=1e-5)


def test_only_the_true_class_is_touched() -> None:
    cosine = torch.tensor([[0.5, -0.2, 0.1], [0.0, 0.9, 0.3]])
    found = with_margin(cosine, torch.tensor([2, 0]), 0.3)
    untouched = torch.tensor([[True, True, False], [False, True, True]])
    torch.testing.assert_close(found[untouched], cosine[untouched])
    assert float(found[0, 2]) == pytest.approx(math.cos(math.acos(0.1) + 0.3), abs=1e-6)
    assert float(found[1, 0]) == pytest.approx(math.cos(math.pi / 2 + 0.3), abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(margin=st.floats(0.0, 1.5), steps=st.integers(50, 400))
def test_the_margin_never_helps_and_never_turns_back(margin: float, steps: int) -> None:
    """The widened cosine rises with the cosine all the way, past pi - margin too."""
    cosine = torch.linspace(-1, 1, steps, dtype=torch.float64)[:, None]
    found = with_margin(cosine, torch.zeros(steps, dtype=torch.long), margin)[:, 0]
    assert bool((found <= cosine[:, 0] + 2e-6).all())
    assert bool((found.diff() >= -1e-9).all())


def test_past_pi_less_the_margin_it_goes_on_as_a_line() -> None:
    margin = 0.4
    edge = math.cos(math.pi - margin)
    below = torch.tensor([[edge - 0.05], [edge - 0.03]], dtype=torch.float64)
    found = with_margin(below, torch.tensor([0, 0]), margin)
    torch.testing.assert_close(found, below - margin * math.sin(margin))
    assert bool((found <= -1.0).all())


@pytest.mark.parametrize("cosine", [-1.0, 1.0, -1.0 - 1e-6, 1.0 + 1e-6, 0.0])
@pytest.mark.parametrize("margin", [0.0, 0.3, 1.2])
def test_the_gradient_is_finite_at_the_ends(cosine: float, margin: float) -> None:
    start = torch.tensor([[cosine, 0.1]], requires_grad=True)
    label = torch.tensor([0])
    loss = F.cross_entropy(24.0 * with_margin(start, label, margin), label)
    loss.backward()  # type: ignore[no-untyped-call]
    assert start.grad is not None
    assert bool(torch.isfinite(start.grad).all())


@pytest.mark.parametrize("centres", [1, 2])
def test_gradients_agree_with_finite_differences(centres: int) -> None:
    torch.manual_seed(1)
    loss = SubCentreArcFace(4, 3, centres=centres, scale=6.0).double()
    labels = torch.tensor([0, 2, 1])

    def value(vectors: Tensor) -> Tensor:
        found: Tensor = loss(F.normalize(vectors, dim=1), labels, 0.3)
        return found

    start = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(value, (start,), eps=1e-6, atol=1e-6)
