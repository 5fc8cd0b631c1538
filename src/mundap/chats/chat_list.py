"""The list of a user's chats: read by its index, paged by a cursor, searched. `chat_search.py` knows how to search."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.chats.chat_search import Condition, find_search
from mundap.chats.shapes import CHAT_COLUMNS, CHAT_JOINS, chat_json
from mundap.errors import InvalidInput

PAGE_CHATS = 30
_ORDER = "ORDER BY c.updated_at DESC, c.id DESC"


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
    """Return the user's chats, the last used first; with `query` those that have its words (`chat_search.py`).

    No message is read, except to look for `query`. Raises InvalidInput for a cursor that is none.
    """
    wanted = [Condition("c.owner_id = %s AND c.deleted_at IS NULL", [user.pk])]
    if cursor:
        wanted.append(Condition("(c.updated_at, c.id) < (%s, %s)", _decode_cursor(cursor)))
    if pinned is not None:
        wanted.append(Condition("c.pinned" if pinned else "NOT c.pinned", []))
    if query.strip():
        rows = _search(user, query, wanted, limit=limit + 1)
    else:
        with connection.cursor() as db:
            rows = _read(db, wanted, limit=limit + 1)
    page = rows[:limit]
    following = encode_cursor(page[-1][5], page[-1][0]) if len(rows) > limit else None
    states = " ".join(f"{row[0]} {row[6]} {row[7]}" for row in page) + f" {following}"
    etag = f'"{hashlib.sha256(states.encode()).hexdigest()[:32]}"'
    return Page([chat_json(row) for row in page], etag, following)


@transaction.atomic
def _search(
    user: User, query: str, wanted: Sequence[Condition], *, limit: int
) -> list[tuple[Any, ...]]:
    with connection.cursor() as db:
        search = find_search(db, user, query)
        if search is None:
            return []
        return _read(db, [*wanted, *search.found], proofs=search.proofs, limit=limit)


def _read(
    db: CursorWrapper,
    conditions: Sequence[Condition],
    *,
    limit: int,
    proofs: Sequence[Condition] = (),
) -> list[tuple[Any, ...]]:
    """Return rows of CHAT_COLUMNS. The chats are chosen first, so that what is joined to them cannot cost more.

    The proofs are costly. OFFSET 0 has the chats put in order before, so that only as many are looked at as it takes.
    """
    chosen = f"SELECT * FROM chats_chat c WHERE {_all(conditions)} {_ORDER}"  # noqa: S608 - constants; values are parameters
    if proofs:
        chosen = f"SELECT * FROM ({chosen} OFFSET 0) c WHERE {_all(proofs)} {_ORDER}"  # noqa: S608 - as above
    db.execute(
        f"SELECT {CHAT_COLUMNS} FROM ({chosen} LIMIT %s) c {CHAT_JOINS} {_ORDER}",  # noqa: S608 - as above
        [*(value for each in [*conditions, *proofs] for value in each.values), limit],
    )
    return cast("list[tuple[Any, ...]]", db.fetchall())


def _all(conditions: Sequence[Condition]) -> str:
    return " AND ".join(each.sql for each in conditions)


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
