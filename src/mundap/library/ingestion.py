"""Brings a collection up to date with its source: what is unchanged costs a hash, what died goes on.

Passages that say the same under the same headings keep their rows, and with them their vectors and citations. New ones
have no lexical vector yet: that is the queue which retrieval's indexing works off.
"""

from __future__ import annotations

import errno
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from uuid import UUID

import psycopg
from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from mundap.errors import (
    Conflict,
    IngestionRunning,
    MundapError,
    ServiceUnavailable,
)
from mundap.library.chunking import PassageDraft
from mundap.library.models import Collection, Document, Passage
from mundap.library.reading import HashedPage, ReadPage, SourceReader
from mundap.library.shelving import ShelfMark, find_or_make, relabel
from mundap.library.sources import OpenedSource, open_source

Progress = Callable[[int, int, str], None]
"""Called with how many pages are done, how many there are, and the path of the last one."""

COUNT_SECONDS = 1.0  # how often the collection's own counter is written
BATCH = 1_000

logger = logging.getLogger(__name__)
_BUG = "Reading it came upon a bug in Mundap; the log of the run says where."


@dataclass(frozen=True, slots=True)
class Ingested:
    """What a run did, in pages; `passages` is how many the collection has now."""

    added: int = 0
    changed: int = 0
    deleted: int = 0
    unchanged: int = 0
    failed: int = 0
    passages: int = 0
    seconds: float = 0.0


def ingest_source(
    name: str, mark: ShelfMark, *, progress: Progress | None = None
) -> tuple[Collection, Ingested]:
    """Read a source into the collection with the mark's short name, which is made if it is not there.

    Raises SourceError (nothing is made then), Conflict, IngestionRunning and ServiceUnavailable.
    """
    with _as_unavailable(), open_source(name, base_url=mark.base_url or "") as source:
        collection = find_or_make(mark, source)
        with _alone(collection), _failure_noted(collection):
            relabel(collection, mark, source)
            return collection, _brought_up_to_date(collection, source, progress)


def ingest(collection: Collection, *, progress: Progress | None = None) -> Ingested:
    """Bring a collection up to date with the source it names; a failure is written on it, and raised."""
    with (
        _as_unavailable(),
        _alone(collection),
        _failure_noted(collection),
        open_source(collection.source, base_url=collection.base_url) as source,
    ):
        return _brought_up_to_date(collection, source, progress)


# --- the collection


@contextmanager
def _alone(collection: Collection) -> Iterator[None]:
    """Hold the collection's lock, on a connection of its own: it ends with this process, whatever happens."""
    digest = blake2b(b"ingestion" + collection.pk.bytes, digest_size=8).digest()
    key = int.from_bytes(digest, signed=True)
    parameters = connection.get_connection_params()
    with psycopg.connect(**parameters, autocommit=True) as lock:
        row = lock.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone()
        if row is None or not row[0]:
            raise IngestionRunning(
                f"{collection.slug!r} is being read by another process. Wait until it is done; "
                "the collection can be searched meanwhile."
            )
        try:
            yield
        finally:  # closing is not enough: the server notices some time later
            with suppress(psycopg.Error):
                lock.execute("SELECT pg_advisory_unlock(%s)", [key])


@contextmanager
def _failure_noted(collection: Collection) -> Iterator[None]:
    """Write what went wrong on the collection; what it has already stays, and can be searched."""
    try:
        with _as_unavailable():
            yield
    except Conflict:  # of the run's own options
        raise
    except Exception as exc:  # a bug, too, or the worker would meet it again every few seconds
        with suppress(DatabaseError):
            has_pages = collection.documents.exists()
            collection.state = Collection.State.READY if has_pages else Collection.State.FAILED
            collection.error = exc.message if isinstance(exc, MundapError) else _BUG
            collection.save(update_fields=["state", "error", "updated_at"])
        raise


@contextmanager
def _as_unavailable() -> Iterator[None]:
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


# --- its pages


def _brought_up_to_date(
    collection: Collection, source: OpenedSource, progress: Progress | None
) -> Ingested:
    begun = time.monotonic()
    reader = SourceReader(source)
    hashed = reader.hashed()
    known = {
        path: (pk, content_hash)
        for pk, path, content_hash in collection.documents.values_list("pk", "path", "content_hash")
    }
    waiting = [page for page in hashed if _is_new(page, known)]
    counter = _Counter(collection, len(hashed), len(hashed) - len(waiting), progress)
    done = Ingested(unchanged=len(hashed) - len(waiting))
    for read in reader.read(waiting):
        document_id = known[read.path][0] if read.path in known else None
        _store(collection, source.address(read.path), read, document_id)
        is_new = document_id is None
        done = replace(
            done,
            added=done.added + is_new,
            changed=done.changed + (not is_new),
            failed=done.failed + bool(read.error),
        )
        counter.count(read.path)
    _readdress(collection, source)
    deleted = _delete_gone(collection, {page.page.path for page in hashed})
    _finish(collection, len(hashed))
    return replace(
        done,
        deleted=deleted,
        failed=collection.documents.filter(state=Document.State.FAILED).count(),
        passages=collection.passages.count(),
        seconds=round(time.monotonic() - begun, 3),
    )


