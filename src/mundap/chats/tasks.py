"""Background work on chats. What is to do stands in Postgres, and a clock looks for it."""

from __future__ import annotations

from celery import shared_task
from celery.worker import state

from mundap.chats.search_index import index_waiting


@shared_task
def index_messages() -> None:
    """Make the messages that came in or changed quick to find; until then a search reads them."""
    index_waiting(should_stop=lambda: state.should_stop is not None)
