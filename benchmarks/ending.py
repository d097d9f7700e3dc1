"""How a benchmark that cannot do its work ends."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from flukeprint.errors import FlukeprintError


@contextmanager
def plain_errors(parser: argparse.ArgumentParser) -> Iterator[None]:
    """What a user can mend ends the program with one line on stderr and exit code 2."""
    try:
        yield
    except FlukeprintError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
