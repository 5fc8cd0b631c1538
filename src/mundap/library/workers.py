"""Who works off runs, and whether they are still heard of. What a silent worker had begun is everybody's again.

Time is the database's own: the clocks of several machines need not agree.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from django.db import DatabaseError, connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from mundap.library.models import Worker

HEARTBEAT_SECONDS = 5.0
SILENT_AFTER = timedelta(seconds=20)
FORGOTTEN_AFTER = timedelta(days=30)  # not sooner: a machine that slept goes on where it was

logger = logging.getLogger(__name__)
_current: Worker | None = None


def list_alive() -> QuerySet[Worker]:
    """Return the workers that were heard of lately."""
    return Worker.objects.filter(seen_at__gt=Now() - SILENT_AFTER)


def count_workers() -> int:
    """Return how many background workers there are; commands that work for themselves are not counted."""
    return list_alive().filter(is_command=False).count()


def this_worker() -> Worker:
    """Return this process as a worker. Raises RuntimeError outside of `at_work`."""
    if _current is None:
        raise RuntimeError("this process is not at work: see mundap worker")
    return _current


@contextmanager
def at_work(*, is_command: bool) -> Iterator[Worker]:
    """Let this process be known as a worker until the block is left."""
    global _current
    Worker.objects.filter(seen_at__lt=Now() - FORGOTTEN_AFTER).delete()
    worker = Worker.objects.create(
        name=f"{platform.node()[:150]}, process {os.getpid()}",
        is_command=is_command,
        seen_at=Now(),
    )
    _current = worker
    is_over = threading.Event()
    heart = threading.Thread(target=_beat, args=(worker, is_over), daemon=True)
    heart.start()
    try:
        yield worker
    finally:
        _current = None
        is_over.set()
        heart.join()
        with suppress(DatabaseError):  # then it falls silent
            worker.delete()


def _beat(worker: Worker, is_over: threading.Event) -> None:
    while not is_over.wait(HEARTBEAT_SECONDS):
        try:
            Worker.objects.filter(pk=worker.pk).update(seen_at=Now())
        except DatabaseError as error:
            logger.warning("A worker's heartbeat failed: %s", error)
            connection.close()
    connection.close()
