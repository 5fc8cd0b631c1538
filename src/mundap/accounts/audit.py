"""The audit log: who did what, to whom, when and from where. It has ids, names of settings and numbers; no texts.

`record` is called where something is done, in its transaction: what is undone was not done. Who does it is known from
the request that is being answered (`note_origin`), and in a command line from `speak_as_command`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models.functions import Now
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import async_only_middleware
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mundap.accounts.models import AuditEntry, User
from mundap.config import logs
from mundap.config.addresses import client_address
from mundap.config.middleware import GetResponse

# What is recorded, by a name that stays: the log keeps it for years.
ACTIONS: dict[str, Promise] = {
    "staff.logged_in": _("logged in (staff)"),
    "user.added": _("account made"),
    "user.changed": _("account changed"),
    "user.deleted": _("account deleted"),
    "user.sessions_ended": _("sessions ended by staff"),
    "password.changed": _("password changed"),
    "address.changed": _("e-mail address changed"),
    "second_step.added": _("second step set up"),
    "second_step.removed": _("second step taken away"),
    "second_step.codes": _("recovery codes made anew"),
    "token.made": _("token made"),
    "token.taken_back": _("token taken back"),
    "group.added": _("group made"),
    "group.changed": _("group changed"),
    "group.deleted": _("group deleted"),
    "limits.added": _("limits set"),
    "limits.changed": _("limits changed"),
    "limits.deleted": _("limits lifted"),
    "collection.added": _("collection added"),
    "collection.changed": _("collection changed"),
    "collection.deleted": _("collection deleted"),
    "run.asked": _("run asked for by staff"),
    "run.cancelled": _("run cancelled by staff"),
    "evaluation.deleted": _("evaluation deleted"),
    "chat.read": _("chat read by staff"),
    "log.exported": _("audit log exported"),
    "backup.made": _("backup made"),
    "backup.restored": _("backup restored"),
}


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where what is being done comes from."""

    via: AuditEntry.Via
    request: HttpRequest | None = None


_NO_REQUEST = _Origin(AuditEntry.Via.WORKER)
_origin: ContextVar[_Origin] = ContextVar("audit_origin", default=_NO_REQUEST)


def record(
    action: str,
    *,
    actor: User | None = None,
    whom: User | None = None,
    about: str = "",
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write a line; `action` is one of ACTIONS, `about` is `kind:id`, `details` are short and no text of a person.

    The actor is the request's user, where no other is named.
    """
    origin = _origin.get()
    request = origin.request
    if actor is None and request is not None and request.user.is_authenticated:
        actor = request.user
    address = client_address(request) if request is not None else "unknown"
    AuditEntry.objects.create(
        via=AuditEntry.Via.PERSON if actor else origin.via,
        actor=actor,
        action=action,
        whom=whom,
        about=about[:200],
        details=dict(details or {}),
        address=None if address == "unknown" else address,
        request_id=logs.ids.get().get("request", ""),
    )


def speak_as_command() -> None:
    """Let what this process does from here on be recorded as done by the command line."""
    _origin.set(_Origin(AuditEntry.Via.COMMAND))


@async_only_middleware
def note_origin(get_response: GetResponse) -> GetResponse:
    """Return the middleware that lets `record` know the request."""

    async def reply(request: HttpRequest) -> HttpResponseBase:
        token = _origin.set(_Origin(AuditEntry.Via.PERSON, request))
        try:
            return await get_response(request)
        finally:
            _origin.reset(token)

    return reply


@dataclass(frozen=True, slots=True)
class Reading:
    """That staff read a chat: when, which, and the reason that they gave."""

    at: datetime
    chat: str
    reason: str


def list_readings_of(user: User) -> list[Reading]:
    """Return when staff read the user's chats, newest first, as far back as the log goes; 50 at most."""
    entries = AuditEntry.objects.filter(whom=user, action="chat.read")[:50]
    return [
        Reading(entry.at, entry.about.removeprefix("chat:"), entry.details.get("reason", ""))
        for entry in entries
    ]


def list_lines_about(user: User) -> list[dict[str, Any]]:
    """Return what the log says of the user, oldest first; who else did it is not told, nor from where."""
    return [
        {
            "at": entry.at,
            "action": entry.action,
            "via": entry.via,
            "by_yourself": entry.actor_id == user.pk,
            "about": entry.about,
            "details": entry.details,
            "address": entry.address if entry.actor_id == user.pk else None,
        }
        for entry in AuditEntry.objects.filter(whom=user).order_by("pk")
    ]


def forget_old() -> int:
    """Delete the lines that are older than the setting says, and return how many; the table refuses younger ones."""
    age = timedelta(days=settings.AUDIT_DAYS)
    deleted, _by_model = AuditEntry.objects.filter(at__lt=Now() - age).delete()
    return deleted
