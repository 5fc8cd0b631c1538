"""A run's life, in Postgres: asked for, opened by one worker, read by any number of them, finished by the last one.

Messages to workers are hints; what there is to do stands here. A claim is its worker's as long as that is heard of.
How a page is read, and what is stored, is `work`'s and `storing`'s.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.config import logs, metrics, tracing
from mundap.errors import IngestionRunning
from mundap.library.models import Collection, Document, Run, RunFile, RunPage, Worker
from mundap.library.storing import delete_documents
from mundap.library.workers import count_workers, list_alive

OPEN_ATTEMPTS = 3  # that may end with their worker
READ_ATTEMPTS = 8  # more than those to fetch it
KEPT_RUNS = 20  # of a collection; only the last one keeps its pages
RETRY_FAILED_AFTER = timedelta(hours=1)

logger = logging.getLogger(__name__)


# --- asking for one


def request_run(
    collection: Collection,
    *,
    trigger: Run.Trigger,
    user: User | None = None,
    worker: Worker | None = None,
) -> Run:
    """Return a new run of the collection, opened by this worker or waiting for one. Raises IngestionRunning."""
    _give_up_left(collection)
    run = Run(collection=collection, trigger=trigger, requested_by=user)
    if worker is not None:
        run.state, run.worker, run.started_at = Run.State.OPENING, worker, timezone.now()
    try:
        with tracing.span("run.ask", run=run.pk), transaction.atomic():
            run.save(force_insert=True)
            return run
    except IntegrityError as exc:
        raise IngestionRunning(
            _(
                "“%(title)s” is being read by another process. Wait until it is done; it can be searched meanwhile."
            )
            % {"title": collection.title}
        ) from exc


def request_another_run(
    collection: Collection, *, trigger: Run.Trigger, user: User | None = None
) -> Run:
    """Return a new run; where one is unfinished, that one, which is then followed by another."""
    while True:
        running = Run.objects.filter(collection=collection, state__in=Run.UNFINISHED)
        if running.update(is_wanted_again=True) and (run := running.first()):
            return run
        try:
            return request_run(collection, trigger=trigger, user=user)
        except IngestionRunning:  # it began meanwhile
            continue


def request_due_runs() -> None:
    """Ask for the runs that nobody else asks for: of collections never read, and of those whose refresh is due."""
    unfinished = Run.objects.filter(collection=OuterRef("pk"), state__in=Run.UNFINISHED)
    recent = Run.objects.filter(
        collection=OuterRef("pk"), created_at__gt=Now() - RETRY_FAILED_AFTER
    )
    never_read = Q(state__in=[Collection.State.EMPTY, Collection.State.INGESTING])
    is_old = Q(ingested_at__lt=Now() - F("refresh_days") * timedelta(days=1))
    is_due = Q(refresh_days__gt=0) & ~Q(Exists(recent)) & (is_old | Q(ingested_at=None))
    due = Collection.objects.exclude(source="").filter(~Q(Exists(unfinished)), never_read | is_due)
    for collection in due:
        try:
            request_run(collection, trigger=Run.Trigger.SCHEDULE)
        except IngestionRunning:
            continue


def retry_failed(collection: Collection, *, user: User | None = None) -> Run:
    """Return a new run that also reads the pages anew which could not be read. Raises IngestionRunning."""
    with transaction.atomic():
        run = request_run(collection, trigger=Run.Trigger.PERSON, user=user)
        bad = [Document.State.FAILED, Document.State.STALE]
        collection.documents.filter(state__in=bad).update(content_hash="", read_with="")
    return run


def _give_up_left(collection: Collection) -> None:
    """Cancel a command's run that its process has left unfinished, if no worker is there to go on with it."""
    if count_workers():
        return
    is_heard = Exists(list_alive().filter(pk=OuterRef("worker")))
    for run in Run.objects.filter(
        ~is_heard, collection=collection, state__in=Run.UNFINISHED, trigger=Run.Trigger.COMMAND
    ):
        cancel_run(run)


# --- looking at one


def count_pages(run: Run) -> dict[str, int]:
    """Return how many pages there are by what became of them, `RunPage.State`'s values; kept when the run is over."""
    if run.state not in Run.UNFINISHED:
        return dict(run.counts)
    counted = run.pages.order_by().values_list("state").annotate(number=Count("pk"))
    return dict(counted)


def note_progress(run: Run) -> tuple[int, int]:
    """Write on the collection how many of the run's pages are done, and how many there are; returns both."""
    counts = count_pages(run)
    total = sum(counts.values())
    done = total - sum(counts.get(state, 0) for state in RunPage.OPEN)
    Collection.objects.filter(pk=run.collection_id).update(
        documents_done=done, documents_total=total
    )
    return done, total


# --- claiming


