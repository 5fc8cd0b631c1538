"""What a person prefers: language and theme. Kept with the user; a browser's cookies say what its pages look like.

Pages are drawn from the cookies alone, so that none has to ask the database for its looks. They are set when a person
chooses, and at each log-in.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from mundap.accounts.models import User

THEME_COOKIE = "theme"
_YEAR_SECONDS = 365 * 24 * 3600


def theme(request: HttpRequest) -> dict[str, str]:
    """Return `theme` for templates: `light`, `dark`, or empty where the system decides."""
    chosen = request.COOKIES.get(THEME_COOKIE, "")
    return {"theme": chosen if chosen in User.Theme.values else ""}


def show_as_preferred(response: HttpResponseBase, user: User) -> None:
    """Let this browser show pages as the user has chosen; what they have not chosen stays as it is here."""
    for cookie, value in _cookies_of(user).items():
        if value:
            response.set_cookie(
                cookie, value, max_age=_YEAR_SECONDS, samesite="Lax", secure=settings.IS_PRODUCTION
            )


def forget_unchosen(response: HttpResponseBase, user: User) -> None:
    """Take back from this browser what the user has chosen to leave to it."""
    for cookie, value in _cookies_of(user).items():
        if not value:
            response.delete_cookie(cookie, samesite="Lax")


def _cookies_of(user: User) -> dict[str, str]:
    return {THEME_COOKIE: user.theme, settings.LANGUAGE_COOKIE_NAME: user.language}
