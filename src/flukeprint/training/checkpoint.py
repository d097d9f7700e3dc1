"""Checkpoints that say themselves whether they are whole: the file's name holds its hash."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import torch

from flukeprint.errors import FlukeprintError, reason_of
from flukeprint.files import write_bytes

KEPT = 2
_NAME = re.compile(r"epoch-(\d{5})-([0-9a-f]{16})\.pt")


def save_checkpoint(folder: Path, epoch: int, state: dict[str, Any]) -> Path:
    """Write the state after ``epoch`` epochs and drop all but the last two.

    Files of this epoch and later ones that lie there already are damaged, or the run would not
    have come back to this epoch; they go, lest they push whole ones out.
    """
    packed = io.BytesIO()
    torch.save(state, packed)
    data = packed.getvalue()
    path = folder / f"epoch-{epoch:05d}-{_digest(data)}.pt"
    write_bytes(path, data)
    for other in _listed(folder):
        if _parts(other)[0] >= epoch and other != path:
            other.unlink(missing_ok=True)
    drop_old(folder, epoch)
    return path


def drop_old(folder: Path, epoch: int) -> None:
    """Of the checkpoints before ``epoch`` keep one, in case that epoch's is damaged."""
    before = [old for old in _listed(folder) if _parts(old)[0] < epoch]
    for old in before[KEPT - 1 :]:
        old.unlink(missing_ok=True)


def load_checkpoint(folder: Path) -> tuple[int, dict[str, Any] | None, list[Path]]:
    """The last whole checkpoint as (epochs done, state), and the damaged ones passed over.

    Raises:
        FlukeprintError: a file is whole and yet holds no state (nothing in it is ever run).
    """
    damaged: list[Path] = []
    for path in _listed(folder):
        data = _read(path)
        epoch, digest = _parts(path)
        if data is not None and _digest(data) == digest:
            return epoch, _unpacked(data, path), damaged
        damaged.append(path)
    return 0, None, damaged


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _unpacked(data: bytes, path: Path) -> dict[str, Any]:
    """Plain tensors and numbers, loaded without running anything."""
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle and zipfile raise their own kinds
        raise FlukeprintError(
            f"{path}: not a checkpoint of flukeprint's, or one of another torch; delete it to go "
            f"on from the one before: {reason_of(error)}"
        ) from None
    if not isinstance(state, dict):
        raise FlukeprintError(f"{path}: holds no training state; delete it to use the one before")
    return state


def _parts(path: Path) -> tuple[int, str]:
    """The epoch and the hash in a checkpoint's name."""
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1]), match[2]


def _listed(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if _NAME.fullmatch(p.name)), reverse=True)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
