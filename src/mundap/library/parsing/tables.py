"""Tables as text, alike in every format."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_SPAN = 100
MAX_CELLS = 500_000
# A longer cell is not repeated: tables inside tables would grow without end.
MAX_REPEATED = 500


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's text, and how many rows and columns it covers."""

    text: str
    rows: int = 1
    columns: int = 1


def spread(rows: Iterable[Sequence[Cell]]) -> list[list[str]]:
    """Return rows in which a cell that covers several rows is repeated, so that each row reads alone."""
    found: list[list[str]] = []
    covered: dict[int, tuple[str, int]] = {}  # column → text, rows still to come
    for row in rows:
        shown: list[str] = []
        waiting = deque(row)
        while waiting or len(shown) in covered:
            column = len(shown)
            if column in covered:
                text, left = covered.pop(column)
                if left > 1:
                    covered[column] = (text, left - 1)
                shown.append(text)
                continue
            cell = waiting.popleft()
            for place in range(column, column + min(cell.columns, MAX_SPAN)):
                if cell.rows > 1:
                    repeated = cell.text if len(cell.text) <= MAX_REPEATED else ""
                    covered[place] = (repeated, min(cell.rows, MAX_SPAN) - 1)
                shown.append(cell.text if place == column else "")
        found.append(shown)
    return found


def table_text(rows: Sequence[Sequence[str]], *, has_header: bool) -> str:
    """Return rows of cells as a Markdown table, a row a line."""
    width = max((len(row) for row in rows), default=0)
    if not width:
        return ""
    cells = [[" ".join(text.split()).replace("|", "\\|") for text in row] for row in rows]
    # A single row of thousands of cells must not make every other one as wide.
    filled = width if width * len(rows) <= MAX_CELLS else 0
    shown = ["| " + " | ".join([*row, *[""] * (filled - len(row))]) + " |" for row in cells]
    rule = "|" + " --- |" * width
    if has_header:
        return "\n".join([shown[0], rule, *shown[1:]])
    return "\n".join(["|" + "  |" * width, rule, *shown])
