"""What every format is parsed into: a page's plain text and the sections, with their blocks, that lie in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from mundap.library.parsing.links import Link, LinkMarks

MAX_HEADING = 300


class Kind(StrEnum):
    """What a block is; a section's own kind is TEXT or DEFINITION."""

    TEXT = "text"
    CODE = "code"
    DEFINITION = "definition"
    LIST = "list"
    TABLE = "table"
    NOTE = "note"


class UnreadablePage(ValueError):
    """This page cannot be read; the rest of its source can. The message says why."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece that reads alone, such as a paragraph or a list's item: characters of the page's text."""

    kind: Kind
    start: int
    end: int
    language: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks in a row under one trail of headings (own heading last), with the anchor at which they are published.

    A heading is repeated in a later section where the text goes on after a definition inside it.
    """

    headings: tuple[str, ...]
    anchor: str
    kind: Kind
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A parsed page. `text` is readable on its own: Markdown-like, headings included; `links` are ranges of it."""

    title: str
    text: str
    sections: tuple[Section, ...]
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class PageContext:
    """What a parser may know beside the page itself.

    `root` is the source's folder, and nothing outside of it is read; `settings` are the source's own, such as those
    of Sphinx's conf.py; `titles` has what links show: `label` or `/document` → title. `url` is where the page is
    published, and `addresses` has where the pages are that links name: `label` or `/document` → its page's address.
    """

    path: str
    root: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    """A heading or definition that is open while the page is written."""

    heading: str
    anchor: str
    level: int
    kind: Kind
    # A definition without a body of its own speaks for what follows it in its section.
    is_flat: bool = False
    adds_heading: bool = True


class PageWriter:
    """Puts a page together from headings, definitions and blocks in reading order.

    Words that `links` has marked become the page's links, in blocks; headings and names lose the marks.
    """

    def __init__(self, links: LinkMarks | None = None) -> None:
        self.title = ""
        self.links = links or LinkMarks()
        self._links: list[Link] = []
        self._anchor = ""
        self._parts: list[str] = []
        self._length = 0
        self._open: list[_Open] = []
        self._sections: list[Section] = []
        self._blocks: list[Block] = []

    def heading(self, text: str, *, level: int, anchor: str) -> None:
        """Open a section; those of the same or a deeper level are closed. The first heading is the page's title."""
        self.end_flat_definition()
        self._close_section()
        while self._open and self._open[-1].level >= level:
            self._open.pop()
        text = " ".join(_storable(self.links.read(text)[0]).split())[:MAX_HEADING]
        if not self.title:
            self.title = text
        self._open.append(_Open(text, anchor, level, Kind.TEXT))
        self._write("#" * min(level, 6) + " " + text)

    def definition(
        self,
        name: str,
        *,
        signatures: Sequence[str],
        anchor: str,
        is_flat: bool = False,
        is_code: bool = True,
    ) -> None:
        """Open a definition, such as a class; `end_definition` closes it unless it is flat.

        `name` joins the headings where it says something that the heading above does not.
        """
        if self._continues_flat(is_flat):
            self._signatures(signatures, is_code=is_code)
            return
        self.end_flat_definition()
        self._close_section()
        above = self._open[-1] if self._open else None
        name = name[:MAX_HEADING]
        is_new = above is None or _plain(above.heading) != _plain(name)
        level = above.level if above else 1
        anchor = anchor or (above.anchor if above else "")
        self._open.append(_Open(name, anchor, level, Kind.DEFINITION, is_flat, is_new))
        self._signatures(signatures, is_code=is_code)

    def end_definition(self) -> None:
        """Close the innermost definition; what follows belongs to the heading or definition around it."""
        self.end_flat_definition()
        self._close_section()
        if self._open and self._open[-1].kind == Kind.DEFINITION:
            self._open.pop()

    def end_flat_definition(self) -> None:
        """Close a flat definition, if one is open."""
        if self._open and self._open[-1].is_flat:
            self._close_section()
            self._open.pop()

    def place(self, anchor: str) -> None:
        """Go on under the same headings at another anchor, such as the next page of a book."""
        self._close_section()
        if self._open:
            self._open[-1].anchor = anchor
        else:
            self._anchor = anchor

    def block(
        self, text: str, *, kind: Kind = Kind.TEXT, language: str = "", is_tight: bool = False
    ) -> None:
        """Add a block; a tight one (a list's next item) follows the last without an empty line."""
        if not text.strip():
            return
        text, links = self.links.read(_storable(text))
        start = self._write(text, separator="\n" if is_tight and self._blocks else "\n\n")
        self._links.extend(
            Link(start + link.start, start + link.end, link.address) for link in links
        )
        self._blocks.append(Block(kind, start, start + len(text), language))

    def finish(self, title: str = "") -> Page:
        """Return the page; `title` is for one without a heading."""
        self._close_section()
        return Page(
            self.title or title, "".join(self._parts), tuple(self._sections), tuple(self._links)
        )

    def _signatures(self, signatures: Sequence[str], *, is_code: bool) -> None:
        for signature in signatures:
            shown = f"`{signature}`" if is_code and "`" not in signature else signature
            self.block(shown, kind=Kind.DEFINITION, is_tight=bool(self._blocks))

    def _continues_flat(self, is_flat: bool) -> bool:
        """Is this another signature of the flat definition that has just been opened?"""
        return (
            is_flat
            and bool(self._open)
            and self._open[-1].is_flat
            and bool(self._blocks)
            and self._blocks[-1].kind == Kind.DEFINITION
        )

    def _write(self, text: str, *, separator: str = "\n\n") -> int:
        if self._parts:
            self._parts.append(separator)
            self._length += len(separator)
        start = self._length
        self._parts.append(text)
        self._length += len(text)
        return start

    def _close_section(self) -> None:
        if not self._blocks:
            return
        last = self._open[-1] if self._open else None
        headings = tuple(each.heading for each in self._open if each.adds_heading)
        kind = last.kind if last else Kind.TEXT
        self._sections.append(
            Section(headings, last.anchor if last else self._anchor, kind, tuple(self._blocks))
        )
        self._blocks = []


_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def _storable(text: str) -> str:
    """Return the text without what no database takes; character references can make it."""
    return _UNSTORABLE.sub("\ufffd", text)


def _plain(heading: str) -> str:
    """Return a heading as a name: `` `Foo.bar()` `` and `bar` are the same thing."""
    return re.sub(r"\(.*\)|[`@]", "", heading).rpartition(".")[2].strip().lower()
