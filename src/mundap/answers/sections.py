"""What is summarised: a collection, a page or a section of one, as numbered passages in reading order.

`Content.digest` names what it says and nothing of where it stands, so equal content is summarised once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID

from django.db.models import F, Func, Q, QuerySet, TextField, Value
from django.utils.translation import gettext as _

from mundap.answers.evidence import MOST_NUMBERS, Evidence, in_order, numbered
from mundap.errors import NotFound
from mundap.library.models import Collection, Passage
from mundap.library.reading_order import place_of

TRAIL_SEPARATOR = " › "
MOST_TITLE = 200  # characters
# Counted up when summaries of the same content would come out otherwise.
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the passage with this number."""

    number: int
    label: str
    address: str


@dataclass(frozen=True, slots=True)
class Content:
    """Passages in reading order, each an entry; `headings` is the trail that all of them stand under.

    Of a collection that is far too long these are only the first of each page: it is not `is_complete`.
    """

    title: str
    headings: tuple[str, ...]
    entries: tuple[Evidence, ...]
    links: tuple[Link, ...]
    digest: str
    is_complete: bool

    @property
    def own_title(self) -> str:
        """Return what the content itself is called: equal content may have another title in each collection."""
        if self.headings:
            return self.headings[-1]
        return ", ".join(dict.fromkeys(entry.document for entry in self.entries))[:MOST_TITLE]

    @property
    def lead_hash(self) -> str:
        """Return the content hash of the first passage."""
        return self.entries[0].parts[0].content_hash


def read_content(collection: Collection, section: str = "") -> Content:
    """Return the collection's content, or that of the section: a passage's id, or its trail of headings.

    Raises NotFound where there is no such section. A collection may have no passages.
    """
    passages, headings = _section(collection, section)
    is_complete = bool(section) or passages.count() <= MOST_NUMBERS
    rows = in_order(passages if is_complete else passages.filter(position=0))
    entries, links = tuple(numbered(rows)), tuple(_links(rows))
    title = headings[-1] if headings else (entries[0].document if section else collection.title)
    return Content(title, headings, entries, links, _digest(entries, links), is_complete)


def _section(collection: Collection, section: str) -> tuple[QuerySet[Passage], tuple[str, ...]]:
    passages = Passage.objects.filter(collection=collection)
    if not section:
        return passages, ()
    try:
        first = passages.filter(pk=UUID(section)).only("document", "headings").first()
        headings = tuple(first.headings) if first else ()
    except ValueError:
        first, headings = _find_by_trail(passages, section)
    if first is None:
        raise NotFound(_("There is no such section. Its document may have been changed."))
    found = passages.filter(document=first.document_id)
    if headings:
        found = found.filter(**{f"headings__0_{len(headings)}": list(headings)})
    return found, headings


def _find_by_trail(
    passages: QuerySet[Passage], section: str
) -> tuple[Passage | None, tuple[str, ...]]:
    """Return a passage under this trail, in the first page that has it, and the trail's headings."""
    wanted = TRAIL_SEPARATOR.join(part.strip() for part in section.split(TRAIL_SEPARATOR.strip()))
    trail = Func(
        F("headings"),
        Value(TRAIL_SEPARATOR),
        function="array_to_string",
        output_field=TextField(),
    )
    under = Q(trail=wanted) | Q(trail__startswith=wanted + TRAIL_SEPARATOR)
    named = passages.annotate(trail=trail).filter(under).select_related("document")
    rows = list(named.only("document__path", "headings"))
    if not rows:
        return None, ()
    first = min(rows, key=lambda row: place_of(row.document.path))
    depth = next(
        depth
        for depth in range(1, len(first.headings) + 1)
        if TRAIL_SEPARATOR.join(first.headings[:depth]) == wanted
    )
    return first, tuple(first.headings[:depth])


def _links(rows: Iterable[Passage]) -> Iterator[Link]:
    """Yield the links that lead to the web, each address once."""
    met: set[str] = set()
    for number, row in enumerate(rows, start=1):
        for start, end, address in row.links:
            label = " ".join(row.text[start:end].split())
            if label and address not in met and address.startswith(("https://", "http://")):
                met.add(address)
                yield Link(number, label, address)


def _digest(entries: Iterable[Evidence], links: Iterable[Link]) -> str:
    said = [[one.document, one.headings, one.parts[0].content_hash] for one in entries]
    known = [_VERSION, said, [[link.label, link.address] for link in links]]
    return blake2b(json.dumps(known).encode(), digest_size=32).hexdigest()
