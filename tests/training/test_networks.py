"""Tests of a run's network: the scale, the pooling, the head, and the papers' networks whole."""

from dataclasses import replace
from functools import partial

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
from torch import Tensor, nn

from flukeprint.errors import FlukeprintError
from flukeprint.training.architectures.ucsd import AlexNetWhole
from flukeprint.training.backbones import BACKBONES
from flukeprint.training.config import TrainConfig
from flukeprint.training.networks import (
    BothSides,
    GeneralisedMean,
    Mean,
    Network,
    Scale,
    Together,
)
from flukeprint.training.recipes import PAPERS, all_recipes

EMBEDS = TrainConfig(
    backbone="test_resnet", embedding_size=24, height_px=32, width_px=32, early_share=0.0
)
CLASSIFIES = TrainConfig(
    backbone="ucsd_baseline",
    height_px=24,
    width_px=32,
    early_share=0.0,
    loss="softmax",
    new_whale="class",
    mirror_individuals=False,
    both_sides=False,
)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(EMBEDS, 7).eval()


# the whole


def test_embeddings_are_unit_vectors(network: Network) -> None:
    with torch.inference_mode():
        found = network(torch.rand(5, 1, 40, 32) * 255)
    assert found.shape == (5, 24)
    assert found.dtype == torch.float32
    assert (network.unit, network.outputs) == (True, 24)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5))


def test_logits_are_left_as_the_head_gives_them() -> None:
    network = Network(CLASSIFIES, 4).eval()
    last = network.head[-1]  # type: ignore[index]
    wanted = torch.tensor([-300.0, 0.0, 2.0, 1_000.0])
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(wanted)
        found = network(torch.rand(3, 1, 24, 32) * 255)
    assert (network.unit, network.outputs) == (False, 4)
    torch.testing.assert_close(found, wanted.expand(3, 4), rtol=0, atol=0)


@pytest.mark.parametrize("config", [EMBEDS, CLASSIFIES])
def test_the_answer_to_the_bottleneck_is_the_answer_to_the_crop(config: TrainConfig) -> None:
    torch.manual_seed(0)
    network, crops = Network(config, 5).eval(), torch.rand(3, 1, 24, 32) * 255
    if config is EMBEDS:
        crops = torch.rand(3, 1, 32, 32) * 255
    with torch.inference_mode():
        parts = network.pool(network.backbone(network.scale(crops)))
        assert torch.equal(network.bottleneck(crops), parts)
        assert torch.equal(network.answer(parts), network(crops))


def test_exposure_does_not_matter(network: Network) -> None:
    crops = torch.rand(4, 1, 32, 32) * 100 + 20
    with torch.inference_mode():
        first = network(crops)
        for gain, lift in ((2.0, 0.0), (0.5, 30.0), (1.0, -20.0), (1.7, 11.0)):
            found = network(gain * crops + lift)
            assert float((found * first).sum(dim=1).min()) > 0.999


def test_a_blank_crop_embeds(network: Network) -> None:
    with torch.inference_mode():
        assert bool(torch.isfinite(network(torch.zeros(2, 1, 32, 32))).all())


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(FlukeprintError, match="backbone 'resnet_of_the_sea'"):
        Network(replace(EMBEDS, backbone="resnet_of_the_sea"), 8)


# the scale


def _scaled(how: str, *channels: list[float]) -> list[list[float]]:
    """A crop of one row of pixels, its channels given one by one."""
    crop = torch.tensor(channels)[None, :, None, :]
    found: list[list[float]] = Scale(how, len(channels))(crop)[0, :, 0].tolist()
    return found


def _close(found: list[list[float]], *wanted: list[float]) -> None:
    torch.testing.assert_close(torch.tensor(found), torch.tensor(wanted))


def test_unit_scale_by_hand() -> None:
    _close(_scaled("unit", [0.0, 51.0, 255.0]), [0.0, 0.2, 1.0])
    _close(_scaled("unit", [0.0], [51.0], [255.0]), [0.0], [0.2], [1.0])


def test_centred_scale_by_hand() -> None:
    assert _scaled("centred", [0.0, 127.5, 255.0]) == [[-255 / 256, 0.0, 255 / 256]]
    assert _scaled("centred", [0.0], [127.5], [255.0]) == [[-255 / 256], [0.0], [255 / 256]]


def test_imagenet_scale_by_hand() -> None:
    """A colour's own mean and deviation; in grey crops the mean of the three."""
    red, green, blue = 0.485 * 255, (0.456 + 0.224) * 255, (0.406 - 2 * 0.225) * 255
    _close(_scaled("imagenet", [red], [green], [blue]), [0.0], [1.0], [-2.0])
    _close(_scaled("imagenet", [0.449 * 255, (0.449 + 0.226) * 255]), [0.0, 1.0])


