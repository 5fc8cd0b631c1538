"""A passage's text as blocks to show, with the quoted words marked.

Documents are stored Markdown-like, and a quotation is a range of their characters. Rendering them as Markdown would
lose the range, so a page shows the text itself: code as code, headings as headings, nothing added and nothing left out.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

FENCE = re.compile(r"^\s*(?:```|~~~)")
HEADING = re.compile(r"^(#{1,6}) +")
CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Piece:
    """Characters in a row that look alike."""

    text: str
    is_quoted: bool
    is_code: bool


@dataclass(frozen=True, slots=True)
class ShownBlock:
    """A paragraph, heading or code block: `kind` is "text", "heading" or "code"."""

    kind: str
    pieces: tuple[Piece, ...]

    @property
    def is_quoted(self) -> bool:
        """Does it hold any of the quoted words?"""
        return any(piece.is_quoted for piece in self.pieces)


def find_quote(text: str, quote: str) -> Range | None:
    """Return where the quote stands in the text, whatever its white space and ellipses, or None."""
    parts = [re.escape(word) for word in re.sub(r"…|\.\.\.", " ", quote).split()]
    if not parts:
        return None
    match = re.search(r"[\s…]+".join(parts), text)
    return match.span() if match else None


def shown_blocks(text: str, quoted: Sequence[Range]) -> list[ShownBlock]:
    """Return the text's blocks; `quoted` are the ranges of characters to mark."""
    blocks = []
    for kind, first, last in _block_ranges(text):
        pieces = []
        for begin, stop, is_code in _code_ranges(text, first, last, kind=kind):
            pieces += _cut(text, begin, stop, quoted=quoted, is_code=is_code)
        blocks.append(ShownBlock(kind, tuple(pieces)))
    return blocks


def _block_ranges(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield kind, start and end of each block; fences and heading signs are outside."""
    position, begin, kind = 0, None, "text"
    for line in text.splitlines(keepends=True):
        stop = position + len(line)
        heading = HEADING.match(line) if kind != "code" else None
        is_fence = bool(FENCE.match(line))
        if begin is not None and (is_fence or (kind == "text" and (heading or not line.strip()))):
            yield kind, begin, position
            begin = None
        if is_fence:
            kind = "text" if kind == "code" else "code"
        elif heading:
            yield "heading", position + heading.end(), stop
        elif begin is None and line.strip():
            begin = position
        position = stop
    if begin is not None:
        yield kind, begin, position


def _code_ranges(text: str, first: int, last: int, *, kind: str) -> Iterator[tuple[int, int, bool]]:
    """Yield the ranges within a block, and whether each is `code` within a sentence."""
    position = first
    if kind != "code":
        for match in CODE.finditer(text, first, last):
            yield position, match.start(), False
            yield match.start(2), match.end(2), True
            position = match.end()
    yield position, last, False


def _cut(
    text: str, begin: int, stop: int, *, quoted: Sequence[Range], is_code: bool
) -> list[Piece]:
    """Return the range as pieces that are wholly quoted or not at all."""
    inner = {edge for each in quoted for edge in each if begin < edge < stop}
    return [
        Piece(text[a:b], any(start <= a and b <= end for start, end in quoted), is_code)
        for a, b in itertools.pairwise(sorted({begin, stop, *inner}))
    ]
