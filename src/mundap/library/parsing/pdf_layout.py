"""The lines of a PDF's pages in reading order: columns one after the other, running heads and page numbers left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from mundap.library.parsing.links import LinkMarks
from mundap.library.parsing.pdf_words import PdfPage, Word

# Words further apart than this many font sizes do not follow each other: a column or a table's cell begins.
_CELL_GAP = 1.2
# The part of a page at its top and bottom where running heads and page numbers stand.
_MARGIN = 0.12
_MIN_REPEATED = 3
_LEADERS = re.compile(r"(?:[.·…]\s?){5,}\s*(?:\d+|[ivxlc]+)?$")
# A column of text is at least this wide, and its lines fill at least this much of it; a table's cells do not.
_MIN_COLUMN_SHARE = 0.25
_MIN_FILLED = 0.55
_MIN_COLUMN_LINES = 4
_MIN_COLUMN_CHARACTERS = 16
_MAX_CROSSING = 0.3
_MIN_GUTTER = 6.0


@dataclass(slots=True)
class Segment:
    """Words that follow each other on one line."""

    words: list[Word]
    x0: float = 0.0
    x1: float = 0.0
    y0: float = 0.0
    y1: float = 0.0

    def __post_init__(self) -> None:
        self.x0, self.x1 = self.words[0].x0, max(word.x1 for word in self.words)
        self.y0 = min(word.y0 for word in self.words)
        self.y1 = max(word.y1 for word in self.words)

    @property
    def length(self) -> int:
        """Return how many characters the words have."""
        return sum(len(word.text) + 1 for word in self.words)

    def text(self, links: LinkMarks) -> str:
        """Return the words, those of a link marked."""
        parts: list[str] = []
        run: list[str] = []
        target = ""
        for word in [*self.words, None]:
            if word is None or word.link != target:
                shown = " ".join(run)
                parts.append(links.marked(shown, target) if target else shown)
                run, target = [], word.link if word else ""
            if word is not None:
                run.append(word.text)
        return " ".join(part for part in parts if part)


@dataclass(slots=True)
class Line:
    """A line: one segment, or the cells of a table's row. `column` is the left and right end of its column."""

    cells: list[Segment]
    column: tuple[float, float]
    size: float = 0.0
    is_bold: bool = False
    is_mono: bool = False
    words: list[Word] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.words = [word for cell in self.cells for word in cell.words]
        # The size of most letters, and not that of a first letter or a raised number.
        sizes: Counter[float] = Counter()
        for word in self.words:
            sizes[word.size] += len(word.text)
        self.size = sizes.most_common(1)[0][0]
        letters = sum(sizes.values())
        self.is_bold = sum(len(word.text) for word in self.words if word.is_bold) > letters * 0.8
        self.is_mono = sum(len(word.text) for word in self.words if word.is_mono) > letters * 0.8

    @property
    def x0(self) -> float:
        """Return the left end."""
        return self.cells[0].x0

    @property
    def x1(self) -> float:
        """Return the right end."""
        return self.cells[-1].x1

    @property
    def y(self) -> float:
        """Return the height of the line's middle."""
        return median(word.middle for word in self.words)

    @property
    def plain(self) -> str:
        """Return the words without links."""
        return " ".join(word.text for word in self.words)


def lines_of(page: PdfPage) -> list[Line]:
    """Return a page's lines in reading order."""
    return [line for block in _columns(_segments(page.words)) for line in _rows(block)]


def _segments(words: Sequence[Word]) -> list[Segment]:
    """Return runs of words that stand on one line without a gap."""
    found: list[Segment] = []
    run: list[Word] = []
    for word in words:
        if run and not _follows(run[-1], word):
            found.append(Segment(run))
            run = []
        run.append(word)
    if run:
        found.append(Segment(run))
    return found


def _follows(before: Word, word: Word) -> bool:
    size = max(before.size, word.size, 1.0)
    is_level = abs(before.middle - word.middle) < size * 0.6
    return is_level and -size * 0.6 < word.x0 - before.x1 < size * _CELL_GAP


def _columns(segments: list[Segment], *, depth: int = 0) -> Iterator[list[Segment]]:
    """Yield groups of segments in reading order, each within one column."""
    gutter = _gutter(segments) if depth < 4 else None
    if gutter is None:
        if segments:
            yield segments
        return
    band: list[Segment] = []
    for segment in sorted(segments, key=lambda each: -each.y1):
        if segment.x0 < gutter < segment.x1:
            yield from _band(band, gutter, depth)
            yield [segment]
            band = []
        else:
            band.append(segment)
    yield from _band(band, gutter, depth)


def _band(segments: list[Segment], gutter: float, depth: int) -> Iterator[list[Segment]]:
    """Yield what stands between two lines that cross the gutter: its columns, unless it is a table there."""
    left = [each for each in segments if each.x1 <= gutter]
    right = [each for each in segments if each.x0 >= gutter]
    if _is_text(left) or _is_text(right) or not (left and right):
        yield from _columns(left, depth=depth + 1)
        yield from _columns(right, depth=depth + 1)
    else:
        yield segments


