"""Counts shared by all processes through Redis, without a round trip for each: added up here, exchanged in batches.

A process knows the others' counts as of its last exchange, so together they may pass a limit by what arrives in one
interval. Where that is too much, count in Redis itself. Without Redis a process knows only its own.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from redis.asyncio import Redis

from mundap.config.redis_client import MISSING, find_counting_client

EXCHANGE_SECONDS = 0.1


@dataclass(slots=True)
class _Count:
    seconds_kept: int
    forgotten_at: float
    total: int = 0  # in Redis, at the last exchange
    own: int = 0  # counted here since


class SharedCounts:
    """The counts of one event loop, by their Redis keys."""

    def __init__(self) -> None:
        self._counts: dict[str, _Count] = {}
        self._exchange: asyncio.Task[None] | None = None

    def add(self, key: str, *, seconds_kept: int) -> int:
        """Count one, and return how many there are as far as is known; Redis keeps the key for so long."""
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count(seconds_kept, time.monotonic() + seconds_kept)
        count.own += 1
        if self._exchange is None or self._exchange.done():
            self._exchange = asyncio.create_task(self._exchange_soon())
        return count.total + count.own

    async def _exchange_soon(self) -> None:
        await asyncio.sleep(EXCHANGE_SECONDS)
        now = time.monotonic()
        self._counts = {key: each for key, each in self._counts.items() if each.forgotten_at > now}
        sent = {key: each.own for key, each in self._counts.items() if each.own}
        client = find_counting_client()
        if client is None or not sent:
            return

        async def exchange(redis: Redis) -> list[Any]:
            async with redis.pipeline(transaction=False) as pipeline:
                for key, own in sent.items():
                    pipeline.incrby(key, own)
                    pipeline.expire(key, self._counts[key].seconds_kept)
                return await pipeline.execute(raise_on_error=False)

        replies = await client.attempt("count", exchange)
        if replies is MISSING:
            return
        for (key, own), total in zip(sent.items(), replies[::2], strict=True):
            if isinstance(total, int):  # else the key holds something else, and counts here alone
                self._counts[key].total = total
                self._counts[key].own -= own


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, SharedCounts] = WeakKeyDictionary()


def get_shared_counts() -> SharedCounts:
    """Return the running loop's counts."""
    loop = asyncio.get_running_loop()
    if loop not in _shared:
        _shared[loop] = SharedCounts()
    return _shared[loop]
