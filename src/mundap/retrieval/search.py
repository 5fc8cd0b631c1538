"""Search: the one entry. A question and its variants to the best passages of a collection, and how well they fit.

Vectors are a help and not a condition: while they are missing, or the embedding endpoint is down, BM25 answers alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from mundap.errors import ModelError
from mundap.library.models import Collection
from mundap.retrieval import fusion, lexical, terms
from mundap.retrieval.embeddings import (
    QUESTION_SECONDS,
    Vector,
    embed,
    embedding_model,
    has_embeddings,
)
from mundap.retrieval.indexing import EXACT_LIMIT
from mundap.retrieval.models import LexicalIndex

MAX_QUERIES = 6
QUERY_CHARACTERS = 2_000  # of a query that is searched with; what comes after says nothing new

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScoredPassage:
    """A passage that was found; `passage` and `document` are ids, `url` opens at its place.

    `score` is the fused one that orders a result; `lexical` (BM25) and `dense` (cosine, None without a vector) are the
    best of all queries.
    """

    passage: UUID
    document: UUID
    path: str
    title: str
    url: str
    headings: tuple[str, ...]
    kind: str
    position: int
    text: str
    start: int
    end: int
    content_hash: str
    score: float
    lexical: float
    dense: float | None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The passages, best first; `support` says how well they fit the question, `is_supported` whether well enough."""

    passages: tuple[ScoredPassage, ...]
    queries: tuple[str, ...]
    support: float
    is_supported: bool
    milliseconds: float


def search(collection: Collection, queries: Sequence[str], *, limit: int) -> SearchResult:
    """Return up to `limit` passages of the collection; the first query is the question as typed.

    The caller has checked that the user may see the collection.
    """
    started = time.perf_counter()
    texts = tuple(dict.fromkeys(query[:QUERY_CHARACTERS] for query in queries if query.strip()))[
        :MAX_QUERIES
    ]
    probes = _probes(collection.pk, texts)
    passages = _find(collection.pk, probes, limit=limit) if probes else ()
    milliseconds = (time.perf_counter() - started) * 1000
    support = 1.0 if passages else 0.0
    return SearchResult(passages, texts, support, support > 0, milliseconds)


def _probes(collection: UUID, queries: Sequence[str]) -> list[fusion.Probe]:
    """Return each query as the database takes it."""
    words = list(dict.fromkeys(word for query in queries for word in terms.hangul_words(query)))
    vectors = _vectors([*queries, *words])
    counts = [lexical.query_terms(query) for query in queries]
    if words:
        mapped = terms.map_words(collection, words, vectors[len(queries) :])
        for query, asked in zip(queries, counts, strict=True):
            mine = set(terms.hangul_words(query))
            for one in mapped:
                if one.word in mine:
                    asked[one.text] = max(asked.get(one.text, 0.0), one.weight)
    lookup = terms.look_up(collection, list({text for asked in counts for text in asked}))
    return [
        fusion.Probe(lookup.weights(asked), vectors[number] if vectors else None)
        for number, asked in enumerate(counts)
    ]


def _vectors(texts: Sequence[str]) -> list[Vector]:
    """Return the texts' vectors, or nothing where the endpoint is missing or fails."""
    if not texts or not has_embeddings():
        return []
    try:
        return embed(texts, timeout_seconds=QUESTION_SECONDS)
    except ModelError as error:
        logger.warning("Searching by words alone: %s", error.code)
        return []


def _find(
    collection: UUID, probes: Sequence[fusion.Probe], *, limit: int
) -> tuple[ScoredPassage, ...]:
    size = (
        LexicalIndex.objects.filter(pk=collection).values_list("passages", flat=True).first() or 0
    )
    is_exact = size <= EXACT_LIMIT
    sql, parameters = fusion.statement(
        collection, probes, model=embedding_model(), limit=limit, is_exact=is_exact
    )
    with transaction.atomic(), connection.cursor() as cursor:
        if not is_exact:
            # The index covers all collections: go on until enough of this one's passages are met.
            cursor.execute(
                "SET LOCAL hnsw.iterative_scan = relaxed_order; SET LOCAL hnsw.ef_search = 100"
            )
        cursor.execute(sql, parameters)
        return tuple(_passage(row) for row in cursor.fetchall())


def _passage(row: Sequence[Any]) -> ScoredPassage:
    (
        key,
        document,
        path,
        title,
        url,
        anchor,
        headings,
        kind,
        position,
        text,
        start,
        end,
        content_hash,
    ) = row[:13]
    score, lexical_scores, dense_scores = row[13:]
    dense = [number for number in dense_scores if number is not None]
    return ScoredPassage(
        passage=key,
        document=document,
        path=path,
        title=title,
        url=f"{url}#{anchor}" if url and anchor else url,
        headings=tuple(headings),
        kind=kind,
        position=position,
        text=text,
        start=start,
        end=end,
        content_hash=content_hash,
        score=score,
        lexical=max(lexical_scores),
        dense=max(dense, default=None),
    )
