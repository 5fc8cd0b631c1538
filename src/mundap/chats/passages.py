"""A cited passage as a page shows it: in its place in the document, with the quoted words marked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from mundap.accounts.models import User
from mundap.chats.quoted_text import ShownBlock, find_quote, shown_blocks
from mundap.chats.rendering import web_address
from mundap.errors import NotFound
from mundap.library.models import Passage
from mundap.library.selectors import PassageInPlace, get_passage_for


@dataclass(frozen=True, slots=True)
class ShownPart:
    """A passage's blocks; those around the cited one are there for the context.

    `heading` is empty where the passage stands under the same headings as the one before it.
    """

    blocks: list[ShownBlock]
    is_cited: bool
    heading: str = ""


@dataclass(frozen=True, slots=True)
class ShownPassage:
    """A passage and where it stands. `is_changed`: the quoted words are no longer in the documents."""

    place: str
    trail: tuple[str, ...]
    collection: str
    path: str
    url: str
    parts: tuple[ShownPart, ...]
    quote: str = ""
    is_doubtful: bool = False
    is_changed: bool = False


def shown_passage(
    user: User, passage_id: UUID, *, citation: Mapping[str, Any] | None = None
) -> ShownPassage:
    """Return the passage, with the citation's quotation marked. Raises NotFound.

    Documents change after an answer. The citation is the reader's own, so what was quoted is shown also when the
    passage is gone.
    """
    try:
        found = get_passage_for(user, passage_id)
    except NotFound:
        if citation is None:
            raise
        return _only_quoted(citation)
    return _in_place(found, citation)


def _in_place(found: PassageInPlace, citation: Mapping[str, Any] | None) -> ShownPassage:
    passage = found.passage
    document = passage.document
    quoted = _quoted_range(passage, citation) if citation else None
    headings = passage.headings or [document.title or document.path]
    return ShownPassage(
        place=headings[-1],
        trail=tuple(headings[:-1]),
        collection=passage.collection.title,
        path=document.path,
        url=web_address(f"{document.url}#{passage.anchor}" if passage.anchor else document.url),
        parts=_parts(found, quoted),
        quote=citation["quote"] if citation else "",
        is_doubtful=citation is not None and citation["supported"] is False,
        is_changed=bool(citation and citation["quote"]) and quoted is None,
    )


def _parts(found: PassageInPlace, quoted: tuple[int, int] | None) -> tuple[ShownPart, ...]:
    """Return the passage between its neighbours. One that stands alone needs no heading: the page has it."""
    rows = [row for row in (found.before, found.passage, found.after) if row is not None]
    parts = []
    above = rows[0].headings if rows[0] is found.passage else None
    for row in rows:
        is_cited = row is found.passage
        parts.append(
            ShownPart(
                shown_blocks(row.text, quoted if is_cited else None),
                is_cited,
                heading=row.headings[-1] if row.headings and row.headings != above else "",
            )
        )
        above = row.headings
    return tuple(parts)


def _quoted_range(passage: Passage, citation: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return where the quotation stands in the passage's text; by position only where nothing has changed."""
    start, end = citation.get("start", -1) - passage.start, citation.get("end", -1) - passage.start
    is_unchanged = citation.get("content_hash") == passage.content_hash
    if is_unchanged and 0 <= start < end <= len(passage.text):
        return start, end
    return find_quote(passage.text, citation["quote"])


def _only_quoted(citation: Mapping[str, Any]) -> ShownPassage:
    headings = citation["headings"] or [citation["document"]]
    return ShownPassage(
        place=headings[-1],
        trail=tuple(headings[:-1]),
        collection=citation["document"],
        path=citation["path"],
        url=web_address(citation["url"]),
        parts=(),
        quote=citation["quote"],
        is_doubtful=citation["supported"] is False,
        is_changed=True,
    )
