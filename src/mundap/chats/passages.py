"""A cited passage as a page shows it: in its place in the document, with the quoted words marked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse

from mundap.accounts.models import User
from mundap.answers.markup import ITEM, MARKER, units
from mundap.chats.citation_states import states_of
from mundap.library.models import Passage
from mundap.library.quoted_text import Range, ShownBlock, find_quote, shown_blocks
from mundap.library.selectors import PassageInPlace, get_passage_for
from mundap.library.web_addresses import web_address

QUOTE_SIGN = re.compile(r"^> ?", re.MULTILINE)
QUOTATION_CHARACTERS = 16  # shorter words stand in many places


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
    """A passage and where it stands. `is_changed`: the quoted words are not in it; `note`: what became of it."""

    place: str
    trail: tuple[str, ...]
    collection: str
    path: str
    url: str
    parts: tuple[ShownPart, ...]
    quote: Sequence[ShownBlock] = ()
    is_doubtful: bool = False
    is_changed: bool = False
    note: str = ""
    summary_url: str = ""


def shown_passage(
    user: User,
    passage_id: UUID,
    *,
    citation: Mapping[str, Any] | None = None,
    answer: str = "",
    collection_id: UUID | None = None,
) -> ShownPassage:
    """Return the passage with the citation's quotation marked, and whatever else the `answer` quotes. Raises NotFound.

    Documents change after an answer. The citation is the reader's own, so what was quoted is shown also when the
    passage is gone from the chat's collection; one that has changed or moved is shown as it is now.
    """
    if citation is None:
        return _in_place(get_passage_for(user, passage_id), None, "")
    (now,) = states_of(user, [citation], collection_id=collection_id)
    if now.passage is None:
        return _only_quoted(citation, note=now.note)
    return _in_place(get_passage_for(user, now.passage), citation, answer, note=now.note)


def passage_in_summary(
    user: User, passage_id: UUID, *, citation: Mapping[str, Any]
) -> ShownPassage:
    """Return the passage with what a summary as it stands cites of it. Raises NotFound."""
    return _in_place(get_passage_for(user, passage_id), citation, "")


def _in_place(
    found: PassageInPlace, citation: Mapping[str, Any] | None, answer: str, *, note: str = ""
) -> ShownPassage:
    passage = found.passage
    document = passage.document
    quoted = _quoted_range(passage, citation) if citation else None
    others = list(_quotations(answer, citation["number"])) if citation else []
    headings = passage.headings or [document.title or document.path]
    summaries = reverse("summaries:summary", args=[passage.collection.slug])
    return ShownPassage(
        place=headings[-1],
        trail=tuple(headings[:-1]),
        collection=passage.collection.title,
        path=document.path,
        url=web_address(f"{document.url}#{passage.anchor}" if passage.anchor else document.url),
        parts=_parts(found, quoted, others),
        quote=shown_blocks(citation["quote"]) if citation else (),
        is_doubtful=citation is not None and citation["supported"] is False,
        is_changed=bool(citation and citation["quote"]) and quoted is None,
        note=note,
        summary_url=f"{summaries}?{urlencode({'section': passage.pk})}",
    )


def _parts(
    found: PassageInPlace, quoted: Range | None, others: Sequence[str]
) -> tuple[ShownPart, ...]:
    """Return the passage between its neighbours. One that stands alone needs no heading: the page has it."""
    rows = [row for row in (found.before, found.passage, found.after) if row is not None]
    parts = []
    above = rows[0].headings if rows[0] is found.passage else None
    for row in rows:
        is_cited = row is found.passage
        ranges = [find_quote(row.text, words) for words in others]
        parts.append(
            ShownPart(
                shown_blocks(row.text, [*filter(None, [*ranges, quoted if is_cited else None])]),
                is_cited,
                heading=row.headings[-1] if row.headings and row.headings != above else "",
            )
        )
        above = row.headings
    return tuple(parts)


def _quotations(answer: str, number: int) -> Iterator[str]:
    """Yield what the answer may have taken word for word: statements with this marker, and code."""
    for unit in units(QUOTE_SIGN.sub("", answer)):
        if unit.kind == "code":
            words = "\n".join(unit.text.splitlines()[1:-1])
        elif f"[{number}]" in unit.text:
            words = ITEM.sub("", MARKER.sub("", unit.text))
        else:
            continue
        if len(words.strip()) >= QUOTATION_CHARACTERS:
            yield words


def _quoted_range(passage: Passage, citation: Mapping[str, Any]) -> Range | None:
    """Return where the quotation stands in the passage's text; by position only where nothing has changed."""
    start, end = citation.get("start", -1) - passage.start, citation.get("end", -1) - passage.start
    is_unchanged = citation.get("content_hash") == passage.content_hash
    if is_unchanged and 0 <= start < end <= len(passage.text):
        return start, end
    return find_quote(passage.text, citation["quote"])


def _only_quoted(citation: Mapping[str, Any], *, note: str) -> ShownPassage:
    headings = citation["headings"] or [citation["document"]]
    return ShownPassage(
        place=headings[-1],
        trail=tuple(headings[:-1]),
        collection=citation["document"],
        path=citation["path"],
        url=web_address(citation["url"]),
        parts=(),
        quote=shown_blocks(citation["quote"]),
        is_doubtful=citation["supported"] is False,
        is_changed=True,
        note=note,
    )
