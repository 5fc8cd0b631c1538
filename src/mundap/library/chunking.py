"""A parsed page cut into passages: along its sections, at block boundaries, none longer than stored passages may be.

A passage lies within one section, so it has one trail of headings and one anchor.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from mundap.library.parsing.links import Link
from mundap.library.parsing.page import Block, Kind, Page, Section

CHUNKER_VERSION = 3

TARGET_CHARACTERS = 1200
MAX_CHARACTERS = 2000
MAX_ANCHOR = 500
MAX_LINKS = 100
# A rest this short joins the passage before it, if both stay within this many characters together.
SHORT_CHARACTERS = 250
STRETCHED_CHARACTERS = 1500


@dataclass(frozen=True, slots=True)
class PassageDraft:
    """A passage before it is stored.

    `text` is `page.text[start:end]`, but for a part of an oversized code block or table, which has its fence or its
    header again. `position` counts from 0 within the page. `links` are ranges of `text`, at most MAX_LINKS of them.
    """

    position: int
    headings: tuple[str, ...]
    anchor: str
    kind: str
    text: str
    start: int
    end: int
    links: tuple[Link, ...] = ()

    @property
    def content_hash(self) -> str:
        """Return the hash of the text, which a citation remembers."""
        return blake2b(self.text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class _Piece:
    """A block, or a part of an oversized one."""

    kind: Kind
    start: int
    end: int
    text: str
    stands_alone: bool = False
    # Where in `text` the page's own characters begin, after what is repeated.
    offset: int = 0


def cut(page: Page) -> list[PassageDraft]:
    """Return the page's passages in reading order."""
    drafts: list[PassageDraft] = []
    starts = [link.start for link in page.links]
    met: set[tuple[str, ...]] = set()
    for section in page.sections:
        headings = _under_title(section.headings, page.title)
        is_continued = headings in met or not section.headings
        met.add(headings)
        if is_continued and _says_nothing(page.text, section):
            continue
        for number, group in enumerate(_groups(page.text, section)):
            drafts.append(
                PassageDraft(
                    position=len(drafts),
                    headings=headings,
                    anchor=section.anchor if len(section.anchor) <= MAX_ANCHOR else "",
                    kind=_kind(section, group, is_first=number == 0),
                    text=_text(page.text, group),
                    start=group[0].start,
                    end=group[-1].end,
                    links=_links(page.links, starts, group),
                )
            )
    return drafts


def _links(
    links: Sequence[Link], starts: Sequence[int], group: Sequence[_Piece]
) -> tuple[Link, ...]:
    """Return the links that lie whole in these pieces, as ranges of their text."""
    first, last = group[0].start, group[-1].end
    shift = group[0].offset - first
    within = links[bisect_left(starts, first) : bisect_left(starts, last)]
    whole = [
        Link(link.start + shift, link.end + shift, link.address)
        for link in within
        if link.end <= last
    ]
    return tuple(whole[:MAX_LINKS])


def _under_title(headings: tuple[str, ...], title: str) -> tuple[str, ...]:
    """Return the trail below the page's title; some pages have several headings of the first level."""
    return headings if not title or headings[:1] == (title,) else (title, *headings)


def _says_nothing(text: str, section: Section) -> bool:
    """Is this a mere label ("Methods", "It has these members:") between definitions, or before the title?"""
    if len(section.blocks) != 1 or section.blocks[0].kind != Kind.TEXT:
        return False
    label = text[section.blocks[0].start : section.blocks[0].end]
    if len(label) > 100:
        return False
    return label.endswith(":") or (
        len(label.split()) <= 3 and not label.endswith((".", "!", "?", "다", "요", "。"))
    )


def _kind(section: Section, group: Sequence[_Piece], *, is_first: bool) -> str:
    if section.kind == Kind.DEFINITION and is_first:
        return Kind.DEFINITION.value
    kinds = {piece.kind for piece in group}
    return kinds.pop().value if len(kinds) == 1 else Kind.TEXT.value


def _text(text: str, group: Sequence[_Piece]) -> str:
    return group[0].text if len(group) == 1 else text[group[0].start : group[-1].end]


