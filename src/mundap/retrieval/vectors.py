"""Fills in the vectors that search finds passages by: of passages, and of their collection's words.

It works off what is missing, and has a collection change over to another model once that one's vectors are complete.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from mundap.errors import ModelError
from mundap.library.models import Collection, Embedding, Passage
from mundap.retrieval import lexical
from mundap.retrieval.embeddings import Vector, embed, embedding_model, has_embeddings
from mundap.retrieval.fusion import as_text
from mundap.retrieval.indexes import drop_left_indexes, make_search_indexes, only_worker
from mundap.retrieval.indexing import Progress
from mundap.retrieval.models import LexicalIndex, Term

VECTOR_BATCH = 48
UNDER_WAY = 2  # requests: while the vectors of one are stored, the endpoint works at the next
TERM_BATCH = 1_500
CHANGE_OVER = timedelta(minutes=1)  # longer than any search takes

logger = logging.getLogger(__name__)


def passage_text(headings: Sequence[str], text: str) -> str:
    """Return what is embedded for a passage: its trail of headings and its text."""
    return f"{' > '.join(headings)}\n{text}"


@dataclass(frozen=True, slots=True)
class EmbeddingProgress:
    """How far the wanted model's vectors of a collection are."""

    done: int
    total: int

    @property
    def is_complete(self) -> bool:
        """Whether every passage has its vector."""
        return self.done >= self.total


def embedding_progress(collection: Collection) -> EmbeddingProgress:
    """Return how many passages of the collection have a vector by the wanted model."""
    done = Embedding.objects.filter(collection=collection, model=embedding_model()).count()
    return EmbeddingProgress(done, Passage.objects.filter(collection=collection).count())


