"""CSV files, with a line where a cell was changed lest a spreadsheet runs it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from flukeprint.cells import Cell, csv_text
from flukeprint.files import write_text
from flukeprint.wording import plural


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> list[str]:
    """Write a CSV file; returns a line where cells got an apostrophe.

    Raises:
        FlukeprintError: the file cannot be written.
    """
    text, changed = csv_text(header, rows)
    write_text(path, text)
    return apostrophes(changed, path.name)


def apostrophes(changed: int, where: str) -> list[str]:
    """A line on cells that got an apostrophe; none if there are none."""
    if not changed:
        return []
    begin = "begins" if changed == 1 else "begin"
    return [f"{where}: {plural(changed, 'cell')} {begin} with ' lest a spreadsheet runs them"]
