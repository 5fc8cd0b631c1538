"""Whether this process is up (`/healthz`), and whether it can do its work (`/readyz`)."""

from __future__ import annotations

import psycopg
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django_redis import get_redis_connection

OK = "ok"
MISSING = "missing"
_REDIS_KEY = "mundap1:ready"
_DATABASE_SECONDS = 2  # the least that libpq takes


def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as the process serves."""
    return JsonResponse({"status": OK})


def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when the needed parts are there, 503 with the missing ones when not.

    Redis is an accelerator: without it the status is `degraded`, and requests are still welcome.
    """
    database = _database()
    parts = {
        "database": database,
        "migrations": _migrations() if database == OK else MISSING,
        "redis": _redis(),
    }
    missing = [name for name, state in parts.items() if state != OK]
    is_ready = not set(missing) - {"redis"}
    status = "not_ready" if not is_ready else "degraded" if missing else "ready"
    return JsonResponse(
        {"status": status, "parts": parts, "missing": missing}, status=200 if is_ready else 503
    )


def _database() -> str:
    # A connection of its own: one from the pool would keep the asker waiting for as long as the pool hopes.
    parameters = connection.get_connection_params() | {"connect_timeout": _DATABASE_SECONDS}
    try:
        psycopg.connect(**parameters).close()
    except psycopg.Error:
        return MISSING
    return OK


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    return MISSING if executor.migration_plan(executor.loader.graph.leaf_nodes()) else OK


def _redis() -> str:
    # Written and read: one that is full, or a replica, answers a PING and is of no use all the same.
    try:
        redis = get_redis_connection("default")
        redis.set(_REDIS_KEY, OK, px=1000)
        is_kept = redis.get(_REDIS_KEY) == OK.encode()
    except Exception:  # noqa: BLE001 - at replies that make no sense, redis-py raises anything
        return MISSING
    return OK if is_kept else MISSING
