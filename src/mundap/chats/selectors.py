"""Reads of chats' parts: turns and messages. Each takes the user, and another user's object is not found.

A whole chat is read through `store.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.chats.models import Chat, State
from mundap.chats.shapes import MESSAGE_COLUMNS, message_json
from mundap.errors import NotFound


@dataclass(frozen=True, slots=True)
class TurnView:
    """A turn as its reader sees it; `text` is the draft's as long as it runs.

    `streamed` is what a final turn's readers got as deltas, where that is known. A running turn whose process is dead
    `is_expired`.
    """

    turn: UUID
    chat: UUID
    answer: UUID
    status: State
    title: str
    text: str
    citations: Sequence[Mapping[str, Any]] = ()
    retrieval: Mapping[str, Any] | None = None
    usage: Mapping[str, int] | None = None
    error: Mapping[str, Any] | None = None
    streamed: str | None = None
    is_expired: bool = False

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come."""
        return self.status != State.RUNNING


def get_chat_for(user: User, chat_id: UUID) -> Chat:
    """Return the user's chat. Raises NotFound."""
    chat = Chat.objects.filter(pk=chat_id, owner=user, deleted_at=None).first()
    if chat is None:
        raise no_chat()
    return chat


def get_message_for(user: User, message_id: UUID) -> dict[str, Any]:
    """Return one message as JSON. Raises NotFound."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT {MESSAGE_COLUMNS} FROM chats_message m JOIN chats_chat c ON c.id = m.chat_id
            WHERE m.id = %s AND c.owner_id = %s AND c.deleted_at IS NULL
            """,  # noqa: S608 - constants
            [message_id, user.pk],
        )
        row = cursor.fetchone()
    if row is None:
        raise NotFound(_("This message does not exist."))
    return message_json(row)


def list_versions_for(user: User, message_id: UUID) -> list[dict[str, Any]]:
    """Return all versions of a message as JSON, oldest first. Raises NotFound."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT {MESSAGE_COLUMNS} FROM chats_message known
            JOIN chats_chat c ON c.id = known.chat_id
            JOIN chats_message m ON m.chat_id = known.chat_id AND m.position = known.position
            WHERE known.id = %s AND c.owner_id = %s AND c.deleted_at IS NULL ORDER BY m.version
            """,  # noqa: S608 - constants
            [message_id, user.pk],
        )
        rows = cursor.fetchall()
    if not rows:
        raise NotFound(_("This message does not exist."))
    return [message_json(row) for row in rows]


def get_turn_for(user: User, turn_id: UUID) -> TurnView:
    """Return the turn as stored. Raises NotFound."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT t.id, t.chat_id, t.answer_id, t.status, c.title, coalesce(d.text, m.text, ''),
                   m.citations, t.retrieval, t.usage, t.error,
                   t.status = 'running' AND t.lease_until < clock_timestamp()
            FROM chats_turn t
            JOIN chats_chat c ON c.id = t.chat_id AND c.deleted_at IS NULL
            LEFT JOIN chats_message m ON m.id = t.answer_id
            LEFT JOIN chats_turndraft d ON d.turn_id = t.id AND t.status = 'running'
            WHERE t.id = %s AND t.owner_id = %s
            """,
            [turn_id, user.pk],
        )
        row = cursor.fetchone()
    if row is None:
        raise NotFound(_("This answer does not exist."))
    turn, chat, answer, status, title, text, *documents, is_expired = row
    citations, retrieval, usage, error = (json.loads(each) if each else None for each in documents)
    return TurnView(
        turn,
        chat,
        answer,
        State(status),
        title,
        text,
        citations=citations or (),
        retrieval=retrieval or None,
        usage=usage or None,
        error=error,
        is_expired=is_expired,
    )


def find_running_turn(user: User, chat_id: UUID) -> UUID | None:
    """Return the chat's running turn, whose process may be dead. Raises NotFound."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT t.id FROM chats_chat c
            LEFT JOIN chats_turn t ON t.chat_id = c.id AND t.status = 'running'
            WHERE c.id = %s AND c.owner_id = %s AND c.deleted_at IS NULL
            """,
            [chat_id, user.pk],
        )
        row = cursor.fetchone()
    if row is None:
        raise no_chat()
    turn: UUID | None = row[0]
    return turn


def no_chat() -> NotFound:
    """Return the error for a chat that is not there, or not this user's."""
    return NotFound(_("This conversation does not exist."))
