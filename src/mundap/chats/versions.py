"""New versions of a chat's last exchange: which may be made, and what each is made from. `turns.begin` stores them.

An edit is a new question with its answer; an answer is given anew, or gone on with from where it ended early. Whatever
is made becomes current, with what belongs to it; the earlier versions stay.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.backends.utils import CursorWrapper
from django.urls import reverse
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.answers import evidence
from mundap.answers.events import Earlier
from mundap.chats.models import Message, State
from mundap.errors import Conflict, NotFound
from mundap.library.models import Collection
from mundap.llm import client

VERSIONS_MAX = 100  # at a position: a chat names them all each time it is read


class Kind(Enum):
    """What a new version is to be."""

    EDIT = "edit"
    REGENERATE = "regenerate"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True)
class Revision:
    """A new version as asked for: of the question `message` with another text, or of the answer."""

    kind: Kind
    message: UUID
    key: str
    text: str = ""

    @property
    def digest(self) -> bytes:
        """Return what makes two posts with one key the same request."""
        request = [f"{self.kind.value}:{self.message}", self.text]
        return hashlib.sha256(json.dumps(request).encode()).digest()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a turn's messages go, and what it answers; `question` is one that is stored already.

    `former` is the text of the question that an edit replaces; `earlier` and its stored `retrieval` are of an answer
    that is gone on with.
    """

    position: int
    text: str
    question: UUID | None = None
    question_version: int = 1
    answer_version: int = 1
    former: str | None = None
    earlier: Earlier | None = None
    retrieval: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A question and, where the message is one, an answer to it, as they are stored."""

    role: str
    position: int
    state: str
    text: str
    question: UUID | None
    question_text: str
    retrieval: Mapping[str, Any]
    question_versions: int
    answer_versions: int


def find_chat(cursor: CursorWrapper, user: User, message: UUID) -> UUID:
    """Return the chat of the user's message. Raises NotFound."""
    cursor.execute(
        """
        SELECT c.id FROM chats_message m JOIN chats_chat c ON c.id = m.chat_id
        WHERE m.id = %s AND c.owner_id = %s AND c.deleted_at IS NULL
        """,
        [message, user.pk],
    )
    row: tuple[UUID] | None = cursor.fetchone()
    if row is None:
        raise NotFound(_("This message does not exist."))
    return row[0]


def place_of(
    cursor: CursorWrapper, revision: Revision, *, next_position: int, collection: Collection
) -> Place:
    """Return where the new version goes in the locked chat, and what it is made from. Raises Conflict."""
    exchange = _read(cursor, revision.message)
    is_edit = revision.kind is Kind.EDIT
    _require_role(exchange, Message.Role.USER if is_edit else Message.Role.ASSISTANT)
    position = exchange.position if is_edit else exchange.position - 1
    if position < next_position - 2:
        raise Conflict(
            _("Only the last question and its answer can have new versions. Ask a new question.")
        )
    if exchange.answer_versions >= VERSIONS_MAX:
        raise Conflict(_("This has too many versions. Ask a new question."))
    answer_version = exchange.answer_versions + 1
    if is_edit:
        return Place(
            position,
            revision.text,
            question_version=exchange.question_versions + 1,
            answer_version=answer_version,
            former=exchange.text,
        )
    if exchange.question is None:
        raise Conflict(_("The question of this answer is not there any more. Ask a new question."))
    earlier = None
    if revision.kind is Kind.CONTINUE:
        earlier = _earlier(exchange, collection, revision.message)
    return Place(
        position,
        exchange.question_text,
        question=exchange.question,
        answer_version=answer_version,
        earlier=earlier,
        retrieval=exchange.retrieval if earlier else {},
    )


def make_way(cursor: CursorWrapper, chat: UUID, place: Place) -> None:
    """Leave the exchange without current messages but for the question that stays: one at most may be current."""
    where: dict[str, UUID | int | None] = {
        "chat": chat,
        "position": place.position,
        "question": place.question,
    }
    cursor.execute(
        """
        UPDATE chats_message SET is_current = false
        WHERE chat_id = %(chat)s AND position IN (%(position)s, %(position)s + 1) AND is_current
          AND id IS DISTINCT FROM %(question)s
        """,
        where,
    )
    cursor.execute(
        """
        UPDATE chats_message SET is_current = true
        WHERE id = %(question)s AND chat_id = %(chat)s AND NOT is_current
        """,
        where,
    )


def _read(cursor: CursorWrapper, message: UUID) -> _Exchange:
    """Return the message with the question that it answers: its turn's, else the one before it."""
    cursor.execute(
        """
        SELECT m.role, m.position, m.state, m.text, q.id, coalesce(q.text, ''), coalesce(t.retrieval, '{}'),
               (SELECT coalesce(max(version), 0) FROM chats_message
                WHERE chat_id = m.chat_id AND position = place.question),
               (SELECT coalesce(max(version), 0) FROM chats_message
                WHERE chat_id = m.chat_id AND position = place.question + 1)
        FROM chats_message m
        CROSS JOIN LATERAL (SELECT m.position - (m.role = 'assistant')::int AS question) place
        LEFT JOIN chats_turn t ON t.answer_id = m.id
        LEFT JOIN chats_message q ON q.id = coalesce(t.question_id, (
            SELECT id FROM chats_message
            WHERE chat_id = m.chat_id AND position = place.question AND is_current AND role = 'user'
        ))
        WHERE m.id = %s
        """,
        [message],
    )
    row = cursor.fetchone()
    if row is None:  # its chat was purged meanwhile
        raise NotFound(_("This message does not exist."))
    role, position, state, text, question, question_text, retrieval, *versions = row
    return _Exchange(
        role, position, state, text, question, question_text, json.loads(retrieval), *versions
    )


def _require_role(exchange: _Exchange, role: Message.Role) -> None:
    if exchange.role == role:
        return
    if role == Message.Role.USER:
        raise Conflict(_("Only questions can be edited."))
    raise Conflict(_("Only answers can be written anew or continued."))


def _earlier(exchange: _Exchange, collection: Collection, message: UUID) -> Earlier | None:
    """Return what to go on from; None without a chat model, as quotations are made anew. Raises Conflict."""
    if exchange.state == State.COMPLETE:
        raise _ended(
            message, _("This answer is complete. Have it written anew if you want another.")
        )
    if not exchange.text:
        raise _ended(
            message, _("There is nothing of this answer to go on from. Have it written anew.")
        )
    if not client.has_model():
        return None
    if len(exchange.text) >= settings.ANSWER_MAX_CHARACTERS:
        raise _ended(message, _("This answer is as long as one may be. Have it written anew."))
    stored = exchange.retrieval
    given = evidence.restored(stored.get("passages", []), collection=collection)
    if not given:
        raise _ended(
            message,
            _("The passages that this answer was made from are gone. Have it written anew."),
        )
    return Earlier(exchange.text, tuple(stored.get("queries", [])), tuple(given))


def _ended(message: UUID, reason: str) -> Conflict:
    """Return the refusal to go on with an answer, with where it can be given anew."""
    return Conflict(reason, extra={"regenerate": reverse("regenerate", args=[message])})
