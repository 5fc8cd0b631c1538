"""Plain text: paragraphs between empty lines; a line that is underlined is a heading."""

from __future__ import annotations

import re

from mundap.library.parsing.page import Kind, Page, PageContext, PageWriter

VERSION = 1
SUFFIXES = (".txt", ".text")

_UNDERLINE = re.compile(r"([=\-~*#^])\1{2,}\s*")
_ITEM = re.compile(r"\s{0,3}(?:[-*•·]|\d{1,3}[.)])\s+\S")


def parse(source: str, context: PageContext) -> Page:
    """Return the page, its lines as they are. Nothing in plain text has an anchor."""
    writer = PageWriter()
    marks: list[str] = []
    for paragraph in re.split(r"\n\s*\n", source.replace("\r\n", "\n").replace("\r", "\n")):
        lines = [line.rstrip() for line in paragraph.split("\n") if line.strip()]
        if len(lines) > 1 and _UNDERLINE.fullmatch(lines[1]) and len(lines[0]) <= 200:
            mark = lines[1][0]
            if mark not in marks:
                marks.append(mark)
            writer.heading(lines[0].strip(), level=marks.index(mark) + 1, anchor="")
            lines = lines[2:]
        is_list = bool(lines) and all(_ITEM.match(line) for line in lines)
        writer.block("\n".join(lines), kind=Kind.LIST if is_list else Kind.TEXT)
    return writer.finish()
