"""A passage's text as blocks to show, with the quoted words marked.

Documents are stored Markdown-like, and a quotation is a range of their characters. Rendering them as Markdown would
lose the range, and take what is no markup for it; so a page shows the text itself: code as code, headings, items and
tables as such, nothing added and nothing left out.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

FENCE = re.compile(r"^\s*(?:```|~~~)")
HEADING = re.compile(r"^(#{1,6}) +")
ITEM = re.compile(r"^( *)([-*+•]|\d{1,3}[.)]) +(?=\S)")
TABLE = re.compile(r"^\s*\|.*\|\s*$")
TABLE_RULE = re.compile(r"^[\s|:-]+$")
BAR = re.compile(r"(?<!\\)\|")
LABEL = re.compile(r"\s*\*\*([^*\n]+)\*\*")  # as of a note, where a block begins
CODE = re.compile(r"(?<!`)(`++)(.+?)\1", re.DOTALL)
DEEPEST = 3

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Piece:
    """Characters in a row that look alike: as "code", as a "label", or like the rest."""

    text: str
    is_quoted: bool
    look: str


@dataclass(frozen=True, slots=True)
class ShownBlock:
    """A paragraph, heading, code block, item of a list or table: `kind` is "text", "heading", "code", "item", "table".

    An item has the sign or number that it begins with and how `deep` it stands in other items; a table has the pieces
    of each cell by row, of which the first is its header if it `has_header`.
    """

    kind: str
    pieces: tuple[Piece, ...]
    sign: str = ""
    deep: int = 0
    rows: tuple[tuple[tuple[Piece, ...], ...], ...] = ()
    has_header: bool = False

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


def shown_blocks(text: str, quoted: Sequence[Range] = ()) -> list[ShownBlock]:
    """Return the text's blocks; `quoted` are the ranges of characters to mark."""
    blocks = []
    for kind, first, last in _block_ranges(text):
        if kind == "table":
            blocks.append(_table(text, first, last, quoted=quoted))
        elif kind == "item":
            sign = ITEM.match(text[first:last])
            assert sign  # noqa: S101 - that is what made it one
            pieces = _pieces(text, first + sign.end(), last, quoted=quoted, kind=kind)
            deep = min(len(sign[1]) // 2, DEEPEST)
            blocks.append(ShownBlock(kind, pieces, sign=sign[2], deep=deep))
        else:
            pieces = _pieces(text, first, last, quoted=quoted, kind=kind)
            blocks.append(ShownBlock(kind, pieces))
    return blocks


def _block_ranges(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield kind, start and end of each block; fences and heading signs are outside."""
    position, begin, kind = 0, None, "text"
    for line in text.splitlines(keepends=True):
        stop = position + len(line)
        starts = "fence" if FENCE.match(line) else "code" if kind == "code" else _kind_of(line)
        if begin is not None and _ends(kind, starts):
            yield kind, begin, position
            begin = None
        if starts == "fence":
            kind = "text" if kind == "code" else "code"
        elif starts == "heading":
            yield "heading", position + len(line) - len(HEADING.sub("", line)), stop
        elif begin is None and line.strip():
            begin, kind = position, starts
        position = stop
    if begin is not None:
        yield kind, begin, position


def _kind_of(line: str) -> str:
    signs = (("heading", HEADING), ("item", ITEM), ("table", TABLE))
    return next((kind for kind, sign in signs if sign.match(line)), "text" if line.strip() else "")


def _ends(kind: str, starts: str) -> bool:
    """Does what a line starts end the block above it? One without a sign goes on with it, but for a table."""
    if kind in ("code", "table"):
        return starts != kind
    return starts != "text"


def _table(text: str, first: int, last: int, *, quoted: Sequence[Range]) -> ShownBlock:
    rows: list[tuple[tuple[Piece, ...], ...]] = []
    has_header = False
    stop = first
    for line in text[first:last].splitlines(keepends=True):
        start, stop = stop, stop + len(line)
        if TABLE_RULE.match(line):
            has_header = has_header or len(rows) == 1
            continue
        bars = [bar.start() for bar in BAR.finditer(text, start, stop)]
        cells = itertools.pairwise(bars)
        rows.append(tuple(_pieces(text, a + 1, b, quoted=quoted, kind="cell") for a, b in cells))
    pieces = tuple(piece for row in rows for cell in row for piece in cell)
    return ShownBlock("table", pieces, rows=tuple(rows), has_header=has_header)


def _pieces(
    text: str, first: int, last: int, *, quoted: Sequence[Range], kind: str
) -> tuple[Piece, ...]:
    """Return the range as pieces that are wholly quoted or not at all."""
    pieces = []
    for begin, stop, look in _looks(text, first, last, kind=kind):
        inner = {edge for each in quoted for edge in each if begin < edge < stop}
        for a, b in itertools.pairwise(sorted({begin, stop, *inner})):
            words = text[a:b].replace("\\|", "|") if kind == "cell" else text[a:b]
            is_quoted = any(start <= a and b <= end for start, end in quoted)
            pieces.append(Piece(words, is_quoted, look))
    return tuple(pieces)


def _looks(text: str, first: int, last: int, *, kind: str) -> Iterator[tuple[int, int, str]]:
    """Yield the ranges within a block, each with its look; the signs around code and labels are outside."""
    position = first
    if kind == "code":
        yield first, last, ""
        return
    label = LABEL.match(text, first, last)
    if label:
        yield label.start(1), label.end(1), "label"
        position = label.end()
    for match in CODE.finditer(text, position, last):
        yield position, match.start(), ""
        yield match.start(2), match.end(2), "code"
        position = match.end()
    yield position, last, ""
