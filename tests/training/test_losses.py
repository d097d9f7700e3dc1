"""Tests of the losses against values worked out by hand."""

import math

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from flukeprint.training.losses import (
    SubCentreArcFace,
    TripletLoss,
    WeightedSoftmax,
    class_weights,
    with_margin,
)


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


def test_a_margin_that_makes_up_the_lead() -> None:
    # At 30 degrees, centres at 0 and 90, margin 30: the true logit is 4 cos 60, the other 4 cos 60,
    # so the two classes are equally likely and the loss is ln 2.
    found = _loss(_unit(0, 90), 1, scale=4.0)(_unit(30), torch.tensor([0]), math.pi / 6)
    assert float(found.detach()) == pytest.approx(math.log(2), rel=1e-5)


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


def test_rare_classes_weigh_more_by_hand() -> None:
    # 1 / n ** 0.75 of 1, 16 and 81 photos is 1, 1/8 and 1/27; over the photos these sum to
    # 1 + 16/8 + 81/27 = 6, which 98 photos bring to 98 times 98/6.
    found = class_weights(torch.tensor([1, 16, 81]), 0.75)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor([1, 1 / 8, 1 / 27]) * 98 / 6)


def test_power_0_weighs_all_photos_alike_and_classes_without_photos_nothing() -> None:
    assert class_weights(torch.tensor([3, 1, 9]), 0.0).tolist() == [1.0, 1.0, 1.0]
    # 4 ** -0.5 = 1/2 and 1: the weights over the five photos sum to 3, brought to 5.
    found = class_weights(torch.tensor([0, 4, 0, 1]), 0.5)
    torch.testing.assert_close(found, torch.tensor([0, 0.5, 0, 1]) * 5 / 3)


@settings(max_examples=50, deadline=None)
@given(
    counts=st.lists(st.integers(0, 300), min_size=1, max_size=30).filter(any),
    power=st.floats(0.0, 4.0),
)
def test_the_mean_weight_of_a_photo_is_1(counts: list[int], power: float) -> None:
    photos = torch.tensor(counts)
    weights = class_weights(photos, power).double()
    assert float((weights * photos).sum() / photos.sum()) == pytest.approx(1.0, rel=1e-5)


def test_the_weighted_softmax_by_hand() -> None:
    # Equal logits of two classes cost ln 2; logits ln 3 and 0 give the second class 1/4: ln 4.
    # With weights 2 and 5 the mean of the two is (2 ln 2 + 5 ln 4) / 2, not divided by 2 + 5.
    loss = WeightedSoftmax(torch.tensor([2.0, 5.0]))
    found = loss(torch.tensor([[1.0, 1.0], [math.log(3), 0.0]]), torch.tensor([0, 1]))
    assert float(found) == pytest.approx((2 * math.log(2) + 5 * math.log(4)) / 2, rel=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.25, 7.0])
def test_a_weight_multiplies_the_gradient(weight: float) -> None:
    start = torch.tensor([[0.3, -1.0, 2.0], [1.5, 0.2, -0.4]])
    labels = torch.tensor([1, 2])

    def gradient(weights: list[float]) -> Tensor:
        logits = start.clone().requires_grad_()
        WeightedSoftmax(torch.tensor(weights))(logits, labels).backward()
        assert logits.grad is not None
        return logits.grad

    plain, weighted = gradient([1.0, 1.0, 1.0]), gradient([1.0, weight, 1.0])
    torch.testing.assert_close(weighted[0], weight * plain[0])
    torch.testing.assert_close(weighted[1], plain[1])


def test_the_weights_move_with_the_loss_but_are_not_learned() -> None:
    loss = WeightedSoftmax(torch.ones(3))
    assert loss.to("meta").weights.device.type == "meta"
    assert not list(loss.parameters())


# Four embeddings at 0, 60, 100 and 180 degrees, of whales 0, 0, 1, 1. On the unit circle
# d^2 = 2 - 2 cos(angle between):
#           60       100      180
#   0       1        2.3473   4
#   60               0.4679   3
#   100                       1.6527
PLANE, WHALES = _unit(0, 60, 100, 180), torch.tensor([0, 0, 1, 1])


def test_batch_hard_triplets_of_squared_distances_by_hand() -> None:
    # anchor 0:   positive 60,  negative 100: 1      - 2.3473 + 0.2 < 0
    # anchor 60:  positive 0,   negative 100: 1      - 0.4679 + 0.2 = 0.7321
    # anchor 100: positive 180, negative 60:  1.6527 - 0.4679 + 0.2 = 1.3848
    # anchor 180: positive 100, negative 60:  1.6527 - 3      + 0.2 < 0
    found = TripletLoss(0.2, "squared", "batch-hard")(PLANE, WHALES)
    assert float(found) == pytest.approx((0.7321 + 1.3848) / 4, abs=1e-4)


