"""Conversations: Postgres, behind a cache in Redis that can neither be stale nor somebody else's.

A read begins with the chat's head in Postgres: one indexed row that authorises the reader and names the chat's state. A
body from Redis is used only if it was sealed for exactly this chat, owner and state; else it is loaded from Postgres in
one statement, and offered to Redis. So Redis may be empty, stopped, rolled back or filled with rubbish: it costs time.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Container
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.accounts.tokens import OWNER_BY_DIGEST, is_possible, token_digest
from mundap.chats import body_cache, reaper
from mundap.chats.sealed_body import Identity
from mundap.chats.selectors import no_chat
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
from mundap.config import metrics
from mundap.config.async_database import fetch_all
from mundap.errors import InvalidInput, MundapError

PAGE_MESSAGES = 50
_NO_POSITION = 2**31 - 1
logger = logging.getLogger(__name__)

# The running turn is read only when its runner is dead: then somebody has to finish it first.
_HEAD = """
    SELECT c.owner_id, c.rev, c.etag, t.id, l.category, l.title_no, l.title FROM chats_chat c
    LEFT JOIN library_collection l ON l.id = c.collection_id
    LEFT JOIN chats_turn t
        ON t.chat_id = c.id AND t.status = 'running' AND t.lease_until < clock_timestamp()
    WHERE c.id = %s AND c.deleted_at IS NULL AND c.owner_id =
"""
HEAD_FOR_USER = f"{_HEAD} %s"
HEAD_FOR_TOKEN = f"{_HEAD} ({OWNER_BY_DIGEST})"
_LOAD = f"""
    SELECT {CHAT_COLUMNS}, {MESSAGE_COLUMNS}
    FROM chats_chat c {CHAT_JOINS}
    LEFT JOIN LATERAL (
        SELECT * FROM chats_message WHERE chat_id = c.id AND is_current AND position < %s
        ORDER BY position DESC LIMIT %s
    ) m ON true
    WHERE c.id = %s AND c.owner_id = %s AND c.deleted_at IS NULL
    ORDER BY m.position DESC
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Head:
    """What a chat is at this moment: whose, in which state, about what (category, number and title of its collection).

    `expired` is a running turn that nobody runs any more.
    """

    identity: Identity
    expired: UUID | None
    about: tuple[str | None, int | None, str | None]

    @property
    def etag(self) -> str:
        """Return the HTTP entity tag."""
        return etag_of(self.identity.rev, self.identity.etag)


@dataclass(frozen=True, slots=True)
class Body:
    """A chat as JSON, or None where the reader has this state already."""

    etag: str
    content: bytes | None


async def read(
    user: User, chat_id: UUID, *, before: str = "", known_etags: Container[str] = ()
) -> Body:
    """Return the chat with its last messages, or those before the cursor. Raises NotFound, InvalidInput."""
    position = _position(before)
    head = await get_head(user, chat_id)
    if before:
        return Body(head.etag, None) if head.etag in known_etags else await _page(head, position)
    return await read_at(head, known_etags=known_etags)


async def get_head(user: User, chat_id: UUID) -> Head:
    """Return the head of the user's chat, after finishing a turn in it whose runner is dead. Raises NotFound."""
    head = await _find_head(HEAD_FOR_USER, chat_id, user.pk)
    if head and head.expired:
        await reaper.finish_dead(head.expired)
        head = await _find_head(HEAD_FOR_USER, chat_id, user.pk)
    if head is None:
        raise no_chat()
    return head


async def find_head_by_token(token: str, chat_id: UUID) -> Head | None:
    """Return the head of a chat of the token's owner; None for whatever needs a second look.

    That is a wrong token, a chat that is not there, a use of the token that is to be noted, a turn to be finished.
    """
    if not is_possible(token):
        return None
    head = await _find_head(HEAD_FOR_TOKEN, chat_id, token_digest(token))
    return None if head is None or head.expired else head


async def read_at(head: Head, *, known_etags: Container[str] = ()) -> Body:
    """Return the chat with its last messages, in the head's state or a newer one. Raises NotFound."""
    if head.etag in known_etags:
        metrics.reads_not_modified.inc()
        return Body(head.etag, None)
    content = await body_cache.find(head.identity)
    if content is None:
        metrics.reads_loaded.inc()
        return await load(head)
    metrics.reads_cached.inc()
    if settings.CACHE_CHECK_EVERY and random.random() * settings.CACHE_CHECK_EVERY < 1:  # noqa: S311
        _check_later(head, content)
    return Body(head.etag, content)


async def load(head: Head) -> Body:
    """Return the chat as Postgres has it now, and offer it to Redis. Raises NotFound."""
    identity, content = await _load(head, before=_NO_POSITION)
    body_cache.fill(identity, content)
    return Body(etag_of(identity.rev, identity.etag), content)


async def _page(head: Head, before: int) -> Body:
    identity, content = await _load(head, before=before)
    return Body(etag_of(identity.rev, identity.etag), content)


async def _find_head(statement: str, chat_id: UUID, whose: UUID | bytes) -> Head | None:
    rows = await fetch_all(statement, (chat_id, whose))
    if not rows:
        return None
    owner, rev, etag, expired, *about = rows[0]
    return Head(Identity(chat_id, owner, rev, etag), expired, tuple(about))


async def _load(head: Head, *, before: int) -> tuple[Identity, bytes]:
    """Return the body with the state that it was loaded in, which may be newer than the head. Raises NotFound."""
    chat, owner = head.identity.chat, head.identity.owner
    rows = await fetch_all(_LOAD, (before, PAGE_MESSAGES + 1, chat, owner))
    if not rows:
        raise no_chat()
    messages = [message_json(row[CHAT_WIDTH:]) for row in rows if row[CHAT_WIDTH] is not None]
    has_more = len(messages) > PAGE_MESSAGES
    page = messages[:PAGE_MESSAGES][::-1]
    body: dict[str, Any] = chat_json(rows[0]) | {
        "messages": page,
        "before": str(page[0]["position"]) if has_more else None,
    }
    return Identity(chat, owner, rows[0][6], rows[0][7]), dump(body)


# --- the self-check

_checks: set[asyncio.Task[None]] = set()


def _check_later(head: Head, content: bytes) -> None:
    task = asyncio.create_task(_check(head, content))
    _checks.add(task)
    task.add_done_callback(_checks.discard)


async def _check(head: Head, content: bytes) -> None:
    """Compare what was taken from Redis with Postgres, unless the chat has changed meanwhile."""
    try:
        identity, loaded = await _load(head, before=_NO_POSITION)
    except (MundapError, DatabaseError):  # deleted meanwhile, or the database is away
        return
    is_same = loaded == content
    result = ("same" if is_same else "different") if identity == head.identity else "changed"
    metrics.cache_self_checks.labels(result).inc()
    if result == "different":
        logger.error("The cache differs from the database: chat %s", identity.chat)
        body_cache.forget(identity.chat)


def _position(cursor: str) -> int:
    """Return the position that a page ends before; the cursor is one we gave out, so anything else is refused."""
    if not cursor:
        return _NO_POSITION
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise InvalidInput(_("The cursor is not valid."), fields={"before": _("not a cursor")})
    return int(cursor)