def _gutter(segments: Sequence[Segment], *, depth: int = 0) -> float | None:
    """Return the middle of the clearest gap between two columns of text, or None."""
    if depth > 1 or len(segments) < 2 * _MIN_COLUMN_LINES:
        return None
    first, last = min(each.x0 for each in segments), max(each.x1 for each in segments)
    width = last - first
    candidates: list[tuple[int, float, float]] = []
    ends = sorted({round(each.x1, 1) for each in segments})
    for end in _thinned([end for end in ends if width * 0.2 < end - first < width * 0.8]):
        gap = min((each.x0 for each in segments if each.x0 > end), default=end) - end
        middle = end + min(gap, 20.0) / 2
        crossing = sum(each.x0 < middle < each.x1 for each in segments)
        if gap >= _MIN_GUTTER and crossing <= len(segments) * _MAX_CROSSING:
            candidates.append((crossing, -gap, middle))
    likeliest = sorted(candidates)[:4]
    return next(
        (middle for *_, middle in likeliest if _separates(segments, middle, width, depth)), None
    )


def _thinned(values: Sequence[float]) -> list[float]:
    """Return the last of values that lie close together, at most a hundred of them."""
    kept = [value for value, after in pairwise([*values, float("inf")]) if after - value > 2]
    return kept[:: len(kept) // 100 + 1]


def _separates(segments: Sequence[Segment], gutter: float, width: float, depth: int) -> bool:
    left = [each for each in segments if each.x1 <= gutter]
    right = [each for each in segments if each.x0 >= gutter]
    return all(
        side
        and _width(side) >= width * _MIN_COLUMN_SHARE
        and (_is_text(side) or _gutter(side, depth=depth + 1) is not None)
        for side in (left, right)
    )


def _is_text(side: Sequence[Segment]) -> bool:
    """Return whether these are lines of text that fill a column, and not a table's short cells."""
    if len(side) < _MIN_COLUMN_LINES:
        return False
    filled = median(each.x1 - each.x0 for each in side) >= _width(side) * _MIN_FILLED
    return filled and median(each.length for each in side) >= _MIN_COLUMN_CHARACTERS


def _width(side: Sequence[Segment]) -> float:
    return max(each.x1 for each in side) - min(each.x0 for each in side)


def _rows(segments: list[Segment]) -> Iterator[Line]:
    """Yield a column's lines from top to bottom, segments at one height as one line."""
    column = (min(each.x0 for each in segments), max(each.x1 for each in segments))
    row: list[Segment] = []
    for segment in sorted(segments, key=lambda each: (-(each.y0 + each.y1), each.x0)):
        if row and not _is_level(row[0], segment):
            yield Line(sorted(row, key=lambda each: each.x0), column)
            row = []
        row.append(segment)
    if row:
        yield Line(sorted(row, key=lambda each: each.x0), column)


def _is_level(one: Segment, other: Segment) -> bool:
    overlap = min(one.y1, other.y1) - max(one.y0, other.y0)
    return overlap > 0.5 * min(one.y1 - one.y0, other.y1 - other.y0)


def without_furniture(pages: Iterable[tuple[PdfPage, list[Line]]]) -> list[tuple[int, list[Line]]]:
    """Return the pages' numbers and lines without running heads, page numbers and lines of contents."""
    kept = list(pages)
    edges = [(page, _edges(page, lines)) for page, lines in kept]
    repeated = Counter(_key(line) for _page, lines in edges for line in lines)
    offsets = Counter(
        each for page, lines in edges for line in lines for each in _offsets(page, line)
    )
    numbered = {offset for offset, times in offsets.items() if times >= _MIN_REPEATED}
    found = []
    for (page, lines), (_page, edge) in zip(kept, edges, strict=True):
        dropped = {
            id(line)
            for line in edge
            if repeated[_key(line)] >= _MIN_REPEATED
            or not numbered.isdisjoint(_offsets(page, line))
        }
        shown = [
            line
            for line in lines
            if id(line) not in dropped and not _LEADERS.search(line.plain[-200:])
        ]
        found.append((page.number, shown))
    return found


def _edges(page: PdfPage, lines: Sequence[Line]) -> list[Line]:
    """Return the lines in a page's margins, and the first and last ones wherever they stand."""
    heights = [line.y for line in lines]
    margin = page.height * _MARGIN
    return [
        line
        for line, y in zip(lines, heights, strict=True)
        if not margin < y < page.height - margin or y in {min(heights), max(heights)}
    ]


def _offsets(page: PdfPage, line: Line) -> set[int]:
    """Return how far the numbers at the line's ends are from the page's place in the file."""
    if len(line.words) > 20:
        return set()
    numbers = {_number(line.words[0].text), _number(line.words[-1].text)}
    return {number - page.number for number in numbers if number is not None}


def _number(word: str) -> int | None:
    match = re.fullmatch(r"[-–—(\[]?(\d{1,4})[-–—)\]쪽]?", word)
    return int(match[1]) if match else None


def _key(line: Line) -> tuple[str, int]:
    """Return what a running head is known by: its words without numbers, and its height."""
    return re.sub(r"\d+|\b[ivxl]+\b", "#", line.plain[:200]), round(line.y / 6)
