"""Tests of the embedding network."""

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
from torch import Tensor

from flukeprint.errors import FlukeprintError
from flukeprint.training.networks import Embedder, GeneralisedMean


@pytest.fixture(scope="module")
def network() -> Embedder:
    torch.manual_seed(0)
    return Embedder("test_resnet", 24).eval()


def test_embeddings_are_unit_vectors(network: Embedder) -> None:
    with torch.inference_mode():
        found = network(torch.rand(5, 1, 40, 32) * 255)
    assert found.shape == (5, 24)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5))


def test_exposure_does_not_matter(network: Embedder) -> None:
    crops = torch.rand(4, 1, 32, 32) * 100 + 20
    with torch.inference_mode():
        first = network(crops)
        for gain, lift in ((2.0, 0.0), (0.5, 30.0), (1.0, -20.0), (1.7, 11.0)):
            found = network(gain * crops + lift)
            assert float((found * first).sum(dim=1).min()) > 0.999


def test_a_blank_crop_embeds(network: Embedder) -> None:
    with torch.inference_mode():
        assert bool(torch.isfinite(network(torch.zeros(2, 1, 32, 32))).all())


def test_generalised_mean_by_hand() -> None:
    features = torch.tensor([[[[1.0, 3.0], [2.0, 6.0]]]])
    with torch.inference_mode():
        _check_means(features)


def _check_means(features: Tensor) -> None:
    assert float(GeneralisedMean(1.0)(features)) == pytest.approx(3.0)
    root_of_squares = ((1 + 9 + 4 + 36) / 4) ** 0.5
    assert float(GeneralisedMean(2.0)(features)) == pytest.approx(root_of_squares)
    # 4 ** (1 / 60) = 1.023: nearly the largest. (6 ** 60 is beyond float32.)
    assert float(GeneralisedMean(60.0)(features / 6)) == pytest.approx(1 / 1.0234, rel=1e-3)


def test_generalised_mean_learns_and_stands_zeros() -> None:
    pool = GeneralisedMean()
    features = torch.zeros(2, 3, 4, 4, requires_grad=True)
    pool(features).sum().backward()
    for gradient in (features.grad, pool.power.grad):
        assert gradient is not None
        assert bool(torch.isfinite(gradient).all())


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(FlukeprintError, match="backbone 'resnet_of_the_sea'"):
        Embedder("resnet_of_the_sea", 8)