def test_batch_hard_triplets_of_euclidean_distances_by_hand() -> None:
    # The same triplets; distances are 2 sin(half the angle between): 1, 1.5321, 0.6840, 1.2856,
    # 1.7321.
    # anchor 0:   1      - 1.5321 + 0.6 = 0.0679
    # anchor 60:  1      - 0.6840 + 0.6 = 0.9160
    # anchor 100: 1.2856 - 0.6840 + 0.6 = 1.2016
    # anchor 180: 1.2856 - 1.7321 + 0.6 = 0.1535
    found = TripletLoss(0.6, "euclidean", "batch-hard")(PLANE, WHALES)
    assert float(found) == pytest.approx((0.0679 + 0.9160 + 1.2016 + 0.1535) / 4, abs=1e-4)


def test_semi_hard_triplets_by_hand() -> None:
    # With a margin of 1.5 the negative must lie
    # for 0 and 60    from 1 to 2.5:         100 does:  1      - 2.3473 + 1.5 = 0.1527
    # for 60 and 0    from 1 to 2.5:         0.4679 and 3 do not: left out
    # for 100 and 180 from 1.6527 to 3.1527: 0 does:    1.6527 - 2.3473 + 1.5 = 0.8054
    # for 180 and 100 from 1.6527 to 3.1527: 60 does:   1.6527 - 3      + 1.5 = 0.1527
    found = TripletLoss(1.5, "squared", "semi-hard")(PLANE, WHALES)
    assert float(found) == pytest.approx((0.1527 + 0.8054 + 0.1527) / 3, abs=1e-4)


def _gradient(loss: TripletLoss, embeddings: Tensor, labels: Tensor) -> tuple[float, Tensor]:
    leaf = embeddings.clone().requires_grad_()
    found = loss(leaf, labels)
    found.backward()
    assert leaf.grad is not None
    return float(found.detach()), leaf.grad


def test_the_gradient_pulls_the_positive_and_pushes_the_negative() -> None:
    # Whale 0 at 0 and 40 degrees, whale 1 at -30. Anchor 0 has its negative nearer (0.5176) than
    # its positive (0.6840): it counts. Anchor 40 is 0.6840 - 1.1472 + 0.2 < 0. Anchor -30 has no
    # positive. The gradient of a length is the unit vector along it, halved by the mean of two.
    anchor, positive, negative = embeddings = _unit(0, 40, -30)
    loss = TripletLoss(0.2, "euclidean", "batch-hard")
    before, gradient = _gradient(loss, embeddings, torch.tensor([0, 0, 1]))
    assert before == pytest.approx((0.6840 - 0.5176 + 0.2) / 2, abs=1e-4)
    pull = F.normalize(positive - anchor, dim=0) / 2
    push = F.normalize(negative - anchor, dim=0) / 2
    torch.testing.assert_close(gradient, torch.stack([push - pull, pull, -push]))
    after, _ = _gradient(loss, embeddings - 0.01 * gradient, torch.tensor([0, 0, 1]))
    assert after < before


@pytest.mark.parametrize("distance", ["euclidean", "squared"])
@pytest.mark.parametrize("mining", ["batch-hard", "semi-hard"])
def test_what_is_apart_already_is_left_alone(distance: str, mining: str) -> None:
    apart = _unit(0, 5, 180, 185)
    value, gradient = _gradient(TripletLoss(0.2, distance, mining), apart, WHALES)
    assert value == 0.0
    assert not gradient.any()


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [4]])
@pytest.mark.parametrize("mining", ["batch-hard", "semi-hard"])
def test_without_a_triplet_there_is_nothing_to_learn(labels: list[int], mining: str) -> None:
    embeddings = _unit(*range(0, 30 * len(labels), 30))
    loss = TripletLoss(0.2, "euclidean", mining)
    value, gradient = _gradient(loss, embeddings, torch.tensor(labels))
    assert value == 0.0
    assert not gradient.any()


@pytest.mark.parametrize("distance", ["euclidean", "squared"])
def test_equal_embeddings_have_finite_gradients(distance: str) -> None:
    loss = TripletLoss(0.2, distance, "batch-hard")
    value, gradient = _gradient(loss, _unit(10, 10, 10, 10), WHALES)
    assert value == pytest.approx(0.2)
    assert not gradient.any()
    # The positives are one, the negatives are not: the gradient comes from the negatives alone.
    _, gradient = _gradient(loss, _unit(10, 10, 12, 12), WHALES)
    assert bool(torch.isfinite(gradient).all())
    assert gradient.any()


@pytest.mark.parametrize("distance", ["euclidean", "squared"])
@pytest.mark.parametrize("mining", ["batch-hard", "semi-hard"])
def test_triplet_gradients_agree_with_finite_differences(distance: str, mining: str) -> None:
    torch.manual_seed(2)
    loss = TripletLoss(0.5, distance, mining)
    labels = torch.tensor([0, 0, 0, 1, 1, 2])

    def value(vectors: Tensor) -> Tensor:
        found: Tensor = loss(F.normalize(vectors, dim=1), labels)
        return found

    start = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    assert float(value(start).detach()) > 0.0
    assert torch.autograd.gradcheck(value, (start,), eps=1e-6, atol=1e-6)
