"""Reads what waits to be read, as a worker would, in the test's own transaction."""

from __future__ import annotations

from django.utils import timezone

from mundap.library.listing import open_run
from mundap.library.models import Collection, Run, Worker
from mundap.library.work import reader


def read(collection: Collection) -> Run:
    """Return the collection's waiting run when it is over."""
    collection.refresh_from_db()
    run = collection.runs.get(state=Run.State.WAITING)
    worker = Worker.objects.create(name="test", is_command=True, seen_at=timezone.now())
    open_run(run)
    with reader(worker, run=run) as pages:
        pages.read_all()
    run.refresh_from_db()
    collection.refresh_from_db()
    return run
