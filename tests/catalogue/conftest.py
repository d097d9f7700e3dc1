"""A small catalogue for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flukeprint.catalogue import Catalogue
from tests.catalogue.small import small


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Catalogue]:
    """Photos 1 and 2 of A, 3 of B, 4 and 5 unidentified; see :func:`small`."""
    with small(tmp_path / "whales.fpc") as catalogue:
        yield catalogue
