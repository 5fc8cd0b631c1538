"""Middleware around every view: requests that cannot be meant are refused, and our exceptions become replies.

It stands before the session's middleware, which would take a NUL in a cookie to the database.
"""

from __future__ import annotations

import os
from urllib.parse import unquote_to_bytes

from asgiref.sync import markcoroutinefunction
from django.core.exceptions import RequestDataTooBig
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from mundap.config.exceptions import describe, respond
from mundap.config.middleware import GetResponse
from mundap.config.parsers import read_json
from mundap.errors import InvalidInput, MundapError, TooLarge

# allauth reads its JSON by itself, and would take a lone surrogate to the password's hash.
_FOREIGN_JSON = "/_allauth/"


class BadInputMiddleware:
    """Refuses what is not text in addresses, cookies and foreign JSON; renders exceptions of plain Django views."""

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the view's response, or the refusal."""
        return _refusal(request) or await self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return the reply for an exception that means something to a client; None is a defect."""
        reply = describe(exception)
        return None if reply is None else respond(request, reply)


def _refusal(request: HttpRequest) -> HttpResponse | None:
    _measure_chunks(request)
    try:
        _check(request)
    except MundapError as exc:
        reply = describe(exc)
        return respond(request, reply) if reply else None
    return None


def _measure_chunks(request: HttpRequest) -> None:
    """Say how long a body is that came in chunks: what has no length is an empty body to REST framework."""
    headers = request.META
    is_chunked = "HTTP_TRANSFER_ENCODING" in headers and not headers.get("CONTENT_LENGTH")
    if is_chunked and isinstance(request, ASGIRequest):
        body = request._stream  # noqa: SLF001 - a file by now; `body` would take it into memory, however long it is
        body.seek(0, os.SEEK_END)
        headers["CONTENT_LENGTH"] = str(body.tell())
        body.seek(0)


def _check(request: HttpRequest) -> None:
    """Raise InvalidInput or TooLarge."""
    headers = request.META
    texts = [request.path_info, headers.get("HTTP_X_SESSION_TOKEN", "")]
    if "HTTP_COOKIE" in headers:
        texts += request.COOKIES.values()
    query = unquote_to_bytes(headers.get("QUERY_STRING", ""))
    if any("\0" in text for text in texts) or b"\0" in query:
        raise InvalidInput(_("The request contains a NUL character."))
    try:
        query.decode()  # Django would put U+FFFD where there is half a surrogate pair
    except UnicodeDecodeError as exc:
        raise InvalidInput(_("The request is not UTF-8 text.")) from exc
    if request.method != "GET" and request.path_info.startswith(_FOREIGN_JSON):
        try:
            body = request.body
        except RequestDataTooBig as exc:
            raise TooLarge(_("The request is too large.")) from exc
        read_json(body)
