"""Reads a source's pages into passages, in processes of their own where there are many. No database, no Django."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

from mundap.errors import ServiceUnavailable
from mundap.library.chunking import CHUNKER_VERSION, PassageDraft, cut
from mundap.library.parsing import (
    Format,
    PageContext,
    UnreadablePage,
    format_named,
    parse_page,
    read_text,
)
from mundap.library.sources import OpenedSource, SourcePage

MAX_PAGE_BYTES = 10_000_000
PROCESSES = 2
# Below this many bytes starting processes (0.5 s) costs more than it saves.
MANY_BYTES = 1_000_000
PAGES_PER_TASK = 12
# The settings of a source that change what a page says.
_TELLING_SETTINGS = (
    "rst_prolog",
    "rst_epilog",
    "extlinks",
    "project",
    "release",
    "default_role",
    "anchors",
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HashedPage:
    """A page and what it is known by: another hash means that it has to be read again."""

    page: SourcePage
    content_hash: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ReadPage:
    """What became of a page: its text and passages, or an error."""

    path: str
    content_hash: str
    title: str = ""
    text: str = ""
    drafts: tuple[PassageDraft, ...] = ()
    error: str = ""


class SourceReader:
    """Reads the pages of one opened source."""

    def __init__(self, source: OpenedSource) -> None:
        self._source = source
        self._titles: dict[str, str] = {}
        for page in source.pages:
            self._titles |= _titles(page)

    def hashed(self) -> list[HashedPage]:
        """Return every page with its hash, in order of their paths."""
        settings = {name: self._source.settings.get(name) for name in _TELLING_SETTINGS}
        shared = json.dumps([CHUNKER_VERSION, settings], sort_keys=True, default=str)
        return [self._hashed(page, shared.encode()) for page in self._source.pages]

    def read(self, pages: Sequence[HashedPage]) -> Iterator[ReadPage]:
        """Yield these pages as they are read, in order. Raises ServiceUnavailable if a reading process dies."""
        reader = partial(_read_page, root=self._source.root, settings=dict(self._source.settings))
        is_many = sum(page.size_bytes for page in pages) >= MANY_BYTES
        if not is_many or multiprocessing.current_process().daemon:
            yield from (reader(page, titles=self._titles) for page in pages)
            return
        tasks = [pages[i : i + PAGES_PER_TASK] for i in range(0, len(pages), PAGES_PER_TASK)]
        with ProcessPoolExecutor(
            PROCESSES,
            # Not forked: this process has threads and database connections.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(reader, self._titles),
        ) as executor:
            try:
                yield from chain.from_iterable(executor.map(_read_task, tasks))
            except BrokenProcessPool as exc:
                raise ServiceUnavailable(
                    "A process that reads pages ended unexpectedly, perhaps for lack of memory. "
                    "Repeat the command: it goes on where it stopped."
                ) from exc
            finally:
                executor.shutdown(wait=True, cancel_futures=True)

    def _hashed(self, page: SourcePage, shared: bytes) -> HashedPage:
        data = page.file.read_bytes()
        page_format = _format(page)
        digest = blake2b(digest_size=32)
        digest.update(shared + f"|{page_format.name}|{page_format.version}|".encode() + data)
        for shown in self._shown_of_others(page, page_format, data):
            digest.update(b"|" + shown)
        return HashedPage(page, digest.hexdigest(), len(data))

    def _shown_of_others(
        self, page: SourcePage, page_format: Format, data: bytes
    ) -> Iterable[bytes]:
        if page_format.depends_on is None or len(data) > MAX_PAGE_BYTES:
            return ()
        try:
            text = read_text(data, page_format)
        except UnreadablePage:
            return ()
        context = PageContext(page.path, self._source.root, self._source.settings, self._titles)
        return page_format.depends_on(text, context)


def read_pages(source: OpenedSource) -> Iterator[ReadPage]:
    """Yield all pages of a source."""
    reader = SourceReader(source)
    yield from reader.read(reader.hashed())


def _format(page: SourcePage) -> Format:
    found = format_named(page.format_name)
    if found is None:
        raise LookupError(f"no format is called {page.format_name!r}")
    return found


def _titles(page: SourcePage) -> dict[str, str]:
    page_format = _format(page)
    if page_format.titles is None or page.file.stat().st_size > MAX_PAGE_BYTES:
        return {}
    try:
        return page_format.titles(read_text(page.file.read_bytes(), page_format), page.path)
    except UnreadablePage:
        return {}


def _read_page(
    hashed: HashedPage, *, root: Path, settings: Mapping[str, Any], titles: Mapping[str, str]
) -> ReadPage:
    page = hashed.page
    failed = partial(ReadPage, page.path, hashed.content_hash)
    if hashed.size_bytes > MAX_PAGE_BYTES:
        return failed(error=f"The page is larger than {MAX_PAGE_BYTES // 1_000_000} MB.")
    context = PageContext(page.path, root, settings, titles)
    try:
        parsed = parse_page(page.file.read_bytes(), _format(page), context)
        drafts = cut(parsed)
    except UnreadablePage as exc:
        return failed(error=str(exc))
    except Exception as exc:  # an edge: foreign markup in foreign parsers; the other pages go on
        logger.warning("cannot read %s", page.path, exc_info=True)
        return failed(error=f"The page's markup could not be read ({type(exc).__name__}: {exc}).")
    title = parsed.title or Path(page.path).stem
    return ReadPage(page.path, hashed.content_hash, title[:500], parsed.text, tuple(drafts))


# What a reading process keeps; set once when it starts.
_worker: partial[ReadPage] | None = None


def _start(reader: partial[ReadPage], titles: Mapping[str, str]) -> None:
    global _worker
    _worker = partial(reader, titles=titles)
    # An interrupt is the parent's to handle; and when it is killed, nobody else would end this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _read_task(pages: Sequence[HashedPage]) -> list[ReadPage]:
    if _worker is None:
        raise RuntimeError("the reading process was not started")
    return [_worker(page) for page in pages]
