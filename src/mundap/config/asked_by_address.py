"""Middleware: health and numbers are told by whatever name or address the machines beside a process know it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

GetResponse = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]

_PATHS = frozenset(("/healthz", "/readyz", "/metrics"))  # none of them writes a link


@sync_and_async_middleware
def known_by_address(get_response: GetResponse) -> Callable[[HttpRequest], Any]:
    """Return the middleware; ALLOWED_HOSTS guards the links that pages and mails hold, and holds for those."""

    def name(request: HttpRequest) -> None:
        if request.path in _PATHS and settings.ALLOWED_HOSTS:
            request.META["HTTP_HOST"] = settings.ALLOWED_HOSTS[0].lstrip(".*") or "localhost"

    if iscoroutinefunction(get_response):

        async def reply_async(request: HttpRequest) -> Any:
            name(request)
            return await get_response(request)

        return reply_async

    def reply(request: HttpRequest) -> Any:
        name(request)
        return get_response(request)

    return reply
