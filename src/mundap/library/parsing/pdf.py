"""PDF: text in reading order, headings by the outline or by size, pages as anchors (`page=12`).

PDFium reads the file (`pdf_words.py`); lines and columns are ours (`pdf_layout.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mundap.library.parsing.links import LinkMarks
from mundap.library.parsing.page import (
    MAX_HEADING,
    Kind,
    Page,
    PageContext,
    PageWriter,
    UnreadablePage,
)
from mundap.library.parsing.pdf_layout import Line, lines_of, without_furniture
from mundap.library.parsing.pdf_words import HYPHEN, OutlineEntry, open_pdf, outline, read_pages
from mundap.library.parsing.tables import table_text

VERSION = 1
SUFFIXES = (".pdf",)

MAX_HEADING_LEVELS = 4
_MAX_HEADING = 160
_MAX_LABEL = 80
_LARGER = 1.12
_MAX_CELLS = 12
_ITEM = re.compile(r"(?:[•●◦▪■□○–*∙·‣]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+\S")
_BULLET = re.compile(r"^[•●◦▪■□○∙·‣]\s*")
_UNSPACED = re.compile("[\u3000-\u30ff\u4e00-\u9fff\uff00-\uffef]")  # Chinese and Japanese
_SENTENCE_END = (".", "!", "?", ":", "。", "다", "”", '"', ")")


def recognises(data: bytes) -> bool:
    """Return whether this is a PDF, whatever its name."""
    return data.startswith(b"%PDF-") or b"\n%PDF-" in data[:1024]


def parse_bytes(data: bytes, context: PageContext) -> Page:
    """Return the document's text; a section that goes on over pages has the anchor of each."""
    document = open_pdf(data)
    try:
        entries = outline(document)
        pages = without_furniture((page, lines_of(page)) for page in read_pages(document))
        title = " ".join(str(document.get_metadata_value("Title") or "").split())
    finally:
        document.close()
    if (
        sum(len(word.text) for _number, lines in pages for line in lines for word in line.words)
        < 10
    ):
        raise UnreadablePage(
            "The PDF has no text, only pictures of it: it needs OCR (text recognition) first."
        )
    writer = _Writer(pages, entries, LinkMarks(context.url))
    return writer.write("" if _is_file_name(title) else title)


def _is_file_name(title: str) -> bool:
    """Return whether a program has put the name of its own file there."""
    return bool(re.search(r"\.(?:docx?|tex|dvi|indd|qxd|pptx?|hwpx?|rtf|txt|pdf)$", title)) or (
        title.lower() in {"untitled", "(anonymous)", "title"}
    )


@dataclass(slots=True)
class _Paragraph:
    """Lines that belong together."""

    kind: Kind
    lines: list[Line]
    page: int
    level: int = 0
    cells: list[Sequence[str]] = field(default_factory=list)


