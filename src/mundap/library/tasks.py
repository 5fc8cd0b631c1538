"""Background work on the shelf. What is to do stands in Postgres; a clock looks for it, and messages are hints."""

from __future__ import annotations

import logging
import threading

from celery import shared_task
from celery.worker import state
from kombu.exceptions import OperationalError

from mundap.config import logs
from mundap.errors import MundapError
from mundap.library import runs
from mundap.library.ingestion import failure_noted
from mundap.library.listing import open_run
from mundap.library.models import Run
from mundap.library.reading_pool import pool
from mundap.library.signals import pages_stored
from mundap.library.work import reader
from mundap.library.workers import this_worker

HINTS = 16  # how many workers hear at once that there are pages to read

logger = logging.getLogger(__name__)
_reading = threading.Lock()  # one reader a process: it has processes of its own


def _is_stopping() -> bool:
    return state.should_stop is not None


@shared_task
def open_runs() -> None:
    """Open the runs that wait, those that are due, and those whose worker fell silent."""
    runs.give_back_left()
    runs.request_due_runs()
    while not _is_stopping() and (run := runs.claim_run(this_worker())):
        with logs.about(run=run.pk):
            _open(run)


def _open(run: Run) -> None:
    try:
        with failure_noted(run):
            open_run(run)
    except MundapError as error:  # it stands on the collection, where people see it
        logger.warning("A run could not be opened: %s", error)
    except Exception:  # the edge: a bug with one collection does not keep the others waiting
        logger.exception("A run could not be opened")
    else:
        _hint()


@shared_task
def read_pages() -> None:
    """Read the pages that wait, beside the other workers."""
    if not _reading.acquire(blocking=False):
        return
    try:
        with reader(this_worker()) as pages:
            has_read = pages.read_all(_is_stopping)
    finally:
        pool.close()
        _reading.release()
    if has_read:
        pages_stored.send(sender=None)


def _hint() -> None:
    """Tell the workers; without Redis their clocks do so some seconds later."""
    try:
        for _ in range(HINTS):
            read_pages.apply_async(expires=30, retry=False)
    except OperationalError as error:
        logger.warning("Workers could not be told of new pages: %s", error)