def embed_missing(
    collection: Collection | None = None,
    progress: Progress | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Fill missing vectors of one collection or of all, and return how many passages got theirs.

    While the settings want another model than the one that answers, both have vectors; a collection changes over when
    the new ones are complete. A collection that another worker is busy with is left to it. Raises ModelError when the
    endpoint fails; what was embedded before stays.
    """
    if not has_embeddings():
        return 0
    collections = [collection] if collection else list(Collection.objects.order_by("created_at"))
    done = 0
    for each in collections:
        with only_worker(f"embed {each.pk}") as is_ours:
            if is_ours:
                done += _embed(each, progress, should_stop)
    make_search_indexes()
    return done


def _embed(
    collection: Collection, progress: Progress | None, should_stop: Callable[[], bool]
) -> int:
    """Fill what is missing of the wanted model; a collection that another one answers changes over in the end."""
    wanted, now = embedding_model(), timezone.now()
    index = LexicalIndex.objects.filter(pk=collection.pk)
    index.filter(embedding_model="").update(embedding_model=wanted, embedding_since=now)
    answering = index.values_list("embedding_model", flat=True).first() or wanted
    _embed_terms(collection, should_stop, is_coming=answering != wanted)
    done = _embed_passages(collection, progress, should_stop)
    if should_stop():
        return done
    if answering == wanted:
        _forget_other_models(collection)
    elif _is_as_good(collection, answering):
        make_search_indexes()  # before the change, not after it
        _change_over(collection)
    return done


def _is_as_good(collection: Collection, answering: str) -> bool:
    """Whether the wanted model has all vectors, or, where it refused some texts, as many as the answering one."""
    if embedding_progress(collection).is_complete:
        return True
    rows = Embedding.objects.filter(collection=collection)
    return rows.filter(model=embedding_model()).count() >= rows.filter(model=answering).count()


@transaction.atomic
def _change_over(collection: Collection) -> None:
    """Let the wanted model answer from now on."""
    wanted, now = embedding_model(), timezone.now()
    Term.objects.filter(collection=collection, coming_model=wanted).update(
        vector=F("coming_vector"), model=wanted, coming_vector=None, coming_model=""
    )
    LexicalIndex.objects.filter(collection=collection).update(
        embedding_model=wanted, embedding_since=now, updated_at=now
    )


def _forget_other_models(collection: Collection) -> None:
    """Delete the vectors of other models, once no search that began before the change can still want them."""
    settled = timezone.now() - CHANGE_OVER
    if LexicalIndex.objects.filter(collection=collection, embedding_since__lt=settled).exists():
        left = Embedding.objects.filter(collection=collection).exclude(model=embedding_model())
        if left.delete()[0]:
            drop_left_indexes()
        coming = Term.objects.filter(collection=collection).exclude(coming_model="")
        coming.update(coming_vector=None, coming_model="")


def _without_vector(collection: Collection) -> QuerySet[Passage]:
    has_vector = Embedding.objects.filter(passage=OuterRef("pk"), model=embedding_model())
    return Passage.objects.filter(~Exists(has_vector), collection=collection).order_by("id")


def _embed_passages(
    collection: Collection, progress: Progress | None, should_stop: Callable[[], bool]
) -> int:
    state = embedding_progress(collection)
    done = 0
    under_way: deque[tuple[list[UUID], Future[list[Vector | None]]]] = deque()
    with ThreadPoolExecutor(UNDER_WAY) as pool:
        try:
            for rows in _batches_without_vector(collection):
                if should_stop():
                    return done
                taken = _take_over_vectors([row[0] for row in rows])
                done += len(taken)
                new = [row for row in rows if row[0] not in taken]
                texts = [passage_text(headings, text) for _, headings, text in new]
                if new:
                    coming = pool.submit(_embed_each, texts)
                    under_way.append(([row[0] for row in new], coming))
                if len(under_way) == UNDER_WAY:
                    done += _store_vectors(collection, *under_way.popleft())
                if progress:
                    progress(min(state.done + done, state.total), state.total)
            while under_way:
                done += _store_vectors(collection, *under_way.popleft())
        finally:
            for _, coming in under_way:
                coming.cancel()
    if progress and done:
        progress(min(state.done + done, state.total), state.total)
    return done


def _batches_without_vector(
    collection: Collection,
) -> Iterator[list[tuple[UUID, list[str], str]]]:
    """Yield passages: id, headings and text. What the endpoint refuses is not tried again in this run."""
    waiting = _without_vector(collection)
    rows = waiting.values_list("id", "headings", "text")
    while batch := list(rows[:VECTOR_BATCH]):
        yield batch
        rows = waiting.filter(id__gt=batch[-1][0]).values_list("id", "headings", "text")


def _take_over_vectors(keys: Sequence[UUID]) -> set[UUID]:
    """Give passages the vectors that others with the same headings and text have; return those that got theirs.

    A new version of some documentation says for the most part what the version before says.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO library_embedding (passage_id, collection_id, model, vector)
            SELECT new.id, new.collection_id, known.model, known.vector
            FROM library_passage AS new CROSS JOIN LATERAL (
                SELECT embedding.model, embedding.vector
                FROM library_passage AS same JOIN library_embedding AS embedding ON embedding.passage_id = same.id
                WHERE same.content_hash = new.content_hash AND same.headings = new.headings AND same.text = new.text
                    AND embedding.model = %s
                LIMIT 1
            ) AS known
            WHERE new.id = ANY(%s) FOR KEY SHARE OF new ON CONFLICT DO NOTHING RETURNING passage_id
            """,
            [embedding_model(), list(keys)],
        )
        return {key for (key,) in cursor.fetchall()}


def _embed_each(texts: Sequence[str]) -> list[Vector | None]:
    """Return the vectors, and None for a text that the endpoint refuses by itself (one that is too long, say)."""
    try:
        return list(embed(texts))
    except ModelError as error:
        if error.is_retryable or len(texts) == 1:
            raise
    vectors: list[Vector | None] = []
    for text in texts:
        try:
            vectors += embed([text])
        except ModelError as error:
            if error.is_retryable:
                raise
            vectors.append(None)
    if not any(vectors):
        raise ModelError("The embedding endpoint refuses every text.")
    logger.warning("%d passages were refused by the embedding endpoint.", vectors.count(None))
    return vectors


def _store_vectors(
    collection: Collection, keys: Sequence[UUID], coming: Future[list[Vector | None]]
) -> int:
    pairs = [
        (key, as_text(vector)) for key, vector in zip(keys, coming.result(), strict=True) if vector
    ]
    # Passages that were replaced in the meantime are left out; those that stay must stay until the row stands.
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO library_embedding (passage_id, collection_id, model, vector)"
            " SELECT passage.id, passage.collection_id, %s, new.vector::halfvec"
            " FROM unnest(%s::uuid[], %s::text[]) AS new(id, vector) JOIN library_passage AS passage USING (id)"
            " WHERE passage.collection_id = %s FOR KEY SHARE OF passage ON CONFLICT DO NOTHING",
            [
                embedding_model(),
                [key for key, _ in pairs],
                [vector for _, vector in pairs],
                collection.pk,
            ],
        )
        return int(cursor.rowcount)


def _embed_terms(
    collection: Collection, should_stop: Callable[[], bool], *, is_coming: bool
) -> None:
    """Give the collection's words their vectors: questions in another language are mapped to them.

    Those of a model that `is_coming` are put beside the ones that answer.
    """
    model = embedding_model()
    prefix = "coming_" if is_coming else ""
    waiting = Term.objects.filter(
        ~Q((f"{prefix}model", model)),
        collection=collection,
        is_word=True,
        surface__regex=r"^[a-z]{3,30}$",
    ).exclude(surface__in=lexical.QUESTION_WORDS)
    waiting = waiting.order_by("-frequency")
    if not is_coming and waiting.exists():
        _take_over_term_vectors(collection)
    while not should_stop():
        terms = list(waiting.values_list("id", "surface")[:TERM_BATCH])
        if not terms:
            return
        vectors = embed([surface for _, surface in terms])
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE retrieval_term SET {prefix}vector = new.vector::halfvec, {prefix}model = %s"  # noqa: S608
                " FROM unnest(%s::bigint[], %s::text[]) AS new(id, vector) WHERE retrieval_term.id = new.id",
                [model, [key for key, _ in terms], [as_text(vector) for vector in vectors]],
            )
        if not is_coming:
            _forget_what_words_were_mapped_to(collection)


def _take_over_term_vectors(collection: Collection) -> None:
    """Give the collection's words the vectors that the same words have in others."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE retrieval_term AS new SET vector = known.vector, model = known.model
            FROM retrieval_term AS known
            WHERE known.dimension = new.dimension AND known.surface = new.surface AND known.model = %(model)s
                AND known.vector IS NOT NULL AND known.collection_id <> new.collection_id
                AND new.collection_id = %(collection)s AND new.is_word AND new.model <> %(model)s
            """,
            {"model": embedding_model(), "collection": collection.pk},
        )
    _forget_what_words_were_mapped_to(collection)


def _forget_what_words_were_mapped_to(collection: Collection) -> None:
    # Searches remember it until the collection's index is a newer one.
    LexicalIndex.objects.filter(collection=collection).update(updated_at=timezone.now())
