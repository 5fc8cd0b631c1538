"""Sessions past a pooler such as PgBouncer, which gives each transaction another connection.

What is locked, set or prepared for longer than a transaction needs one: migrations and what is done beside them, locks
that a worker holds while it works, indexes that are built beside running work. Without a pooler it is the connection
that everything else uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorWrapper

from mundap.config import env


@contextmanager
def own_session() -> Iterator[CursorWrapper | psycopg.Cursor]:
    """Give a cursor; what is set and locked through it stays until the block ends. Errors are Django's."""
    if not settings.DATABASE_DIRECT:
        with connection.cursor() as cursor:
            yield cursor
        return
    with (
        connection.wrap_database_errors,
        psycopg.connect(env.direct_database_url(), autocommit=True, connect_timeout=5) as session,
        psycopg.ClientCursor(session) as cursor,  # as Django's: what is created takes no parameters
    ):
        yield cursor


@contextmanager
def past_the_pooler() -> Iterator[None]:
    """Have Django itself go past it in this block; nothing else may run in the process meanwhile."""
    if not settings.DATABASE_DIRECT:
        yield
        return
    usual = dict(connection.settings_dict)
    direct: dict[str, Any] = settings.DATABASE_DIRECT
    options = direct["OPTIONS"] | {"pool": usual["OPTIONS"]["pool"]}
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]
    connection.settings_dict.update(direct | {"OPTIONS": options})
    try:
        yield
    finally:
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]
        connection.settings_dict.update(usual)
