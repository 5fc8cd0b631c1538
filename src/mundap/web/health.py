"""Whether this process is up (`/healthz`), and whether it can do its work (`/readyz`).

All parts are looked at at once, each for a bounded time. The models' endpoints are not called, which would cost money:
a connection to them is opened, twice a minute at most.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import psycopg
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, JsonResponse
from django_redis import get_redis_connection
from redis import Redis

from mundap.config.redis_servers import find_master, open_client
from mundap.library.workers import SILENT_AFTER
from mundap.web.metrics import may_see

OK, UNSET, UNKNOWN = "ok", "unset", "unknown"
NEEDED = frozenset(("database", "migrations"))  # without the others requests are still welcome
LOOK_SECONDS = 3.0  # for all of it
_REDIS_KEY = "mundap1:ready"
_REDIS_SECONDS = 0.5
_DATABASE_SECONDS = 2  # the least that libpq takes
_REACH_SECONDS = 1.0
_REACH_KEPT_SECONDS = 30.0
_MEGABYTE = 1 << 20

_Look = Callable[[], Mapping[str, str]]
_lookers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="mundap-ready")
_coming: dict[_Look, Future[Mapping[str, str]]] = {}
_beginning = threading.Lock()


def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as the process serves."""
    return JsonResponse({"status": OK})


def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when the needed parts are there, 503 when not; `missing` names what is not as it should be.

    The status is `degraded` where something is missing that requests can do without.
    """
    parts = _look()
    missing = [name for name, state in parts.items() if state not in (OK, UNSET, UNKNOWN)]
    is_ready = NEEDED.isdisjoint(missing)
    status = "not_ready" if not is_ready else "degraded" if missing else "ready"
    shown = {"status": status, "parts": parts, "missing": missing}
    if may_see(request) and (master := find_master(get_redis_connection("default"))):
        shown["redis_master"] = f"{master[0]}:{master[1]}"
    return JsonResponse(shown, status=200 if is_ready else 503)


def _look() -> dict[str, str]:
    """Return the state of each part by its name; `slow` where that is not known in time."""
    looks = {_begun(look): names for look, names in _LOOKS.items()}
    wait(looks, timeout=LOOK_SECONDS)
    parts: dict[str, str] = {}
    for coming, names in looks.items():
        parts |= coming.result() if coming.done() else dict.fromkeys(names, "slow")
    return parts


def _begun(look: _Look) -> Future[Mapping[str, str]]:
    """Return what the look will give; one that hangs, as in finding a name, takes no second thread from the others."""
    with _beginning:
        coming = _coming.get(look)
        if coming is None or coming.done():
            coming = _coming[look] = _lookers.submit(look)
        return coming


def _database() -> Mapping[str, str]:
    # A connection of its own: one from the pool would keep the asker waiting for as long as the pool hopes.
    parameters = connection.get_connection_params() | {"connect_timeout": _DATABASE_SECONDS}
    try:
        with psycopg.connect(**parameters) as asked:
            asked.execute(f"SET LOCAL statement_timeout = '{_DATABASE_SECONDS}s'")
            return {"database": OK, "migrations": _migrations(asked), "workers": _workers(asked)}
    except psycopg.Error:
        return {"database": "unreachable", "migrations": UNKNOWN, "workers": UNKNOWN}


def _migrations(asked: psycopg.Connection) -> str:
    try:
        with asked.transaction():
            applied = set(asked.execute("SELECT app, name FROM django_migrations").fetchall())
    except psycopg.errors.UndefinedTable:  # a new database
        return "behind"
    return OK if _known_migrations() <= applied else "behind"


@cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).graph.nodes)


def _workers(asked: psycopg.Connection) -> str:
    try:
        with asked.transaction():
            found = asked.execute(
                "SELECT FROM library_worker WHERE NOT is_command AND seen_at > clock_timestamp() - %s",
                [SILENT_AFTER],
            ).fetchone()
    except psycopg.errors.UndefinedTable:
        return UNKNOWN
    return "none" if found is None else OK


def _redis() -> Mapping[str, str]:
    """Return the state of Redis, and of the other one for chats where there is one."""
    parts = {"redis": _state_of(lambda: nullcontext(get_redis_connection("default")))}
    if settings.CACHE_REDIS_URL:
        parts["cache"] = _state_of(
            lambda: open_client(settings.CACHE_REDIS_URL, timeout_seconds=_REDIS_SECONDS)
        )
    return parts


def _state_of(connected: Callable[[], AbstractContextManager[Redis]]) -> str:
    # Written and read: one that is full, or a replica, answers a PING and is of no use all the same.
    try:
        with connected() as redis:
            redis.set(_REDIS_KEY, OK, px=1000)
            is_kept = redis.get(_REDIS_KEY) == OK.encode()
    except Exception:  # noqa: BLE001 - at replies that make no sense, redis-py raises anything
        return "unusable"
    return OK if is_kept else "unusable"


def _embeddings() -> Mapping[str, str]:
    return {"embeddings": _reach(settings.EMBEDDING_BASE_URL)}


def _chat_model() -> Mapping[str, str]:
    return {"chat_model": _reach(settings.CHAT_BASE_URL if settings.CHAT_MODEL else "")}


def _reranker() -> Mapping[str, str]:
    return {"reranker": _reach(settings.RERANK_BASE_URL if settings.RERANK_MODEL else "")}


def _disk() -> Mapping[str, str]:
    """Tell whether the largest file that may be given has room where it is taken in."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    return {"disk": OK if free > settings.UPLOAD_MAX_MB * _MEGABYTE else "full"}


_reached: dict[str, tuple[float, str]] = {}  # until when, and what, by address


def _reach(url: str) -> str:
    """Return whether something listens at the address, or at the proxy that leads there."""
    if not url:
        return UNSET
    until, state = _reached.get(url, (0.0, ""))
    if until > time.monotonic():
        return state
    try:
        socket.create_connection(_place(url), timeout=_REACH_SECONDS).close()
        state = OK
    except (OSError, ValueError):
        state = "unreachable"
    _reached[url] = time.monotonic() + _REACH_KEPT_SECONDS, state
    return state


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.hostname or ""):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


_LOOKS: Mapping[_Look, tuple[str, ...]] = {
    _database: ("database", "migrations", "workers"),
    _redis: ("redis",),
    _embeddings: ("embeddings",),
    _chat_model: ("chat_model",),
    _reranker: ("reranker",),
    _disk: ("disk",),
}
