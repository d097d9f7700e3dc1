"""Train: epochs with a checkpoint each, validation on the way, the same result after any kill.

Every random draw of an epoch comes from the seed and the epoch's number alone, so a run resumed
after epoch e is the run that was never stopped.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from flukeprint.errors import Diverged
from flukeprint.files import write_bytes, write_text
from flukeprint.progress import Progress, no_progress
from flukeprint.training import transfer
from flukeprint.training.augment import centre_warp, draw_warp, relight
from flukeprint.training.checkpoint import drop_old, load_checkpoint, save_checkpoint
from flukeprint.training.config import TrainConfig
from flukeprint.training.curves import log_epoch
from flukeprint.training.data import INNER
from flukeprint.training.device import Device
from flukeprint.training.lesson import Lesson
from flukeprint.training.networks import Network
from flukeprint.training.objective import Objective
from flukeprint.training.pretrained import load_backbone
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.sampling import batches, with_others
from flukeprint.training.validate import Scores, Validation, validate

Report = Callable[[str], object]


class Trainer:
    """A network, its loss, optimiser and moving average: all the state that a checkpoint holds.

    ``start`` holds published weights for the backbone to begin with, ``source`` says whose.
    """

    def __init__(
        self,
        lesson: Lesson,
        config: TrainConfig,
        device: Device,
        start: Mapping[str, Tensor] | None = None,
        source: str = "",
    ) -> None:
        self.config, self.device = config, device
        self.lesson = lesson
        torch.manual_seed(config.seed)
        counts, targets = lesson.counts, lesson.targets
        counts = counts.repeat(2 if config.mirror_individuals else 1)
        self.network = Network(config, len(counts))
        if start is not None:
            load_backbone(self.network.backbone, start, source)
        self.loss = Objective(config, counts, 0 if targets is None else targets.shape[2])
        self.network.to(device.name, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loss.to(device.name)
        transfer.hold_still(self.network, config)
        self.average = self.network
        if config.ema_decay:
            self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimiser = _optimiser([self.network, self.loss], config)
        self.bottlenecks: Tensor | None = None
        self.epoch = 0
        self.best: dict[str, Any] = {"map5": -1.0, "epoch": 0}

    def state(self) -> dict[str, Any]:
        """Everything that decides what comes next; plain tensors and numbers."""
        state = {
            "network": self.network.state_dict(),
            "loss": self.loss.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
        }
        if self.average is not self.network:
            state["average"] = self.average.state_dict()
        return state

    def restore(self, epoch: int, state: dict[str, Any]) -> None:
        """Take up a state saved after ``epoch`` epochs."""
        self.network.load_state_dict(state["network"])
        self.loss.load_state_dict(state["loss"])
        if self.average is not self.network:
            self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best, self.epoch = state["best"], epoch

    def run_epoch(self, progress: Callable[[int], object] | None = None) -> float:
        """Train one epoch and return its mean loss; ``progress`` is told of photos learned from."""
        config = self.config
        seed = (config.seed << 20) + self.epoch
        torch.manual_seed(seed)
        draws = torch.Generator(self.device.name).manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        order = batches(self.lesson.labels, config, generator)
        unnamed = torch.arange(len(self.lesson.labels), len(self.lesson.crops))
        if len(unnamed):
            order = with_others(order, unnamed, config.distil_photos, generator)
        if transfer.in_head_phase(config, self.epoch) and self.bottlenecks is None:
            size = config.height_px, config.width_px
            self.bottlenecks = transfer.bottlenecks(
                self.network, self.lesson.crops, size, self.device
            )
        transfer.set_training(self.network, config, self.epoch)
        total = 0.0
        for step, chosen in enumerate(order):
            total += self._step(chosen, (self.epoch + step / len(order)) / config.epochs, draws)
            self._follow(self.epoch * len(order) + step)
            if progress:
                progress(int((chosen < len(self.lesson.labels)).sum()))
        self.epoch += 1
        if not transfer.in_head_phase(config, self.epoch):
            self.bottlenecks = None  # half a gigabyte for a large network
        return total / len(order)

    def _step(self, chosen: Tensor, progress: float, draws: torch.Generator) -> float:
        config = self.config
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(config, progress, self.epoch)
        named = chosen[chosen < len(self.lesson.labels)]
        labels = self.lesson.labels[named].to(self.device.name)
        targets = None
        if transfer.in_head_phase(config, self.epoch):
            assert self.bottlenecks is not None
            features = self.bottlenecks[chosen].to(self.device.name)
            with self.device.autocast():
                answers = self.network.answer(features)
        else:
            seen, mirrored = self._seen(chosen, draws)
            if config.mirror_individuals:  # a mirrored fluke is another whale's
                labels = labels + len(self.lesson.individuals) * mirrored[: len(named)].long()
            if self.lesson.targets is not None:
                sides = self.lesson.targets[chosen, mirrored.cpu().long()]
                targets = sides.to(self.device.name).float()
            with self.device.autocast():
                answers = self.network(seen.to(memory_format=torch.channels_last))
        loss: Tensor = self.loss(answers.float(), labels, progress, targets)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return float(loss.detach())

    def _seen(self, chosen: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        """The chosen crops as the network sees them in this epoch, and which are mirrored."""
        config = self.config
        crops = self.lesson.crops[chosen].to(self.device.name).float()
        size = crop_size(config, self.epoch)
        mirrored = torch.rand(len(chosen), generator=draws, device=self.device.name) < 0.5
        if not config.mirror_individuals:
            mirrored = torch.zeros_like(mirrored)
        if config.augment != "realtime":
            return centre_warp(mirrored, INNER).apply(crops, *size), mirrored
        seen = draw_warp(mirrored, INNER, config, draws).apply(crops, *size)
        return relight(seen, config, draws), mirrored

    def _follow(self, steps: float) -> None:
        """Move the average a little towards the network; early on, follow closely."""
        if self.average is self.network:
            return
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
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, weight_decay=config.weight_decay)
    if config.optimizer == "adam":  # its weight decay is L2's gradient, as the papers have it
        return torch.optim.Adam(parameters, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        parameters,
        lr=0.1,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.momentum > 0,
    )


def learning_rate(config: TrainConfig, progress: float, epoch: int) -> float:
    """Linear warm-up, then a half cosine to 0 or no change; ``progress`` runs from 0 to 1.

    The second phase of a transfer has its own, smaller rate.
    """
    tuning = config.head_epochs and not transfer.in_head_phase(config, epoch)
    most = config.tune_learning_rate if tuning else config.learning_rate
    warm = min(1.0, progress / config.warmup_share) if config.warmup_share else 1.0
    if config.schedule == "constant":
        return most * warm
    return most * warm * (0.5 + 0.5 * math.cos(math.pi * progress))


def crop_size(config: TrainConfig, epoch: int) -> tuple[int, int]:
    """(height, width) in pixels that an epoch trains at."""
    if not transfer.in_head_phase(config, epoch) and epoch < config.early_share * config.epochs:
        return config.early_height_px, config.early_width_px
    return config.height_px, config.width_px


def fit(
    trainer: Trainer,
    validation: Validation | None,
    folder: RunFolder,
    report: Report,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Train to the end from the last whole checkpoint; returns the best epoch's result.

    Without a validation the last epoch is kept.

    Raises:
        FlukeprintError: the loss is no number any more.
    """
    config = trainer.config
    epoch, state, damaged = load_checkpoint(folder.checkpoints)
    for path in damaged:
        report(f"{path.name} is damaged; using the checkpoint before it")
    if state is not None:
        trainer.restore(epoch, state)
        report(f"resumed after epoch {epoch}")
        drop_old(folder.checkpoints, epoch)  # a kill may have come between saving and dropping
    left = config.epochs - trainer.epoch
    step = progress("training", left * len(trainer.lesson.labels)) if left else None
    while trainer.epoch < config.epochs and not _tired(trainer):
        started = time.monotonic()
        size = crop_size(config, trainer.epoch)
        loss = trainer.run_epoch(step)
        if not math.isfinite(loss):
            raise Diverged(
                f"{folder.path}: training diverged in epoch {trainer.epoch} (loss {loss}); start "
                "another run with a lower learning_rate"
            )
        entry: dict[str, Any] = {
            "epoch": trainer.epoch,
            "loss": loss,
            "learning_rate": trainer.optimiser.param_groups[0]["lr"],
            "height_px": size[0],
            "width_px": size[1],
            "seconds": round(time.monotonic() - started, 2),
        }
        over = trainer.epoch == config.epochs
        if validation is None and over:
            _keep(trainer, folder, {})
        elif validation is not None and (over or trainer.epoch % config.validate_every == 0):
            entry |= _validated(trainer, validation, folder)
        log_epoch(folder, entry)  # before the checkpoint: a kill in between repeats the epoch
        save_checkpoint(folder.checkpoints, trainer.epoch, trainer.state())
        report(" ".join(f"{key} {_short(value)}" for key, value in entry.items()))
    parameters = sum(parameter.numel() for parameter in trainer.network.parameters())
    result = {**trainer.best, "epochs": trainer.epoch, "parameters": parameters}
    write_text(folder.result, json.dumps(result, indent=1) + "\n")
    return result


