"""What each setting of a training run may be."""

from __future__ import annotations

import math
import re

from flukeprint.records import EVERYTHING

BACKBONE = re.compile(r"[A-Za-z0-9_.]+")
WIDEST = 65_536
_FINITE = 1e9
# A backbone halves a crop five times. Where it meets a single pixel before it is done, torch 2.15
# leaves parts of a bfloat16 gradient unwritten (oneDNN, 3 x 3 kernel, stride 2): nan some day.
_SIDE_PX = (24, 4_096)

RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**32 - 1),
    "fold": (0, 1_000),
    "folds": (2, 1_000),
    "squeeze": (0, WIDEST),
    "dropout": (0, 0.99),
    "embedding_size": (1, WIDEST),
    "height_px": _SIDE_PX,
    "width_px": _SIDE_PX,
    "least_probability": (0, 1),
    "least_likeness": (-1, 1),
    "distil_weight": (0, _FINITE),
    "distil_photos": (0, WIDEST),
    "head_epochs": (0, 100_000),
    "tune_learning_rate": (0, _FINITE),
    "epochs": (1, 99_999),  # five digits name a checkpoint
    "early_share": (0, 1),
    "early_height_px": _SIDE_PX,
    "early_width_px": _SIDE_PX,
    "batch_size": (2, WIDEST),  # batch normalisation has no spread to speak of in one picture
    "learning_rate": (0, _FINITE),
    "weight_decay": (0, _FINITE),
    "momentum": (0, 1),
    "warmup_share": (0, 1),
    "ema_decay": (0, 1),
    "scale": (0, _FINITE),
    "margin_rad": (0, math.pi / 2),
    "margin_warmup_share": (0, 1),
    "sub_centres": (1, 1_000),
    "class_weight_power": (0, 4),
    "triplet_margin": (0, _FINITE),
    "balance_power": (0, 1),
    "oversample_to": (0, 10_000),
    "photos_per_whale": (2, 1_000),
    "drawn_whales": (0, 2**31),  # the demo's whales have the seeds from there on
    "drawn_photos": (0, 2**31),
    "localiser_steps": (1, 2**31),
    "offline_shifts": (0, 100),
    "offline_rotations": (0, 100),
    "offline_zooms": (0, 100),
    "rotate_deg": (0, 180),
    "zoom": (0, 2),
    "shift": (0, 1),
    "shear": (0, 2),
    "bend": (0, 1),
    "light": (0, 2),
    "blur_px": (0, 100),
    "coarse": (0, 1),
    "noise": (0, 10),
    "erase": (0, 1),
    "validate_every": (1, 2**31),
    "patience": (0, 2**31),
}
"""The least and the most that each number may be."""

CHOICES: dict[str, tuple[object, ...]] = {
    "protocol": ("open-set", "closed-set", "kfold", "random", EVERYTHING),
    "whales": ("all", "first-half", "second-half"),
    "channels": (1, 3),
    "normalise": ("photo", "unit", "imagenet", "centred"),
    "pooling": ("gem", "mean", "flatten"),
    "optimizer": ("sgd", "adam", "adamw"),
    "schedule": ("cosine", "constant"),
    "loss": ("arcface", "softmax", "triplet"),
    "triplet_distance": ("euclidean", "squared"),
    "mining": ("batch-hard", "semi-hard"),
    "new_whale": ("individuals", "class", "left-out"),
    "augment": ("realtime", "offline", "none"),
}
"""The settings that are one of a few words."""
