"""Brings a collection up to date with its source, for a command that waits for it.

The command opens the source, which may be on its machine alone. The pages are read by the workers there are; without
one, by the command itself.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from django.db import DatabaseError

from mundap.errors import Conflict, MundapError, ServiceUnavailable
from mundap.library import runs
from mundap.library.listing import list_pages, open_run
from mundap.library.models import Collection, Document, Run, Worker
from mundap.library.shelving import ShelfMark, find_or_make, relabel
from mundap.library.sources import open_source
from mundap.library.work import Progress, reader
from mundap.library.workers import at_work, count_workers

LOOK_SECONDS = 0.2  # how often a command looks how far the workers are

_BUG = "Reading it came upon a bug in Mundap; the log of the run says where."


@dataclass(frozen=True, slots=True)
class Ingested:
    """What a run did, in pages; `passages` is how many the collection has now."""

    added: int = 0
    changed: int = 0
    deleted: int = 0
    unchanged: int = 0
    failed: int = 0
    left_out: int = 0
    passages: int = 0
    seconds: float = 0.0


def ingest_source(
    name: str, mark: ShelfMark, *, progress: Progress | None = None
) -> tuple[Collection, Ingested]:
    """Read a source into the collection with the mark's short name, which is made if it is not there.

    Raises SourceError (nothing is made then), Conflict, IngestionRunning and ServiceUnavailable.
    """
    begun = time.monotonic()
    with as_unavailable(), at_work(is_command=True) as worker:
        with open_source(name, base_url=mark.base_url or "") as source:
            collection = find_or_make(mark, source)
            run = runs.request_run(collection, trigger=Run.Trigger.COMMAND, worker=worker)
            with failure_noted(run):
                relabel(collection, mark, source)
                list_pages(run, source)
        with failure_noted(run):
            _follow(run, worker, progress)
        done = _ingested(run, begun)
        collection.refresh_from_db()
        return collection, done


def ingest(collection: Collection, *, progress: Progress | None = None) -> Ingested:
    """Bring a collection up to date with the source it names; a failure is written on it, and raised."""
    begun = time.monotonic()
    with as_unavailable(), at_work(is_command=True) as worker:
        run = runs.request_run(collection, trigger=Run.Trigger.COMMAND, worker=worker)
        with failure_noted(run):
            open_run(run)
            _follow(run, worker, progress)
        return _ingested(run, begun)


def _follow(run: Run, worker: Worker, progress: Progress | None) -> None:
    """Wait for the run's end; read its pages where no worker is there to do it."""
    if progress:
        progress(*runs.note_progress(run), "")
    with reader(worker, run=run, progress=progress) as pages:
        while not runs.finish_if_read(run):
            if count_workers():
                if progress:
                    progress(*runs.note_progress(run), "")
                time.sleep(LOOK_SECONDS)
            else:
                pages.read_all()


def _ingested(run: Run, begun: float) -> Ingested:
    run.refresh_from_db()
    collection = run.collection
    if run.state != Run.State.DONE:
        raise Conflict(run.error or "The run was cancelled by somebody else.")
    return Ingested(
        added=run.counts.get("added", 0),
        changed=run.counts.get("changed", 0),
        deleted=run.counts.get("gone", 0),
        unchanged=run.counts.get("unchanged", 0),
        left_out=run.counts.get("left_out", 0),
        failed=collection.documents.filter(state=Document.State.FAILED).count(),
        passages=collection.passages.count(),
        seconds=round(time.monotonic() - begun, 3),
    )


@contextmanager
def failure_noted(run: Run) -> Iterator[None]:
    """Write what went wrong on the run and its collection; what that has already stays, and can be searched."""
    try:
        with as_unavailable():
            yield
    except Exception as exc:  # a bug, too, or the next worker would meet it again
        with suppress(DatabaseError):
            runs.fail_run(run, exc.message if isinstance(exc, MundapError) else _BUG)
        raise


@contextmanager
def as_unavailable() -> Iterator[None]:
    """Turn a full disk or a lost database into ServiceUnavailable; transactions have left nothing half-stored."""
    goes_on = "What was read stays; repeat the command to go on."
    try:
        yield
    except (DatabaseError, psycopg.Error) as exc:
        cause = exc.__cause__ if isinstance(exc, DatabaseError) else exc
        if isinstance(cause, psycopg.errors.DiskFull):
            raise ServiceUnavailable(
                f"The database's disk is full. Make room on it. {goes_on}"
            ) from exc
        if isinstance(cause, psycopg.OperationalError):
            raise ServiceUnavailable(f"The database does not answer: {cause}. {goes_on}") from exc
        raise
    except OSError as exc:
        if exc.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise ServiceUnavailable(
            f"The disk with the temporary files is full. Make room on it. {goes_on}"
        ) from exc
