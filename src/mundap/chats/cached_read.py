"""The hot read's own door: `GET /api/v1/chats/{id}/` with a bearer token, answered in front of Django.

Django's request cycle costs several times what reading a cached chat does. This door answers what is plain: a chat that
is there, of the token's owner, unchanged (304) or not (200), through the same `store` and with the headers that
Django's own middleware gives. Everything else (other credentials, query strings, every refusal and error) is handed to
Django, so there is one place that knows those; `tests/chats/test_two_doors.py` compares the two.
"""

from __future__ import annotations

import io
import re
import time
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from mundap.accounts.tokens import find_bearer_token
from mundap.chats import store
from mundap.chats.api import ChatView, reply
from mundap.chats.entity_tags import parse_etags
from mundap.chats.store import Body
from mundap.config import metrics
from mundap.config.middleware import Application, Receive, Scope, Send
from mundap.config.observed import Seen, seen_in
from mundap.config.throttles import is_within_rate
from mundap.errors import NotFound

_PATH = re.compile(r"/api/v1/chats/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})/")
_ROUTE = "chat"  # as Django names it
_READ = frozenset(
    (b"host", b"authorization", b"if-none-match", b"x-forwarded-proto", b"accept-language")
)
_FOR_DJANGO = frozenset(
    (b"cookie", b"x-session-token", b"transfer-encoding", b"content-length", b"expect")
)
_LONGEST_HEADER = 2048
# Django's own that give every reply its headers; what they say depends on little, and is kept.
_HEADER_MIDDLEWARE = frozenset(
    (
        "django.middleware.security.SecurityMiddleware",
        "csp.middleware.CSPMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    )
)
_ETAG = b"ETag"
Headers = dict[bytes, bytes]
Pairs = tuple[tuple[bytes, bytes], ...]


def with_cached_read(django: Application) -> Application:
    """Return `django` with the door in front."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        answer = (
            await _answer(scope) if scope["type"] == "http" and scope["method"] == "GET" else None
        )
        if answer is None:
            await django(scope, receive, send)
            return
        status, headers, content = answer
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return serve


async def _answer(scope: Scope) -> tuple[int, list[tuple[bytes, bytes]], bytes] | None:
    """Return status, headers and content, or None for what Django is to answer."""
    place = _PATH.fullmatch(scope["path"])
    headers = _read_headers(scope) if place else None
    if not place or not headers:
        return None
    token = find_bearer_token(headers.get(b"authorization", b"").decode("latin-1"))
    if token is None:
        return None
    begun = time.perf_counter()
    seen = seen_in(scope)
    body = await _read(token, UUID(place[1]), headers.get(b"if-none-match", b""), seen)
    metrics.front_read_seconds.observe(time.perf_counter() - begun)
    if body is None:
        return None
    status = 304 if body.content is None else 200
    common = _common_headers(
        status,
        scope["scheme"],
        *(headers.get(name, b"") for name in (b"host", b"x-forwarded-proto", b"accept-language")),
    )
    if common is None:
        return None
    content = body.content or b""
    seen.route = _ROUTE
    own = ((_ETAG, body.etag.encode()), (b"Content-Length", str(len(content)).encode()))
    return status, [*common, *own], content


def _read_headers(scope: Scope) -> Headers | None:
    """Return the headers that decide, or None where there is more to it."""
    headers: Headers = {}
    for name, value in scope["headers"]:
        if name in _READ:
            if name in headers or len(value) > _LONGEST_HEADER:
                return None
            headers[name] = value
        elif name in _FOR_DJANGO:
            return None
    return None if scope["query_string"] or scope.get("root_path") else headers


async def _read(token: str, chat: UUID, known: bytes, seen: Seen) -> Body | None:
    try:
        head = await store.find_head_by_token(token, chat)
        if head is None or not is_within_rate("user", str(head.identity.owner)):
            return None
        seen.user = str(head.identity.owner)
        return await store.read_at(head, known_etags=parse_etags(known.decode("latin-1")))
    except (DatabaseError, NotFound):
        return None


@lru_cache(maxsize=256)
def _common_headers(
    status: int, scheme: str, host: bytes, forwarded_proto: bytes, accept_language: bytes
) -> Pairs | None:
    """Return what Django's middleware adds to such a reply, or None where it would not let the request through."""
    sent = (
        (b"host", host),
        (b"x-forwarded-proto", forwarded_proto),
        (b"accept-language", accept_language),
    )
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": scheme,
        "path": "/api/v1/chats/",
        "headers": [(name, value) for name, value in sent if value],
        "query_string": b"",
    }

    def respond(request: HttpRequest) -> HttpResponse:
        view = ChatView()
        view.setup(request)
        response = reply(Body("", b"" if status == 200 else None))
        response["Allow"] = ", ".join(view.allowed_methods)
        return response

    handler: Any = respond
    for path in reversed(settings.MIDDLEWARE):
        if path in _HEADER_MIDDLEWARE:
            handler = import_string(path)(handler)
    try:
        response = handler(ASGIRequest(scope, io.BytesIO()))
    except SuspiciousOperation:  # a host that is not ours
        return None
    if response.status_code != status:
        return None
    return tuple(
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in response.items()
        if name not in ("ETag", "Content-Length")
    )
