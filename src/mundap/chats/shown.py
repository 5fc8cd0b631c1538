"""What the pages show of chats, messages and the shelf: rows turned into what a template prints."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.safestring import SafeString
from uuid_utils.compat import uuid7

from mundap.answers.quoting import refusal_alone
from mundap.chats import feedback
from mundap.chats.models import Message, State, Turn
from mundap.chats.rendering import answer_html, citation_url
from mundap.library.web_addresses import web_address

LONG_QUESTION = re.compile(r".{400}.|\n.*\n", re.DOTALL)  # as in ask.js


@dataclass(frozen=True, slots=True)
class ShownSource:
    """A citation below an answer: `page` is ours, `url` the official one; `note` says what became of it."""

    number: int
    page: str
    place: str
    document: str
    url: str
    is_doubtful: bool
    note: str


@dataclass(frozen=True, slots=True)
class ShownVersions:
    """Which of how many versions is shown, and the ids of those beside it."""

    number: int
    total: int
    previous: str
    following: str


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A question or an answer.

    `turn` is set while the answer is being written, `error` where it did not work. Those of the last exchange can have
    new versions: `key` makes asking for one again the same request.
    """

    id: str
    role: str
    text: str
    state: str
    html: SafeString | str = ""
    sources: tuple[ShownSource, ...] = ()
    is_answered: bool = True
    rating: str = ""
    reason: str = ""
    comment: str = ""
    turn: str = ""
    error: str = ""
    versions: ShownVersions | None = None
    is_last: bool = False
    key: str = field(default_factory=lambda: uuid7().hex)

    @property
    def is_long(self) -> bool:
        """Is it too long to be set as a heading, or of several lines, as with code?"""
        return bool(LONG_QUESTION.search(self.text))

    @property
    def can_be_rated(self) -> bool:
        """Is there an answer to have an opinion about?"""
        return self.state in (State.COMPLETE, State.STOPPED)

    @property
    def can_go_on(self) -> bool:
        """Did the answer end before its time, with a text to go on from?"""
        return bool(self.text) and self.state not in (State.COMPLETE, State.RUNNING)

    @property
    def has_doubt(self) -> bool:
        """Does any passage seem not to support what cites it?"""
        return any(source.is_doubtful for source in self.sources)


def shown_messages(
    messages: Sequence[Mapping[str, Any]],
    *,
    notes: Mapping[tuple[str, int], str],
    next_position: int | None = None,
) -> list[ShownMessage]:
    """Return the messages (as the API has them) ready to print, in their order.

    With the chat's `next_position`, the last exchange can be changed. `notes` are those of `citation_states`.
    """
    ids = [message["id"] for message in messages if message["role"] == "assistant"]
    turns = {
        str(turn.answer_id): turn
        for turn in Turn.objects.filter(answer_id__in=ids).select_related("draft")
    }
    answers, doubts = _answers(messages), _doubts(messages)
    return [
        _shown(
            {**message, "citations": doubts.get(message["id"], message["citations"])},
            turns.get(message["id"]),
            notes,
            versions=answers.get(message["id"], message.get("versions", [])),
            is_last=next_position is not None and message["position"] >= next_position - 2,
        )
        for message in messages
    ]


def _answers(messages: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the versions of each answer that has several: those to the question that is shown above it."""
    ids = {
        message["id"]: message["versions"]
        for message in messages
        if message["role"] == "assistant" and len(message.get("versions", [])) > 1
    }
    if not ids:
        return {}
    asked = {
        str(answer): question
        for answer, question in Turn.objects.filter(
            answer_id__in=[version for versions in ids.values() for version in versions]
        ).values_list("answer_id", "question_id")
    }
    return {
        answer: [version for version in versions if asked.get(version) == asked.get(answer)]
        for answer, versions in ids.items()
    }


def _doubts(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the citations as stored of the answers with any that is not supported: they name the statements."""
    doubtful = [
        message["id"]
        for message in messages
        if any(citation["supported"] is False for citation in message["citations"])
    ]
    if not doubtful:
        return {}
    stored = Message.objects.filter(pk__in=doubtful).values_list("pk", "citations")
    return {str(message): citations for message, citations in stored}


def _shown(
    message: Mapping[str, Any],
    turn: Turn | None,
    notes: Mapping[tuple[str, int], str],
    *,
    versions: Sequence[str],
    is_last: bool,
) -> ShownMessage:
    beside = _versions(message["id"], versions)
    if message["role"] == "user":
        return ShownMessage(
            message["id"],
            "user",
            message["text"],
            message["state"],
            versions=beside,
            is_last=is_last,
        )
    citations = message["citations"]
    is_running = message["state"] == State.RUNNING
    draft = getattr(turn, "draft", None)
    text = draft.text if is_running and draft else message["text"]
    is_answered = turn is None or turn.retrieval.get("is_answered", True)
    said = text if is_answered or not citations else refusal_alone(text)
    opinion = message.get("feedback") or {}
    reason, comment = feedback.parted(opinion.get("comment", ""))
    return ShownMessage(
        message["id"],
        "assistant",
        text,
        message["state"],
        html=answer_html(said, citations=citations, message=message["id"]),
        sources=tuple(
            _source(each, message["id"], note=notes.get((message["id"], each["number"]), ""))
            for each in citations
        ),
        is_answered=is_answered,
        rating=opinion.get("rating", ""),
        reason=reason,
        comment=comment,
        turn=str(turn.pk) if turn and is_running else "",
        error=(turn.error or {}).get("message", "") if turn else "",
        versions=beside,
        is_last=is_last,
    )


def _versions(message: str, versions: Sequence[str]) -> ShownVersions | None:
    if len(versions) < 2 or message not in versions:
        return None
    place = versions.index(message)
    return ShownVersions(
        place + 1,
        len(versions),
        previous=versions[place - 1] if place else "",
        following=versions[place + 1] if place + 1 < len(versions) else "",
    )


def _source(citation: Mapping[str, Any], message: str, *, note: str) -> ShownSource:
    return ShownSource(
        number=citation["number"],
        page=citation_url(citation, message=message),
        place=citation["headings"][-1] if citation["headings"] else citation["document"],
        document=citation["document"],
        url=web_address(citation["url"]),
        is_doubtful=citation["supported"] is False,
        note=note,
    )
