"""Middleware: a form that ends at another site, as the buttons of log-in providers do, gets there through a page.

Browsers hold a form's whole way against the policy's `form-action`, redirects included. Where a provider lets people
log in is known only once it is asked, and need not be where it is named; so the policy allows our own site alone, and
a page of ours goes on by itself. Only what our own views redirect to is ever followed.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from django.utils.decorators import async_only_middleware

from mundap.config.middleware import GetResponse


@async_only_middleware
def send_on(get_response: GetResponse) -> GetResponse:
    """Return the middleware."""

    async def reply(request: HttpRequest) -> HttpResponseBase:
        response = await get_response(request)
        host = _other_site(request, response)
        return await sync_to_async(_page)(request, response, host) if host else response

    return reply


def _other_site(request: HttpRequest, response: HttpResponseBase) -> str:
    """Return the host that the answer to a form leads to, if it is not ours."""
    if request.method != "POST" or response.status_code != 302:
        return ""
    target = urlsplit(response.headers["Location"])
    is_elsewhere = target.scheme in {"http", "https"} and target.netloc != request.get_host()
    return target.netloc if is_elsewhere else ""


def _page(request: HttpRequest, response: HttpResponseBase, host: str) -> HttpResponse:
    page = render(
        request, "account/sent_on.html", {"url": response.headers["Location"], "host": host}
    )
    page.cookies = response.cookies
    add_never_cache_headers(page)  # the address holds what only this log-in may use
    return page
