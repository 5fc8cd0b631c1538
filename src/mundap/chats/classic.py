"""Conversations as the classic contract shows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from mundap.accounts.models import User
from mundap.errors import NotFound
from mundap.library.models import Passage

NOT_FOUND = "ChatHistory not found"  # what clients of the original look for
SESSIONS = 50
LOG_MESSAGES = 1000
_OPENING = {"SYSTEM": "init conversation"}


def read_chat(user: User, chat_id: UUID) -> dict[str, Any]:
    """Return the chat with its log. Raises NotFound."""
    chats = _read(user, [chat_id])
    if not chats:
        raise _not_found()
    info, log = chats[0]
    return {**info, "chatlog": log}


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
    return [{**info, "conversation": log} for info, log in _read(user, chat_ids)]


def explanation(retrieval: Mapping[str, Any]) -> dict[str, Any]:
    """Return the queries that were used, and the passages given to the answer with their texts as they are now."""
    found = retrieval.get("passages", [])
    ids = [each["passage"] for each in found]
    texts = dict(Passage.objects.filter(pk__in=ids).values_list("pk", "text"))
    passages = [{**each, "text": texts.get(UUID(each["passage"]), "")} for each in found]
    return {"multi_query": retrieval.get("queries", []), "Retriever": passages}


def _read(
    user: User, chat_ids: Sequence[UUID]
) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Return (what is known of the chat, its log) for each of these chats that the user has."""
    if not chat_ids:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.id, c.title, l.category, l.title_no, l.title, m.position, m.role, m.text
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
    infos: dict[UUID, dict[str, Any]] = {}
    logs: dict[UUID, list[dict[str, Any]]] = defaultdict(lambda: [dict(_OPENING)])
    for chat, title, category, title_no, about, position, role, text in rows:
        infos[chat] = {
            "id": str(chat),
            "title": title,
            "content_info": {"category": category, "title_no": title_no, "title": about},
        }
        if position is not None:
            logs[chat].append(_entry(position, role, text))
    return [(info, logs[chat]) for chat, info in infos.items()]


def _entry(position: int, role: str, text: str) -> dict[str, Any]:
    number = position // 2 + 1
    return {"id_user": number, "USER": text} if role == "user" else {"id_ai": number, "AI": text}


def _not_found() -> NotFound:
    return NotFound(NOT_FOUND)