def test_photo_scale_by_hand() -> None:
    """Less the mean of all channels, by the deviation of all and 1."""
    _close(_scaled("photo", [0.0, 100.0]), [-50 / 51, 50 / 51])
    beside = 30 / (600**0.5 + 1)
    _close(_scaled("photo", [0.0], [30.0], [60.0]), [-beside], [0.0], [beside])
    _close(_scaled("photo", [7.0, 7.0]), [0.0, 0.0])


def test_photo_scale_is_each_crops_own() -> None:
    crops = torch.rand(3, 1, 5, 6) * 255
    together = Scale("photo", 1)(crops)
    torch.testing.assert_close(together, torch.cat([Scale("photo", 1)(c[None]) for c in crops]))


def test_no_scale_is_in_the_weights() -> None:
    """So a run's weights say nothing of ImageNet, and published ones need not."""
    assert Scale("imagenet", 3).state_dict() == {}


# the pooling


def test_pooling_gives_the_head_what_the_config_says() -> None:
    """``ucsd_baseline`` gives 64 maps of a quarter of the crop's sides: 6 x 8."""
    maps = torch.arange(2 * 64 * 6 * 8, dtype=torch.float32).view(2, 64, 6, 8)
    wanted = {
        "mean": maps.mean(dim=(2, 3)),
        "flatten": maps.view(2, 64 * 48),  # map by map, then row by row
        "gem": maps.clamp_min(1e-4).pow(3).mean(dim=(2, 3)).pow(1 / 3),
    }
    for pooling, pooled in wanted.items():
        network = Network(replace(CLASSIFIES, pooling=pooling), 3).eval()
        with torch.inference_mode():
            torch.testing.assert_close(network.pool(maps), pooled)
            assert network.bottleneck(torch.zeros(2, 1, 24, 32)).shape == pooled.shape
        assert network.head[0].in_features == pooled.shape[1]  # type: ignore[index]


def test_the_mean_of_each_map_by_hand() -> None:
    features = torch.tensor([[[[1.0, 3.0], [2.0, 6.0]], [[0.0, 0.0], [0.0, -4.0]]]])
    assert Mean()(features).tolist() == [[3.0, -1.0]]


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


def test_flattening_takes_one_size_of_crop_and_says_which() -> None:
    network = Network(replace(CLASSIFIES, pooling="flatten"), 3)
    with pytest.raises(RuntimeError):
        network(torch.zeros(2, 1, 32, 32))
    with pytest.raises(FlukeprintError, match="one size of crop; set early_share to 0"):
        replace(CLASSIFIES, pooling="flatten", early_share=0.5)


# the head


def _layers(config: TrainConfig, classes: int = 9) -> list[str]:
    """The head's layers in words; a linear one with its width in and out, and "b" for a bias."""
    return [_words(layer) for layer in Network(config, classes).head.children()]


def _words(layer: nn.Module) -> str:
    if isinstance(layer, nn.Linear):
        return f"{layer.in_features}-{layer.out_features}{'' if layer.bias is None else 'b'}"
    if isinstance(layer, nn.BatchNorm1d):
        return f"norm {layer.num_features}"
    return f"drop {layer.p}" if isinstance(layer, nn.Dropout) else type(layer).__name__


def test_a_classifiers_head_is_its_layers_and_the_logits() -> None:
    assert _layers(CLASSIFIES) == ["64-9b"]
    assert _layers(replace(CLASSIFIES, head=(32, 16))) == [
        "64-32b",
        "ReLU",
        "32-16b",
        "ReLU",
        "16-9b",
    ]
    assert _layers(replace(CLASSIFIES, head=(32, 16), dropout=0.5)) == [
        "64-32b", "ReLU", "drop 0.5", "32-16b", "ReLU", "drop 0.5", "16-9b",
    ]  # fmt: skip
    assert _layers(replace(CLASSIFIES, head=(32,), head_batch_norm=True, dropout=0.25)) == [
        "64-32", "norm 32", "ReLU", "drop 0.25", "32-9b",
    ]  # fmt: skip


def test_an_embeddings_head_ends_in_a_normed_embedding() -> None:
    config = replace(
        CLASSIFIES, loss="triplet", new_whale="left-out", embedding_size=12, pooling="mean"
    )
    assert _layers(config) == ["norm 64", "64-12", "norm 12"]
    assert _layers(replace(config, loss="arcface", head=(32,), head_batch_norm=True)) == [
        "64-32", "norm 32", "ReLU", "norm 32", "32-12", "norm 12",
    ]  # fmt: skip


