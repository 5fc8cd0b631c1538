"""The words of a PDF's pages with their places, sizes and links, by PDFium. Knows nothing of lines and columns."""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from mundap.library.parsing.page import UnreadablePage

MAX_PAGES = 3000
MAX_CHARACTERS = 10_000_000
MAX_PAGE_CHARACTERS = 500_000
MAX_PAGE_LINKS = 1000
# A word ends at white space, or where it was cut at the end of a line.
_WORD = re.compile(r"[^\s\x00-\x1f\ufffe\uffff]+\x02?|\x02")
# What PDFium puts where a line's last word is hyphenated.
HYPHEN = "\x02"

_LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "ft", "ﬆ": "st"}
_MONO = re.compile(
    r"mono|courier|consol|typewriter|cmtt|menlo|code|fixed|nanumgothiccoding", re.IGNORECASE
)
_BOLD = re.compile(r"bold|black|heavy|semibold|-bd|cmbx|medi\b", re.IGNORECASE)
_FIXED_PITCH = 1


@dataclass(slots=True)
class Word:
    """A word and its box, in points from the page's lower left corner; `size` is the font's."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    size: float
    is_bold: bool
    is_mono: bool
    link: str = ""

    middle: float = 0.0

    def __post_init__(self) -> None:
        self.middle = (self.y0 + self.y1) / 2


@dataclass(frozen=True, slots=True)
class PdfPage:
    """A page's words in the file's order."""

    number: int
    width: float
    height: float
    words: list[Word]


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    """An entry of a PDF's own table of contents; pages count from 1."""

    title: str
    level: int
    page: int


def open_pdf(data: bytes) -> pdfium.PdfDocument:
    """Return the opened document. Raises UnreadablePage."""
    try:
        document = pdfium.PdfDocument(data)
        pages = len(document)
    except pdfium.PdfiumError as exc:
        if exc.err_code == pdfium_c.FPDF_ERR_PASSWORD:
            raise UnreadablePage(
                "The PDF is encrypted with a password. Save it without one, then add it again."
            ) from exc
        raise UnreadablePage(
            "The PDF is damaged or not a PDF at all. Open it in a viewer and save it again."
        ) from exc
    if not pages:
        raise UnreadablePage("The PDF has no pages.")
    if pages > MAX_PAGES:
        raise UnreadablePage(
            f"The PDF has {pages:,} pages; at most {MAX_PAGES:,} are read. Split it."
        )
    return document


def outline(document: pdfium.PdfDocument) -> list[OutlineEntry]:
    """Return the document's own table of contents, or nothing."""
    found = []
    for bookmark in document.get_toc(max_depth=6):
        target = bookmark.get_dest()
        index = target.get_index() if target else None
        title = " ".join(bookmark.get_title().split())
        if index is not None and title:
            found.append(OutlineEntry(title, bookmark.level + 1, index + 1))
    return found


def read_pages(document: pdfium.PdfDocument) -> Iterator[PdfPage]:
    """Yield the pages with their words; one that cannot be read has none. Raises UnreadablePage for too much text."""
    characters = 0
    for index in range(len(document)):
        try:
            page = document[index]
            text = page.get_textpage()
        except pdfium.PdfiumError:
            yield PdfPage(index + 1, 0, 0, [])
            continue
        count = min(text.count_chars(), MAX_PAGE_CHARACTERS)
        characters += count
        if characters > MAX_CHARACTERS:
            raise UnreadablePage(f"The PDF has more than {MAX_CHARACTERS:,} characters. Split it.")
        words = list(_Reader(text.raw).words(count))
        _put_links(page, document, words)
        yield PdfPage(index + 1, page.get_width(), page.get_height(), words)
        text.close()
        page.close()


