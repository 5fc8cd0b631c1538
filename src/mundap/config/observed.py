"""What each request leaves behind: an id, a count, a line in the access log, and a span where traces are sent.

It stands in front of everything, so that what never reaches Django is seen, too; `note_request` in Django's middleware
tells it which route was taken and who asked. Paths are never written down: they hold ids, names and tokens.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import async_only_middleware
from django.utils.functional import SimpleLazyObject
from prometheus_client import Counter, Histogram

from mundap.config import logs, metrics, tracing
from mundap.config.middleware import Application, GetResponse, Receive, Scope, Send

CLIENT_LEFT = 499  # as nginx has it
_KEY = "mundap"
_ID_HEADER = b"x-request-id"
_WELL_FORMED = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_ASKED_BY_MACHINES = frozenset(("/healthz", "/readyz", "/metrics"))  # every few seconds

access = logging.getLogger("mundap.access")


@dataclass(slots=True)
class Seen:
    """What is learnt of a request on its way: its route and whose it is, or Django's request, which knows both."""

    route: str = ""
    user: str = ""
    request: HttpRequest | None = None

    def finish(self) -> None:
        """Take over what Django's request has come to know."""
        if self.request is not None:
            self.route = logs.route_of(self.request)
            # Looked at only where it was asked for: whose a request is costs a query.
            user = getattr(self.request, "_cached_user", None) or self.request.__dict__.get("user")
            if user is not None and type(user) is not SimpleLazyObject and user.pk:
                self.user = str(user.pk)


def seen_in(scope: Scope) -> Seen:
    """Return what is known of the request with this ASGI scope, to be added to."""
    seen: Seen = scope.setdefault(_KEY, Seen())
    return seen


def with_observation(app: Application) -> Application:
    """Return the ASGI application `app` with each of its requests observed."""

    async def observed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        seen, status, begun = seen_in(scope), 0, time.perf_counter()
        # Of methods anybody may invent any number.
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        request_id = _request_id(scope)
        header = (_ID_HEADER, request_id.encode())

        async def send_on(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        metrics.requests_running.inc()
        token = logs.ids.set({"request": request_id})
        try:
            with _span(scope) as span:
                try:
                    await app(scope, receive, send_on)
                except Exception:
                    status = status or 500
                    raise
                finally:
                    seen.finish()
                    status = status or CLIENT_LEFT
                    _name_span(span, seen, method=method, status=status)
        finally:
            metrics.requests_running.dec()
            seconds = time.perf_counter() - begun
            level = logging.DEBUG if scope["path"] in _ASKED_BY_MACHINES else logging.INFO
            _note(seen, method=method, status=status, seconds=seconds, level=level)
            logs.ids.reset(token)

    return observed


def _request_id(scope: Scope) -> str:
    """Return the id that a proxy of ours gave the request, or a new one."""
    if settings.TRUSTED_PROXIES:
        given = [value for name, value in scope["headers"] if name == _ID_HEADER]
        if len(given) == 1 and _WELL_FORMED.fullmatch(given[0]):
            return str(given[0].decode())
    return secrets.token_hex(16)


def _span(scope: Scope) -> tracing.Span:
    if not tracing.is_on() or scope["path"] in _ASKED_BY_MACHINES:
        return tracing.NOTHING
    parents = [value for name, value in scope["headers"] if name == b"traceparent"]
    parent = parents[0].decode("latin-1") if settings.TRUSTED_PROXIES and parents else ""
    return tracing.span("request", kind="server", parent=parent)


def _name_span(span: tracing.Span, seen: Seen, *, method: str, status: int) -> None:
    if span is not tracing.NOTHING:
        span.rename(f"{method} {seen.route or 'unmatched'}")
        span.note(
            {
                "http.request.method": method,
                "http.route": seen.route,
                "http.response.status_code": status,
                "user.id": seen.user,
            }
        )


def _note(seen: Seen, *, method: str, status: int, seconds: float, level: int) -> None:
    route = seen.route or "unmatched"
    count, duration = _numbers(method, route, status)
    count.inc()
    duration.observe(seconds)
    if access.isEnabledFor(level):
        milliseconds = round(seconds * 1000, 1)
        facts = {"method": method, "route": route, "status": status, "ms": milliseconds}
        if seen.user:
            facts["user"] = seen.user
        access.log(
            level,
            "%s %s %d %.1f ms%s",
            method,
            route,
            status,
            milliseconds,
            f" user={seen.user}" if seen.user else "",
            extra={"facts": facts},
        )


@lru_cache(maxsize=2048)
def _numbers(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return (
        metrics.requests.labels(method, route, str(status)),
        metrics.request_seconds.labels(route),
    )


@async_only_middleware
def note_request(get_response: GetResponse) -> GetResponse:
    """Return the middleware that hands Django's request to what observes it."""

    async def reply(request: HttpRequest) -> HttpResponseBase:
        if (scope := getattr(request, "scope", None)) is not None:
            seen_in(scope).request = request
        return await get_response(request)

    return reply
