"""Search: the one entry. A question and its variants to the best passages of a collection, and how well they fit.

Vectors are a help and not a condition: while they are missing, or the embedding endpoint is down, BM25 answers alone.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Collection as Group
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from mundap.config import metrics, tracing
from mundap.errors import ModelError
from mundap.library.models import Collection
from mundap.retrieval import fusion, glossary, lexical, rerank, terms
from mundap.retrieval.coverage import Wanted, terms_of, wanted
from mundap.retrieval.embeddings import (
    Vector,
    embed_questions,
    embedding_model,
    endpoint_of,
    has_embeddings,
    is_local_model,
)
from mundap.retrieval.indexes import EXACT_LIMIT, use_indexes
from mundap.retrieval.korean import (
    STOP_WORDS,
    is_hangul,
    short_words_of,
    stem_of,
    variants_of,
    words_of,
)
from mundap.retrieval.models import LexicalIndex
from mundap.retrieval.names import asks_for_definition, names_of
from mundap.retrieval.support import Evidence, support_of
from mundap.retrieval.vectors import passage_text

MAX_QUERIES = 6
MAX_WORDS = 24  # Korean words of one search that are mapped
MAX_KEPT_WORDS = 20_000
REST_SECONDS = 10.0
JUDGED = 5  # passages on which it is judged whether there is support
QUERY_CHARACTERS = 2_000  # of a query that is searched with; what comes after says nothing new

# A question about what changed wants the release notes, which otherwise give way to other pages.
_ABOUT_RELEASES = re.compile(
    r"\b(releases?|changelog|changed|what'?s new|new in|deprecat\w*|removed|upgrad\w*|versions?)\b"
    r"|버전|릴리스|릴리즈|변경|업그레이드|폐지|제거된|추가된|바뀐|달라진",
    re.IGNORECASE,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScoredPassage:
    """A passage that was found; `passage` and `document` are ids, `url` opens at its place.

    `score` orders a result: the fused one, or the rerank endpoint's. `lexical` (BM25) and `dense` (cosine, None without
    a vector) are the best of all queries.
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
    """The passages, best first, and how well they support an answer to the question: from 1 on well enough.

    `evidence` is what that was judged by, of each query.
    """

    passages: tuple[ScoredPassage, ...]
    queries: tuple[str, ...]
    support: float
    is_supported: bool
    milliseconds: float
    evidence: tuple[Evidence, ...] = ()


def search(collection: Collection, queries: Sequence[str], *, limit: int) -> SearchResult:
    """Return up to `limit` passages of the collection; the first query is the question as typed.

    The caller has checked that the user may see the collection.
    """
    with tracing.span("search") as span:
        result = _search(collection, queries, limit=limit)
        span.note(
            {
                "mundap.collection": str(collection.pk),
                "mundap.queries": len(result.queries),
                "mundap.passages": len(result.passages),
                "mundap.support": result.support,
                "mundap.is_supported": result.is_supported,
            }
        )
    metrics.search_seconds.labels("all").observe(result.milliseconds / 1000)
    metrics.search_passages.observe(len(result.passages))
    return result


@contextmanager
def _step(name: str) -> Iterator[None]:
    with tracing.span(f"search.{name}"), metrics.search_seconds.labels(name).time():
        yield


