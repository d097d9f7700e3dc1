"""Text for people: counts with their nouns, shares they can trust, names without tricks."""

from __future__ import annotations

import os
import re
import shlex

# Lone surrogates cannot be written as UTF-8; control characters and those that turn the reading
# direction around can make a name look like another one.
_UNPRINTABLE = re.compile(
    "[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


WINDOWS = os.name == "nt"


def printable(text: str) -> str:
    """``text`` with lone surrogates, control and direction characters replaced by U+FFFD."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def terminal_line(text: str) -> str:
    """``text`` as one line, without what a terminal takes for a command."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def one_line(text: str, most: int = 60) -> str:
    """``text`` printable, on one line, its middle left out where it is over ``most`` characters."""
    line = " ".join(printable(" ".join(text.split())).split())
    if len(line) <= most:
        return line
    tail = (most - 1) // 2
    return f"{line[: most - 1 - tail]}\N{HORIZONTAL ELLIPSIS}{line[len(line) - tail :]}"


def number(count: float) -> str:
    """A count with its thousands set apart: 8,350."""
    return f"{count:,}"


def percent(part: float, whole: float) -> str:
    """``part`` of ``whole`` in words a reader can trust: never "0 %" for something, nor "100 %"
    for less than all."""
    if whole <= 0:
        return "0 %"
    share = 100 * part / whole
    if 0 < share < 1:
        return "under 0.1 %" if share < 0.1 else f"{share:.1f} %"
    if 99 < share < 100:
        return "over 99.9 %" if share > 99.9 else f"{share:.1f} %"
    return f"{share:.0f} %"


def plural(count: int, word: str, words: str = "") -> str:
    """``count`` and its noun: "1 whale", "2,220 whales"."""
    return f"{count:,} {word if count == 1 else words or word + 's'}"


def command_text(*words: str) -> str:
    """A command as it can be pasted into the system's shell."""
    if WINDOWS:
        import subprocess  # which nobody else waits for

        return subprocess.list2cmdline(words)
    return shlex.join(words)
