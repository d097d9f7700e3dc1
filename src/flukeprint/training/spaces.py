"""What a search may try: which settings, and between which values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flukeprint.errors import FlukeprintError
from flukeprint.training.config import TrainConfig


@dataclass(frozen=True, slots=True)
class Span:
    """The values that one setting may take: ``low`` to ``high``, evenly or over their logarithm."""

    low: float
    high: float
    log: bool = False


def _rates(config: TrainConfig) -> dict[str, Span]:
    """A thirtieth of the config's rate to thirty times it, at most 3: past that nothing learns."""
    rate = config.learning_rate
    if not rate:
        raise FlukeprintError("config: learning_rate is 0; set the one to search around")
    return {"learning_rate": Span(rate / 30, max(min(rate * 30, 3.0), rate), log=True)}


def _augmentations(config: TrainConfig) -> dict[str, Span]:
    """From nothing to about three times the defaults, where flukes are hard to tell by eye."""
    if config.augment == "none":
        raise FlukeprintError(
            "config: augment is 'none', so there are no ranges to search; set augment=realtime"
        )
    if config.head_epochs == config.epochs:
        raise FlukeprintError(
            "config: all epochs learn from features that are computed once, so there are no ranges "
            "to search; set head_epochs lower"
        )
    spans = {
        "rotate_deg": Span(0.0, 30.0),
        "zoom": Span(0.0, 0.4),
        "shift": Span(0.0, 0.2),
        "shear": Span(0.0, 0.4),
        "light": Span(0.0, 0.8),
        "erase": Span(0.0, 0.75),
    }
    if config.augment == "offline":  # makes three kinds of pictures, those that are asked for
        made = {
            "rotate_deg": config.offline_rotations,
            "zoom": config.offline_zooms,
            "shift": config.offline_shifts,
        }
        spans = {name: spans[name] for name, often in made.items() if often}
    return spans


SPACES: dict[str, Callable[[TrainConfig], dict[str, Span]]] = {
    "learning-rate": _rates,
    "augmentation": _augmentations,
}
"""What can be searched: the settings and their spans, given the config to start from."""
