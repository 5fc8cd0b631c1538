"""Our own asynchronous Redis client, for chat bodies and streams: quick to give up, and its errors end here.

redis-py's defaults wait for a minute and repeat what may have been done already; here every wait is bounded and nothing
is repeated. The cache framework's client (throttles) is django-redis, set up in the settings.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar
from weakref import WeakKeyDictionary

from django.conf import settings
from prometheus_client import Histogram
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from mundap.config import metrics
from mundap.config.breaker import Breaker
from mundap.config.redis_servers import close_async_client, open_async_client

PATIENCE_SECONDS = 1.0  # of a read that blocks until there is something

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Missing(enum.Enum):
    """What an operation gives when Redis did not carry it out."""

    MISSING = "missing"


MISSING: Literal[Missing.MISSING] = Missing.MISSING


class RedisClient:
    """Redis, as one event loop sees it. An operation takes `operation_seconds` at most, whatever happens."""

    def __init__(self, name: str, url: str, *, connections: int, operation_seconds: float) -> None:
        self._operation_seconds = operation_seconds
        # Whoever finds all connections in use waits here. One timeout around everything bounds each operation more
        # closely than redis-py's own for waiting, connecting and each read, and costs half of them.
        self._free = asyncio.Semaphore(connections)
        self._redis = open_async_client(
            url,
            connections=connections,
            operation_seconds=operation_seconds,
            client_name=f"mundap-{name}",
        )
        self._breaker = Breaker()
        self._breaker_open = metrics.redis_breaker_open.labels(name)

    async def attempt(
        self, operation: str, command: Callable[[Redis], Awaitable[T]]
    ) -> T | Missing:
        """Return what the command gives, or MISSING when Redis failed or is left alone; `operation` names it."""
        if not self._breaker.admits():
            return MISSING
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(self._operation_seconds), self._free:
                result = await command(self._redis)
        except ResponseError as exc:
            # It answers: a wrong type, full, read-only. That says nothing about the next operation.
            self._note_failure(operation, exc)
            return MISSING
        except Exception as exc:  # noqa: BLE001 - this is the edge
            # Not only RedisError: redis-py raises anything at replies that make no sense, and uvloop a RuntimeError
            # for writing to a connection that was just reset.
            self._breaker.fail()
            self._note_failure(operation, exc)
            return MISSING
        self._note_success()
        _seconds_of(operation).observe(time.perf_counter() - begun)
        return result

    @property
    def is_left_alone(self) -> bool:
        """Whether Redis is taken to be away."""
        return self._breaker.is_open

    async def close(self) -> None:
        """Close the connections."""
        await close_async_client(self._redis)

    def _note_success(self) -> None:
        if self._breaker.is_open:
            self._breaker_open.set(0)
        self._breaker.succeed()

    def _note_failure(self, operation: str, exc: Exception) -> None:
        metrics.redis_failures.labels(operation).inc()
        self._breaker_open.set(self._breaker.is_open)
        logger.info("Redis did not carry out %s: %s", operation, type(exc).__name__)


@lru_cache
def _seconds_of(operation: str) -> Histogram:
    return metrics.redis_seconds.labels(operation)


@dataclass(frozen=True, slots=True)
class _Clients:
    """The clients of one event loop: those that read blocks of a stream wait long, and must not keep others waiting.

    A batch that is sent has the same patience, as nobody waits for it, and connections of its own. What is counted is
    counted where the cache framework counts it; all the rest may be on a Redis of its own.
    """

    quick: RedisClient
    patient: RedisClient
    sending: RedisClient
    counting: RedisClient

    def __iter__(self) -> Iterator[RedisClient]:
        return iter((self.quick, self.patient, self.sending, self.counting))


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, _Clients] = WeakKeyDictionary()


def open_clients() -> None:
    """Make the running loop's clients; they connect when they are used."""
    url, patience = settings.CACHE_REDIS_URL or settings.REDIS_URL, PATIENCE_SECONDS + 0.5
    _clients[asyncio.get_running_loop()] = _Clients(
        quick=RedisClient("quick", url, connections=32, operation_seconds=0.15),
        # One for each turn of another process that is read here.
        patient=RedisClient("patient", url, connections=1000, operation_seconds=patience),
        sending=RedisClient("sending", url, connections=2, operation_seconds=patience),
        counting=RedisClient("counting", settings.REDIS_URL, connections=2, operation_seconds=0.15),
    )


async def probe() -> None:
    """Ask a Redis that is left alone whether it is back: without requests nobody else would notice."""
    for client in _clients.get(asyncio.get_running_loop(), ()):
        if client.is_left_alone:
            await client.attempt("probe", lambda redis: redis.ping())


async def close_clients() -> None:
    """Close the running loop's clients."""
    if clients := _clients.pop(asyncio.get_running_loop(), None):
        for client in clients:
            await client.close()


def find_client() -> RedisClient | None:
    """Return the running loop's client; None outside a server, where Redis is not needed."""
    clients = _clients.get(asyncio.get_running_loop())
    return clients.quick if clients else None


def find_patient_client() -> RedisClient | None:
    """Return the running loop's client for reads that block for up to PATIENCE_SECONDS; None outside a server."""
    clients = _clients.get(asyncio.get_running_loop())
    return clients.patient if clients else None


def find_sending_client() -> RedisClient | None:
    """Return the running loop's client for batches that nobody waits for; None outside a server."""
    clients = _clients.get(asyncio.get_running_loop())
    return clients.sending if clients else None


def find_counting_client() -> RedisClient | None:
    """Return the running loop's client for request rates; None outside a server."""
    clients = _clients.get(asyncio.get_running_loop())
    return clients.counting if clients else None
