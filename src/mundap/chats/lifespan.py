"""The server's own start and stop, around an ASGI application: the turn runner opens and closes with them.

Django answers no lifespan events, so this stands before it. When the server stops, running answers get a while to end;
what is left is stored as interrupted, with its text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.conf import settings

from mundap.chats.runner import get_runner
from mundap.llm import client

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[
    ..., Awaitable[None]
]  # Django and uvicorn type the same protocol differently


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
            get_runner().open()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await get_runner().close(grace_seconds=settings.SHUTDOWN_SECONDS)
            await client.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
