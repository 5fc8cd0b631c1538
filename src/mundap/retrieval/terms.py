"""What a question looks for in one collection: its terms weighted by rarity, and Korean words mapped to the documents'.

A Korean word becomes terms of the collection in two ways: by meaning (the word alone is embedded, and the nearest words
of the collection join the question) and by sound (an English word in Hangul). Both join at a lower weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import connection

from mundap.retrieval import lexical
from mundap.retrieval.embeddings import Vector, embedding_model
from mundap.retrieval.fusion import as_text
from mundap.retrieval.korean import words_of
from mundap.retrieval.models import LexicalIndex
from mundap.retrieval.transliteration import likeness, sound_of_hangul

MAX_WORDS = 24  # Korean words of one question that are mapped
MEANING_WEIGHT = 0.5
SOUND_WEIGHT = 0.5
MIN_SIMILARITY = 0.3
MIN_LIKENESS = 0.5


@dataclass(frozen=True, slots=True)
class Lookup:
    """A question's terms in a collection; `rarity` is the idf of each, also of those that no passage has."""

    rarity: Mapping[str, float]
    known: frozenset[str]
    mapped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def weights(self, counts: Mapping[str, float]) -> dict[int, float]:
        """Return the query's side of BM25 by dimension."""
        return {
            lexical.term_id(text): count * self.rarity[text]
            for text, count in counts.items()
            if text in self.known
        }


@dataclass(frozen=True, slots=True)
class Mapped:
    """A term of the collection that a Korean word was mapped to, at the weight with which it joins the question."""

    word: str
    text: str
    weight: float


def hangul_words(question: str) -> list[str]:
    """Return the question's Korean words that may name a subject, without their particles."""
    return words_of(question)[:MAX_WORDS]


def look_up(collection: UUID, texts: Sequence[str]) -> Lookup:
    """Return how rare each term is among the collection's passages."""
    passages = (
        LexicalIndex.objects.filter(pk=collection).values_list("passages", flat=True).first() or 0
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT dimension, frequency FROM retrieval_term"
            " WHERE collection_id = %s AND dimension = ANY(%s) AND frequency > 0",
            [collection, [lexical.term_id(text) for text in texts]],
        )
        frequencies = dict(cursor.fetchall())
    found = {text: frequencies.get(lexical.term_id(text), 0) for text in texts}
    rarity = {
        text: math.log(1 + (max(passages, count) - count + 0.5) / (count + 0.5))
        for text, count in found.items()
    }
    return Lookup(rarity, frozenset(text for text, count in found.items() if count))


def map_words(collection: UUID, words: Sequence[str], vectors: Sequence[Vector]) -> list[Mapped]:
    """Return the terms of the collection that the Korean words stand for; `vectors` may be empty."""
    mapped = _by_sound(collection, words)
    if vectors:
        mapped += _by_meaning(collection, words, vectors)
    return mapped


def _by_sound(collection: UUID, words: Sequence[str]) -> list[Mapped]:
    sounds = {word: sound for word in words if (sound := sound_of_hangul(word))}
    if not sounds:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sound, text, surface FROM retrieval_term"
            " WHERE collection_id = %s AND sound = ANY(%s) ORDER BY frequency DESC, text",
            [collection, list(set(sounds.values()))],
        )
        rows = cursor.fetchall()
    mapped = []
    for word, sound in sounds.items():
        alike = [
            (likeness(word, surface), text)
            for row_sound, text, surface in rows
            if row_sound == sound
        ]
        best = max(alike, default=(0.0, ""), key=lambda pair: pair[0])
        if best[0] >= MIN_LIKENESS:
            mapped.append(Mapped(word, best[1], SOUND_WEIGHT * best[0]))
    return mapped


def _by_meaning(collection: UUID, words: Sequence[str], vectors: Sequence[Vector]) -> list[Mapped]:
    dimensions = len(vectors[0])
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT asked.word, near.text, near.similarity
            FROM (  -- OFFSET 0: each vector is read from its text once, and not for each term
                SELECT word, vector::halfvec({dimensions}) AS vector
                FROM unnest(%s::text[], %s::text[]) AS given(word, vector) OFFSET 0
            ) AS asked CROSS JOIN LATERAL (
                SELECT text, -(retrieval_term.vector::halfvec({dimensions}) <#> asked.vector) AS similarity
                FROM retrieval_term
                WHERE collection_id = %s AND model = %s AND vector_dims(retrieval_term.vector) = {dimensions}
                    AND frequency > %s
                ORDER BY similarity DESC LIMIT 1
            ) AS near
            """,  # noqa: S608 - a number
            [
                list(words),
                [as_text(vector) for vector in vectors],
                collection,
                embedding_model(),
                1,
            ],
        )
        return [
            Mapped(word, text, MEANING_WEIGHT * similarity)
            for word, text, similarity in cursor.fetchall()
            if similarity >= MIN_SIMILARITY
        ]
