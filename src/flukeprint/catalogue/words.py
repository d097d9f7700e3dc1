"""Effects in words: a line for each cell, made from what is written and from nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import cache

import flukeprint.catalogue.state as state
from flukeprint.catalogue.log import Effect, Key, Value
from flukeprint.records import NEW_WHALE
from flukeprint.wording import terminal_line

PLAIN = {"state", "box", "name", *state.FACTS}


def lines(
    link: sqlite3.Connection, effects: list[Effect], name: Callable[[int], str]
) -> tuple[str, ...]:
    """A line for each effect; ``name`` says how an individual is called."""
    photo = cache(lambda number: state.photo_words(link, number))
    return tuple(
        line(effect.key, effect.before.value, effect.after.value, name, photo) for effect in effects
    )


def line(
    key: Key,
    before: Value,
    after: Value,
    name: Callable[[int], str],
    photo: Callable[[int], str],
) -> str:
    """What became of a cell; ``name`` and ``photo`` say how individuals and photos are called.

    So is told, too, that a ``photo`` came, or a ``file`` of it.
    """
    subject = name(key.subject) if key.kind == "i" else photo(key.subject)
    if key.field == "individual":
        what = f"{_whale(before, name)} -> {_whale(after, name)}"
    elif key.field in PLAIN:
        what = f"{key.field} {_word(before)} -> {_word(after)}"
    elif key.field == "alive":
        what = "comes into being" if after else "is no more"
    elif key.field == "merged into":
        into = after if after is not None else before
        what = f"{'' if after is not None else 'no longer '}merged into {_whale(into, name)}"
    elif key.field == state.UNNAMED:
        what = f"{'' if after else 'no longer noted: '}imported as {NEW_WHALE}"
    elif key.field in ("label", "not"):
        words = "imported as" if key.field == "label" else "is not"
        assert isinstance(key.item, int)
        what = f"{'' if after else 'no longer noted: '}{words} {name(key.item)}"
    elif key.field == "alias":
        what = f"{'also' if after else 'no longer'} known as {key.item}"
    elif key.field == "photo":
        what = "comes into the catalogue"
    elif key.field == "file":
        what = f"found at {terminal_line(str(key.item))}"
    else:  # other date, other place ...: told apart by its item
        what = f"{key.field} {key.item}: {_word(before)} -> {_word(after)}"
    return f"{subject}: {what}"


def _word(value: Value) -> str:
    return "none" if value is None else str(value)


def _whale(value: Value, name: Callable[[int], str]) -> str:
    return name(value) if isinstance(value, int) else "unidentified"
