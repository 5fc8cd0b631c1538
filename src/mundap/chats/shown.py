"""What the pages show of chats, messages and the shelf: rows turned into what a template prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef
from django.utils.safestring import SafeString
from django.utils.translation import get_language_info
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.chats.models import State, Turn
from mundap.chats.rendering import answer_html, citation_url, web_address
from mundap.library.models import OFFICIAL_DOCS, Collection, Passage
from mundap.library.selectors import list_collections_for

LONG_QUESTION_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class ShownSource:
    """A citation below an answer: `page` is ours, `url` the official one."""

    number: int
    page: str
    place: str
    document: str
    url: str
    is_doubtful: bool


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A question or an answer.

    `turn` is set while the answer is being written, `error` and `question` (what to ask again) where it did not work.
    """

    id: str
    role: str
    text: str
    state: str
    html: SafeString | str = ""
    sources: tuple[ShownSource, ...] = ()
    is_answered: bool = True
    rating: str = ""
    turn: str = ""
    error: str = ""
    question: str = ""

    @property
    def is_long(self) -> bool:
        """Is it too long to be set as a heading?"""
        return len(self.text) > LONG_QUESTION_CHARACTERS

    @property
    def can_be_rated(self) -> bool:
        """Is there an answer to have an opinion about?"""
        return self.state in (State.COMPLETE, State.STOPPED)

    @property
    def has_doubt(self) -> bool:
        """Does any passage seem not to support what cites it?"""
        return any(source.is_doubtful for source in self.sources)


@dataclass(frozen=True, slots=True)
class Book:
    """A collection as one chooses it; `about` tells it from others of its name."""

    slug: str
    title: str
    about: str
    state: str
    error: str
    documents_done: int
    documents_total: int
    is_searchable: bool


def shown_messages(messages: Sequence[Mapping[str, Any]]) -> list[ShownMessage]:
    """Return the messages (as the API has them) ready to print, in their order."""
    answers = [message["id"] for message in messages if message["role"] == "assistant"]
    turns = {
        str(turn.answer_id): turn
        for turn in Turn.objects.filter(answer_id__in=answers).select_related("draft", "question")
    }
    return [_shown(message, turns.get(message["id"])) for message in messages]


def _shown(message: Mapping[str, Any], turn: Turn | None) -> ShownMessage:
    if message["role"] == "user":
        return ShownMessage(message["id"], "user", message["text"], message["state"])
    citations = message["citations"]
    is_running = message["state"] == State.RUNNING
    has_failed = message["state"] in (State.FAILED, State.INTERRUPTED)
    draft = getattr(turn, "draft", None)
    text = draft.text if is_running and draft else message["text"]
    feedback = message.get("feedback") or {}
    return ShownMessage(
        message["id"],
        "assistant",
        text,
        message["state"],
        html=answer_html(text, citations=citations, message=message["id"]),
        sources=tuple(_source(each, message["id"]) for each in citations),
        is_answered=turn is None or turn.retrieval.get("is_answered", True),
        rating=feedback.get("rating", ""),
        turn=str(turn.pk) if turn and is_running else "",
        error=(turn.error or {}).get("message", "") if turn else "",
        question=turn.question.text if has_failed and turn and turn.question else "",
    )


def _source(citation: Mapping[str, Any], message: str) -> ShownSource:
    return ShownSource(
        number=citation["number"],
        page=citation_url(citation, message=message),
        place=citation["headings"][-1] if citation["headings"] else citation["document"],
        document=citation["document"],
        url=web_address(citation["url"]),
        is_doubtful=citation["supported"] is False,
    )


def books_for(user: User) -> list[Book]:
    """Return the shelf as the user sees it, what can be asked first."""
    has_passages = Exists(Passage.objects.filter(collection=OuterRef("pk")))
    collections = list_collections_for(user).annotate(is_searchable=has_passages)
    books = [_book(collection) for collection in collections]
    return sorted(books, key=lambda book: not book.is_searchable)


def _book(collection: Collection) -> Book:
    kind = (
        _("Official documentation")
        if collection.category == OFFICIAL_DOCS
        else f"{collection.category} {collection.title_no}"
    )
    about = [kind, _language(collection.language)]
    if collection.version and collection.version not in collection.title:
        about.insert(1, collection.version)
    return Book(
        slug=collection.slug,
        title=collection.title,
        about=" · ".join(filter(None, about)),
        state=collection.state,
        error=collection.error,
        documents_done=collection.documents_done,
        documents_total=collection.documents_total,
        is_searchable=collection.is_searchable,  # type: ignore[attr-defined]
    )


def _language(code: str) -> str:
    try:
        return str(get_language_info(code)["name_translated"])
    except KeyError:
        return code
