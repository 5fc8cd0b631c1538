"""Middleware: what a view says about caching holds, and everything else is for its reader alone."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import async_only_middleware

from mundap.config.middleware import GetResponse


@async_only_middleware
def private_replies(get_response: GetResponse) -> GetResponse:
    """Return the middleware; a proxy or a browser's back button must not show one person's page to the next."""

    async def reply(request: HttpRequest) -> HttpResponseBase:
        response = await get_response(request)
        response.headers.setdefault("Cache-Control", "private, no-cache")
        return response

    return reply
