"""Weights that others have published, or an earlier run has left: reading, fetching, loading."""

from __future__ import annotations

import pickle
import socket
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import hf_hub_url, try_to_load_from_cache
from safetensors.torch import load as from_safetensors
from torch import Tensor, nn

from flukeprint.errors import FlukeprintError, reason_of
from flukeprint.training.backbones import BACKBONES

_OURS = "backbone."
_COUNTER = "num_batches_tracked"
_PATIENCE_S = 20.0
# What a file begins with that torch.save or pickle wrote: a zip archive, or a pickle's protocol.
_PICKLED = (b"PK", b"\x80")


@dataclass(frozen=True, slots=True)
class PublishedWeights:
    """Where a backbone's published weights are: the file's name, its address and its licence."""

    file: str
    address: str
    licence: str


_PUBLISHED = {
    "vgg19": PublishedWeights(
        "vgg19-dcbb9e9d.pth",
        "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        "BSD-3-Clause",
    ),
    "inception_resnet_v1": PublishedWeights(
        "20180402-114759-vggface2.pt",
        "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/"
        "20180402-114759-vggface2.pt",
        "MIT",
    ),
}


def published_weights(name: str) -> PublishedWeights:
    """Where the published weights of the backbone of that name are; asks no network.

    Raises:
        FlukeprintError: nobody has published any, or timm does not know the name.
    """
    if name in _PUBLISHED:
        return _PUBLISHED[name]
    if name in BACKBONES:
        raise FlukeprintError(
            f"--pretrained: nobody has published weights for {name}; train it from the start, or "
            "give an earlier run's file with --weights FILE"
        )
    facts = _timm_facts(name)
    if facts.hf_hub_id:
        file = facts.hf_hub_filename or "model.safetensors"
        address = hf_hub_url(facts.hf_hub_id, file)
    else:
        address = facts.url
        file = address.rsplit("/", 1)[1]
    return PublishedWeights(file, address, facts.license or "not stated")


def _timm_facts(name: str) -> Any:
    """What timm knows about the published weights of one of its models."""
    try:
        facts = timm.models.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        raise FlukeprintError(f"config: backbone {name!r}: {error}") from None
    if facts is None or not (facts.hf_hub_id or facts.url):
        raise FlukeprintError(
            f"--pretrained: timm has no published weights for {name}; name one that has some, or "
            "give a file with --weights FILE"
        )
    return facts


def fetch_pretrained(name: str) -> dict[str, Tensor]:
    """The published weights of the backbone of that name, from the network or its cache.

    They come as :func:`load_backbone` takes them, for crops of three channels.

    Raises:
        FlukeprintError: there are none, or they cannot be had now; it says which file to bring.
    """
    published = published_weights(name)
    try:
        with _short_patience():
            return _timm_weights(name) if name not in _PUBLISHED else _download(published)
    except Exception as error:  # the network, the hub and the file each fail in their own ways
        raise FlukeprintError(
            f"--pretrained: could not fetch {name}'s published weights ({reason_of(error)}); bring "
            f"the file {published.file} from {published.address} and give it with --weights FILE"
        ) from None


def _download(published: PublishedWeights) -> dict[str, Tensor]:
    """By torch's own cache; a name such as vgg19-dcbb9e9d.pth holds the file's checksum."""
    state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
        published.address,
        map_location="cpu",
        check_hash=published.file == "vgg19-dcbb9e9d.pth",
        weights_only=True,
    )
    return state


def _timm_weights(name: str) -> dict[str, Tensor]:
    """By timm's own loading, which may rename what the file holds."""
    cached = _in_cache(name)
    if cached is None:
        _check_reachable(published_weights(name).address)
    network = timm.create_model(
        name,
        pretrained=True,
        pretrained_cfg_overlay={"file": cached} if cached else None,
        num_classes=0,
        global_pool="",
    )
    state: dict[str, Tensor] = network.state_dict()
    return state


def _in_cache(name: str) -> str | None:
    """The hub's file of a timm model, where an earlier call has fetched it: no network needed."""
    hub, file = _timm_facts(name).hf_hub_id, published_weights(name).file
    found = try_to_load_from_cache(hub, file) if hub and file.endswith(".safetensors") else None
    return found if isinstance(found, str) else None


def _check_reachable(address: str) -> None:
    """Fail at once where there is no network: the hub alone would try for most of a minute."""
    with suppress(urllib.error.HTTPError):  # an answer all the same; timm tries other names
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD")).close()


