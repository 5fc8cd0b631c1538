"""What has become of what an answer cited: the shelf changes after an answer, and what was quoted stays with it.

A passage whose text or headings change is another row, so one that is still there says what it said then. What is
looked for otherwise: the same text elsewhere in the collection, then the same words or place in the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet, TextChoices
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mundap.accounts.models import User
from mundap.chats.models import Message
from mundap.errors import NotFound
from mundap.library.models import Collection, Document, Passage
from mundap.library.quoted_text import find_quote
from mundap.library.selectors import list_collections_for


class CitedState(TextChoices):
    """How a cited passage stands."""

    SAME = "same", gettext_lazy("as it was")
    MOVED = "moved", gettext_lazy("elsewhere")
    CHANGED = "changed", gettext_lazy("changed")
    GONE = "gone", gettext_lazy("no longer there")
    HIDDEN = "hidden", gettext_lazy("no longer visible to you")


@dataclass(frozen=True, slots=True)
class CitationState:
    """A citation now; `passage` is where the reader finds it, None where it is gone or hidden.

    `has_quote`: the quoted words stand there. `is_stale`: the page could not be read again since.
    """

    number: int
    state: CitedState
    passage: UUID | None = None
    headings: tuple[str, ...] = ()
    path: str = ""
    url: str = ""
    has_quote: bool = False
    is_stale: bool = False

    @property
    def note(self) -> str:
        """Return what to tell people; nothing where all is as it was."""
        match self.state:
            case CitedState.MOVED:
                return _("This stands elsewhere in the documents now.")
            case CitedState.CHANGED if self.has_quote:
                return _("The text around these words has changed since this answer.")
            case CitedState.CHANGED:
                return _("This passage has changed since this answer.")
            case CitedState.GONE:
                return _("This passage is no longer in the documents.")
            case CitedState.HIDDEN:
                return _("These documents are no longer visible to you.")
        if self.is_stale:
            return _("This page could not be read again; the text is of the last time.")
        return ""


@dataclass(frozen=True, slots=True)
class MessageStates:
    """The states of an answer's citations. `newer` is the version that people are offered first, if that is another."""

    collection: Collection | None
    citations: tuple[CitationState, ...]
    newer: Collection | None


def read_states(user: User, message_id: UUID) -> MessageStates:
    """Return how the citations of the user's message stand now. Raises NotFound."""
    message = (
        Message.objects.filter(pk=message_id, chat__owner=user, chat__deleted_at=None)
        .select_related("chat")
        .first()
    )
    if message is None:
        raise NotFound(_("This message does not exist."))
    about = message.chat.collection_id
    collection = list_collections_for(user).filter(pk=about).first() if about else None
    return MessageStates(
        collection,
        tuple(states_of(user, message.citations, collection_id=about)),
        find_newer(user, collection),
    )


def notes_of(user: User, messages: Sequence[UUID | str]) -> dict[tuple[str, int], str]:
    """Return what to tell people of the citations in their messages, by message and number, if anything."""
    notes: dict[tuple[str, int], str] = {}
    rows = Message.objects.filter(pk__in=messages, chat__owner=user).exclude(citations=[])
    by_collection: dict[UUID | None, list[tuple[str, Mapping[str, Any]]]] = {}
    for pk, collection, citations in rows.values_list("pk", "chat__collection", "citations"):
        by_collection.setdefault(collection, []).extend((str(pk), each) for each in citations)
    for about, cited in by_collection.items():
        states = states_of(user, [each for _pk, each in cited], collection_id=about)
        notes |= {
            (pk, state.number): state.note
            for (pk, _each), state in zip(cited, states, strict=True)
            if state.note
        }
    return notes


