"""Writes what was read of a page: a document and its passages, whole or not at all.

Passages that say the same under the same headings keep their rows, and with them their vectors and citations. New ones
have no lexical vector yet: that is the queue which retrieval's indexing works off.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from django.db import transaction
from django.db.models import QuerySet

from mundap.library.chunking import PassageDraft
from mundap.library.models import Collection, Document, Passage
from mundap.library.reading import ReadPage

BATCH = 1_000


def store_page(document: Document, read: ReadPage) -> bool:
    """Write the page that was read under the document's path; returns whether the path is new.

    The document comes with what is known before reading: collection, path, address, format, hash.
    """
    document.title, document.text = read.title, read.text
    document.state = Document.State.FAILED if read.error else Document.State.READY
    document.error = read.error
    if not read.is_lasting:
        document.content_hash = ""
    with transaction.atomic():
        known = Document.objects.filter(collection=document.collection_id, path=document.path)
        document_id = known.select_for_update().values_list("pk", flat=True).first()
        if document_id is None:
            document.save(force_insert=True)
            _create_passages(document, read.drafts)
            return True
        document.pk = document_id
        document.save(force_update=True)
        _replace_passages(document, read.drafts)
        return False


def delete_documents(collection: Collection, *, keeping: QuerySet[Document]) -> int:
    """Delete the collection's documents that are not among these, and return how many they were."""
    gone = list(
        collection.documents.exclude(pk__in=keeping.values("pk")).values_list("pk", flat=True)
    )
    with transaction.atomic():
        _delete_passages(Passage.objects.filter(document__in=gone))
        collection.documents.filter(pk__in=gone).delete()
    return len(gone)


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
                links=[list(link) for link in draft.links],
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
        links = [list(link) for link in draft.links]
        place = (draft.position, draft.kind, draft.start, draft.end, links)
        if (passage.position, passage.kind, passage.start, passage.end, passage.links) != place:
            passage.position, passage.kind, passage.start, passage.end, passage.links = place
            moved.append(passage)
    gone = [passage.pk for rest in kept.values() for passage in rest]
    _delete_passages(Passage.objects.filter(pk__in=gone))
    Passage.objects.bulk_update(
        moved, ["position", "kind", "start", "end", "links"], batch_size=BATCH
    )
    _create_passages(document, new)


def _delete_passages(passages: QuerySet[Passage]) -> None:
    """Delete passages with their vectors, also while another process is giving them vectors."""
    # Locked first: a vector that arrived between the two deletions would fail the whole transaction.
    locked = list(passages.order_by("pk").select_for_update().values_list("pk", flat=True))
    Passage.objects.filter(pk__in=locked).delete()