def _validated(trainer: Trainer, validation: Validation, folder: RunFolder) -> dict[str, float]:
    """Score the moving average at full size; keep its weights when they are the best so far."""
    size = (trainer.config.height_px, trainer.config.width_px)
    classes = trainer.lesson.individuals if trainer.config.loss == "softmax" else None
    scores: Scores = validate(trainer.average, validation, size, trainer.device, classes)
    measured = {
        "map5": scores.map5,
        "top1_known": scores.top1_known,
        "auroc_known": scores.auroc_known,
    }
    named = {name: value for name, value in measured.items() if not math.isnan(value)}  # JSON
    if scores.map5 > trainer.best["map5"]:
        _keep(trainer, folder, named)
    return named


def _keep(trainer: Trainer, folder: RunFolder, scores: dict[str, float]) -> None:
    """Keep the moving average's weights as the run's."""
    trainer.best = {"epoch": trainer.epoch, **scores}
    tensors = {k: v.detach().cpu().contiguous() for k, v in trainer.average.state_dict().items()}
    write_bytes(folder.weights, to_safetensors(tensors))


def _tired(trainer: Trainer) -> bool:
    """Whether the last ``patience`` validations brought nothing better (0: never).

    The second phase of a transfer is always begun, and has patience of its own.
    """
    config = trainer.config
    waited = trainer.epoch - max(int(trainer.best["epoch"]), config.head_epochs)
    return bool(config.patience) and waited >= config.patience * config.validate_every


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
