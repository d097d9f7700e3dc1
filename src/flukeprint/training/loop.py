"""Train: epochs with a checkpoint each, validation on the way, the same result after any kill.

Every random draw of an epoch comes from the seed and the epoch's number alone, so a run resumed
after epoch e is the run that was never stopped.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from flukeprint.files import write_bytes, write_text
from flukeprint.training.augment import draw_warp, relight
from flukeprint.training.checkpoint import drop_old, load_checkpoint, save_checkpoint
from flukeprint.training.config import TrainConfig
from flukeprint.training.curves import log_epoch
from flukeprint.training.data import INNER
from flukeprint.training.device import Device
from flukeprint.training.losses import SubCentreArcFace
from flukeprint.training.networks import Embedder
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.sampling import epoch_order
from flukeprint.training.validate import Scores, Validation, validate

Report = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is learned from: stored crops (N, 1, H, W) uint8, labels (N,) int64, how many whales."""

    crops: Tensor
    labels: Tensor
    individuals: int


class Trainer:
    """A network, its loss, optimiser and moving average: all the state that a checkpoint holds."""

    def __init__(self, lesson: Lesson, config: TrainConfig, device: Device) -> None:
        self.config, self.device = config, device
        self.lesson = lesson
        torch.manual_seed(config.seed)
        classes = lesson.individuals * (2 if config.mirror_individuals else 1)
        self.network = Embedder(config.backbone, config.embedding_size)
        self.loss = SubCentreArcFace(
            config.embedding_size, classes, centres=config.sub_centres, scale=config.scale
        )
        self.network.to(device.name, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loss.to(device.name)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimiser = _optimiser([self.network, self.loss], config)
        self.steps_per_epoch = max(len(lesson.labels) // config.batch_size, 1)
        self.epoch = 0
        self.best: dict[str, Any] = {"map5": -1.0, "epoch": 0}

    def state(self) -> dict[str, Any]:
        """Everything that decides what comes next; plain tensors and numbers."""
        return {
            "network": self.network.state_dict(),
            "loss": self.loss.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
        }

    def restore(self, epoch: int, state: dict[str, Any]) -> None:
        """Take up a state saved after ``epoch`` epochs."""
        self.network.load_state_dict(state["network"])
        self.loss.load_state_dict(state["loss"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best, self.epoch = state["best"], epoch

    def run_epoch(self) -> float:
        """Train one epoch and return its mean loss."""
        config = self.config
        seed = (config.seed << 20) + self.epoch
        torch.manual_seed(seed)
        draws = torch.Generator(self.device.name).manual_seed(seed)
        order = epoch_order(
            self.lesson.labels, config.balance_power, torch.Generator().manual_seed(seed)
        )
        size = crop_size(config, self.epoch)
        self.network.train()
        total = 0.0
        for step in range(self.steps_per_epoch):
            chosen = order[step * config.batch_size : (step + 1) * config.batch_size]
            progress = (self.epoch + step / self.steps_per_epoch) / config.epochs
            total += self._step(chosen, size, progress, draws)
        self.epoch += 1
        return total / self.steps_per_epoch

    def _step(
        self, chosen: Tensor, size: tuple[int, int], progress: float, draws: torch.Generator
    ) -> float:
        config, device = self.config, self.device.name
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(config, progress)
        crops, labels = self.lesson.crops[chosen].to(device), self.lesson.labels[chosen].to(device)
        mirrored = torch.rand(len(chosen), generator=draws, device=device) < 0.5
        if config.mirror_individuals:  # a mirrored fluke is another whale's
            labels = labels + self.lesson.individuals * mirrored.long()
        else:
            mirrored = torch.zeros_like(mirrored)
        seen = draw_warp(mirrored, INNER, config, draws).apply(crops.float(), *size)
        seen = relight(seen, config, draws)
        with self.device.autocast():
            embeddings = self.network(seen.to(memory_format=torch.channels_last))
        margin = config.margin_rad * min(1.0, progress / max(config.margin_warmup_share, 1e-9))
        loss: Tensor = self.loss(embeddings.float(), labels, margin)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self._follow(progress)
        return float(loss.detach())

    def _follow(self, progress: float) -> None:
        """Move the average a little towards the network; early on, follow closely."""
        steps = progress * self.config.epochs * self.steps_per_epoch
        keep = min(self.config.ema_decay, (1 + steps) / (10 + steps))
        with torch.no_grad():
            slow: list[Tensor] = list(self.average.parameters())
            fast: list[Tensor] = list(self.network.parameters())
            torch._foreach_lerp_(slow, fast, 1.0 - keep)
            for old, new in zip(self.average.buffers(), self.network.buffers(), strict=True):
                if old.dtype.is_floating_point:
                    old.lerp_(new, 1.0 - keep)
                else:
                    old.copy_(new)


def _optimiser(modules: list[nn.Module], config: TrainConfig) -> torch.optim.Optimizer:
    parameters = [parameter for module in modules for parameter in module.parameters()]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        parameters,
        lr=0.1,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.momentum > 0,
    )


def learning_rate(config: TrainConfig, progress: float) -> float:
    """Linear warm-up, then a half cosine to 0; ``progress`` runs from 0 to 1 over the run."""
    warm = min(1.0, progress / config.warmup_share) if config.warmup_share else 1.0
    return config.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * progress))


def crop_size(config: TrainConfig, epoch: int) -> tuple[int, int]:
    """(height, width) in pixels that an epoch trains at."""
    if epoch < config.early_share * config.epochs:
        return config.early_height_px, config.early_width_px
    return config.height_px, config.width_px


def fit(
    trainer: Trainer, validation: Validation, folder: RunFolder, report: Report
) -> dict[str, Any]:
    """Train to the end from the last whole checkpoint; returns the best epoch's result."""
    config = trainer.config
    epoch, state, damaged = load_checkpoint(folder.checkpoints)
    for path in damaged:
        report(f"{path.name} is damaged; using the checkpoint before it")
    if state is not None:
        trainer.restore(epoch, state)
        report(f"resumed after epoch {epoch}")
        drop_old(folder.checkpoints, epoch)  # a kill may have come between saving and dropping
    while trainer.epoch < config.epochs and not _tired(trainer):
        started = time.monotonic()
        size = crop_size(config, trainer.epoch)
        loss = trainer.run_epoch()
        entry: dict[str, Any] = {
            "epoch": trainer.epoch,
            "loss": loss,
            "learning_rate": trainer.optimiser.param_groups[0]["lr"],
            "height_px": size[0],
            "width_px": size[1],
            "seconds": round(time.monotonic() - started, 2),
        }
        if trainer.epoch % config.validate_every == 0 or trainer.epoch == config.epochs:
            entry |= _validated(trainer, validation, folder)
        log_epoch(folder, entry)  # before the checkpoint: a kill in between repeats the epoch
        save_checkpoint(folder.checkpoints, trainer.epoch, trainer.state())
        report(" ".join(f"{key} {_short(value)}" for key, value in entry.items()))
    result = {**trainer.best, "epochs": trainer.epoch}
    write_text(folder.result, json.dumps(result, indent=1) + "\n")
    return result


def _validated(trainer: Trainer, validation: Validation, folder: RunFolder) -> dict[str, float]:
    """Score the moving average at full size; keep its weights when they are the best so far."""
    size = (trainer.config.height_px, trainer.config.width_px)
    scores: Scores = validate(trainer.average, validation, size, trainer.device)
    measured = {
        "map5": scores.map5,
        "top1_known": scores.top1_known,
        "auroc_known": scores.auroc_known,
    }
    named = {name: value for name, value in measured.items() if not math.isnan(value)}  # JSON
    if scores.map5 > trainer.best["map5"]:
        trainer.best = {
            "epoch": trainer.epoch,
            **named,
        }
        tensors = {
            k: v.detach().cpu().contiguous() for k, v in trainer.average.state_dict().items()
        }
        write_bytes(folder.weights, to_safetensors(tensors))
    return named


def _tired(trainer: Trainer) -> bool:
    """Whether the last ``patience`` validations brought nothing better (0: never)."""
    config = trainer.config
    waited = trainer.epoch - int(trainer.best["epoch"])
    return bool(config.patience) and waited > config.patience * config.validate_every


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
