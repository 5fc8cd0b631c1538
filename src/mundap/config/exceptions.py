"""From an exception to the one error that people and programs see.

`describe` knows every exception that means something to a client; REST framework's handler, the classic contract and
the error pages all go through it. What it does not know is our fault: a 500 with its traceback in the log.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.html import escape
from django.utils.translation import gettext as _
from psycopg.errors import IdleInTransactionSessionTimeout
from rest_framework import exceptions as drf
from rest_framework.response import Response

from mundap.errors import (
    InvalidInput,
    LimitReached,
    MundapError,
    NotAllowed,
    NotFound,
    NotSignedIn,
    QuotaReached,
    ServiceUnavailable,
    TooLarge,
)

CHALLENGE = 'Bearer realm="mundap"'
_JSON_PATHS = ("/api/", "/v1/", "/_allauth/", "/healthz", "/readyz", "/metrics")
_OPENAI_PATHS = "/v1/"
_CLASSIC_PATHS = "/api/v1/chatbot/"
_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error as it leaves: `body` is the one JSON shape of every endpoint."""

    status: int
    code: str
    message: str
    fields: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        """Return `{"error": {"code", "message", "fields"?, …}}`."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.fields:
            error["fields"] = dict(self.fields)
        return {"error": error | dict(self.extra)}

    @property
    def openai_body(self) -> dict[str, Any]:
        """Return `body` with what clients of OpenAI's protocol look for beside it: `type` and `param`."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        more = {
            "type": _OPENAI_TYPES.get(self.status, kind),
            "param": next(iter(self.fields), None),
        }
        if self.code == QuotaReached.code:  # clients know this one, and do not try again
            more |= {"type": "insufficient_quota", "code": "insufficient_quota"}
        return {"error": self.body["error"] | more}

    @property
    def classic_body(self) -> dict[str, Any]:
        """Return `{"error": "…"}`, with what is wrong with the input."""
        texts = [self.message, *self.fields.values()] if self.status == 400 else [self.message]
        return {"error": " ".join(texts)}


def describe(exc: Exception) -> ErrorReply | None:
    """Return what to tell the client about `exc`, or None when it is a defect of ours."""
    if isinstance(exc, MundapError):
        return _from_mundap(exc)
    if isinstance(exc, drf.APIException):
        return _from_rest_framework(exc)
    if isinstance(exc, Http404):
        return _from_mundap(NotFound(_("There is nothing at this address.")))
    if isinstance(exc, PermissionDenied):
        return _from_mundap(NotAllowed(_("You may not do this.")))
    if isinstance(exc, RequestDataTooBig):
        return _from_mundap(TooLarge(_("The request is too large.")))
    if isinstance(exc, SuspiciousOperation):
        return _from_mundap(InvalidInput(_("The request is not valid.")))
    if isinstance(exc, DataError):
        # A value that no column can hold got past the checks: the request is refused, and we hear of it.
        _logger.warning("The database refused a value", exc_info=exc)
        return _from_mundap(InvalidInput(_("The request holds a value that cannot be used.")))
    if isinstance(exc, OperationalError | InterfaceError) or _was_frozen(exc):
        _logger.error("The database did not answer: %s", type(exc).__name__, exc_info=exc)
        return _from_mundap(
            ServiceUnavailable(_("The database is not available at the moment. Try again shortly."))
        )
    return None


def _was_frozen(exc: Exception) -> bool:
    """Whether the database has ended a transaction that this process had stopped in; Django has no name for that."""
    return isinstance(exc.__cause__, IdleInTransactionSessionTimeout)


def internal_error() -> ErrorReply:
    """Return the reply for a defect: it says nothing of its cause."""
    return ErrorReply(500, "internal_error", _("Something went wrong on our side. It was logged."))