@contextmanager
def _short_patience() -> Iterator[None]:
    """Urllib, which torch.hub uses, would by default wait for ever on a silent network."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def read_state(path: Path) -> dict[str, Tensor]:
    """A weights file's tensors by name: safetensors, or what ``torch.save`` wrote of a state dict.

    A state dict that lies under the key ``state_dict`` is taken out of there. Nothing in the file
    is ever run.

    Raises:
        FlukeprintError: there is no such file, it is damaged, or it holds something else.
    """
    try:
        found = _unpacked(path)
    except FlukeprintError:
        raise
    except FileNotFoundError:
        raise FlukeprintError(f"{path}: no such file; give a weights file") from None
    except pickle.UnpicklingError:  # torch's own words are a page long
        raise FlukeprintError(
            f"{path}: not a readable weights file; bring it again: it is neither safetensors nor a "
            "PyTorch state dict"
        ) from None
    except Exception as error:  # torch and safetensors raise many kinds for a damaged file
        raise FlukeprintError(
            f"{path}: not a readable weights file; bring it again: {reason_of(error)}"
        ) from None
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not _is_state(found):
        raise FlukeprintError(
            f"{path}: not a state dict (names, each with a tensor of numbers); save the network's "
            "state_dict() and give that file"
        )
    return dict(found)


def _unpacked(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return from_safetensors(path.read_bytes())
    with path.open("rb") as file, warnings.catch_warnings():
        pickled = file.read(2).startswith(_PICKLED)
        file.seek(0)
        warnings.simplefilter("ignore")  # torch's, about older ways of saving
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError) as error:
            refused = isinstance(error, pickle.UnpicklingError) and pickled
            if refused or "TorchScript" in str(error):
                raise FlukeprintError(
                    f"{path}: holds more than tensors, and flukeprint never runs what a weights "
                    "file holds; bring a plain state dict or safetensors"
                ) from None
            raise


def _is_state(found: object) -> bool:
    """Whether it is names with tensors whose numbers are all there, one after the other."""
    return (
        isinstance(found, Mapping)
        and len(found) > 0
        and all(
            isinstance(name, str)
            and isinstance(tensor, Tensor)
            and tensor.layout is torch.strided
            and tensor.device.type == "cpu"
            and not tensor.is_quantized
            for name, tensor in found.items()
        )
    )


def load_backbone(backbone: nn.Module, state: Mapping[str, Tensor], source: str) -> list[str]:
    """Fill the backbone from a state dict; ``source`` names it in messages.

    Names are taken as they are, as published; where some begin with ``backbone.``, as in a run's
    own weights, only those count. Batch normalisation's step counters may be missing. All of the
    backbone is filled, or none.

    Returns the names in the state dict that were not used: a published classifier's, or a run's
    pooling and head.

    Raises:
        FlukeprintError: something that the backbone needs is missing or has another shape.
    """
    prefix = _OURS if any(name.startswith(_OURS) for name in state) else ""
    own = backbone.state_dict()
    stem = _first_convolution(backbone)
    filled: dict[str, Tensor] = {}
    wrong: list[str] = []
    for name, wanted in own.items():
        given = state.get(prefix + name)
        if given is None and name.endswith(_COUNTER):
            filled[name] = wanted
            continue
        if given is not None and name == stem:
            given = _for_channels(given, wanted)
        if given is None:
            wrong.append(f"{prefix + name} is missing")
        elif given.shape != wanted.shape or given.is_floating_point() != wanted.is_floating_point():
            wrong.append(f"{prefix + name} is {_text(given)}, not {_text(wanted)}")
        else:
            filled[name] = given
    if wrong:
        raise FlukeprintError(
            f"{source}: not this backbone's weights: {wrong[0]} ({len(wrong)} of {len(own)} do not "
            "fit); set backbone to the one that they are of"
        )
    backbone.load_state_dict(filled)
    used = {prefix + name for name in own}
    return [name for name in state if name not in used]


def _first_convolution(backbone: nn.Module) -> str | None:
    for name, layer in backbone.named_modules():
        if isinstance(layer, nn.Conv2d):
            return f"{name}.weight"
    return None


def _for_channels(given: Tensor, wanted: Tensor) -> Tensor:
    """A colour file's first convolution as one for grey crops; any other as it is.

    A grey picture is a colour one with three equal channels, so the sum of the weights over the
    channels gives what the colour network would see in it.
    """
    if given.ndim == 4 and given.shape[1] == 3 and wanted.shape[1] == 1:
        return given.float().sum(dim=1, keepdim=True)
    return given


def _text(tensor: Tensor) -> str:
    """A tensor's kind and shape, such as float32 64 x 3 x 3 x 3."""
    shape = " x ".join(str(side) for side in tensor.shape)
    return f"{str(tensor.dtype).removeprefix('torch.')} {shape or 'number'}"
