"""Reads the pages of runs, beside any number of other workers, and stores each whole or not at all.

Processes of `reading_pool` read some tasks ahead of what is stored here. What a page comes to is stored together with
its row in the run, and only while the page is still this worker's and its run goes on.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from django.db import DataError, IntegrityError, transaction
from django.utils.translation import gettext as _

from mundap.config import logs, tracing
from mundap.library import runs
from mundap.library.fetching import Arrived, PageFetcher
from mundap.library.listing import context_folder
from mundap.library.models import Document, Run, RunPage, Worker
from mundap.library.reading import GivenPage, ReadPage, SourceContext, get_format
from mundap.library.reading_pool import pool
from mundap.library.storing import store_page

Progress = Callable[[int, int, str], None]
"""Called with how many pages are done, how many there are, and the path of the last one."""

PAGES_A_TASK = 12  # fewer cost more in messages, more leave a process idle at the end
TASKS_AHEAD = 4
COUNT_SECONDS = 1.0  # how often the collection's own counter is written

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Task:
    """Pages that are being read: their rows and bytes, in the same order."""

    run: Run
    folder: Path
    rows: list[RunPage]
    given: list[GivenPage]
    documents: list[Document]
    reading: Future[list[ReadPage]]


class Reader:
    """Reads the pages that it can claim. Made by `reader`."""

    def __init__(
        self, worker: Worker, run: Run | None, progress: Progress | None, stack: ExitStack
    ) -> None:
        self._worker = worker
        self._only = run
        self._progress = progress
        self._stack = stack
        self._contexts: dict[UUID, tuple[Run, Path, SourceContext]] = {}
        self._fetcher = PageFetcher(worker, stack)
        self._counts: dict[UUID, tuple[int, int]] = {}
        self._counted_at = time.monotonic()

    def read_all(self, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Read and store pages until none is left that this worker may read now, or it is to stop.

        Returns whether there were any.
        """
        tasks: deque[_Task] = deque()
        has_read = False
        while True:
            while len(tasks) < TASKS_AHEAD and not should_stop():
                rows = runs.claim_pages(self._worker, run=self._only, most=PAGES_A_TASK)
                if not rows:
                    break
                has_read = True
                if task := self._begun(rows):
                    tasks.append(task)
            if not tasks:
                return has_read
            self._store(tasks.popleft())

    def _begun(self, rows: list[RunPage]) -> _Task | None:
        """Start reading the pages, once they are here; returns None where nothing is left to read."""
        run, folder, context = self._context(rows[0])
        ready: list[tuple[RunPage, GivenPage, Document]] = []
        for row in rows:
            arrived = self._arrived(run, row, context)
            if arrived is None:
                self._count(run, row.path)
                continue
            ready.append((row, arrived.given, self._document(run, arrived, context)))
        if not ready:
            runs.finish_if_read(run)
            return None
        kept, given, documents = (list(column) for column in zip(*ready, strict=True))
        return _Task(run, folder, kept, given, documents, pool.submit(folder, given))

    def _context(self, row: RunPage) -> tuple[Run, Path, SourceContext]:
        if row.run_id not in self._contexts:
            folder = Path(self._stack.enter_context(context_folder(row.run)))
            self._counts[row.run_id] = runs.note_progress(row.run)
            self._contexts[row.run_id] = row.run, folder, SourceContext.kept(folder)
        return self._contexts[row.run_id]

    def _arrived(self, run: Run, row: RunPage, context: SourceContext) -> Arrived | None:
        if row.content is None:
            return self._fetcher.fetch(run, row, context)
        given = GivenPage(row.path, bytes(row.content), row.format, row.url, row.content_hash)
        if not row.content_hash:  # of a listing that came with its pages
            return self._fetcher.compare(run, row, context, Arrived(given))
        return Arrived(given)

    def _document(self, run: Run, arrived: Arrived, context: SourceContext) -> Document:
        given = arrived.given
        return Document(
            collection_id=run.collection_id,
            path=given.path,
            url=given.url,
            format=given.format_name,
            size_bytes=len(given.content),
            content_hash=given.content_hash,
            read_with=context.read_with(get_format(given.format_name)),
            etag=arrived.etag,
            last_modified=arrived.last_modified,
        )

    def _store(self, task: _Task) -> None:
        named = {"mundap.pages": len(task.rows)}
        with logs.about(run=task.run.pk), tracing.span("run.pages", named, run=task.run.pk):
            self._store_pages(task)
        runs.finish_if_read(task.run)

    def _store_pages(self, task: _Task) -> None:
        read = pool.result(task.reading, task.folder, task.given)
        for row, document, page in zip(task.rows, task.documents, read, strict=True):
            try:
                self._store_one(row, document, page)
            except (DataError, IntegrityError):  # of this page alone, and a bug
                logger.exception("A page cannot be stored: %s", row.pk)
                runs.settle(row, RunPage.State.FAILED, error=_("Storing it came upon a bug."))
            self._count(task.run, row.path)

    @transaction.atomic
    def _store_one(self, row: RunPage, document: Document, page: ReadPage) -> None:
        if runs.is_mine(row, self._worker):
            is_new = store_page(document, page)
            changed = RunPage.State.ADDED if is_new else RunPage.State.CHANGED
            runs.settle(row, RunPage.State.FAILED if page.error else changed, error=page.error)

    def _count(self, run: Run, path: str) -> None:
        """Tell how far the run is: to whoever asked for each page, on the collection's row each second."""
        if time.monotonic() - self._counted_at >= COUNT_SECONDS:
            self._counted_at = time.monotonic()
            self._counts[run.pk] = runs.note_progress(run)  # others read, too
        else:
            done, total = self._counts[run.pk]
            self._counts[run.pk] = done + 1, total
        if self._progress:
            self._progress(*self._counts[run.pk], path)


@contextmanager
def reader(
    worker: Worker, *, run: Run | None = None, progress: Progress | None = None
) -> Iterator[Reader]:
    """Give a reader of all runs' pages, or of one run's; what it claimed and did not store is given back."""
    with ExitStack() as stack:
        try:
            yield Reader(worker, run, progress, stack)
        finally:
            runs.give_back(RunPage.objects.filter(worker=worker))
