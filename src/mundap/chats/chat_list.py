"""The list of a user's chats: indexed, paged by a cursor, searched; the messages themselves are never read for it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from unicodedata import normalize
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.chats.shapes import CHAT_COLUMNS, CHAT_JOINS, chat_json
from mundap.errors import InvalidInput

PAGE_CHATS = 30
_QUERY_WORDS = 10


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the list: chats as JSON, a digest of their states, and where the next page begins."""

    chats: list[dict[str, Any]]
    etag: str
    cursor: str | None


def list_chats(
    user: User,
    *,
    query: str = "",
    cursor: str = "",
    pinned: bool | None = None,
    limit: int = PAGE_CHATS,
) -> Page:
    """Return the user's chats, the last used first; with `query` those whose title or messages contain it.

    No message is read, except to look for `query`. Raises InvalidInput for a cursor that is none.
    """
    conditions = ["c.owner_id = %s", "c.deleted_at IS NULL"]
    values: list[Any] = [user.pk]
    if cursor:
        conditions.append("(c.updated_at, c.id) < (%s, %s)")
        values += _decode_cursor(cursor)
    if pinned is not None:
        conditions.append("c.pinned = %s")
        values.append(pinned)
    for word in normalize("NFC", query).split()[:_QUERY_WORDS]:
        pattern = f"%{_escape_like(word)}%"
        conditions.append(
            """(c.title ILIKE %s OR EXISTS (
                SELECT 1 FROM chats_message m WHERE m.chat_id = c.id AND m.is_current AND m.text ILIKE %s))"""
        )
        values += [pattern, pattern]
    with connection.cursor() as db:
        db.execute(
            f"""
            SELECT {CHAT_COLUMNS} FROM chats_chat c {CHAT_JOINS}
            WHERE {" AND ".join(conditions)} ORDER BY c.updated_at DESC, c.id DESC LIMIT %s
            """,  # noqa: S608 - constants; values are parameters
            [*values, limit + 1],
        )
        rows = db.fetchall()
    page = rows[:limit]
    following = encode_cursor(page[-1][5], page[-1][0]) if len(rows) > limit else None
    states = "".join(f"{row[0]}{row[6]}{row[7]}" for row in page) + str(following)
    etag = f'"{hashlib.sha256(states.encode()).hexdigest()[:32]}"'
    return Page([chat_json(row) for row in page], etag, following)


def encode_cursor(updated_at: datetime, chat: UUID) -> str:
    """Return where the page after this chat begins, as an opaque word."""
    return (
        base64.urlsafe_b64encode(f"{updated_at.isoformat()} {chat}".encode()).decode().rstrip("=")
    )


def _decode_cursor(cursor: str) -> tuple[datetime, UUID]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        moment, _space, chat = text.partition(" ")
        return datetime.fromisoformat(moment).astimezone(UTC), UUID(chat)
    except (ValueError, OverflowError) as exc:
        raise InvalidInput(
            _("The cursor is not valid."), fields={"cursor": _("not a cursor")}
        ) from exc


def _escape_like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