class _Writer:
    """Writes a document's pages, once all of them are known."""

    def __init__(
        self, pages: list[tuple[int, list[Line]]], entries: list[OutlineEntry], links: LinkMarks
    ) -> None:
        self._pages = pages
        self._links = links
        self._writer = PageWriter(links)
        self._last = Kind.TEXT
        self._title = ""
        sizes: Counter[float] = Counter()
        for line in (line for _number, lines in pages for line in lines):
            sizes[line.size] += len(line.plain)
        self._body = sizes.most_common(1)[0][0]
        every = [line for _number, lines in pages for line in lines]
        self._is_bold = sum(line.is_bold for line in every) > len(every) / 3
        # A handful of entries are chapters; headings below them are known by their size.
        self._entries: dict[int, dict[str, int]] = {}
        for entry in entries:
            self._entries.setdefault(entry.page, {})[_bare(entry.title)] = entry.level
        larger = sorted((size for size in sizes if size >= self._body * _LARGER), reverse=True)
        self._levels = {
            size: min(level, MAX_HEADING_LEVELS) for level, size in enumerate(larger, 1)
        }
        self._words = {
            word.text.strip(".,;:()").lower()
            for _number, lines in pages
            for line in lines
            for word in line.words
            if "-" in word.text[1:-1]
        }

    def write(self, title: str) -> Page:
        """Return the page."""
        waiting: _Paragraph | None = None
        anchor = 0
        for number, lines in self._pages:
            for paragraph in self._paragraphs(number, lines):
                if waiting is not None and self._goes_on(waiting, paragraph):
                    waiting.lines.extend(paragraph.lines)
                    continue
                if waiting is not None:
                    anchor = self._put(waiting, anchor)
                waiting = paragraph
        if waiting is not None:
            self._put(waiting, anchor)
        page = self._writer.finish(title)
        return Page(title or self._title, page.text, page.sections, page.links)

    def _put(self, paragraph: _Paragraph, anchor: int) -> int:
        """Write a paragraph at its page; return that page."""
        if paragraph.level:
            text = self._joined(paragraph.lines)
            self._writer.heading(text, level=paragraph.level, anchor=f"page={paragraph.page}")
            self._last = Kind.TEXT
            if paragraph.level <= MAX_HEADING_LEVELS:
                self._title = self._title or text[:MAX_HEADING]
            return paragraph.page
        if paragraph.page != anchor:
            self._writer.place(f"page={paragraph.page}")
        if paragraph.kind == Kind.CODE:
            self._writer.block(_code(paragraph.lines), kind=Kind.CODE)
        elif paragraph.kind == Kind.TABLE:
            self._writer.block(table_text(paragraph.cells, has_header=True), kind=Kind.TABLE)
        elif paragraph.kind == Kind.LIST:
            text = _BULLET.sub("- ", self._joined(paragraph.lines))
            self._writer.block(text, kind=Kind.LIST, is_tight=self._last == Kind.LIST)
        else:
            self._writer.block(self._joined(paragraph.lines))
        self._last = paragraph.kind
        return paragraph.page

    def _goes_on(self, before: _Paragraph, after: _Paragraph) -> bool:
        """Return whether a paragraph was only interrupted by the end of a page or column."""
        is_text = before.kind in {Kind.TEXT, Kind.LIST} and after.kind == Kind.TEXT
        if not is_text or before.level or after.level:
            return False
        text, first = before.lines[-1].plain, after.lines[0].plain
        is_open = not text.endswith(_SENTENCE_END)
        has_moved = before.page != after.page or before.lines[-1].column != after.lines[0].column
        return has_moved and is_open and (first[:1].islower() or text.endswith((HYPHEN, "-", ",")))

    def _paragraphs(self, number: int, lines: Sequence[Line]) -> Iterator[_Paragraph]:
        current: _Paragraph | None = None
        position = 0
        while position < len(lines):
            line = lines[position]
            rows = _table_rows(lines, position)
            if rows and not self._level(number, line):
                if current:
                    yield current
                current = None
                cells = _cells(lines[position : position + rows], self._links)
                yield _Paragraph(
                    Kind.TABLE, list(lines[position : position + rows]), number, cells=cells
                )
                position += rows
                continue
            position += 1
            level = self._level(number, line)
            if current and self._continues(current, line, level):
                current.lines.append(line)
                continue
            if current:
                yield current
            current = _Paragraph(self._kind(line, level), [line], number, level)
        if current:
            yield current

    def _kind(self, line: Line, level: int) -> Kind:
        if line.is_mono and not level:
            return Kind.CODE
        return Kind.LIST if _ITEM.match(line.plain[:20]) and not level else Kind.TEXT

    def _level(self, number: int, line: Line) -> int:
        """Return the level of a heading, or 0 for other lines."""
        text = line.plain
        if len(text) > _MAX_HEADING or not any(char.isalpha() for char in text):
            return 0
        if level := self._entries.get(number, {}).get(_bare(text)):
            return min(level, 6)
        if line.is_mono or len(line.cells) > 1:
            return 0
        if line.size in self._levels:
            # Where there is an outline, larger words that it does not have are below it.
            return self._levels[line.size] + (1 if self._entries else 0)
        is_label = (
            line.is_bold and len(text) <= _MAX_LABEL and not text.endswith((".", ",", ":", ";"))
        )
        return MAX_HEADING_LEVELS + 1 if is_label and not self._entries and not self._is_bold else 0

    def _continues(self, paragraph: _Paragraph, line: Line, level: int) -> bool:
        """Return whether the line goes on where the paragraph ends."""
        last = paragraph.lines[-1]
        distance = last.y - line.y
        if level != paragraph.level or last.column != line.column or distance <= 0:
            return False
        if level:
            whole = sum(len(each.plain) for each in paragraph.lines) + len(line.plain)
            is_own_entry = _bare(line.plain) in self._entries.get(paragraph.page, {})
            near = distance < line.size * 1.8 and last.size == line.size
            return near and whole <= _MAX_HEADING and not is_own_entry
        if (paragraph.kind == Kind.CODE) != line.is_mono:
            return False
        if paragraph.kind == Kind.CODE:
            return distance < line.size * 2.6
        if (
            distance > line.size * 1.75
            or abs(last.size - line.size) > 1
            or _ITEM.match(line.plain[:20])
        ):
            return False
        return not _begins_anew(paragraph, line)

    def _joined(self, lines: Sequence[Line]) -> str:
        """Return lines as one, words that were cut at a line's end whole again."""
        text = ""
        for line in lines:
            shown = " ".join(cell.text(self._links) for cell in line.cells)
            if text.endswith((HYPHEN, "-", "\u00ad")) and shown[:1].islower():
                head, mark = text[:-1], text[-1]
                last, first = re.split(r"\s", head[-60:])[-1], re.split(r"\s", shown[:60])[0]
                whole = f"{last}-{first.strip('.,;:()')}".lower()
                text = f"{head}-{shown}" if mark == "-" and whole in self._words else head + shown
            elif _UNSPACED.match(text[-1:]) and _UNSPACED.match(shown[:1]):
                text += shown
            else:
                text = f"{text} {shown}" if text else shown
        return text.replace(HYPHEN, "-").replace("\u00ad", "")


