"""Tables as the benchmarks write them."""

from __future__ import annotations

from collections.abc import Sequence


def table_text(rows: Sequence[dict[str, str]]) -> str:
    """The rows as a Markdown table; "-" where a row lacks a column that a later one has."""
    columns = list(dict.fromkeys(column for row in rows[::-1] for column in row))
    lines = [columns, ["---"] * len(columns), *([row.get(c, "-") for c in columns] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
