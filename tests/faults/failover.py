"""A failover that has lost a commit, which a reader had seen: the counter will be used again for other content."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import httpx2
import psycopg

from tests.faults.arena import Arena
from tests.faults.clients import Chat
from tests.faults.tampering import values

FILL_SECONDS = 1.0


async def lose_a_commit(arena: Arena, chat: Chat, *, database: str, token: str) -> None:
    """Commit a change, let the cache learn of it, and take it back; nobody in the history saw it.

    The change never was acknowledged to anybody. Needs a superuser's address: no trigger may notice.
    """
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        row = connection.execute(
            "SELECT title, rev, etag FROM chats_chat WHERE id = %s", [chat.id]
        ).fetchone()
        assert row is not None
        title, rev, etag = row
        _set(connection, chat, title="lost in a failover", rev=rev + 1, etag=uuid4())
        await _read_until_cached(arena, chat, token=token)
        _set(connection, chat, title=title, rev=rev, etag=etag)


def _set(connection: psycopg.Connection, chat: Chat, **columns: object) -> None:
    connection.execute(
        "UPDATE chats_chat SET title = %(title)s, rev = %(rev)s, etag = %(etag)s WHERE id = %(chat)s",
        columns | {"chat": chat.id},
    )


async def _read_until_cached(arena: Arena, chat: Chat, *, token: str) -> None:
    """Read the chat, unrecorded, until its new body lies in the cache."""
    key, before = f"mundap1:{{{chat.id}}}:body".encode(), await arena.redis.call(values)
    end = time.monotonic() + FILL_SECONDS
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http:
        while time.monotonic() < end:
            await http.get(f"{arena.nodes[0].url}/api/v1/chats/{chat.id}/")
            now = await arena.redis.call(values)
            if now.get(key) not in (None, before.get(key)):
                return
            await asyncio.sleep(0.05)
