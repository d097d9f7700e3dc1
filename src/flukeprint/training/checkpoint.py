"""Checkpoints that say themselves whether they are whole: the file's name holds its hash."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import torch

from flukeprint.files import write_bytes

KEPT = 2
_NAME = re.compile(r"epoch-(\d{5})-([0-9a-f]{16})\.pt")


def save_checkpoint(folder: Path, epoch: int, state: dict[str, Any]) -> Path:
    """Write the state after ``epoch`` epochs and drop all but the last two."""
    packed = io.BytesIO()
    torch.save(state, packed)
    data = packed.getvalue()
    path = folder / f"epoch-{epoch:05d}-{_digest(data)}.pt"
    write_bytes(path, data)
    for old in _listed(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(folder: Path) -> tuple[int, dict[str, Any] | None, list[Path]]:
    """The last whole checkpoint as (epochs done, state), and the damaged ones passed over."""
    damaged: list[Path] = []
    for path in _listed(folder):
        data = path.read_bytes()
        match = _NAME.fullmatch(path.name)
        if match and _digest(data) == match[2]:
            state: dict[str, Any] = torch.load(
                io.BytesIO(data), map_location="cpu", weights_only=True
            )
            return int(match[1]), state, damaged
        damaged.append(path)
    return 0, None, damaged


def _listed(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if _NAME.fullmatch(p.name)), reverse=True)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
