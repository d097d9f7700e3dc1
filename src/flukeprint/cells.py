"""Cells of CSV files that a spreadsheet shows and does not run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

# What a spreadsheet may take for a formula, the full-width signs too (OWASP, "CSV Injection").
FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n", "'")

Cell = str | int | float | None
"""None is an empty cell."""


def guard(cell: str) -> str:
    """Put an apostrophe before a cell that a spreadsheet would run as a formula."""
    # A spreadsheet may drop the white space before a formula.
    risky = cell.startswith(FORMULA_STARTS) or cell.lstrip().startswith(FORMULA_STARTS)
    return f"'{cell}" if risky else cell


def unguard(cell: str) -> str:
    """Undo :func:`guard`."""
    return cell[1:] if cell.startswith("'") and guard(cell[1:]) == cell else cell


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> tuple[str, int]:
    """A CSV file's text, and how many of its cells got an apostrophe (:func:`guard`).

    Source: RFC 4180, with lines that end in one line feed. Text is always quoted: a spreadsheet
    that splits at ";" must not find a formula inside a cell. Numbers are not: they are ours.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    changed = 0
    for row in (header, *rows):
        filled = ["" if cell is None else cell for cell in row]
        safe = [guard(cell) if isinstance(cell, str) else cell for cell in filled]
        changed += sum(one != other for one, other in zip(filled, safe, strict=True))
        writer.writerow(safe)
    return text.getvalue(), changed