def _begins_anew(paragraph: _Paragraph, line: Line) -> bool:
    """Return whether a line is the first of the next paragraph: indented, or after one that ended early."""
    last = paragraph.lines[-1]
    left, right = line.column
    is_short = last.x1 < right - (right - left) * 0.15
    if is_short and (last.plain.endswith(_SENTENCE_END) or last.is_bold != line.is_bold):
        return True
    first = paragraph.lines[0]
    begins = paragraph.lines[1].x0 if len(paragraph.lines) > 1 else first.x0
    is_indented = line.x0 > begins + line.size * 0.8
    return is_indented and paragraph.kind == Kind.TEXT and last.plain.endswith(_SENTENCE_END)


def _bare(title: str) -> str:
    """Return a title without its number, for comparing."""
    title = re.sub(
        r"^(?:chapter|appendix|제)?\s*[\dA-Z]{0,3}(?:\.\d{1,3})*[.:장절]?\s+", "", title[:200]
    )
    return re.sub(r"[\W_]+", "", title).lower()


def _table_rows(lines: Sequence[Line], start: int) -> int:
    """Return how many lines from here on are rows of a table; 0 where there is none."""
    end = start
    while end < len(lines) and 1 < len(lines[end].cells) <= _MAX_CELLS and not lines[end].is_mono:
        if end > start and not _is_aligned(lines[end - 1], lines[end]):
            break
        end += 1
    rows = lines[start:end]
    cells = sum(len(row.cells) for row in rows)
    # A drawing's labels stand anywhere; a table's rows have most of their cells.
    is_full = cells > 0.6 * len(rows) * max((len(row.cells) for row in rows), default=0)
    return len(rows) if len(rows) >= 2 and is_full else 0


def _is_aligned(above: Line, below: Line) -> bool:
    """Return whether two rows have a cell that begins or ends at the same place, beside the first."""
    starts = [(cell.x0, cell.x1) for cell in above.cells[1:]]
    near = above.size
    return above.column == below.column and any(
        abs(cell.x0 - start) < near or abs(cell.x1 - end) < near
        for cell in below.cells[1:]
        for start, end in starts
    )


def _cells(rows: Sequence[Line], links: LinkMarks) -> list[Sequence[str]]:
    """Return the rows' texts, each in the column where it stands."""
    widest = max(rows, key=lambda row: len(row.cells))
    places = [cell.x0 for cell in widest.cells]
    found: list[Sequence[str]] = []
    for row in rows:
        texts = [""] * len(places)
        for cell in row.cells:
            nearest = min(range(len(places)), key=lambda i: abs(places[i] - cell.x0))
            texts[nearest] = f"{texts[nearest]} {cell.text(links)}".strip().replace(HYPHEN, "-")
        found.append(texts)
    return found


def _code(lines: Sequence[Line]) -> str:
    """Return lines of a program between fences, indented as on the page."""
    words = [word for line in lines for word in line.words]
    widths = sorted((word.x1 - word.x0) / len(word.text) for word in words)
    width = widths[len(widths) // 2] or 1.0
    left = min(line.x0 for line in lines)
    shown = []
    for line in lines:
        text = ""
        for word in line.words:
            gap = round((word.x0 - left) / width) - len(text)
            text += " " * max(gap, 1 if text else 0) + word.text
        shown.append(text.replace(HYPHEN, "-"))
    code = "\n".join(shown)
    fence = "````" if "```" in code else "```"
    return f"{fence}\n{code}\n{fence}"
