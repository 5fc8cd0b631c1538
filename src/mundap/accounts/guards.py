"""Middleware in front of allauth's views: how often an address may use each form, and closed sign-up.

Both are decided before a view reads its input, so that nothing about existing accounts can be learnt past them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from allauth.socialaccount.models import SocialApp
from asgiref.sync import markcoroutinefunction, sync_to_async
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from mundap.accounts.attempts import Attempt, AttemptLimit, count_attempt
from mundap.accounts.authentication import find_session_token_user
from mundap.config import metrics
from mundap.config.addresses import client_address
from mundap.config.exceptions import describe, respond, wants_json
from mundap.config.middleware import GetResponse
from mundap.errors import LimitReached, MundapError, NotAllowed

# By the name of allauth's route, without `account_`: pages and headless API share a count where they share a name.
_SIGN_UP = AttemptLimit("signup", 30, 60)
_RESET = AttemptLimit("reset", 20, 60)
_CHANGE = AttemptLimit("change", 20, 60)
_LIMITS = {
    "signup": _SIGN_UP,
    "reset_password": _RESET,
    "request_password_reset": _RESET,
    "reset_password_from_key": _RESET,
    "change_password": _CHANGE,
    "set_password": _CHANGE,
    "email": _CHANGE,
    "manage_email": _CHANGE,
    "verify_email": _CHANGE,
    "confirm_email": _CHANGE,
    "email_verification_sent": _CHANGE,
}
# Whoever has found an open browser must not find the password out there; the form counts its attempts nowhere else.
_PASSWORD_BY_ACCOUNT = AttemptLimit("change-password", 10, 15 * 60)
# allauth's headless routes for codes know only its own limits, which are off.
_STEPS = {"authenticate", "reauthenticate"}
_GUARDED_PATHS = ("/_allauth/", "/accounts/")


class AccountGuards:
    """Counts unsafe requests to allauth's forms by network address, and closes sign-up when it is closed."""

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return what the rest of the chain returns."""
        return await self._get_response(request)

    async def process_view(self, request: HttpRequest, *args: Any) -> HttpResponse | None:
        """Return the refusal, if there is one; a plain method would take each request of the site to a thread."""
        return await sync_to_async(_refusal)(request) if _is_guarded(request) else None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return that there is nothing, for what allauth has a route for and the settings offer nobody."""
        is_not_offered = isinstance(exception, SocialApp.DoesNotExist | NotImplementedError)
        if not is_not_offered or not request.path_info.startswith(_GUARDED_PATHS):
            return None
        return respond(request, cast("Any", describe(Http404())))


def _is_guarded(request: HttpRequest) -> bool:
    return request.method not in {"GET", "HEAD", "OPTIONS"} and request.path_info.startswith(
        _GUARDED_PATHS
    )


def _refusal(request: HttpRequest) -> HttpResponse | None:
    match = request.resolver_match
    name = (match.url_name or "").removeprefix("account_") if match else ""
    try:
        if name == "signup" and not settings.SIGNUP_IS_OPEN and wants_json(request):
            raise NotAllowed(_("Sign-up is closed here. Ask an administrator for an account."))
        if match and name in _STEPS and "mfa" in match.namespaces:
            raise NotAllowed(
                _("Two-step log-in works on the pages only. A program uses an API token.")
            )
        for attempt in _attempts(request, name):
            if not count_attempt(attempt):
                metrics.refusals.labels("attempts").inc()
                raise LimitReached(
                    _("Too many attempts. Try again later."),
                    extra={"retry_after_seconds": attempt.limit.seconds},
                )
    except MundapError as exc:
        return respond(request, cast("Any", describe(exc)))
    return None


def _attempts(request: HttpRequest, name: str) -> Iterator[Attempt]:
    if limit := _LIMITS.get(name):
        yield Attempt(limit, (client_address(request),))
    if name == "change_password":
        # Programs log in by a header, and only their routes know it.
        is_program = request.path_info.startswith("/_allauth/app/")
        user = find_session_token_user(request) if is_program else request.user
        if user and user.is_authenticated:
            yield Attempt(_PASSWORD_BY_ACCOUNT, (str(user.pk),))
