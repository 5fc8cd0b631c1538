"""Middleware: what a view says about caching holds, and everything else is for its reader alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

GetResponse = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def private_replies(get_response: GetResponse) -> Callable[[HttpRequest], Any]:
    """Return the middleware; a proxy or a browser's back button must not show one person's page to the next."""

    def marked(response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault("Cache-Control", "private, no-cache")
        return response

    if iscoroutinefunction(get_response):

        async def reply_async(request: HttpRequest) -> HttpResponseBase:
            return marked(await cast("Awaitable[HttpResponseBase]", get_response(request)))

        return reply_async
    return lambda request: marked(cast("HttpResponseBase", get_response(request)))