def states_of(
    user: User, cited: Sequence[Mapping[str, Any]], *, collection_id: UUID | None
) -> list[CitationState]:
    """Return the state of each citation, as stored, of a chat with this collection."""
    found = _rows().in_bulk([each["passage"] for each in cited])
    asked = {row.collection_id for row in found.values()}
    asked |= {collection_id} if collection_id else set()
    visible = set(list_collections_for(user).filter(pk__in=asked).values_list("pk", flat=True))
    lost = [each for each in cited if UUID(each["passage"]) not in found]
    near = _Nearby(collection_id, lost) if lost and collection_id in visible else None
    states = []
    for citation in cited:
        row = found.get(UUID(citation["passage"]))
        if row is not None:
            states.append(_still_there(citation, row, is_visible=row.collection_id in visible))
        elif near is not None:
            states.append(near.state_of(citation))
        else:
            state = CitedState.HIDDEN if collection_id else CitedState.GONE
            states.append(CitationState(citation["number"], state))
    return states


class _Nearby:
    """The passages that may be what lost ones have become: of the same text, or of the same pages."""

    def __init__(self, collection_id: UUID | None, lost: Sequence[Mapping[str, Any]]) -> None:
        paths = {each["path"] for each in lost}
        hashes = {each["content_hash"] for each in lost}
        here = _rows().filter(collection=collection_id)
        self._by_path: dict[str, list[Passage]] = {path: [] for path in paths}
        pages = Document.objects.filter(collection=collection_id, path__in=paths)
        for row in here.filter(document__in=pages.values("pk")).order_by("position"):
            self._by_path[row.document.path].append(row)
        self._by_hash: dict[str, list[Passage]] = {}
        for row in here.filter(content_hash__in=hashes):
            self._by_hash.setdefault(row.content_hash, []).append(row)

    def state_of(self, citation: Mapping[str, Any]) -> CitationState:
        """Return the state of a citation whose passage is no longer there."""
        page = self._by_path[citation["path"]]
        if same := self._by_hash.get(citation["content_hash"]):
            nearest = min(same, key=lambda row: row.document.path != citation["path"])
            return _now(citation, CitedState.MOVED, nearest)
        in_place = [row for row in page if _is_in_place(citation, row)]
        for row in (*in_place, *page):
            if _has_quote(citation, row):
                return _now(citation, CitedState.CHANGED, row)
        if in_place:
            return _now(citation, CitedState.CHANGED, in_place[0])
        return CitationState(citation["number"], CitedState.GONE)


def _rows() -> QuerySet[Passage]:
    return Passage.objects.select_related("document").defer("lexical", "document__text")


def _still_there(citation: Mapping[str, Any], row: Passage, *, is_visible: bool) -> CitationState:
    if not is_visible:
        return CitationState(citation["number"], CitedState.HIDDEN)
    if row.content_hash != citation["content_hash"]:
        return _now(citation, CitedState.CHANGED, row)
    is_same = _address(row) == citation["url"] and row.document.path == citation["path"]
    return _now(citation, CitedState.SAME if is_same else CitedState.MOVED, row)


def _now(citation: Mapping[str, Any], state: CitedState, row: Passage) -> CitationState:
    return CitationState(
        citation["number"],
        state,
        row.pk,
        tuple(row.headings),
        row.document.path,
        _address(row),
        has_quote=_has_quote(citation, row),
        is_stale=row.document.state != Document.State.READY,
    )


def _address(row: Passage) -> str:
    return f"{row.document.url}#{row.anchor}" if row.anchor else row.document.url


def _is_in_place(citation: Mapping[str, Any], row: Passage) -> bool:
    """Does the passage stand where the cited one stood?"""
    anchor = citation["url"].partition("#")[2]
    return bool(anchor and anchor == row.anchor) or row.headings == citation["headings"]


def _has_quote(citation: Mapping[str, Any], row: Passage) -> bool:
    return find_quote(row.text, citation["quote"]) is not None


def find_newer(user: User, collection: Collection | None) -> Collection | None:
    """Return the current version of what this collection is an older one of, if the user may see it."""
    if collection is None or collection.is_current:
        return None
    family = list_collections_for(user).filter(family=collection.family, is_current=True)
    return family.first()
