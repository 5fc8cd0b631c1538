"""Tables as text, alike in every format."""

from __future__ import annotations

from collections.abc import Sequence


def table_text(rows: Sequence[Sequence[str]], *, has_header: bool) -> str:
    """Return rows of cells as a Markdown table, a row a line."""
    width = max((len(row) for row in rows), default=0)
    if not width:
        return ""
    shown = ["| " + " | ".join([*row, *[""] * (width - len(row))]) + " |" for row in rows]
    rule = "|" + " --- |" * width
    if has_header:
        return "\n".join([shown[0], rule, *shown[1:]])
    return "\n".join(["|" + "  |" * width, rule, *shown])