def _search(collection: Collection, queries: Sequence[str], *, limit: int) -> SearchResult:
    started = time.perf_counter()
    cut = (query[:QUERY_CHARACTERS] for query in queries if query.strip())
    texts = tuple(dict.fromkeys(cut))[:MAX_QUERIES]
    index = LexicalIndex.objects.filter(pk=collection.pk).first()
    passages: tuple[ScoredPassage, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    support = 0.0
    if texts and index:
        with _step("understand"):
            asked = _understand(index, texts)
        depth = max(limit, JUDGED, rerank.CANDIDATES if rerank.has_reranker() else 0)
        with _step("find"):
            rows = _find(index, asked, limit=depth, question=texts[0])
        with _step("judge"):
            evidence = _evidence(asked, texts, rows)
            support = support_of(evidence, question=texts[0], known=asked.known)
        with _step("rerank") if rerank.has_reranker() else nullcontext():
            passages = _reranked(texts, [_passage(row) for row in rows])[:limit]
    milliseconds = (time.perf_counter() - started) * 1000
    return SearchResult(passages, texts, support, support >= 1, milliseconds, evidence)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The queries as the database takes them: a probe or two for each, and what each wants a passage to have."""

    probes: list[fusion.Probe]
    owners: list[int]  # the number of each probe's query
    wanted: list[Wanted]  # by each query
    known: frozenset[str]
    model: str  # of the vectors


def _understand(index: LexicalIndex, queries: Sequence[str]) -> _Asked:
    """Return the queries' probes; a Korean query is also read word by word in the documents' language."""
    said = {query: glossary.joined(query) for query in queries}
    translated = _by_glossary(index, said.values())
    mapped, vectors, model = _by_meaning(index, said, translated)
    counts = [lexical.query_terms(query) for query in queries]
    for query, asked in zip(queries, counts, strict=True):
        terms.join(asked, said[query], mapped)
    glosses = {query: terms.gloss(text, mapped) for query, text in said.items() if is_hangul(text)}
    if vectors and (spoken := [text for text in glosses.values() if text]):
        vectors |= dict(zip(spoken, _vectors(spoken, model), strict=False))
    lookup = terms.look_up(index, list({text for asked in counts for text in asked}))
    readings = [
        (number, reading)
        for number, query in enumerate(queries)
        for reading in ([query, glosses[query]] if glosses.get(query) in vectors else [query])
    ]
    weights = [lookup.weights(asked) for asked in counts]
    rare = [lookup.rare(asked) for asked in counts]
    return _Asked(
        probes=[
            fusion.Probe(
                weights[number],
                rare[number],
                vectors.get(reading),
                is_reading=reading != queries[number],
            )
            for number, reading in readings
        ],
        owners=[number for number, _ in readings],
        wanted=[
            wanted(said[query], asked, translated, lookup)
            for query, asked in zip(queries, counts, strict=True)
        ],
        known=lookup.known,
        model=model,
    )


def _by_meaning(
    index: LexicalIndex, said: Mapping[str, str], translated: Mapping[str, terms.Reading]
) -> tuple[dict[str, terms.Reading | None], dict[str, Vector], str]:
    """Return what Korean words stand for, vectors of the queries (and more), and the model that these are by."""
    model = index.answering_model
    mapped: dict[str, terms.Reading | None] = {**translated}
    others = dict.fromkeys(
        word for text in said.values() for word in words_of(text) if word not in mapped
    )
    words = list(others)[:MAX_WORDS]
    mapped |= _mappings.known(index, words, model)
    new = [word for word in words if word not in mapped]
    texts = [*said, *(variant for word in new for variant in variants_of(word))]
    vectors = _vectors(texts, model)
    if not vectors and model != embedding_model():
        # Nobody reads questions by the model before; the wanted one's vectors answer as far as they are.
        model = embedding_model()
        vectors = _vectors(texts, model)
    named = dict(zip(texts, vectors, strict=False))
    mapped |= _mappings.learn(index, new, named, model)
    return mapped, named, model


def _evidence(
    asked: _Asked, queries: Sequence[str], rows: Sequence[Sequence[Any]]
) -> tuple[Evidence, ...]:
    """Return what speaks for each query in the best passages."""
    if not rows:
        return ()
    passages = [_passage(row) for row in rows[:JUDGED]]
    found = [terms_of(one.headings, one.text) for one in passages]
    evidence = []
    for number, query in enumerate(queries):
        # The last of a query's probes is its reading in the documents' language.
        place = max(place for place, owner in enumerate(asked.owners) if owner == number)
        cosines = [row[-1][place] for row in rows[:JUDGED] if row[-1][place] is not None]
        names = names_of(query)
        evidence.append(
            Evidence(
                cosine=max(cosines, default=None) if is_local_model(asked.model) else None,
                coverage=max(asked.wanted[number].covered_by(terms) for terms in found),
                rarest=asked.wanted[number].rarest,
                words=len(asked.wanted[number].words),
                has_name=any(not terms.isdisjoint(names) for terms in found),
                is_across_languages=asked.wanted[number].is_translated,
            )
        )
    return tuple(evidence)


def _by_glossary(index: LexicalIndex, texts: Group[str]) -> dict[str, terms.Reading]:
    """Return what the glossary says of the texts' Korean words; nothing where the documents are in Korean, too."""
    words = {word for text in texts for word in (*words_of(text), *short_words_of(text))}
    if not words:
        return {}
    own = terms.look_up(index, [stem_of(word) for word in words]).known
    return {} if 2 * len(own) >= len(words) else terms.by_glossary(list(words))


class _Mappings:
    """What Korean words stand for in each collection, kept in memory: questions use the same words again and again."""

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], terms.Reading | None] = {}
        self._centres: dict[str, Vector] = {}

    def known(
        self, index: LexicalIndex, words: Sequence[str], model: str
    ) -> dict[str, terms.Reading | None]:
        """Return those of the words that were mapped before, since the collection was last indexed."""
        keys = {word: _key(index, word, model) for word in words}
        return {word: self._kept[key] for word, key in keys.items() if key in self._kept}

    def learn(
        self, index: LexicalIndex, words: Sequence[str], vectors: Mapping[str, Vector], model: str
    ) -> dict[str, terms.Reading | None]:
        """Map the words and keep the result, unless vectors are missing and it is only half of what it can be."""
        if not words:
            return {}
        centre = self._centre(model) if vectors else []
        mapped = terms.map_words(index, words, vectors, centre=centre, model=model)
        if vectors:
            if len(self._kept) > MAX_KEPT_WORDS:
                self._kept = {}
            self._kept |= {_key(index, word, model): near for word, near in mapped.items()}
        return mapped

    def _centre(self, model: str) -> Vector:
        """Return the mean vector of Korean words that say nothing; nothing where the endpoint fails."""
        if model not in self._centres and (vectors := _vectors(sorted(STOP_WORDS), model)):
            self._centres[model] = [
                sum(numbers) / len(vectors) for numbers in zip(*vectors, strict=True)
            ]
        return self._centres.get(model, [])


