"""The processes that read pages, with bounds of time and memory: a page may hang its parser, or end it."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import lru_cache
from pathlib import Path

from pebble import ProcessExpired, ProcessPool

from mundap.library.reading import GivenPage, ReadPage, SourceContext

PROCESSES = 2
PAGE_SECONDS = 120.0  # a PDF of 3,000 pages takes some 60 on a busy machine
MEMORY_BYTES = 3_000_000_000


class ReadingPool:
    """Processes that read pages, started when the first come. A page that ends its process or hangs is an error."""

    def __init__(self) -> None:
        self.processes = PROCESSES
        self._pool: ProcessPool | None = None
        self._lock = threading.Lock()

    def submit(self, folder: Path, pages: Sequence[GivenPage]) -> Future[list[ReadPage]]:
        """Start reading pages whose source's context is kept in the folder."""
        with self._lock:
            if self._pool is None or not self._pool.active:
                self._pool = ProcessPool(
                    self.processes,
                    initializer=_start,
                    # Not forked: this process has threads and database connections.
                    context=multiprocessing.get_context("spawn"),
                )
            future: Future[list[ReadPage]] = self._pool.schedule(
                _read_here, args=[folder, list(pages)], timeout=PAGE_SECONDS
            )
        return future

    def result(
        self, future: Future[list[ReadPage]], folder: Path, pages: Sequence[GivenPage]
    ) -> list[ReadPage]:
        """Return what became of submitted pages; after a death or a hang each is tried by itself."""
        try:
            return future.result()
        except FutureTimeout:
            error = f"Reading it takes longer than {PAGE_SECONDS:.0f} seconds."
        except ProcessExpired:
            error = "The process that read it ended unexpectedly, perhaps for lack of memory."
        if len(pages) == 1:
            return [ReadPage(pages[0].path, error=error, is_lasting=False)]
        return [
            read
            for page in pages
            for read in self.result(self.submit(folder, [page]), folder, [page])
        ]

    def close(self) -> None:
        """End the processes; the next page starts new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()


pool = ReadingPool()
atexit.register(pool.close)


@lru_cache(maxsize=1)
def _kept(folder: Path) -> SourceContext:
    return SourceContext.kept(folder)


def _read_here(folder: Path, pages: Sequence[GivenPage]) -> list[ReadPage]:
    context = _kept(folder)
    return [context.read(page) for page in pages]


def _start() -> None:
    # An interrupt is the parent's to handle; and when it is killed, nobody else would end this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
