"""A small collection and one run of it, made once for all tests that look at them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.training.small import SETTINGS, Nursery, write_whales


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