def _is_new(page: HashedPage, known: dict[str, tuple[UUID, str]]) -> bool:
    return page.page.path not in known or known[page.page.path][1] != page.content_hash


class _Counter:
    """Tells how far the run is: to its caller each page, on the collection's row each second."""

    def __init__(
        self, collection: Collection, total: int, done: int, progress: Progress | None
    ) -> None:
        self._collection = collection
        self._total = total
        self._done = done
        self._progress = progress
        self._written_at = time.monotonic()
        collection.state = Collection.State.INGESTING
        collection.documents_total, collection.documents_done = total, done
        collection.save(update_fields=["state", "documents_total", "documents_done", "updated_at"])
        if progress:
            progress(done, total, "")

    def count(self, path: str) -> None:
        """Count one page more."""
        self._done += 1
        if self._progress:
            self._progress(self._done, self._total, path)
        if time.monotonic() - self._written_at >= COUNT_SECONDS:
            self._written_at = time.monotonic()
            Collection.objects.filter(pk=self._collection.pk).update(documents_done=self._done)


def _finish(collection: Collection, total: int) -> None:
    failed = collection.documents.filter(state=Document.State.FAILED)
    paths = list(failed.values_list("path", flat=True)[:3])
    number = failed.count()
    collection.error = ""
    if number:
        more = " …" if number > len(paths) else ""
        collection.error = f"{number} of {total} pages could not be read: {', '.join(paths)}{more}"
    collection.state = (
        Collection.State.FAILED if number and number == total else Collection.State.READY
    )
    collection.documents_done = collection.documents_total = total
    collection.ingested_at = timezone.now()
    collection.save(
        update_fields=[
            "state", "error", "documents_done", "documents_total", "ingested_at", "updated_at"
        ]
    )  # fmt: skip


def _store(collection: Collection, url: str, read: ReadPage, document_id: UUID | None) -> None:
    """Write one page with its passages, whole or not at all."""
    if read.error:
        logger.info("%s of %s cannot be read: %s", read.path, collection.slug, read.error)
    document = Document(
        collection=collection,
        path=read.path,
        url=url,
        title=read.title,
        text=read.text,
        content_hash=read.content_hash,
        state=Document.State.FAILED if read.error else Document.State.READY,
        error=read.error,
    )
    with transaction.atomic():
        if document_id is None:
            document.save(force_insert=True)
            _create_passages(document, read.drafts)
        else:
            document.pk = document_id
            document.save(force_update=True)
            _replace_passages(document, read.drafts)


def _create_passages(document: Document, drafts: Sequence[PassageDraft]) -> None:
    Passage.objects.bulk_create(
        [
            Passage(
                collection_id=document.collection_id,
                document=document,
                position=draft.position,
                kind=draft.kind,
                headings=list(draft.headings),
                anchor=draft.anchor,
                text=draft.text,
                start=draft.start,
                end=draft.end,
                content_hash=draft.content_hash,
            )
            for draft in drafts
        ],
        batch_size=BATCH,
    )


def _replace_passages(document: Document, drafts: Sequence[PassageDraft]) -> None:
    """Keep the passages that say the same in the same place of the headings; replace the others."""
    kept: dict[tuple[str, str, tuple[str, ...]], list[Passage]] = defaultdict(list)
    for passage in document.passages.defer("lexical", "text").order_by("-position"):
        kept[passage.content_hash, passage.anchor, tuple(passage.headings)].append(passage)
    new: list[PassageDraft] = []
    moved: list[Passage] = []
    for draft in drafts:
        same = kept[draft.content_hash, draft.anchor, draft.headings]
        if not same:
            new.append(draft)
            continue
        passage = same.pop()
        place = (draft.position, draft.kind, draft.start, draft.end)
        if (passage.position, passage.kind, passage.start, passage.end) != place:
            passage.position, passage.kind, passage.start, passage.end = place
            moved.append(passage)
    gone = [passage.pk for rest in kept.values() for passage in rest]
    _delete_passages(Passage.objects.filter(pk__in=gone))
    Passage.objects.bulk_update(moved, ["position", "kind", "start", "end"], batch_size=BATCH)
    _create_passages(document, new)


def _readdress(collection: Collection, source: OpenedSource) -> None:
    """Correct the addresses of unchanged pages, where the published base has changed."""
    moved = [
        Document(pk=pk, url=source.address(path))
        for pk, path, url in collection.documents.values_list("pk", "path", "url")
        if url != source.address(path)
    ]
    Document.objects.bulk_update(moved, ["url"], batch_size=BATCH)


def _delete_gone(collection: Collection, paths: set[str]) -> int:
    """Delete the pages that the source no longer has and return how many they were."""
    there = collection.documents.values_list("pk", "path")
    gone = [pk for pk, path in there if path not in paths]
    with transaction.atomic():
        _delete_passages(Passage.objects.filter(document__in=gone))
        collection.documents.filter(pk__in=gone).delete()
    return len(gone)


def _delete_passages(passages: QuerySet[Passage]) -> None:
    """Delete passages with their vectors, also while another process is giving them vectors."""
    # Locked first: a vector that arrived between the two deletions would fail the whole transaction.
    locked = list(passages.order_by("pk").select_for_update().values_list("pk", flat=True))
    Passage.objects.filter(pk__in=locked).delete()
