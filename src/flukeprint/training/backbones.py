"""Backbones: a crop in, feature maps out. Flukeprint's own, and every model that timm has."""

from __future__ import annotations

from collections.abc import Callable

import timm
import torch
from torch import Tensor, nn

from flukeprint.errors import FlukeprintError, reason_of
from flukeprint.training.architectures.inception_resnet_v1 import InceptionResnetV1
from flukeprint.training.architectures.stanford import StanfordCnn
from flukeprint.training.architectures.ucsd import AlexNetWhole, UcsdBaseline, UcsdSiamese, Vgg19

BACKBONES: dict[str, Callable[[int], nn.Module]] = {
    "ucsd_baseline": UcsdBaseline,
    "ucsd_siamese": UcsdSiamese,
    "alexnet_whole": AlexNetWhole,
    "vgg19": Vgg19,  # before timm's of that name, which is not all convolutions
    "stanford_cnn": StanfordCnn,
    "inception_resnet_v1": InceptionResnetV1,
}
"""Flukeprint's own, by name: each takes the number of a crop's channels."""


def make_backbone(name: str, channels: int) -> nn.Module:
    """The backbone of that name, with weights drawn by chance.

    It maps (N, channels, H, W) float32 to feature maps (N, F, h, w); its ``num_features`` is F.
    A name that is not in ``BACKBONES`` is one of timm's.

    Raises:
        FlukeprintError: timm, too, has no backbone of that name.
    """
    if name in BACKBONES:
        backbone = BACKBONES[name](channels)
    else:
        try:
            backbone = timm.create_model(
                name, pretrained=False, in_chans=channels, num_classes=0, global_pool=""
            )
        except Exception as error:  # an unknown name, or a model that has no maps to give
            raise FlukeprintError(f"config: backbone {name!r}: {reason_of(error)}") from None
    backbone.chosen_name = name  # type: ignore[assignment]  # for messages
    return backbone


def feature_shape(
    backbone: nn.Module, channels: int, height_px: int, width_px: int
) -> tuple[int, int, int]:
    """The shape (F, h, w) of the maps from a crop of that size, by trying two blank crops.

    The backbone is left as it was: its weights, its batch normalisation's averages, and which of
    its parts are training.

    Raises:
        FlukeprintError: it does not take such crops, or what it gives is not (N, F, h, w).
    """
    training = [part for part in backbone.modules() if part.training]
    backbone.eval()
    try:
        device = next(backbone.parameters()).device
        with torch.inference_mode():
            maps = backbone(torch.zeros(2, channels, height_px, width_px, device=device))
        return _shape(maps, int(backbone.num_features))  # type: ignore[arg-type]
    except Exception as error:  # each backbone fails in its own way
        name = getattr(backbone, "chosen_name", type(backbone).__name__)
        raise FlukeprintError(
            f"config: backbone {name!r} does not take crops of {height_px} x {width_px} pixels or "
            f"gives no feature maps: {reason_of(error)}"
        ) from None
    finally:
        for part in training:
            part.training = True


def _shape(maps: Tensor, num_features: int) -> tuple[int, int, int]:
    """The maps' shape without N, where it is (2, num_features, h, w) and no side is 0."""
    found = tuple(maps.shape)
    if len(found) != 4 or found[:2] != (2, num_features) or 0 in found:
        raise ValueError(f"two crops give {found}, not (2, {num_features}, h, w)")
    return num_features, found[2], found[3]
