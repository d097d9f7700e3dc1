"""How the library tells of its progress without knowing who shows it."""

from __future__ import annotations

from collections.abc import Callable

Step = Callable[[int], object]
"""Called with how many things were just done."""

Progress = Callable[[str, int], Step]
"""Called with a stage's name and size; gives back what is to be called with each step done."""


def no_progress(stage: str, size: int) -> Step:
    """The :data:`Progress` that shows nothing."""
    return lambda step: None
