"""Reading conversations: each function takes the user, and another user's object is not found.

`read` is the one way to a chat's body: its head authorises and names the state, so that a body kept elsewhere could be
used only if it carries the same rev and etag. Here every body comes from Postgres, in one statement.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.chats import turns
from mundap.chats.models import Chat, State
from mundap.chats.shapes import (
    CHAT_COLUMNS,
    CHAT_JOINS,
    CHAT_WIDTH,
    MESSAGE_COLUMNS,
    chat_json,
    dump,
    etag_of,
    message_json,
)
from mundap.errors import InvalidInput, NotFound

PAGE_MESSAGES = 50
_NO_POSITION = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Body:
    """A chat as JSON, or None where the reader has this state already."""

    etag: str
    content: bytes | None


@dataclass(frozen=True, slots=True)
class TurnView:
    """A turn as its reader sees it; `text` is the draft's as long as it runs.

    `streamed` is what a final turn's readers got as deltas, where that is known.
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

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come."""
        return self.status != State.RUNNING


def get_chat_for(user: User, chat_id: UUID) -> Chat:
    """Return the user's chat. Raises NotFound."""
    chat = Chat.objects.filter(pk=chat_id, owner=user, deleted_at=None).first()
    if chat is None:
        raise _no_chat()
    return chat


def read(user: User, chat_id: UUID, *, before: str = "", known_etags: Container[str] = ()) -> Body:
    """Return the chat with its last messages, or those before the cursor. Raises NotFound, InvalidInput."""
    position = _position(before)
    etag, expired = _head(user, chat_id)
    if expired and turns.reap_one(expired):
        etag, expired = _head(user, chat_id)
    if etag in known_etags:
        return Body(etag, None)
    return _load(user, chat_id, before=position)


def _head(user: User, chat_id: UUID) -> tuple[str, UUID | None]:
    """Return the etag, and a running turn whose lease has run out."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.rev, c.etag, t.id FROM chats_chat c
            LEFT JOIN chats_turn t
                ON t.chat_id = c.id AND t.status = 'running' AND t.lease_until < clock_timestamp()
            WHERE c.id = %s AND c.owner_id = %s AND c.deleted_at IS NULL
            """,
            [chat_id, user.pk],
        )
        row = cursor.fetchone()
    if row is None:
        raise _no_chat()
    return etag_of(row[0], row[1]), row[2]


def _load(user: User, chat_id: UUID, *, before: int) -> Body:
    """Return the body with the etag that it was loaded with, which may be newer than a head read earlier."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT {CHAT_COLUMNS}, {MESSAGE_COLUMNS}
            FROM chats_chat c {CHAT_JOINS}
            LEFT JOIN LATERAL (
                SELECT * FROM chats_message WHERE chat_id = c.id AND is_current AND position < %s
                ORDER BY position DESC LIMIT %s
            ) m ON true
            WHERE c.id = %s AND c.owner_id = %s AND c.deleted_at IS NULL
            ORDER BY m.position DESC
            """,  # noqa: S608 - constants
            [before, PAGE_MESSAGES + 1, chat_id, user.pk],
        )
        rows = cursor.fetchall()
    if not rows:
        raise _no_chat()
    messages = [message_json(row[CHAT_WIDTH:]) for row in rows if row[CHAT_WIDTH] is not None]
    has_more = len(messages) > PAGE_MESSAGES
    page = messages[:PAGE_MESSAGES][::-1]
    body = chat_json(rows[0]) | {
        "messages": page,
        "before": str(page[0]["position"]) if has_more else None,
    }
    return Body(etag_of(rows[0][6], rows[0][7]), dump(body))


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


def get_turn_for(user: User, turn_id: UUID) -> TurnView:
    """Return the turn as stored, finishing it first if its runner is dead. Raises NotFound."""
    view, is_expired = _turn(user, turn_id)
    if is_expired and turns.reap_one(turn_id):
        view, _is_expired = _turn(user, turn_id)
    return view


def find_running_turn(user: User, chat_id: UUID) -> UUID | None:
    """Return the chat's running turn. Raises NotFound."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT t.id, t.lease_until < clock_timestamp() FROM chats_chat c
            LEFT JOIN chats_turn t ON t.chat_id = c.id AND t.status = 'running'
            WHERE c.id = %s AND c.owner_id = %s AND c.deleted_at IS NULL
            """,
            [chat_id, user.pk],
        )
        row = cursor.fetchone()
    if row is None:
        raise _no_chat()
    turn, is_expired = row
    return None if turn and is_expired and turns.reap_one(turn) else turn


def _turn(user: User, turn_id: UUID) -> tuple[TurnView, bool]:
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
    view = TurnView(
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
    )
    return view, is_expired


def _position(cursor: str) -> int:
    """Return the position that a page ends before; the cursor is one we gave out, so anything else is refused."""
    if not cursor:
        return _NO_POSITION
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise InvalidInput(_("The cursor is not valid."), fields={"before": _("not a cursor")})
    return int(cursor)


def _no_chat() -> NotFound:
    return NotFound(_("This conversation does not exist."))
