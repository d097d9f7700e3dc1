"""Tests of the backbones against the sizes that their authors published."""

from itertools import pairwise

import pytest

pytest.importorskip("torch", reason="training needs torch")

import timm
import torch
from torch import nn

from flukeprint.errors import FlukeprintError
from flukeprint.training.architectures.inception_resnet_v1 import LEAST_SIDE_PX, ResidualC
from flukeprint.training.architectures.ucsd import AlexNetWhole
from flukeprint.training.backbones import BACKBONES, feature_shape, make_backbone

torchvision = pytest.importorskip("torchvision")

UCSD = ("ucsd_baseline", "ucsd_siamese", "alexnet_whole", "vgg19")


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def on_paper(name: str, channels: int = 3) -> nn.Module:
    """The true-size network without its numbers: quick to make, shapes only."""
    with torch.device("meta"):
        return make_backbone(name, channels)


def dense(*widths: int) -> int:
    """The parameters of fully connected layers with biases."""
    return sum(before * after + after for before, after in pairwise(widths))


def test_vgg19_has_the_published_size_and_layers() -> None:
    ours = on_paper("vgg19")
    assert parameters(ours) == 20_024_384
    assert 20_024_384 + dense(25_088, 4_096, 4_096, 1_000) == 143_667_240
    assert torchvision.models.VGG19_Weights.IMAGENET1K_V1.meta["num_params"] == 143_667_240
    with torch.device("meta"):
        published = torchvision.models.vgg19().features.state_dict()
    assert {name: part.shape for name, part in ours.state_dict().items()} == {
        f"features.{name}": part.shape for name, part in published.items()
    }
    assert feature_shape(ours, 3, 224, 224) == (512, 7, 7)  # 25,088 numbers


def test_vgg19_computes_what_torchvisions_does() -> None:
    ours = make_backbone("vgg19", 3).eval()
    with torch.device("meta"):
        published = torchvision.models.vgg19().features.eval()
    published.load_state_dict(ours.get_submodule("features").state_dict(), assign=True)
    crops = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours(crops), published(crops))


def test_alexnet_has_the_published_size() -> None:
    layers = (
        (11 * 11 * 3 + 1) * 96
        + (5 * 5 * 96 + 1) * 256
        + (3 * 3 * 256 + 1) * 384
        + (3 * 3 * 384 + 1) * 384
        + (3 * 3 * 384 + 1) * 256
    )
    assert parameters(on_paper("alexnet_whole")) == layers == 3_747_200
    assert layers + dense(9_216, 4_096, 4_096, 1_000) == 62_378_344
    with torch.device("meta"):
        original = AlexNetWhole(3, extra_pool=False)
    assert feature_shape(original, 3, 227, 227) == (256, 6, 6)  # 9,216 numbers
    assert feature_shape(original, 3, 63, 63) == (256, 1, 1)


def test_inception_resnet_v1_has_the_published_size() -> None:
    body = on_paper("inception_resnet_v1")
    assert parameters(body) == 23_482_624
    assert parameters(body) + dense(512, 8_631) == 27_910_327


def test_inception_resnet_v1_names_its_layers_as_published() -> None:
    state = on_paper("inception_resnet_v1").state_dict()
    published = {
        "conv2d_1a.conv.weight": (32, 3, 3, 3),
        "conv2d_1a.bn.running_var": (32,),
        "conv2d_3b.conv.weight": (80, 64, 1, 1),
        "conv2d_4b.conv.weight": (256, 192, 3, 3),
        "repeat_1.0.branch0.conv.weight": (32, 256, 1, 1),
        "repeat_1.4.branch2.2.conv.weight": (32, 32, 3, 3),
        "repeat_1.4.conv2d.weight": (256, 96, 1, 1),
        "repeat_1.4.conv2d.bias": (256,),
        "mixed_6a.branch0.conv.weight": (384, 256, 3, 3),
        "mixed_6a.branch1.2.conv.weight": (256, 192, 3, 3),
        "repeat_2.9.branch1.1.conv.weight": (128, 128, 1, 7),
        "repeat_2.9.branch1.2.conv.weight": (128, 128, 7, 1),
        "repeat_2.9.conv2d.weight": (896, 256, 1, 1),
        "mixed_7a.branch0.1.conv.weight": (384, 256, 3, 3),
        "mixed_7a.branch2.2.conv.weight": (256, 256, 3, 3),
        "repeat_3.4.branch1.1.conv.weight": (192, 192, 1, 3),
        "block8.branch1.2.conv.weight": (192, 192, 3, 1),
        "block8.conv2d.weight": (1792, 384, 1, 1),
        "last_linear.weight": (512, 1792),
        "last_bn.running_mean": (512,),
    }
    assert {name: tuple(state[name].shape) for name in published} == published
    assert {name.split(".")[0] for name in state} == {
        *("conv2d_1a", "conv2d_2a", "conv2d_2b", "conv2d_3b", "conv2d_4a", "conv2d_4b"),
        *("repeat_1", "mixed_6a", "repeat_2", "mixed_7a", "repeat_3", "block8"),
        *("last_linear", "last_bn"),
    }
    for repeated, blocks in (("repeat_1", 5), ("repeat_2", 10), ("repeat_3", 5)):
        assert {name.split(".")[1] for name in state if name.startswith(repeated)} == {
            str(block) for block in range(blocks)
        }
    assert "last_linear.bias" not in state