def test_dropout_is_for_learning_alone() -> None:
    torch.manual_seed(0)
    network = Network(replace(CLASSIFIES, head=(64,), dropout=0.5), 3)
    crops = torch.rand(2, 1, 24, 32) * 255
    with torch.no_grad():
        assert not torch.equal(network.train()(crops), network(crops))
        assert torch.equal(network.eval()(crops), network(crops))


# the papers' networks whole, built without memory for their weights


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _whole(backbone: str, side_px: int) -> Network:
    config = replace(
        CLASSIFIES,
        backbone=backbone,
        channels=3,
        pooling="flatten",
        head=(4096, 4096),
        dropout=0.5,
        height_px=side_px,
        width_px=side_px,
    )
    with torch.device("meta"):
        return Network(config, 1_000)


def test_vgg_19_has_its_published_size() -> None:
    """Torchvision's count for ImageNet's 1,000 classes."""
    assert _parameters(_whole("vgg19", 224)) == 143_667_240


def test_alexnet_has_its_published_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one piece, as the students have it, and without the pooling that they added."""
    monkeypatch.setitem(BACKBONES, "alexnet_whole", partial(AlexNetWhole, extra_pool=False))
    assert _parameters(_whole("alexnet_whole", 227)) == 62_378_344


def test_the_students_further_pooling_shrinks_the_first_layer_alone() -> None:
    """Its maps are 2 x 2 in place of 6 x 6; every other layer is AlexNet's."""
    found = _whole("alexnet_whole", 227)
    assert _parameters(found.backbone) == 3_747_200
    assert _parameters(found) == 62_378_344 - (36 - 4) * 256 * 4096


@pytest.mark.parametrize("name", PAPERS)
def test_each_recipes_network_answers_for_every_whale(name: str) -> None:
    """At its true size: 4,251 numbers a crop from a classifier, an embedding from the others."""
    (recipe,) = (one for one in all_recipes() if one.name == name)
    config = recipe.config
    with torch.device("meta"):
        network = Network(config, 4_251).eval()
        with torch.inference_mode():
            found = network(torch.zeros(2, config.channels, config.height_px, config.width_px))
    wide = 4_251 if config.loss == "softmax" else config.embedding_size
    assert found.shape == (2, wide)


@pytest.mark.parametrize("name", ["stanford-cnn", "stanford-triplet", "ucsd-siamese"])
def test_the_small_recipes_networks_give_numbers(name: str) -> None:
    (recipe,) = (one for one in all_recipes() if one.name == name)
    config = recipe.config
    torch.manual_seed(0)
    network = Network(config, 4_251).eval()
    with torch.inference_mode():
        found = network(torch.rand(2, config.channels, config.height_px, config.width_px) * 255)
    assert bool(torch.isfinite(found).all())
    assert not torch.equal(found[0], found[1])


def test_both_sides_put_the_mirrored_crop_beside_the_crop(network: Network) -> None:
    sides = BothSides(network)
    crops = torch.rand(3, 1, 32, 32) * 255
    with torch.inference_mode():
        told, mirrored = sides(crops), sides(crops.flip(3))
        alone = network(crops)
    assert sides.outputs == 48
    torch.testing.assert_close(told[:, :24] * 2**0.5, alone)
    torch.testing.assert_close(told.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(mirrored, torch.cat([told[:, 24:], told[:, :24]], dim=1))


def test_squeezed_maps_keep_their_places() -> None:
    """``test_resnet`` gives 1 x 1 maps of a crop of 32 pixels; of 64, 2 x 2."""
    config = replace(EMBEDS, height_px=64, width_px=64, pooling="flatten", squeeze=3, dropout=0.5)
    network = Network(config, 2).eval()
    maps = int(network.backbone.num_features)  # type: ignore[arg-type]
    features = torch.rand(5, maps, 2, 2)
    with torch.inference_mode():
        found = network.pool(features)
        assert found.shape == (5, 3 * 4)
        thin = network.pool[0].weight[:, :, 0, 0]  # type: ignore[index]
        wanted = torch.einsum("om,nmhw->nohw", thin, features).flatten(1)
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)  # untrained averages
        assert network(torch.rand(2, 1, 64, 64) * 255).shape == (2, 24)
    assert [type(layer) for layer in network.head.children()] == [nn.Linear, nn.BatchNorm1d]


def test_networks_together_are_as_alike_as_on_average() -> None:
    torch.manual_seed(3)
    parts: list[Network | BothSides] = [Network(EMBEDS, 2), BothSides(Network(EMBEDS, 2))]
    together = Together(parts).eval()
    crops = torch.rand(4, 1, 32, 32) * 255
    with torch.inference_mode():
        found = together(crops)
        alike = torch.stack([part(crops) @ part(crops).T for part in parts]).mean(dim=0)
    assert found.shape == (4, together.outputs) == (4, 24 + 48)
    torch.testing.assert_close(found @ found.T, alike)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4))
