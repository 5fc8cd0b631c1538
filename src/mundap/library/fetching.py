"""Gets the pages of the web that a run waits for, and settles those that need no reading."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from mundap.errors import FetchFailed
from mundap.library import runs
from mundap.library.crawling.fetching import fetch_page
from mundap.library.crawling.web import Web, open_web
from mundap.library.models import Document, Run, RunPage, Worker
from mundap.library.reading import GivenPage, SourceContext, get_format
from mundap.library.sources.listed import FetchKind, Scope, WebPage

FETCH_ATTEMPTS = 5
FIRST_RETRY = timedelta(seconds=5)  # then twice as long each time
LAST_RETRY = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Arrived:
    """A page whose bytes are here, and what its server says to ask with the next time."""

    given: GivenPage
    etag: str = ""
    last_modified: str = ""


class PageFetcher:
    """Fetches pages for one worker; its connections are closed with the stack.

    What is to be noted of a page that is no longer this worker's, or whose run is over, is not noted.
    """

    def __init__(self, worker: Worker, stack: ExitStack) -> None:
        self._worker = worker
        self._stack = stack

    @cached_property
    def _web(self) -> Web:
        return self._stack.enter_context(open_web())

    def fetch(self, run: Run, row: RunPage, context: SourceContext) -> Arrived | None:
        """Return the page if it has to be read; else None, and the row says what became of it."""
        known = self._known(run, row)
        is_asked = bool(known.format) and known.read_with == context.read_with(
            get_format(known.format)
        )
        try:
            fetched = fetch_page(
                self._web,
                row.url,
                scope=Scope(**run.context["scope"]),
                depth=row.depth,
                etag=known.etag if is_asked else "",
                last_modified=known.last_modified if is_asked else "",
            )
        except FetchFailed as exc:
            self._failed(row, known, exc)
            return None
        self._follow(run, row, fetched.links)
        match fetched.kind:
            case FetchKind.UNCHANGED:
                self._unchanged(row, known, fetched.etag, fetched.last_modified)
            case FetchKind.GONE:
                self._settle(row, RunPage.State.GONE)
            case FetchKind.LEFT_OUT:
                self._settle(row, RunPage.State.LEFT_OUT, error=fetched.reason)
            case FetchKind.NEW:
                given = GivenPage(row.path, fetched.content, fetched.format_name, row.url)
                arrived = Arrived(given, fetched.etag, fetched.last_modified)
                return self.compare(run, row, context, arrived)
        return None

    def compare(
        self, run: Run, row: RunPage, context: SourceContext, arrived: Arrived
    ) -> Arrived | None:
        """Return the page with its hash, or None if it says what it said before."""
        given = replace(arrived.given, content_hash=context.content_hash(arrived.given))
        known = self._known(run, row)
        if known.content_hash != given.content_hash:
            return replace(arrived, given=given)
        self._unchanged(row, known, arrived.etag, arrived.last_modified)
        return None

    @transaction.atomic
    def _settle(self, row: RunPage, state: RunPage.State, *, error: str = "") -> None:
        if runs.is_mine(row, self._worker):
            runs.settle(row, state, error=error)

    @transaction.atomic
    def _unchanged(self, row: RunPage, known: Document, etag: str, last_modified: str) -> None:
        if not runs.is_mine(row, self._worker):
            return
        Document.objects.filter(pk=known.pk).update(
            url=row.url, etag=etag, last_modified=last_modified
        )
        Document.objects.filter(pk=known.pk, state=Document.State.STALE).update(
            state=Document.State.READY, error=""
        )
        runs.settle(row, RunPage.State.UNCHANGED)

    def _known(self, run: Run, row: RunPage) -> Document:
        found = Document.objects.filter(collection=run.collection_id, path=row.path).defer("text")
        return found.first() or Document(collection_id=run.collection_id, path=row.path)

    @transaction.atomic
    def _follow(self, run: Run, row: RunPage, links: tuple[WebPage, ...]) -> None:
        """Add the pages that this one leads to and the run does not have, within the scope's bounds."""
        if not links or not runs.is_mine(row, self._worker):
            return
        scope = Scope(**run.context["scope"])
        age = (timezone.now() - (run.started_at or timezone.now())).total_seconds()
        room = scope.max_pages - run.pages.count() if age < scope.max_seconds else 0
        RunPage.objects.bulk_create(
            [
                RunPage(run=run, path=link.path, url=link.url, depth=link.depth)
                for link in links[: max(room, 0)]
            ],
            ignore_conflicts=True,
        )

    @transaction.atomic
    def _failed(self, row: RunPage, known: Document, failure: FetchFailed) -> None:
        """Let the page be tried again later, or give it up: what was read of it before stays."""
        if not runs.is_mine(row, self._worker):
            return
        if failure.is_retryable and row.attempts < FETCH_ATTEMPTS:
            wait = timedelta(seconds=failure.retry_after_seconds or 0)
            if failure.was_asked:
                wait = max(wait, FIRST_RETRY * 2 ** (row.attempts - 1))
            RunPage.objects.filter(pk=row.pk).update(
                state=RunPage.State.WAITING,
                worker=None,
                attempts=row.attempts if failure.was_asked else row.attempts - 1,
                not_before=Now() + min(wait, LAST_RETRY),
                error=failure.message,
            )
            return
        known.error, known.url = failure.message, row.url
        was_read = bool(known.format) and known.state != Document.State.FAILED
        known.state = Document.State.STALE if was_read else Document.State.FAILED
        known.save()
        runs.settle(row, RunPage.State.FAILED, error=failure.message)
