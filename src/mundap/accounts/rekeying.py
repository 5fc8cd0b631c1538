"""Bringing sessions under the present SECRET_KEY, after it was changed."""

from __future__ import annotations

from django.contrib.sessions.models import Session
from django.utils import timezone

from mundap.accounts.session_store import SessionStore


def rekey_sessions() -> int:
    """Sign anew what a former key has signed; return how many sessions there are."""
    alive = Session.objects.filter(expire_date__gt=timezone.now())
    keys = list(alive.values_list("pk", flat=True))
    for key in keys:
        SessionStore(key).load()
    return len(keys)
