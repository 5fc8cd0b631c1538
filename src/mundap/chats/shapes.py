"""The JSON of chats and messages, and the columns it is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.urls import reverse

from mundap.errors import MundapError

CHAT_COLUMNS = "c.id, c.title, c.pinned, l.slug, c.created_at, c.updated_at, c.rev, c.etag, t.id"
CHAT_WIDTH = 9
CHAT_JOINS = """
    LEFT JOIN library_collection l ON l.id = c.collection_id
    LEFT JOIN chats_turn t ON t.chat_id = c.id AND t.status = 'running'
"""
MESSAGE_COLUMNS = """
    m.id, m.position, m.role, m.text, m.state, m.citations, m.rating, m.comment, m.created_at,
    ARRAY(SELECT v.id FROM chats_message v WHERE v.chat_id = m.chat_id AND v.position = m.position ORDER BY v.version)
"""
_CITATION_KEYS = ("number", "passage", "document", "path", "headings", "url", "quote", "supported")


def chat_json(row: Sequence[Any]) -> dict[str, Any]:
    """Return a chat without its messages, from a row of CHAT_COLUMNS."""
    chat, title, pinned, collection, created_at, updated_at, rev, _etag, turn = row[:CHAT_WIDTH]
    return {
        "id": str(chat),
        "title": title,
        "pinned": pinned,
        "collection": collection,
        "created_at": timestamp(created_at),
        "updated_at": timestamp(updated_at),
        "rev": rev,
        "active_turn": turn and {"id": str(turn), "stream": stream_url(turn)},
    }


def message_json(row: Sequence[Any]) -> dict[str, Any]:
    """Return a message, from a row of MESSAGE_COLUMNS. `versions` are the ids of all versions at its position."""
    message, position, role, text, state, citations, rating, comment, created_at, versions = row
    return {
        "id": str(message),
        "position": position,
        "role": role,
        "text": text,
        "state": state,
        "citations": [citation_json(each) for each in json.loads(citations)],
        "versions": [str(version) for version in versions],
        "feedback": {"rating": rating, "comment": comment} if rating else None,
        "created_at": timestamp(created_at),
    }


def citation_json(stored: dict[str, Any]) -> dict[str, Any]:
    """Return what a client needs of a stored citation."""
    return {key: stored.get(key) for key in _CITATION_KEYS}


def source_title(citation: Mapping[str, Any]) -> str:
    """Return what a citation's source is called: its document and the headings that the passage stands under."""
    return " › ".join(dict.fromkeys([citation["document"], *citation["headings"]]))


def timestamp(moment: datetime) -> str:
    """Return the moment as RFC 3339 in UTC."""
    return moment.isoformat().replace("+00:00", "Z")


def etag_of(rev: int, etag: UUID) -> str:
    """Return the HTTP entity tag of a chat's state."""
    return f'"{rev}-{etag.hex}"'


def stream_url(turn: UUID) -> str:
    """Return where the turn's stream is read."""
    return reverse("turn-stream", args=[turn])


def dump(document: Any) -> bytes:
    """Return the document as JSON bytes."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def error_json(error: MundapError) -> dict[str, Any]:
    """Return what is stored of an error, so that a repeated request is answered as the first was."""
    return {"code": error.code, "message": str(error.message), "status": error.status}
