"""Reads for the asynchronous hot path: a small psycopg pool on the server's event loop.

Django's own database layer is synchronous, and a thread for each read costs more than the read. Whatever is read here
is one statement with nothing around it; all writes go through Django. Outside a server (tests of a view, a shell) the
same statement runs on Django's connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, OperationalError, connection
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

CONNECTIONS = 8
WAIT_SECONDS = 5.0

Row = tuple[Any, ...]
_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncConnectionPool[AsyncConnection[Row]]] = (
    WeakKeyDictionary()
)


async def open_pool() -> None:
    """Open the running loop's pool; it connects in the background."""
    pool: AsyncConnectionPool[AsyncConnection[Row]] = AsyncConnectionPool(
        kwargs=_parameters(),
        configure=_configure,
        min_size=1,
        max_size=CONNECTIONS,
        timeout=WAIT_SECONDS,
        open=False,
    )
    await pool.open()
    _pools[asyncio.get_running_loop()] = pool


async def close_pool() -> None:
    """Close the running loop's pool."""
    if pool := _pools.pop(asyncio.get_running_loop(), None):
        await pool.close()


def pool_stats() -> list[dict[str, int]]:
    """Return what the pools of this process say of themselves."""
    return [pool.get_stats() for pool in list(_pools.values())]


async def fetch_all(statement: str, values: Sequence[Any]) -> list[Row]:
    """Return the rows of one reading statement.

    Raises Django's OperationalError when the database is away, its DatabaseError when the statement fails.
    """
    pool = _pools.get(asyncio.get_running_loop())
    if pool is None:
        return await sync_to_async(_fetch_all)(statement, values)
    try:
        try:
            return await _fetch_from(pool, statement, values)
        except PoolTimeout:
            raise
        except psycopg.OperationalError:
            await pool.check()  # a server that was restarted has broken them all
            return await _fetch_from(pool, statement, values)
    except psycopg.OperationalError as exc:
        raise OperationalError(*exc.args) from exc
    except psycopg.Error as exc:
        raise DatabaseError(*exc.args) from exc


async def _fetch_from(
    pool: AsyncConnectionPool[AsyncConnection[Row]], statement: str, values: Sequence[Any]
) -> list[Row]:
    async with pool.connection() as database:
        cursor = await database.execute(statement.encode(), values)
        return await cursor.fetchall()


def _fetch_all(statement: str, values: Sequence[Any]) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[Row] = cursor.fetchall()
        return rows


def _parameters() -> dict[str, Any]:
    """Return Django's own way to connect, with its types: rows look the same whichever way they came."""
    parameters = connection.get_connection_params()
    del parameters["cursor_factory"]
    return parameters | {
        "autocommit": True,
        "prepare_threshold": 1 if settings.PREPARED_STATEMENTS else None,
    }


async def _configure(database: AsyncConnection[Row]) -> None:
    # As Django does; not by an option of the connection, which PgBouncer does not know.
    if database.info.parameter_status("TimeZone") != "UTC":
        await database.execute("SELECT set_config('TimeZone', 'UTC', false)")
