"""Refuses bodies that are larger than anything may be, before they are taken in.

Django writes a request's body to disk, however long it is, before it looks at anything of it.
"""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

from django.conf import settings

from mundap.config.middleware import Application, Receive, Scope, Send

_MEGABYTE = 1 << 20
_REFUSAL = json.dumps(
    {"error": {"code": "too_large", "message": "The request is larger than anything may be here."}}
).encode()


def with_body_limit(app: Application) -> Application:
    """Return the application with bodies bounded: a megabyte above the largest file that may be given."""

    async def bounded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        most = (settings.UPLOAD_MAX_MB + 1) * _MEGABYTE
        if _length(scope) > most:
            await _refuse(send)
            return
        await app(scope, _counted(receive, send, most), send)

    return bounded


def _counted(receive: Receive, send: Send, most: int) -> Receive:
    """Return what receives the body, and ends it where it grows beyond its bound: one in chunks has no length."""
    taken = 0

    async def counted() -> MutableMapping[str, Any]:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > most:
            await _refuse(send)
            return {"type": "http.disconnect"}  # the application then answers nothing
        return message

    return counted


def _length(scope: Scope) -> int:
    named = dict(scope["headers"]).get(b"content-length", b"")
    return int(named) if named.isdigit() and len(named) < 19 else 0


async def _refuse(send: Send) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"connection", b"close"),
        # Django's middleware, which gives every other reply its headers, is behind this.
        (b"cache-control", b"no-store"),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": _REFUSAL})
