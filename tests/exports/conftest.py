"""A small catalogue for tests that need a real one."""

from tests.catalogue.conftest import book

__all__ = ["book"]
