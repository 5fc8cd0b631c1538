"""Where a person is logged in: each session with its last use, and ending one from afar.

allauth notes a session when it begins. Its own tracking would write at each request; here a session itself remembers
when its use was last written, so that a request costs nothing for five minutes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from allauth.usersessions.models import UserSession
from asgiref.sync import sync_to_async
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.decorators import async_only_middleware
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.config.addresses import client_address
from mundap.config.middleware import GetResponse
from mundap.errors import NotFound

USE_IS_WRITTEN_EVERY_SECONDS = 300
_NOTED_AT = "mundap_use_noted_at"
_BROWSERS = ("Edg", "OPR", "SamsungBrowser", "Whale", "Firefox", "Chrome", "Safari", "curl")
_NAMES = {"Edg": "Edge", "OPR": "Opera", "SamsungBrowser": "Samsung Internet"}
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS X", "Linux")


@dataclass(frozen=True, slots=True)
class ShownSession:
    """A session as its owner recognises it."""

    id: int
    device: str
    address: str
    last_used_at: datetime
    is_here: bool


def list_sessions_for(user: User, *, current_key: str | None) -> list[ShownSession]:
    """Return the user's sessions that have not ended, this one first, then the last used."""
    rows = UserSession.objects.purge_and_list(user)
    shown = [
        ShownSession(
            id=row.pk,
            device=device_name(row.user_agent),
            address=str(row.ip),
            last_used_at=row.last_seen_at,
            is_here=row.session_key == current_key,
        )
        for row in rows
    ]
    return sorted(shown, key=lambda one: (one.is_here, one.last_used_at), reverse=True)


def end_session(user: User, session_id: int) -> None:
    """Log the user out there, at once. Raises NotFound, also for another user's session."""
    row = UserSession.objects.filter(user=user, pk=session_id).first()
    if row is None:
        raise NotFound(_("You are not logged in there."))
    row.end()


def end_sessions(user: User, *, but_key: str | None = None) -> None:
    """Log the user out everywhere, but in the session with this key."""
    for row in UserSession.objects.filter(user=user).exclude(session_key=but_key or ""):
        row.end()


def device_name(user_agent: str) -> str:
    """Return what a person calls the device with this User-Agent: browser and system, as far as they are known."""
    browser = next((name for name in _BROWSERS if name in user_agent), "")
    system = next((name for name in _SYSTEMS if name in user_agent), "")
    parts = filter(None, (_NAMES.get(browser, browser), system.replace("Mac OS X", "macOS")))
    return " · ".join(parts) or _("Another program")


@async_only_middleware
def note_session_use(get_response: GetResponse) -> GetResponse:
    """Return the middleware that writes down when a session was last used, and from where."""

    async def reply(request: HttpRequest) -> HttpResponseBase:
        response = await get_response(request)
        if _is_due(request):
            await sync_to_async(_note_use)(request)
        return response

    return reply


def _is_due(request: HttpRequest) -> bool:
    """Tell whether a session that this request has read anyway is somebody's, and its use not written lately."""
    session = getattr(request, "session", None)
    if session is None or not session.accessed or not session.session_key:
        return False
    noted_at = session.get(_NOTED_AT, 0)
    return SESSION_KEY in session and time.time() - noted_at > USE_IS_WRITTEN_EVERY_SECONDS


def _note_use(request: HttpRequest) -> None:
    seen = {"last_seen_at": timezone.now(), "ip": client_address(request)}
    rows = UserSession.objects.filter(session_key=request.session.session_key)
    if not rows.update(**seen) and request.user.is_authenticated:
        UserSession.objects.create_from_request(request)
    request.session[_NOTED_AT] = time.time()
