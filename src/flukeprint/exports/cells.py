"""CSV files that a spreadsheet shows and does not run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from flukeprint.exports.exporting import counted
from flukeprint.files import write_text
from flukeprint.tables import guard

Cell = str | int | float


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> tuple[str, int]:
    """A CSV file's text, and how many of its cells got an apostrophe (``tables.guard``).

    Source: RFC 4180, with lines that end in one line feed. Text is always quoted: a spreadsheet
    that splits at ";" must not find a formula inside a cell. Numbers are not: they are ours.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    changed = 0
    for row in (header, *rows):
        safe = [guard(cell) if isinstance(cell, str) else cell for cell in row]
        changed += sum(one != other for one, other in zip(row, safe, strict=True))
        writer.writerow(safe)
    return text.getvalue(), changed


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
    return [f"{where}: {counted(changed, 'cell')} {begin} with ' lest a spreadsheet runs them"]
