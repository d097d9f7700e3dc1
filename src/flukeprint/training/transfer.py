"""Transfer learning in two phases, as the UCSD paper has it (section 2.5, figures 4 and 5).

Phase one keeps the whole backbone still: what the head sees of each photo, its bottleneck features,
is computed once, and a new head is trained on that. Phase two trains the backbone's top blocks as
well, at a small rate; the blocks below stay as they were, to the bit.
"""

from __future__ import annotations

from torch import Tensor, nn

from flukeprint.errors import FlukeprintError
from flukeprint.training.config import TrainConfig
from flukeprint.training.device import Device
from flukeprint.training.networks import Network
from flukeprint.training.still import still_answers

BATCH = 64


def in_head_phase(config: TrainConfig, epoch: int) -> bool:
    """Whether an epoch (from 0) trains the head alone."""
    return epoch < config.head_epochs


def hold_still(network: Network, config: TrainConfig) -> None:
    """Mark what no phase trains: it takes no gradient.

    Raises:
        FlukeprintError: ``tune_from`` is no part of the backbone.
    """
    still = _still(network.backbone, config)
    for module in still:
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)


def set_training(network: Network, config: TrainConfig, epoch: int) -> None:
    """Put the network into training mode, all but what stays still in this epoch.

    Batch normalisation that stays still uses the statistics it came with and keeps them.
    """
    network.train()
    if in_head_phase(config, epoch):
        network.backbone.eval()
        return
    for module in _still(network.backbone, config):
        module.eval()


def _still(backbone: nn.Module, config: TrainConfig) -> list[nn.Module]:
    """The backbone's modules, one by one, that no phase trains: those before ``tune_from``."""
    if not config.head_epochs:
        if config.tune_from:
            raise FlukeprintError("config: tune_from takes effect after head_epochs; set that too")
        return []
    modules = list(backbone.named_modules())[1:]
    if config.head_epochs == config.epochs:  # there is no second phase
        return [backbone, *(module for _, module in modules)]
    if not config.tune_from:
        return []
    names = [name for name, _ in modules]
    if config.tune_from not in names:
        parts = ", ".join(name for name, _ in backbone.named_children())
        raise FlukeprintError(
            f"config: tune_from {config.tune_from!r} is no part of {config.backbone}, which has "
            f"{parts} and parts of these such as {names[-1]!r}"
        )
    before = modules[: names.index(config.tune_from)]
    # A block that holds tune_from comes before it in the list, yet has a part that is trained.
    return [module for name, module in before if not config.tune_from.startswith(f"{name}.")]


def bottlenecks(network: Network, crops: Tensor, size: tuple[int, int], device: Device) -> Tensor:
    """What the head sees of stored crops (N, C, H, W) uint8: (N, width) float32, on the CPU."""
    network.eval()
    return still_answers(network.bottleneck, crops, size, device, batch=BATCH)
