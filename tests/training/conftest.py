"""A small collection and one run of it, made once for all tests that look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.training.small import BRIEF, SETTINGS, Nursery, write_whales

if TYPE_CHECKING:
    from torch import Tensor

    from flukeprint.training.localiser import FlukeNet


@dataclass(frozen=True)
class FinishedRun:
    """An uninterrupted run, the collection it learned from and what it reported."""

    path: Path
    data: Path
    lines: tuple[str, ...]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Two threads that wait for each other on a busy machine are many times slower than one."""
    torch = pytest.importorskip("torch", reason="training needs torch")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


@pytest.fixture(scope="session")
def finished(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    folder = tmp_path_factory.mktemp("finished")
    data = write_whales(folder / "whales", unidentified=3)
    attempt = nursery.train(data, folder / "run", SETTINGS)
    assert attempt.code == 0, attempt.lines
    return FinishedRun(folder / "run", data, tuple(attempt.lines))


@pytest.fixture(scope="session")
def teacher(finished: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the split of ``finished`` that takes every photo for a fluke, exported beside it."""
    pytest.importorskip("onnx", reason="the teacher is an exported run")
    from flukeprint.training.config import read_config
    from flukeprint.training.export import export
    from flukeprint.training.train import train

    folder = tmp_path_factory.mktemp("teacher")
    config = read_config(None, [*BRIEF, "localise=false", "drawn_whales=0"])
    train(finished.data, folder / "run", config, device="cpu")
    export(folder / "run", folder / "teacher.fluke")
    return folder / "teacher.fluke"


@pytest.fixture
def telling() -> Callable[[Tensor], FlukeNet]:
    """Make a localiser that gives these (N, 8) answers: the same at every place of a photo.

    The answers are of N photos in turn; a single one is of every photo.
    """
    import torch

    from flukeprint.training.localiser import PLACES, FlukeNet

    class Telling(FlukeNet):
        def __init__(self, answers: Tensor) -> None:
            super().__init__()
            self.answers = answers

        def forward(self, photos: Tensor) -> Tensor:
            told = self.answers.expand(max(len(photos), len(self.answers)), -1)[: len(photos)]
            return told[:, None].expand(-1, PLACES**2, -1).contiguous()

    def make(answers: Tensor) -> FlukeNet:
        return Telling(torch.as_tensor(answers).view(-1, 8)).eval()

    return make
