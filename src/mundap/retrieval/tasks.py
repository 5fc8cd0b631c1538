"""Background work. What is to do stands in Postgres, and a clock looks for it: an emptied Redis costs some seconds.

Two tasks, so that vectors of one collection are filled in while another one is read. Each leaves what another
process is busy with to that process.
"""

from __future__ import annotations

import logging

from celery import shared_task
from celery.worker import state
from django.db.models import Q

from mundap.errors import IngestionRunning, ModelError, MundapError
from mundap.library.ingestion import ingest
from mundap.library.models import Collection
from mundap.retrieval.indexing import embed_missing, index_lexical, list_unindexed

logger = logging.getLogger(__name__)
_said: set[str] = set()


@shared_task
def read_sources() -> None:
    """Read collections that wait for it or whose reader died, and make what was read findable by words."""
    waiting = Q(state=Collection.State.EMPTY) | Q(state=Collection.State.INGESTING)
    for collection in Collection.objects.filter(waiting).exclude(source=""):
        try:
            ingest(collection)
        except IngestionRunning:
            continue
        except MundapError as error:  # it stands on the collection, where people see it
            logger.warning("Reading %s failed: %s", collection.slug, error.message)
        except Exception:  # the edge: a bug with one collection does not keep the others waiting
            logger.exception("Reading %s failed", collection.slug)
    for collection in list_unindexed():
        index_lexical(collection)


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
