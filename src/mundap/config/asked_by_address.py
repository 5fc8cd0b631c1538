"""Middleware: health and numbers are told by whatever name or address the machines beside a process know it."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import async_only_middleware

from mundap.config.middleware import GetResponse

_PATHS = frozenset(("/healthz", "/readyz", "/metrics"))  # none of them writes a link


@async_only_middleware
def known_by_address(get_response: GetResponse) -> GetResponse:
    """Return the middleware; ALLOWED_HOSTS guards the links that pages and mails hold, and holds for those."""

    async def reply(request: HttpRequest) -> HttpResponseBase:
        if request.path in _PATHS and settings.ALLOWED_HOSTS:
            request.META["HTTP_HOST"] = settings.ALLOWED_HOSTS[0].lstrip(".*") or "localhost"
        return await get_response(request)

    return reply