def _key(index: LexicalIndex, word: str, model: str) -> tuple[object, ...]:
    return index.pk, index.updated_at, model, word


_mappings = _Mappings()


def _vectors(texts: Sequence[str], model: str) -> list[Vector]:
    """Return the texts' vectors, or nothing where the endpoint is missing or fails."""
    address = endpoint_of(model).base_url
    if not texts or not has_embeddings() or _resting_until.get(address, 0.0) > time.monotonic():
        return []
    try:
        return embed_questions(texts, model=model)
    except ModelError as error:
        logger.warning("Searching by words alone: %s", error.code)
        if error.is_retryable:
            _resting_until[address] = time.monotonic() + REST_SECONDS
        return []


# An endpoint that is away is left alone for a while: otherwise every search would wait for it.
_resting_until: dict[str, float] = {}


def _find(index: LexicalIndex, asked: _Asked, *, limit: int, question: str) -> list[Sequence[Any]]:
    is_exact = index.passages <= EXACT_LIMIT
    sql, parameters = fusion.statement(
        index.pk,
        asked.probes,
        model=asked.model,
        limit=limit,
        is_exact=is_exact,
        is_about_releases=bool(_ABOUT_RELEASES.search(question)),
        names=names_of(question),
        is_about_definition=asks_for_definition(question),
    )
    if is_exact:
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall())
    with transaction.atomic(), connection.cursor() as cursor:
        use_indexes(cursor, passages=index.passages)
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def _reranked(queries: Sequence[str], found: list[ScoredPassage]) -> tuple[ScoredPassage, ...]:
    """Return the passages in the rerank endpoint's order where there is one, else as they are."""
    # The first query is the question as typed; where there is a second, it is the one that stands by itself.
    question = queries[1] if len(queries) > 1 else queries[0]
    scores = rerank.find_scores(question, [passage_text(one.headings, one.text) for one in found])
    if scores is None:
        return tuple(found)
    scored = [replace(one, score=score) for one, score in zip(found, scores, strict=True)]
    return tuple(sorted(scored, key=lambda one: one.score, reverse=True))


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
