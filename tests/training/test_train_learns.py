"""Tests that training teaches: photos that were never shown are matched with their whales."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch

from flukeprint.crops import crop
from flukeprint.drawn import draw_whale, photograph
from flukeprint.records import Fluke
from flukeprint.training.config import TrainConfig
from flukeprint.training.data import STORED_MARGIN
from flukeprint.training.device import Device
from flukeprint.training.lesson import Lesson
from flukeprint.training.loop import Trainer
from flukeprint.training.networks import Network
from flukeprint.training.validate import embed_crops

WHALES, SHOWN, ASKED = 24, 6, 2
CPU = Device("cpu", False)
CONFIG = TrainConfig(
    backbone="test_resnet",
    embedding_size=64,
    height_px=48,
    width_px=64,
    early_share=0.0,
    epochs=22,
    batch_size=24,
    optimizer="adamw",
    learning_rate=3e-3,
    weight_decay=0.02,
    warmup_share=0.1,
    ema_decay=0.9,
    erase=0.0,
    noise=0.02,
    light=0.2,
    mirror_individuals=False,
    both_sides=False,
)
SIZE = (CONFIG.height_px, CONFIG.width_px)


def _crops(shots: range) -> torch.Tensor:
    height, width = (round(side * (1 + 2 * STORED_MARGIN)) for side in SIZE)
    cut = []
    for seed in range(WHALES):
        for shot in shots:
            photo = photograph(draw_whale(seed), shot, width_px=160, height_px=90)
            grey = photo.pixels.mean(axis=2).astype(np.uint8)
            cut.append(crop(grey, Fluke(photo.box), height, width, margin=STORED_MARGIN))
    return torch.from_numpy(np.stack(cut))[:, None]


def _top1(network: Network, gallery: torch.Tensor, queries: torch.Tensor) -> float:
    """Share of the queries whose most alike gallery photo shows their whale."""
    similar = embed_crops(network, queries, SIZE, CPU) @ embed_crops(network, gallery, SIZE, CPU).T
    found = similar.argmax(axis=1) // SHOWN
    return float((found == np.arange(len(queries)) // ASKED).mean())


def test_a_small_network_learns_drawn_whales() -> None:
    shown, asked = _crops(range(SHOWN)), _crops(range(SHOWN, SHOWN + ASKED))
    lesson = Lesson(
        shown,
        torch.arange(WHALES).repeat_interleave(SHOWN),
        tuple(f"whale {seed:02}" for seed in range(WHALES)),
        torch.full((WHALES,), SHOWN),
    )
    trainer = Trainer(lesson, CONFIG, CPU)
    losses = [trainer.run_epoch() for _ in range(CONFIG.epochs)]
    assert all(np.isfinite(losses))
    learned = _top1(trainer.average, shown, asked)
    print(f"top-1 {learned:.2f}, chance {1 / WHALES:.2f}")
    assert learned >= 5 / WHALES