def claim_run(worker: Worker) -> Run | None:
    """Return a run for this worker to open: one that waits, or whose worker fell silent. None if there is none."""
    silent = Q(state=Run.State.OPENING) & ~Exists(list_alive().filter(pk=OuterRef("worker")))
    free = Run.objects.filter(Q(state=Run.State.WAITING) | silent).order_by("created_at")
    with transaction.atomic():
        run = free.select_for_update(skip_locked=True, of=("self",)).first()
        if run is None:
            return None
        if run.attempts >= OPEN_ATTEMPTS:
            fail_run(run, _("Each worker that looked what there is ended over it."))
            return None
        run.state, run.worker = Run.State.OPENING, worker
        run.attempts += 1
        run.started_at = run.started_at or timezone.now()
        run.save(update_fields=["state", "worker", "attempts", "started_at"])
    return run


def is_to_open(run: Run) -> bool:
    """Whether the run is still its worker's to open; it stays as it is until the transaction ends."""
    same = Run.objects.filter(pk=run.pk, worker=run.worker_id)
    return (
        same.filter(state__in=[Run.State.WAITING, Run.State.OPENING])
        .select_for_update(no_key=True)
        .exists()
    )


# Materialized, or Postgres may pick rows once more for each that it updates.
_CLAIM = """
    WITH picked AS MATERIALIZED (
        SELECT page.id FROM library_runpage AS page
            JOIN library_run AS run ON run.id = page.run_id AND run.state = 'reading'
        WHERE page.state = 'waiting' AND (page.not_before IS NULL OR page.not_before <= statement_timestamp())
            AND (%(run)s::uuid IS NULL OR run.id = %(run)s)
        ORDER BY run.id, page.id LIMIT %(most)s FOR UPDATE OF page SKIP LOCKED
    )
    UPDATE library_runpage SET state = 'reading', worker_id = %(worker)s, attempts = attempts + 1
    FROM picked WHERE library_runpage.id = picked.id
    RETURNING library_runpage.id
"""


def claim_pages(worker: Worker, *, run: Run | None, most: int) -> list[RunPage]:
    """Return pages of one run for this worker to read, at most so many, in their order."""
    parameters = {"worker": worker.pk, "run": run.pk if run else None, "most": most}
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, parameters)
        ids = [row[0] for row in cursor.fetchall()]
    pages = list(RunPage.objects.filter(pk__in=ids).order_by("pk"))
    mine = [page for page in pages if page.run_id == pages[0].run_id]
    others = RunPage.objects.filter(pk__in=[page.pk for page in pages[len(mine) :]], worker=worker)
    others.update(state=RunPage.State.WAITING, worker=None, attempts=F("attempts") - 1)
    return mine


def give_back(pages: QuerySet[RunPage]) -> None:
    """Let others read these pages, whose worker does not; one over which worker after worker ends, fails."""
    begun = pages.filter(state=RunPage.State.READING)
    begun.filter(attempts__gte=READ_ATTEMPTS).update(
        state=RunPage.State.FAILED,
        worker=None,
        content=None,
        error=_("Each worker that read it ended over it."),
    )
    begun.update(state=RunPage.State.WAITING, worker=None)


def give_back_left() -> None:
    """Take up what silent workers had begun, and end the runs that nobody is left to end."""
    is_heard = Exists(list_alive().filter(pk=OuterRef("worker")))
    give_back(RunPage.objects.filter(~is_heard, run__state=Run.State.READING))
    for run in Run.objects.filter(state=Run.State.READING):
        finish_if_read(run)


