"""What a person prefers: language and theme. Kept with the user; a browser's cookies keep it past a log-out.

A page for somebody who is logged in is drawn as the account says, wherever that was chosen; its user is read for it
anyway. Everything else, as what a script asks for, is drawn from the cookies that the pages bring up to date.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.decorators import async_only_middleware

from mundap.accounts.models import User
from mundap.config.middleware import GetResponse

THEME_COOKIE = "theme"
_YEAR_SECONDS = 365 * 24 * 3600
# In a session: its browser's language was chosen for the account.
_IS_ACCOUNTS = "mundap_language_is_accounts"


@async_only_middleware
def draw_as_preferred(get_response: GetResponse) -> GetResponse:
    """Return the middleware that draws pages as their reader's account says now."""

    async def reply(request: HttpRequest) -> HttpResponseBase:
        stale: list[str] = []
        if _is_page(request):
            request.user = await request.auser()  # or a view would read it once more
            stale = _prefer(request)
        return _corrected(await get_response(request), request, stale)

    return reply


def _is_page(request: HttpRequest) -> bool:
    has_session = settings.SESSION_COOKIE_NAME in request.COOKIES
    return has_session and "text/html" in request.headers.get("Accept", "")


def _prefer(request: HttpRequest) -> list[str]:
    """Let this page look as its reader's account says; return the cookies that say something else."""
    user = request.user
    if not user.is_authenticated:
        return []
    stale = []
    if request.COOKIES.get(THEME_COOKIE, "") != user.theme:
        request.COOKIES[THEME_COOKIE] = user.theme
        stale.append(THEME_COOKIE)
    # A language may also have been chosen before the log-in: it holds until the account has one.
    is_accounts = request.session.get(_IS_ACCOUNTS, False)
    if is_accounts != bool(user.language):
        request.session[_IS_ACCOUNTS] = not is_accounts
    cookie = settings.LANGUAGE_COOKIE_NAME
    if (user.language or is_accounts) and request.COOKIES.get(cookie, "") != user.language:
        request.COOKIES[cookie] = user.language
        request.LANGUAGE_CODE = translation.get_language_from_request(request)
        translation.activate(request.LANGUAGE_CODE)
        stale.append(cookie)
    return stale


def _corrected(
    response: HttpResponseBase, request: HttpRequest, stale: list[str]
) -> HttpResponseBase:
    for cookie in stale:
        if cookie in response.cookies:
            continue  # chosen by this very request
        if value := request.COOKIES[cookie]:
            _set(response, cookie, value)
        else:
            response.delete_cookie(cookie, samesite="Lax")
    return response


def theme(request: HttpRequest) -> dict[str, str]:
    """Return `theme` for templates: `light`, `dark`, or empty where the system decides."""
    chosen = request.COOKIES.get(THEME_COOKIE, "")
    return {"theme": chosen if chosen in User.Theme.values else ""}


def show_as_preferred(response: HttpResponseBase, user: User) -> None:
    """Let this browser show pages as the user has chosen; what they have not chosen stays as it is here."""
    for cookie, value in _cookies_of(user).items():
        if value:
            _set(response, cookie, value)


def forget_unchosen(response: HttpResponseBase, user: User) -> None:
    """Take back from this browser what the user has chosen to leave to it."""
    for cookie, value in _cookies_of(user).items():
        if not value:
            response.delete_cookie(cookie, samesite="Lax")


def _cookies_of(user: User) -> dict[str, str]:
    return {THEME_COOKIE: user.theme, settings.LANGUAGE_COOKIE_NAME: user.language}


def _set(response: HttpResponseBase, cookie: str, value: str) -> None:
    response.set_cookie(
        cookie, value, max_age=_YEAR_SECONDS, samesite="Lax", secure=settings.IS_PRODUCTION
    )