def _groups(text: str, section: Section) -> list[list[_Piece]]:
    """Return the section's pieces, grouped into passages."""
    groups: list[list[_Piece]] = []
    current: list[_Piece] = []
    for piece in _pieces(text, section.blocks):
        if current and not _fits(current, piece):
            carried = _lead_in(text, current, piece)
            groups.append(current[: len(current) - len(carried)])
            current = carried
        current.append(piece)
        if piece.stands_alone:
            groups.append(current)
            current = []
    if current:
        groups.append(current)
    return _without_short_rest(groups)


def _fits(current: Sequence[_Piece], piece: _Piece) -> bool:
    if piece.stands_alone:
        return False
    if piece.end - current[0].start <= TARGET_CHARACTERS:
        return True
    # Signatures alone say nothing: what they define stays with them.
    is_only_signature = all(each.kind == Kind.DEFINITION for each in current)
    return is_only_signature and piece.end - current[0].start <= MAX_CHARACTERS


def _lead_in(text: str, current: Sequence[_Piece], piece: _Piece) -> list[_Piece]:
    """Return the paragraph that announces the next piece ("For example:"), to go with it."""
    last = current[-1]
    is_announced = last.kind == Kind.TEXT and text[last.end - 1] in ":：" and len(current) > 1
    fits = piece.end - last.start <= MAX_CHARACTERS and not piece.stands_alone
    return [last] if is_announced and fits else []


def _without_short_rest(groups: list[list[_Piece]]) -> list[list[_Piece]]:
    if len(groups) < 2:
        return groups
    before, rest = groups[-2], groups[-1]
    is_short = rest[-1].end - rest[0].start < SHORT_CHARACTERS
    fits = rest[-1].end - before[0].start <= STRETCHED_CHARACTERS
    is_whole = not any(piece.stands_alone for piece in [*before, *rest])
    return [*groups[:-2], [*before, *rest]] if is_short and fits and is_whole else groups


def _pieces(text: str, blocks: Sequence[Block]) -> Iterator[_Piece]:
    for block in blocks:
        if block.end - block.start <= MAX_CHARACTERS:
            yield _Piece(block.kind, block.start, block.end, text[block.start : block.end])
        else:
            yield from _parts(text, block)


def _parts(text: str, block: Block) -> Iterator[_Piece]:
    """Yield an oversized block in parts that are cut where it hurts least."""
    before, after = _frame(text[block.start : block.end], block.kind)
    start, end = block.start + len(before), block.end - len(after)
    room = MAX_CHARACTERS - len(before) - len(after)
    for first, last in _ranges(text, start, end, room):
        part = text[first:last].strip("\n") if after else text[first:last]
        offset = len(before) - text[first:last].index(part)
        whole = before + part + after
        yield _Piece(block.kind, first, last, whole, stands_alone=True, offset=offset)


def _frame(text: str, kind: Kind) -> tuple[str, str]:
    """Return what is repeated around each part: a code block's fence, a table's header."""
    if kind == Kind.CODE and (match := re.match(r"(?:[^\n]{0,200}:\n)?(`{3,})[^\n]{0,40}\n", text)):
        return match[0], "\n" + match[1]
    if kind == Kind.TABLE and (match := re.match(r"\|[^\n]*\n\|[ |:-]+\n", text)):
        return (match[0], "") if len(match[0]) < MAX_CHARACTERS // 3 else ("", "")
    return "", ""


# From the best place to cut to the worst.
_CUTS = (
    re.compile(r"\n\n(?=\S)"),
    re.compile(r"\n"),
    re.compile(r"(?<=[.!?。])\s"),
    re.compile(r"\s"),
)


def _ranges(text: str, start: int, end: int, room: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of at most `room` characters that cover the text but for the white space between them."""
    while end - start > room:
        window = text[start : start + room]
        cut_at = _best_cut(window)
        yield start, start + len(window[:cut_at].rstrip())
        start += cut_at
        while start < end and text[start] == "\n":
            start += 1
    if text[start:end].strip():
        yield start, end


def _best_cut(window: str) -> int:
    for pattern in _CUTS:
        places = [match.start() for match in pattern.finditer(window)]
        # A cut in the first third would leave many small parts.
        if places and places[-1] > len(window) // 3:
            return places[-1]
    return len(window)