class _Reader:
    """Reads one page's words; what PDFium returns through pointers is kept in one place each."""

    def __init__(self, text: pdfium_c.FPDF_TEXTPAGE) -> None:
        self._text = text
        self._box = pdfium_c.FS_RECTF()
        self._matrix = pdfium_c.FS_MATRIX()
        self._flags = ctypes.c_int()
        self._name = ctypes.create_string_buffer(256)
        self._styles: dict[bytes, tuple[bool, bool]] = {}

    def words(self, count: int) -> Iterator[Word]:
        """Yield the words among the first `count` characters."""
        for match in _WORD.finditer(self._characters(count)):
            text = match[0]
            if not text.isascii():
                text = "".join(_LIGATURES.get(char, char) for char in text)
            hyphens = match[0].endswith(HYPHEN) and len(match[0]) > 1
            if word := self._word(text, match.start(), match.end() - 1 - hyphens):
                yield word

    def _characters(self, count: int) -> str:
        """Return the page's characters, each at its index."""
        buffer = (ctypes.c_ushort * (count + 1))()
        pdfium_c.FPDFText_GetText(self._text, 0, count, buffer)
        text = bytes(buffer)[:-2].decode("utf-16-le", "replace")
        if len(text) == count and "\0" not in text:
            return text.replace("\ufffe", HYPHEN)
        # Some characters have no place in the whole text, or take two: one by one.
        codes = (pdfium_c.FPDFText_GetUnicode(self._text, index) for index in range(count))
        return "".join(
            chr(code) if 0 < code < 0xD800 or 0xDFFF < code < 0x110000 else "\ufffd"
            for code in codes
        )

    def _word(self, text: str, first: int, last: int) -> Word | None:
        box = self._box
        if not pdfium_c.FPDFText_GetLooseCharBox(self._text, first, box):
            return None
        x0, y0, x1, y1 = box.left, box.bottom, box.right, box.top
        if last > first and pdfium_c.FPDFText_GetLooseCharBox(self._text, last, box):
            # What is written up or down a margin is no part of the text.
            if abs((box.bottom + box.top) - (y0 + y1)) > max(y1 - y0, 1.0) * 1.5:
                return None
            x1 = max(x1, box.right)
        size = pdfium_c.FPDFText_GetFontSize(self._text, first)
        if pdfium_c.FPDFText_GetMatrix(self._text, first, self._matrix):
            size *= math.hypot(self._matrix.c, self._matrix.d) or 1.0
        is_bold, is_mono = self._style(first)
        return Word(text, x0, y0, x1, y1, round(size * 2) / 2, is_bold, is_mono)

    def _style(self, index: int) -> tuple[bool, bool]:
        length = pdfium_c.FPDFText_GetFontInfo(self._text, index, self._name, 256, self._flags)
        name = self._name.raw[: max(min(length, 256) - 1, 0)]
        if name not in self._styles:
            shown = name.decode("utf-8", "replace")
            is_mono = bool(_MONO.search(shown)) or bool(self._flags.value & _FIXED_PITCH)
            self._styles[name] = bool(_BOLD.search(shown)), is_mono
        return self._styles[name]


def _put_links(page: pdfium.PdfPage, document: pdfium.PdfDocument, words: list[Word]) -> None:
    """Give the words that lie in a link's box its address."""
    position, link = ctypes.c_int(0), pdfium_c.FPDF_LINK()
    box = pdfium_c.FS_RECTF()
    for _count in range(MAX_PAGE_LINKS):
        if not pdfium_c.FPDFLink_Enumerate(page, position, link):
            return
        action = pdfium_c.FPDFLink_GetAction(link)
        if not action or not pdfium_c.FPDFLink_GetAnnotRect(link, box):
            continue
        size = pdfium_c.FPDFAction_GetURIPath(document, action, None, 0)
        if not 1 < size < 4096:
            continue
        address = ctypes.create_string_buffer(size)
        pdfium_c.FPDFAction_GetURIPath(document, action, address, size)
        target = address.raw[: size - 1].decode("utf-8", "replace")
        for word in words:
            across = (word.x0 + word.x1) / 2
            if box.left <= across <= box.right and box.bottom <= word.middle <= box.top:
                word.link = target
