"""Conversations as the classic contract shows them."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from mundap.accounts.models import User
from mundap.chats import store
from mundap.chats.shapes import etag_of
from mundap.config.threads import in_database_thread
from mundap.errors import NotFound
from mundap.library.models import Passage

NOT_FOUND = "ChatHistory not found"  # what clients of the original look for
SESSIONS = 50
LOG_MESSAGES = 1000
_OPENING = {"SYSTEM": "init conversation"}


async def read_chat(
    user: User, chat_id: UUID, *, known_etags: Container[str] = ()
) -> tuple[str, dict[str, Any] | None]:
    """Return the entity tag and the chat with its log, None where the reader has it already. Raises NotFound."""
    try:
        head = await store.get_head(user, chat_id)
        body = await store.read_at(head, known_etags=known_etags)
    except NotFound:
        raise _not_found() from None
    if body.content is None:
        return body.etag, None
    chat = json.loads(body.content)
    if body.etag == head.etag and chat["before"] is None:
        log = [_entry(each["position"], each["role"], each["text"]) for each in chat["messages"]]
        return body.etag, _info(chat_id, chat["title"], head.about) | {"chatlog": [_OPENING, *log]}
    # It is longer than a body shows, or has changed since its head was read.
    found = await in_database_thread(_read, user, [chat_id])
    if not found:
        raise _not_found()
    return found[0].etag, found[0].info | {"chatlog": found[0].log}


def require_chat(user: User, chat_id: UUID) -> None:
    """Raise NotFound where the user has no such chat."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM chats_chat WHERE id = %s AND owner_id = %s AND deleted_at IS NULL",
            [chat_id, user.pk],
        )
        if cursor.fetchone() is None:
            raise _not_found()


def read_sessions(user: User, chat_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """Return these chats with their conversations, in this order."""
    return [each.info | {"conversation": each.log} for each in _read(user, chat_ids)]


def explanation(retrieval: Mapping[str, Any]) -> dict[str, Any]:
    """Return the queries that were used, and the passages given to the answer with their texts as they are now."""
    found = retrieval.get("passages", [])
    ids = [each["passage"] for each in found]
    texts = dict(Passage.objects.filter(pk__in=ids).values_list("pk", "text"))
    passages = [{**each, "text": texts.get(UUID(each["passage"]), "")} for each in found]
    return {"multi_query": retrieval.get("queries", []), "Retriever": passages}


@dataclass(frozen=True, slots=True)
class _Chat:
    """A chat as one statement found it: its state, what is known of it, its log."""

    etag: str
    info: dict[str, Any]
    log: list[dict[str, Any]]


def _read(user: User, chat_ids: Sequence[UUID]) -> list[_Chat]:
    """Return those of these chats that the user has, in this order."""
    if not chat_ids:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.id, c.rev, c.etag, c.title, l.category, l.title_no, l.title, m.position, m.role, m.text
            FROM chats_chat c
            LEFT JOIN library_collection l ON l.id = c.collection_id
            LEFT JOIN chats_message m
                ON m.chat_id = c.id AND m.is_current AND m.position >= c.next_position - %s
            WHERE c.id = ANY(%s) AND c.owner_id = %s AND c.deleted_at IS NULL
            ORDER BY array_position(%s, c.id), m.position
            """,
            [LOG_MESSAGES, list(chat_ids), user.pk, list(chat_ids)],
        )
        rows = cursor.fetchall()
    chats: dict[UUID, _Chat] = {}
    for chat, rev, etag, title, *about, position, role, text in rows:
        if chat not in chats:
            chats[chat] = _Chat(etag_of(rev, etag), _info(chat, title, about), [_OPENING])
        if position is not None:
            chats[chat].log.append(_entry(position, role, text))
    return list(chats.values())


def _info(chat: UUID, title: str, about: Sequence[Any]) -> dict[str, Any]:
    info = dict(zip(("category", "title_no", "title"), about, strict=True))
    return {"id": str(chat), "title": title, "content_info": info}


def _entry(position: int, role: str, text: str) -> dict[str, Any]:
    number = position // 2 + 1
    return {"id_user": number, "USER": text} if role == "user" else {"id_ai": number, "AI": text}


def _not_found() -> NotFound:
    return NotFound(NOT_FOUND)
