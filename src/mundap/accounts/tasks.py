"""Background work on accounts."""

from __future__ import annotations

from celery import shared_task
from django.core.management import call_command

from mundap.accounts import audit


@shared_task
def clear_sessions() -> None:
    """Delete the sessions that have expired; Django only ignores them."""
    call_command("clearsessions", verbosity=0)


@shared_task
def forget_old_audit() -> None:
    """Delete the lines of the audit log that are as old as the setting says."""
    audit.forget_old()
