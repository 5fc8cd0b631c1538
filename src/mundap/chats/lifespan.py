"""The server's own start and stop, around an ASGI application: connections and the turn runner open and close there.

Django answers no lifespan events, so this stands before it. When the server stops, running answers get a while to end;
what is left is stored as interrupted, with its text. That while begins with the signal: the server itself says that it
stops only when all its connections have ended, and those that read an answer end with it.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from django.conf import settings

from mundap.chats import body_cache
from mundap.chats.runner import get_runner
from mundap.config import async_database, redis_client
from mundap.config.middleware import Application, Receive, Scope, Send
from mundap.llm import client


def with_lifespan(application: Application) -> Application:
    """Return `application` with the runner's life tied to the server's."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        else:
            await application(scope, receive, send)

    return serve


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await async_database.open_pool()
            redis_client.open_clients()
            body_cache.open_filler()
            get_runner().open()
            _hear_of_signals()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await get_runner().close(grace_seconds=settings.SHUTDOWN_SECONDS)
            await client.close()
            await body_cache.close_filler()
            await redis_client.close_clients()
            await async_database.close_pool()
            await send({"type": "lifespan.shutdown.complete"})
            return


def _hear_of_signals() -> None:
    """Begin to close with the signal that stops the server; whoever handles it already still does."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop, runner = asyncio.get_running_loop(), get_runner()

    def begin_closing() -> None:
        runner.begin_closing(grace_seconds=settings.SHUTDOWN_SECONDS)

    def chained(handler: Callable[[int, FrameType | None], Any]) -> Callable[..., None]:
        def handle(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(begin_closing)
            handler(number, frame)

        return handle

    for number in (signal.SIGTERM, signal.SIGINT):
        handler = signal.getsignal(number)
        if callable(handler):
            signal.signal(number, chained(handler))
