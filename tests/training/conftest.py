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