def is_mine(page: RunPage, worker: Worker) -> bool:
    """Whether the page is still this worker's to store; its run stays as it is until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT state FROM library_run WHERE id = %s FOR SHARE", [page.run_id])
        row = cursor.fetchone()
    if row is None or row[0] != Run.State.READING:
        return False
    mine = RunPage.objects.filter(pk=page.pk, worker=worker, state=RunPage.State.READING)
    return mine.select_for_update().exists()


def settle(page: RunPage, state: RunPage.State, *, error: str = "") -> None:
    """Write down what became of a page that its worker has done with."""
    settled = RunPage.objects.filter(pk=page.pk, state=RunPage.State.READING).update(
        state=state, error=error, content=None, worker=None, not_before=None
    )
    metrics.pages_read.labels(state.value).inc(settled)


# --- ending


def finish_if_read(run: Run) -> bool:
    """Finish the run if all its pages are read, and return whether it is over."""
    if run.pages.filter(state__in=RunPage.OPEN).exists():
        return not Run.objects.filter(pk=run.pk, state__in=Run.UNFINISHED).exists()
    with transaction.atomic():
        locked = Run.objects.select_for_update().filter(pk=run.pk).first()
        if locked is None or locked.state != Run.State.READING:
            return True
        if locked.pages.filter(state__in=RunPage.OPEN).exists():
            return False
        not_there = Q(state__in=[RunPage.State.GONE, RunPage.State.LEFT_OUT])
        kept = Document.objects.filter(collection=locked.collection_id)
        if _has_seen_all(locked):
            kept = kept.filter(path__in=locked.pages.exclude(not_there).values("path"))
        else:
            kept = kept.exclude(path__in=locked.pages.filter(not_there).values("path"))
        gone = delete_documents(locked.collection, keeping=kept)
        counts = count_pages(locked) | {RunPage.State.GONE.value: gone}
        _sum_up(locked)
        _end(locked, Run.State.DONE, counts=counts)
    return True


def _has_seen_all(run: Run) -> bool:
    """Whether a page that the run does not have is gone; where links are followed, it may just not have been met.

    So it is if a page that was read before could not be fetched, or a bound was reached.
    """
    scope = run.context.get("scope", {})
    if not scope.get("is_followed"):
        return True
    unread = run.collection.documents.filter(state=Document.State.FAILED)
    unseen = run.pages.filter(state=RunPage.State.FAILED).exclude(path__in=unread.values("path"))
    age = (timezone.now() - (run.started_at or timezone.now())).total_seconds()
    is_bounded = age >= scope["max_seconds"] or run.pages.count() >= scope["max_pages"]
    return not (is_bounded or unseen.exists())


def fail_run(run: Run, error: str) -> None:
    """End the run with this error; what the collection has stays, and can be searched."""
    _break_off(run, Run.State.FAILED, error)


def cancel_run(run: Run, *, is_followed: bool = True) -> None:
    """End the run where it is; pages that are stored stay. One that is over is left as it is.

    The run that somebody wished for meanwhile, having given more files, follows unless all is to end.
    """
    _break_off(run, Run.State.CANCELLED, "", is_followed=is_followed)


def _break_off(run: Run, state: Run.State, error: str, *, is_followed: bool = True) -> None:
    with transaction.atomic():
        locked = Run.objects.select_for_update().filter(pk=run.pk).first()
        if locked is None or locked.state not in Run.UNFINISHED:
            return
        locked.error = error
        _end(locked, state, counts=count_pages(locked), is_followed=is_followed)
        has_pages = locked.collection.documents.filter(state=Document.State.READY).exists()
        Collection.objects.filter(pk=locked.collection_id).update(
            state=Collection.State.READY if has_pages else Collection.State.FAILED,
            error=error or ("" if has_pages else _("Reading it was cancelled.")),
        )


def _end(run: Run, state: Run.State, *, counts: dict[str, Any], is_followed: bool = True) -> None:
    run.state, run.counts, run.ended_at, run.context = state, counts, timezone.now(), {}
    run.save(update_fields=["state", "error", "counts", "ended_at", "context"])
    metrics.runs_ended.labels(state.value).inc()
    with logs.about(run=run.pk):
        logger.info("A run ended: %s", state.value)
    _send_span(run)
    run.pages.filter(content__isnull=False).update(content=None)
    RunFile.objects.filter(run=run).delete()
    earlier = Run.objects.filter(collection=run.collection_id).exclude(pk=run.pk)
    RunPage.objects.filter(run__in=earlier).delete()
    Run.objects.filter(pk__in=list(earlier.values_list("pk", flat=True)[KEPT_RUNS:])).delete()
    if run.is_wanted_again and is_followed:
        Run.objects.create(
            collection=run.collection, trigger=run.trigger, requested_by=run.requested_by
        )


def _send_span(run: Run) -> None:
    """Send the span around all that was done for the run, wherever that was."""
    numbers = {
        f"mundap.pages.{name}": number
        for name, number in run.counts.items()
        if isinstance(number, int)
    }
    named = {"mundap.run": str(run.pk), "mundap.collection": str(run.collection_id)}
    tracing.note_run(run.pk, {**named, "mundap.state": run.state, **numbers})


def _sum_up(run: Run) -> None:
    """Write on the collection what the run has come to."""
    collection = run.collection
    failed = set(
        collection.documents.filter(state=Document.State.FAILED).values_list("path", flat=True)
    )
    failed |= set(run.pages.filter(state=RunPage.State.FAILED).values_list("path", flat=True))
    total = run.pages.exclude(state__in=[RunPage.State.GONE, RunPage.State.LEFT_OUT]).count()
    collection.error = ""
    if failed:
        collection.error = _("%(number)d of %(total)d pages could not be read: %(paths)s") % {
            "number": len(failed),
            "total": total,
            "paths": ", ".join(sorted(failed)[:3]) + (" …" if len(failed) > 3 else ""),
        }
    has_text = collection.documents.exclude(state=Document.State.FAILED).exists()
    is_failure = bool(failed) and not has_text
    collection.state = Collection.State.FAILED if is_failure else Collection.State.READY
    collection.documents_done = collection.documents_total = total
    collection.ingested_at = timezone.now()
    collection.save(
        update_fields=[
            "state", "error", "documents_done", "documents_total", "ingested_at", "updated_at"
        ]
    )  # fmt: skip
