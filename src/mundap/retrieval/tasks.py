"""Background work. What is to do stands in Postgres, and a clock looks for it: an emptied Redis costs some seconds.

Two tasks, so that vectors of one collection are filled in while another one is indexed. Each leaves what another
process is busy with to that process.
"""

from __future__ import annotations

import logging

from celery import shared_task
from celery.worker import state
from django.dispatch import receiver

from mundap.errors import ModelError
from mundap.library.signals import pages_stored
from mundap.retrieval.indexing import index_lexical, list_unindexed
from mundap.retrieval.vectors import embed_missing

logger = logging.getLogger(__name__)
_said: set[str] = set()


@shared_task
def index_passages() -> None:
    """Make what was read findable by words."""
    for collection in list_unindexed():
        index_lexical(collection)


@receiver(pages_stored)
def index_at_once(**_: object) -> None:
    """Do so as soon as pages have been stored; the clock finds what this did not come to."""
    index_passages()


@shared_task
def fill_vectors() -> None:
    """Embed the passages that have no vector by the current model yet."""
    try:
        embed_missing(should_stop=lambda: state.should_stop is not None)
    except ModelError as error:
        if error.message not in _said:  # it is tried again every few seconds
            _said.add(error.message)
            logger.warning("Vectors wait until it works (see mundap doctor): %s", error.message)
    else:
        _said.clear()
