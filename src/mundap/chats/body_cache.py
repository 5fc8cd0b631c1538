"""Chats' bodies in Redis: taken only if they validate, filled in behind the answer, forgotten with their chat.

Nothing here can fail a request, and no request waits for a fill. What Redis holds is never the truth: `store.py` says
by which state a body is asked for.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from mundap.chats.sealed_body import Identity, NotThis, seal, unseal
from mundap.config import metrics
from mundap.config.redis_client import MISSING, RedisClient, find_client

TTL_SECONDS = 3600
_TTL_JITTER = 0.1  # so that what was filled together does not expire together
_MOST_WAITING_BYTES = 16 * 1024 * 1024


def key_of(chat: UUID) -> str:
    """Return the body's key; the braces keep all keys of a chat in one slot of a cluster."""
    return f"mundap1:{{{chat}}}:body"


async def find(identity: Identity) -> bytes | None:
    """Return the body of exactly this state, or None."""
    client = find_client()
    if client is None:
        return None
    value: Any = await client.attempt("get_body", lambda redis: redis.get(key_of(identity.chat)))
    if value is MISSING:
        reason = "error"
    elif value is None:
        reason = "absent"
    else:
        try:
            body = unseal(value, expected=identity)
        except NotThis as exc:
            reason = exc.reason
        else:
            metrics.cache_hits.inc()
            return body
    metrics.cache_misses.labels(reason).inc()
    return None


def fill(identity: Identity, body: bytes) -> None:
    """Put the body into Redis, soon; dropped when too much is waiting."""
    if filler := _fillers.get(asyncio.get_running_loop()):
        filler.add(_Fill(identity, body))


def forget(chat: UUID) -> None:
    """Take the chat's body out of Redis, soon. May be called from any thread.

    Without a server in this process it expires by itself; nobody can read it, because the chat's head is gone.
    """
    for loop, filler in list(_fillers.items()):
        loop.call_soon_threadsafe(filler.add, _Forget(chat))


@dataclass(frozen=True, slots=True)
class _Fill:
    identity: Identity
    body: bytes


@dataclass(frozen=True, slots=True)
class _Forget:
    chat: UUID


class _Filler:
    """What waits to be written to Redis, and the task that writes it, in order."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._waiting: deque[_Fill | _Forget] = deque()
        self._waiting_bytes = 0
        self._is_wanted = asyncio.Event()
        self._task = asyncio.create_task(self._work())

    def add(self, item: _Fill | _Forget) -> None:
        if isinstance(item, _Fill):
            if self._waiting_bytes + len(item.body) > _MOST_WAITING_BYTES:
                metrics.cache_fills.labels("dropped").inc()
                return
            self._waiting_bytes += len(item.body)
        self._waiting.append(item)
        self._is_wanted.set()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            await self._is_wanted.wait()
            while self._waiting:
                item = self._waiting.popleft()
                if isinstance(item, _Fill):
                    self._waiting_bytes -= len(item.body)
                    await self._fill(item)
                else:
                    await self._forget(item)
            self._is_wanted.clear()

    async def _forget(self, item: _Forget) -> None:
        await self._client.attempt("forget", lambda redis: redis.unlink(key_of(item.chat)))

    async def _fill(self, item: _Fill) -> None:
        value = seal(item.identity, item.body)
        if value is None:
            metrics.cache_fills.labels("dropped").inc()
            return
        milliseconds = int(TTL_SECONDS * 1000 * random.uniform(1 - _TTL_JITTER, 1 + _TTL_JITTER))  # noqa: S311
        done = await self._client.attempt(
            "fill", lambda redis: redis.set(key_of(item.identity.chat), value, px=milliseconds)
        )
        metrics.cache_fills.labels("failed" if done is MISSING else "stored").inc()


_fillers: dict[asyncio.AbstractEventLoop, _Filler] = {}


def open_filler() -> None:
    """Begin to write what is filled and forgotten on the running loop, which has a client."""
    if client := find_client():
        _fillers[asyncio.get_running_loop()] = _Filler(client)


async def close_filler() -> None:
    """Stop writing; what waits is dropped, it is only a cache."""
    if filler := _fillers.pop(asyncio.get_running_loop(), None):
        await filler.close()
