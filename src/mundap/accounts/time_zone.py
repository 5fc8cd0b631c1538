"""Middleware: days and times as the reader's clock has them. A script notes its time zone in a cookie."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.decorators import async_only_middleware

from mundap.config.middleware import GetResponse

COOKIE = "timezone"


@async_only_middleware
def in_readers_time_zone(get_response: GetResponse) -> GetResponse:
    """Return the middleware; a cookie that names no time zone counts as none."""

    async def reply(request: HttpRequest) -> HttpResponseBase:
        with timezone.override(_time_zone_of(request)):
            return await get_response(request)

    return reply


def _time_zone_of(request: HttpRequest) -> ZoneInfo | None:
    # Without a cookie header, as in most requests of programs, there is nothing to parse.
    name = request.COOKIES.get(COOKIE) if "HTTP_COOKIE" in request.META else None
    try:
        return ZoneInfo(name) if name else None
    except (LookupError, ValueError, OSError):  # unknown, a path, a folder
        return None
