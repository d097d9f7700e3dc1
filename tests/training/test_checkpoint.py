"""Tests of checkpoints: what is damaged is noticed, and nothing in them is ever run."""

import hashlib
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch

from flukeprint.errors import FlukeprintError
from flukeprint.training.checkpoint import drop_old, load_checkpoint, save_checkpoint


def _state(epoch: int) -> dict[str, Any]:
    return {"weights": torch.full((300,), float(epoch)), "best": {"map5": 0.5, "epoch": epoch}}


def _epochs(folder: Path) -> list[int]:
    return sorted(int(path.name.split("-")[1]) for path in folder.iterdir())


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGE = pytest.mark.parametrize("damage", [_cut, _flip, _empty])


def test_the_last_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    assert load_checkpoint(folder) == (0, None, [])
    for epoch in (1, 2):
        save_checkpoint(folder, epoch, _state(epoch))
    epoch, state, damaged = load_checkpoint(folder)
    assert (epoch, damaged) == (2, [])
    assert state is not None
    assert state["best"] == {"map5": 0.5, "epoch": 2}
    assert torch.equal(state["weights"], torch.full((300,), 2.0))


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for epoch in range(1, 13):
        save_checkpoint(tmp_path, epoch, _state(epoch))
        assert _epochs(tmp_path) == list(range(max(1, epoch - 1), epoch + 1))


@DAMAGE
def test_a_damaged_one_is_passed_over(damage: Callable[[Path], None], tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, _state(1))
    last = save_checkpoint(tmp_path, 2, _state(2))
    damage(last)
    epoch, state, damaged = load_checkpoint(tmp_path)
    assert (epoch, damaged) == (1, [last])
    assert state is not None
    assert state["best"]["epoch"] == 1


@DAMAGE
def test_a_damaged_one_never_pushes_out_a_whole_one(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    save_checkpoint(tmp_path, 1, _state(1))
    damage(save_checkpoint(tmp_path, 2, _state(2)))
    other = _state(2) | {"note": "the same epoch, but other bytes: another name"}
    save_checkpoint(tmp_path, 2, other)
    assert _epochs(tmp_path) == [1, 2]
    assert load_checkpoint(tmp_path)[2] == []


def test_all_damaged_starts_anew(tmp_path: Path) -> None:
    for epoch in (1, 2):
        save_checkpoint(tmp_path, epoch, _state(epoch))
    for path in tmp_path.iterdir():
        _flip(path)
    epoch, state, damaged = load_checkpoint(tmp_path)
    assert (epoch, state, len(damaged)) == (0, None, 2)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    for name in ("notes.txt", ".epoch-00002-0123456789abcdef.pt.abcd1234", "epoch-2.pt"):
        (tmp_path / name).write_text("mine")
    save_checkpoint(tmp_path, 1, _state(1))
    assert load_checkpoint(tmp_path)[0] == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"


class _Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.target,)


def _planted(folder: Path, data: bytes, epoch: int) -> Path:
    """Data under a name with the right hash."""
    path = folder / f"epoch-{epoch:05d}-{hashlib.sha256(data).hexdigest()[:16]}.pt"
    path.write_bytes(data)
    return path


def _by_torch(value: object) -> bytes:
    packed = io.BytesIO()
    torch.save(value, packed)
    return packed.getvalue()


@pytest.mark.parametrize("pack", [pickle.dumps, _by_torch])
def test_code_in_a_checkpoint_is_never_run(pack: Callable[[object], bytes], tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    folder = tmp_path / "checkpoints"
    save_checkpoint(folder, 1, _state(1))
    planted = _planted(folder, pack({"network": _Trap(sprung)}), 2)
    with pytest.raises(FlukeprintError, match=f"{planted.name}.*delete it"):
        load_checkpoint(folder)
    assert not sprung.exists()
    planted.unlink()
    assert load_checkpoint(folder)[0] == 1


@pytest.mark.parametrize("data", [b"not a checkpoint", _by_torch([1, 2])])
def test_a_whole_file_without_a_state_is_refused(data: bytes, tmp_path: Path) -> None:
    _planted(tmp_path, data, 3)
    with pytest.raises(FlukeprintError, match="epoch-00003"):
        load_checkpoint(tmp_path)


def test_what_a_kill_left_behind_is_dropped(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        (tmp_path / f"epoch-{epoch:05d}-{epoch:016x}.pt").touch()
    drop_old(tmp_path, 3)
    assert sorted(path.name[:11] for path in tmp_path.iterdir()) == ["epoch-00002", "epoch-00003"]
