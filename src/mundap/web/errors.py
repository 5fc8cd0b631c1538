"""Django's own error handlers: unknown addresses, refused requests, defects. `config/exceptions.py` has the wording."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from mundap.config.exceptions import describe, internal_error, respond
from mundap.errors import NotAllowed


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400."""
    return respond(
        request, describe(exception) or describe(SuspiciousOperation()) or internal_error()
    )


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 403."""
    return respond(request, describe(PermissionDenied()) or internal_error())


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404."""
    return respond(request, describe(Http404()) or internal_error())


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500; Django has logged the traceback."""
    return respond(request, internal_error())


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer 403 to a form without its token."""
    error = NotAllowed(_("This form has expired or came from another site. Load the page again."))
    return respond(request, describe(error) or internal_error())
