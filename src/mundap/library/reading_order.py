"""The order in which people read a collection's pages: numbers by value, and a folder's opening page first."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"(\d+)")
_OPENING = re.compile(r"(?:index|readme)(?:\.\w+)?")

Place = tuple[tuple[int, tuple[str | int, ...]], ...]


def place_of(path: str) -> Place:
    """Return what paths are sorted by: `2.md` stands before `10.md`, and `index.md` before what lies beside it."""
    return tuple(
        (0 if _OPENING.fullmatch(name) else 1, _natural(name)) for name in path.lower().split("/")
    )


def _natural(name: str) -> tuple[str | int, ...]:
    """Return texts and numbers in turn, a text first, so that any two can be compared."""
    return tuple(int(part) if place % 2 else part for place, part in enumerate(_NUMBER.split(name)))
