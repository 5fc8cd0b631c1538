"""Who sends a request: by API token, by allauth's session token, or by the session's cookie, in this order.

A header that is sent must be right: a wrong token is refused, never passed over for the cookie.
"""

from __future__ import annotations

from typing import Any, cast

from allauth.headless.contrib.rest_framework.authentication import XSessionTokenAuthentication
from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.request import Request

from mundap.accounts.models import ApiToken, User
from mundap.accounts.tokens import find_bearer_token, find_token
from mundap.config.addresses import client_address
from mundap.config.exceptions import CHALLENGE
from mundap.config.throttles import require_rate
from mundap.errors import NotAllowed, NotSignedIn

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")


def find_bearer(request: HttpRequest) -> ApiToken | None:
    """Return the `Authorization: Bearer` token, None without one.

    Raises NotSignedIn for a wrong one, LimitReached for many.
    """
    token = find_bearer_token(request.META.get("HTTP_AUTHORIZATION", ""))
    if token is None:
        return None
    found = find_token(token)
    if found is None:
        _count_wrong_guess(request)
        raise NotSignedIn(_("This token is not valid. It may have been deleted."))
    return found


def find_session_token_user(request: HttpRequest) -> User | None:
    """Return whose session `X-Session-Token` names, None without one.

    Raises NotSignedIn for a wrong one, LimitReached for many.
    """
    token = request.META.get("HTTP_X_SESSION_TOKEN", "").strip()
    if not token:
        return None
    # A session key is letters and digits; anything else need not be looked up.
    is_possible = token.isalnum() and token.isascii()
    found = XSessionTokenAuthentication().authenticate(request) if is_possible else None
    if found is None:
        _count_wrong_guess(request)
        raise NotSignedIn(_("This session has ended. Sign in again."))
    return cast("User", found[0])


def find_cookie_user(request: HttpRequest) -> User | None:
    """Return the session cookie's user, None without one.

    Raises NotAllowed where an unsafe request lacks its CSRF token.
    """
    user = request.user
    if not user.is_authenticated or not user.is_active:
        return None
    if request.method not in _SAFE_METHODS:
        _require_csrf_token(request)
    return user


def _count_wrong_guess(request: HttpRequest) -> None:
    """Count the request as one of nobody's. Raises LimitReached where its address has sent too many.

    It is refused before REST framework counts it, and each costs a look into the database.
    """
    require_rate("address", client_address(request))


def _require_csrf_token(request: HttpRequest) -> None:
    check = CSRFCheck(lambda _request: None)  # type: ignore[arg-type]
    check.process_request(request)
    if reason := check.process_view(request, lambda: None, (), {}):  # type: ignore[arg-type,return-value]
        raise NotAllowed(_("The CSRF token is missing or wrong: %(reason)s") % {"reason": reason})


class _Authentication(BaseAuthentication):
    """What the three classes share: one challenge, which turns a refusal into a 401."""

    def authenticate_header(self, request: Request) -> str:
        """Return the WWW-Authenticate header of a 401."""
        return CHALLENGE


class BearerTokenAuthentication(_Authentication):
    """`Authorization: Bearer mundap_…`."""

    def authenticate(self, request: Request) -> tuple[User, Any] | None:
        """Return (user, token), or None without such a header."""
        token = find_bearer(request._request)  # noqa: SLF001
        return (token.user, token) if token else None


class SessionTokenAuthentication(_Authentication):
    """`X-Session-Token` as given by allauth's headless log-in."""

    def authenticate(self, request: Request) -> tuple[User, Any] | None:
        """Return (user, None), or None without such a header."""
        user = find_session_token_user(request._request)  # noqa: SLF001
        return (user, None) if user else None


class CookieAuthentication(_Authentication):
    """The session's cookie, as in a browser; unsafe requests carry a CSRF token."""

    def authenticate(self, request: Request) -> tuple[User, Any] | None:
        """Return (user, None), or None without a session."""
        user = find_cookie_user(request._request)  # noqa: SLF001
        return (user, None) if user else None
