"""Background work on accounts."""

from __future__ import annotations

from celery import shared_task
from django.core.management import call_command


@shared_task
def clear_sessions() -> None:
    """Delete the sessions that have expired; Django only ignores them."""
    call_command("clearsessions", verbosity=0)
