"""Database work for the turn path: one bounded executor, outside any request.

A turn outlives its request. Django's `sync_to_async` would put all turns of a process on one thread there, and each
thread that touches the database keeps a connection until told otherwise; here both are bounded.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")

_executor = ThreadPoolExecutor(max_workers=8, thread_name_prefix="mundap-db")
_lease_executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mundap-lease")


async def in_database_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `function(…)`, run on the bounded executor; its database connection goes back to the pool after."""
    return await _run(_executor, function, *args, **kwargs)


async def in_lease_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `function(…)` as `in_database_thread`, behind nothing else: a lease that is extended late is lost."""
    return await _run(_lease_executor, function, *args, **kwargs)


async def _run(
    executor: ThreadPoolExecutor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    context = contextvars.copy_context()  # carries the active language into the thread

    def step() -> T:
        try:
            return context.run(function, *args, **kwargs)
        finally:
            connections.close_all()

    return await asyncio.get_running_loop().run_in_executor(executor, step)