def test_a_residual_block_by_hand() -> None:
    block = ResidualC(scale=0.2).eval()
    with torch.no_grad():
        block.get_parameter("conv2d.weight").zero_()
        block.get_parameter("conv2d.bias").fill_(-10.0)
    maps = torch.full((1, 1792, 2, 2), 3.0)
    with torch.inference_mode():
        assert bool((block(maps) == 3.0 - 0.2 * 10.0).all())
        assert not block(maps - 3.0).any()  # -2, rectified
        last = ResidualC(scale=1.0, rectify=False).eval()
        last.load_state_dict(block.state_dict())
        assert bool((last(maps) == -7.0).all())


def test_timms_inception_resnet_v2_has_the_published_size() -> None:
    with torch.device("meta"):
        whole = timm.create_model("inception_resnet_v2", pretrained=False)
    assert parameters(whole) == 55_843_464
    body = on_paper("inception_resnet_v2")
    assert parameters(body) + dense(1_536, 1_000) == 55_843_464
    assert feature_shape(body, 3, 299, 299) == (1_536, 8, 8)  # the paper's figure 15
    assert feature_shape(body, 3, 128, 128) == (1_536, 2, 2)


@pytest.mark.parametrize(
    ("name", "side", "expected"),
    [
        ("ucsd_baseline", 128, (64, 32, 32)),
        ("ucsd_siamese", 128, (512, 2, 2)),
        ("alexnet_whole", 128, (256, 1, 1)),
        ("vgg19", 128, (512, 4, 4)),
        ("stanford_cnn", 64, (256, 4, 4)),
        ("inception_resnet_v1", 160, (512, 1, 1)),
        ("inception_resnet_v1", LEAST_SIDE_PX, (512, 1, 1)),
        ("resnet18", 128, (512, 4, 4)),
    ],
)
def test_shapes_at_the_papers_sizes(name: str, side: int, expected: tuple[int, int, int]) -> None:
    for channels in (1, 3):
        backbone = on_paper(name, channels)
        assert feature_shape(backbone, channels, side, side) == expected
        assert backbone.num_features == expected[0]
    assert feature_shape(on_paper("ucsd_siamese"), 3, 64, 128) == (512, 1, 2)


@pytest.mark.parametrize(
    ("name", "side"), [("inception_resnet_v1", LEAST_SIDE_PX - 1), ("alexnet_whole", 126)]
)
def test_a_crop_too_small_is_refused(name: str, side: int) -> None:
    with pytest.raises(FlukeprintError) as caught:
        feature_shape(on_paper(name), 3, side, 200)
    assert str(caught.value).startswith(
        f"config: backbone '{name}' does not take crops of {side} x 200 pixels or gives no feature"
        " maps: "
    )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [*UCSD, "stanford_cnn"])
def test_each_learns_in_bfloat16(name: str) -> None:
    """Every gradient is there and finite, from maps that neither vanish nor explode."""
    torch.manual_seed(0)
    side = 64 if name == "stanford_cnn" else 128
    backbone = make_backbone(name, 1).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        maps = backbone(torch.randn(2, 1, side, side))
    assert 0.01 < float(maps.detach().float().std()) < 100.0
    maps.float().square().mean().backward()
    for label, weight in backbone.named_parameters():
        assert weight.grad is not None, label
        assert bool(torch.isfinite(weight.grad).all()), label


def test_trying_a_backbone_leaves_it_as_it_was() -> None:
    backbone = make_backbone("stanford_cnn", 1).train()
    frozen = backbone.get_submodule("features.1").eval()
    before = {name: part.clone() for name, part in backbone.state_dict().items()}
    feature_shape(backbone, 1, 64, 64)
    with pytest.raises(FlukeprintError):
        feature_shape(backbone, 3, 64, 64)
    for name, part in backbone.state_dict().items():
        torch.testing.assert_close(part, before[name], rtol=0, atol=0)
    assert [part for part in backbone.modules() if not part.training] == [frozen]


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(FlukeprintError, match=r"^config: backbone 'nonesuch': .*nonesuch"):
        make_backbone("nonesuch", 1)


def test_a_backbone_without_maps_is_refused() -> None:
    tokens = on_paper("test_vit", 1)
    with pytest.raises(FlukeprintError, match="'test_vit' .* gives no feature maps: .*two crops"):
        feature_shape(tokens, 1, 160, 160)


def test_flukeprints_own_are_listed() -> None:
    assert set(BACKBONES) == {*UCSD, "stanford_cnn", "inception_resnet_v1"}
