"""Conditional requests for what only its owner may see: validated on each use, never shared."""

from __future__ import annotations

from typing import TypeVar

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils import http
from django.utils.cache import patch_vary_headers
from rest_framework.request import Request

VARY = ("Cookie", "Authorization", "X-Session-Token")
R = TypeVar("R", bound=HttpResponseBase)


def known_etags(request: Request) -> list[str]:
    """Return the entity tags that the client has."""
    return parse_etags(str(request.META.get("HTTP_IF_NONE_MATCH", "")))


def parse_etags(header: str) -> list[str]:
    """Return the tags of an If-None-Match header; a proxy may have made them weak."""
    return [tag.removeprefix("W/") for tag in http.parse_etags(header)] if header else []


def has_current(request: Request, etag: str) -> bool:
    """Tell whether the client has this state already."""
    return etag in known_etags(request)


def not_modified(etag: str) -> HttpResponse:
    """Return the 304."""
    return private(HttpResponse(status=304), etag)


def private(response: R, etag: str) -> R:
    """Return the response, marked as its owner's alone and to be validated."""
    response["ETag"] = etag
    response["Cache-Control"] = "private, no-cache"
    patch_vary_headers(response, VARY)
    return response
