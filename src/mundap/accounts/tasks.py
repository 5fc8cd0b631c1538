"""Background work on accounts."""

from __future__ import annotations

from allauth.usersessions.models import UserSession
from celery import shared_task
from django.contrib.sessions.models import Session
from django.core.management import call_command

from mundap.accounts import audit


@shared_task
def clear_sessions() -> None:
    """Delete the sessions that have expired, with where they were used from; Django only ignores them."""
    call_command("clearsessions", verbosity=0)
    UserSession.objects.exclude(session_key__in=Session.objects.values("session_key")).delete()


@shared_task
def forget_old_audit() -> None:
    """Delete the lines of the audit log that are as old as the setting says."""
    audit.forget_old()
