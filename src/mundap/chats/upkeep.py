"""What a server process does again and again beside its answers, as long as it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from mundap.chats import reaper, services
from mundap.config import metrics, redis_client
from mundap.config.threads import in_database_thread
from mundap.library import summaries

REAP_SECONDS = 5.0
PROBE_SECONDS = 5.0  # of a Redis that is left alone
PURGE_SECONDS = 3600.0
LAG_SECONDS = 1.0
logger = logging.getLogger(__name__)


def chores() -> tuple[Coroutine[Any, Any, None], ...]:
    """Return them, each to be run until it is cancelled."""
    return (
        _repeat(reaper.reap, every_seconds=REAP_SECONDS),
        _repeat(redis_client.probe, every_seconds=PROBE_SECONDS),
        _repeat(_purge, every_seconds=PURGE_SECONDS),
        _measure_lag(),
    )


async def _repeat(step: Callable[[], Awaitable[None]], *, every_seconds: float) -> None:
    while True:
        try:
            await step()
        except Exception:  # the edge of a loop that must outlive whatever goes wrong in one round
            logger.exception("A repeated step failed; it is tried again")
        await asyncio.sleep(every_seconds)


async def _purge() -> None:
    await in_database_thread(services.purge)
    await in_database_thread(summaries.purge)


async def _measure_lag() -> None:
    """Note each second how late the event loop is."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_SECONDS
        await asyncio.sleep(LAG_SECONDS)
        metrics.event_loop_lag_seconds.observe(max(0.0, loop.time() - due))