def handle(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """REST framework's exception handler. None lets Django log the traceback and answer 500."""
    reply = describe(exc)
    if reply is None:
        return None
    body = _body_for(context["request"], reply)
    return Response(body, status=reply.status, headers=dict(reply.headers))


def wants_json(request: HttpRequest) -> bool:
    """Tell whether errors of this request are for a program: an API's address, or no liking for HTML."""
    return request.path_info.startswith(_JSON_PATHS) or not request.accepts("text/html")


def respond(request: HttpRequest, reply: ErrorReply) -> HttpResponse:
    """Return `reply` as JSON or as the error page, outside REST framework."""
    if wants_json(request):
        return JsonResponse(
            _body_for(request, reply), status=reply.status, headers=dict(reply.headers)
        )
    if reply.status >= 500:
        # The layout asks for the user, and so the database: what failed may be just that.
        page = (
            f"<!doctype html><meta charset=utf-8><title>{reply.status}</title>"
            f"<h1>{reply.status}</h1><p>{escape(reply.message)}</p>"
        )
    else:
        context = {"status": reply.status, "title": _title(reply.status), "message": reply.message}
        page = render_to_string("error.html", context, request=request)
    return HttpResponse(page, status=reply.status, headers=dict(reply.headers))


def _title(status: int) -> str:
    titles = {403: _("Not allowed"), 404: _("Not found"), 429: _("Too many requests")}
    return titles.get(status) or _("That did not work")


def _body_for(request: HttpRequest, reply: ErrorReply) -> dict[str, Any]:
    """Return the JSON body; allauth's addresses have its own shape beside ours, the classic contract's only a text."""
    if request.path_info.startswith(_CLASSIC_PATHS):
        return reply.classic_body
    if request.path_info.startswith(_OPENAI_PATHS):
        return reply.openai_body
    if not request.path_info.startswith("/_allauth/"):
        return reply.body
    errors = [{"code": reply.code, "message": reply.message}]
    return {"status": reply.status, "errors": errors} | reply.body


def _from_mundap(error: MundapError) -> ErrorReply:
    if error.status >= 500:
        _logger.warning("Answered %d %s", error.status, error.code, exc_info=error.__cause__)
    headers = {}
    if isinstance(error, NotSignedIn):
        headers["WWW-Authenticate"] = CHALLENGE
    if isinstance(error, LimitReached | ServiceUnavailable):
        headers["Retry-After"] = str(error.extra.get("retry_after_seconds", 1))
    if isinstance(error, QuotaReached):
        headers |= error.headers
    return ErrorReply(
        error.status,
        error.code,
        str(error.message),
        fields={name: str(text) for name, text in error.fields.items()},
        extra=error.extra,
        headers=headers,
    )


def _from_rest_framework(exc: drf.APIException) -> ErrorReply:
    if isinstance(exc, drf.ValidationError):
        fields = _flatten(exc.detail)
        general = fields.pop("", None)
        message = general or _("Some of the input is not valid.")
        return _from_mundap(InvalidInput(message, fields=fields))
    if isinstance(exc, drf.NotAuthenticated | drf.AuthenticationFailed):
        return _from_mundap(NotSignedIn(_("Sign in first, or send a valid token.")))
    if isinstance(exc, drf.PermissionDenied):
        return _from_mundap(NotAllowed(str(exc.detail)))
    if isinstance(exc, drf.NotFound):
        return _from_mundap(NotFound(_("There is nothing at this address.")))
    if isinstance(exc, drf.Throttled):
        wait = max(1, math.ceil(getattr(exc, "wait", None) or 1))
        return _from_mundap(
            LimitReached(
                _("Too many requests. Try again later."), extra={"retry_after_seconds": wait}
            )
        )
    if isinstance(exc, drf.ParseError):
        return _from_mundap(InvalidInput(str(exc.detail)))
    code = exc.get_codes()
    return ErrorReply(exc.status_code, code if isinstance(code, str) else "error", str(exc.detail))


def _flatten(detail: Any, path: str = "") -> dict[str, str]:
    """Return {"field" or "field.0.inner": message} from REST framework's nested details; "" is for the whole."""
    if isinstance(detail, Mapping):
        items = [
            ("" if name == "non_field_errors" else str(name), inner)
            for name, inner in detail.items()
        ]
    elif isinstance(detail, list) and any(isinstance(inner, Mapping | list) for inner in detail):
        items = [(str(number), inner) for number, inner in enumerate(detail)]
    else:
        texts = detail if isinstance(detail, list) else [detail]
        return {path: " ".join(str(text) for text in texts)}
    found: dict[str, str] = {}
    for name, inner in items:
        found |= _flatten(inner, ".".join(part for part in (path, name) if part))
    return found
