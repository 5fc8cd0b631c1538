"""What a question looks for in one collection: its terms weighted by rarity, and Korean words mapped to the documents'.

A Korean word becomes terms of the collection by the glossary, and where that lacks it by meaning (the word alone is
embedded; its nearest word joins the question) and by sound (an English word in Hangul). What this is worth is in
docs/decisions/fusion.md.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from django.db import connection

from mundap.retrieval import glossary, lexical
from mundap.retrieval.embeddings import Vector, cross_language_cosine
from mundap.retrieval.fusion import as_text
from mundap.retrieval.korean import is_telling, stem_of, variants_of
from mundap.retrieval.models import LexicalIndex
from mundap.retrieval.transliteration import likeness, sound_of_hangul

GLOSSARY_WEIGHT = 0.7
OTHER_MEANING_WEIGHT = 0.4  # of the glossary's second and third word
MEANING_WEIGHT = 0.7
SOUND_WEIGHT = 0.5
MIN_SIMILARITY = 0.5  # of a meaning; below it the nearest word is any word
# Of a meaning; words that the model does not know come near to any word up to here.
SURE_SIMILARITY = 0.7
MIN_LIKENESS = 0.6
CLEAR_LIKENESS = 0.75
SAME_LIKENESS = 0.95
MIN_SOUND = 3  # consonants; shorter ones are alike by chance
# A factor of e: of two words as near, the one that the collection uses more is meant.
FREQUENCY_GAIN = 0.02
ONE_SYLLABLE_LOSS = 0.1  # one syllable has too many meanings
MANY_PASSAGES = 500  # from so many on, rare words are no candidates: for meaning and for sound
# For each so many a word must be used once more, or it is too rare to be meant.
PASSAGES_A_USE = 4_000
RARE_SOUND = 4
# For how many passages of a large collection BM25 is computed. Those that have only common words of the question are
# left out: docs/retrieval.md has what that costs.
MANY_CANDIDATES = 6_000
_HANGUL_RUN = re.compile(r"[\uac00-\ud7a3]+")


@dataclass(frozen=True, slots=True)
class Lookup:
    """A question's terms in a collection; `rarity` is the idf of each, also of those that no passage has.

    `passages` is how many have it, `highest` the idf of a term that none has.
    """

    passages: Mapping[str, int]
    rarity: Mapping[str, float]
    known: frozenset[str]
    highest: float

    def weights(self, counts: Mapping[str, float]) -> dict[int, float]:
        """Return the query's side of BM25 by dimension."""
        return {
            lexical.term_id(text): count * self.rarity[text]
            for text, count in counts.items()
            if text in self.known
        }

    def rare(self, counts: Mapping[str, float]) -> list[int]:
        """Return the dimensions of the rarest terms, as many as stand in MANY_CANDIDATES passages, and at least one."""
        chosen: list[int] = []
        total = 0
        for text in sorted(self.known & counts.keys(), key=lambda text: self.passages[text]):
            total += self.passages[text]
            if chosen and total > MANY_CANDIDATES:
                break
            chosen.append(lexical.term_id(text))
        return chosen


@dataclass(frozen=True, slots=True)
class Reading:
    """What a Korean word stands for: as one would say it, and the terms with their weights in the question."""

    words: str
    weights: Mapping[str, float]


def look_up(index: LexicalIndex, texts: Sequence[str]) -> Lookup:
    """Return how rare each term is among the collection's passages."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT dimension, frequency FROM retrieval_term"
            " WHERE collection_id = %s AND dimension = ANY(%s) AND frequency > 0",
            [index.pk, [lexical.term_id(text) for text in texts]],
        )
        frequencies = dict(cursor.fetchall())
    found = {text: frequencies.get(lexical.term_id(text), 0) for text in texts}
    rarity = {
        text: math.log(1 + (max(index.passages, count) - count + 0.5) / (count + 0.5))
        for text, count in found.items()
    }
    known = frozenset(text for text, count in found.items() if count)
    return Lookup(found, rarity, known, highest=math.log(1 + (index.passages + 0.5) / 0.5))


def join(counts: dict[str, float], question: str, readings: Mapping[str, Reading | None]) -> None:
    """Add the terms that the question's Korean words stand for to its own."""
    for word in _HANGUL_RUN.findall(question):
        if reading := readings.get(word):
            for text, weight in reading.weights.items():
                counts[text] = max(counts.get(text, 0.0), weight)


def gloss(question: str, readings: Mapping[str, Reading | None]) -> str:
    """Return the question word by word in the documents' language, for models that read no Korean; "" if too little."""

    def translate(match: re.Match[str]) -> str:
        reading = readings.get(match.group())
        return f" {reading.words} " if reading else " "

    text = " ".join(_HANGUL_RUN.sub(translate, question).split())
    return text if any(character.isalpha() for character in text) else ""


def by_glossary(words: Sequence[str]) -> dict[str, Reading]:
    """Return what the words stand for by the glossary; those that it lacks are left out."""
    return {word: reading for word in words if (reading := _from_glossary(word))}


@lru_cache(maxsize=20_000)
def _from_glossary(word: str) -> Reading | None:
    parts = glossary.meanings_of(word)
    if parts is None:
        return None
    weights: dict[str, float] = {}
    for meanings in parts:
        for number, meaning in enumerate(meanings):
            weight = OTHER_MEANING_WEIGHT if number else GLOSSARY_WEIGHT
            for text in lexical.query_terms(meaning):
                weights[text] = max(weights.get(text, 0.0), weight)
    return Reading(" ".join(meanings[0] for meanings in parts if meanings), weights)


def map_words(
    index: LexicalIndex,
    words: Sequence[str],
    vectors: Mapping[str, Vector],
    *,
    centre: Vector,
    model: str,
) -> dict[str, Reading | None]:
    """Return what each Korean word stands for by its meaning or sound, None where nothing is near.

    `vectors` has those of its variants by `model`, or is empty; `centre` is the mean vector of words that say nothing.
    """
    variants = {word: variants_of(word) for word in words if is_telling(word)}
    sounds = _by_sound(index, list(variants))
    meanings = _by_meaning(index, variants, vectors, centre, model) if vectors else {}
    return {word: _choose(meanings.get(word), sounds.get(word)) for word in words}


@dataclass(frozen=True, slots=True, order=True)
class _Near:
    """A term that a word may stand for: how well it fits all in all, and how alike meaning or sound are (0 to 1)."""

    fit: float
    likeness: float
    text: str
    surface: str


def _choose(meaning: _Near | None, sound: _Near | None) -> Reading | None:
    """Return the terms to join, the likelier first."""
    by_meaning, by_sound = [], []
    if meaning and meaning.likeness >= MIN_SIMILARITY:
        by_meaning = [(meaning, MEANING_WEIGHT * meaning.likeness)]
    if sound and sound.likeness >= MIN_LIKENESS:
        by_sound = [(sound, SOUND_WEIGHT * sound.likeness)]
    if not sound or (meaning and meaning.likeness >= SURE_SIMILARITY):
        chosen = by_meaning + (by_sound if sound and sound.likeness >= SAME_LIKENESS else [])
    else:
        chosen = by_sound if sound.likeness >= CLEAR_LIKENESS else by_sound + by_meaning
    if not chosen:
        return None
    return Reading(chosen[0][0].surface, {near.text: weight for near, weight in chosen})


def _by_sound(index: LexicalIndex, words: Sequence[str]) -> dict[str, _Near]:
    stems = {word: stem_of(word) for word in words}
    sounds = {
        word: sound
        for word, stem in stems.items()
        if len(sound := sound_of_hangul(stem)) >= MIN_SOUND
    }
    if not sounds:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sound, text, surface, frequency FROM retrieval_term"
            " WHERE collection_id = %s AND sound = ANY(%s) AND frequency > %s",
            [index.pk, list(set(sounds.values())), _rare(index, RARE_SOUND)],
        )
        alike = defaultdict(list)
        for sound, *term in cursor.fetchall():
            alike[sound].append(term)
    found = {}
    for word, sound in sounds.items():
        near = [
            _Near(value + FREQUENCY_GAIN * math.log(frequency), value, text, surface)
            for text, surface, frequency in alike[sound]
            if (value := likeness(stems[word], surface))
        ]
        if near:
            found[word] = max(near)
    return found


def _rare(index: LexicalIndex, frequency: int) -> int:
    """Return the frequency up to which a word is no candidate; in a small collection every word is one."""
    return frequency if index.passages > MANY_PASSAGES else 0


def _by_meaning(
    index: LexicalIndex,
    variants: Mapping[str, Sequence[str]],
    vectors: Mapping[str, Vector],
    centre: Vector,
    model: str,
) -> dict[str, _Near]:
    """Return the nearest term of each word.

    Some terms are near to any word; what a term has in common with words that say nothing is taken off, as in Conneau
    et al. (2018) for dictionaries: the mean of those words is subtracted from the word.
    """
    asked = sorted({variant for some in variants.values() for variant in some} & set(vectors))
    if not asked:
        return {}
    dimensions = len(vectors[asked[0]])
    with connection.cursor() as cursor:
        cursor.execute(
            _NEAREST_TERM.format(dimensions=dimensions),
            [
                asked,
                [as_text(vectors[variant]) for variant in asked],
                [as_text(_less(vectors[variant], centre)) for variant in asked],
                FREQUENCY_GAIN * cross_language_cosine(model),
                index.pk,
                model,
                _rare(index, max(1, index.passages // PASSAGES_A_USE)),
            ],
        )
        nearest = {
            variant: _Near(
                fit / cross_language_cosine(model)
                - (ONE_SYLLABLE_LOSS if len(variant) == 1 else 0),
                cosine / cross_language_cosine(model),
                text,
                surface,
            )
            for variant, text, surface, cosine, fit in cursor.fetchall()
        }
    return {
        word: max(nearest[variant] for variant in some if variant in nearest)
        for word, some in variants.items()
        if any(variant in nearest for variant in some)
    }


def _less(vector: Vector, centre: Vector) -> Vector:
    return (
        [a - b for a, b in zip(vector, centre, strict=True)]
        if len(centre) == len(vector)
        else vector
    )


# OFFSET 0: each vector is read from its text once and not for every term, and each product is computed once.
_NEAREST_TERM = """
SELECT asked.word, near.text, near.surface, -(near.vector::halfvec({dimensions}) <#> asked.vector), near.fit
FROM (
    SELECT word, vector::halfvec({dimensions}) AS vector, centred::halfvec({dimensions}) AS centred
    FROM unnest(%s::text[], %s::text[], %s::text[]) AS given(word, vector, centred) OFFSET 0
) AS asked CROSS JOIN LATERAL (
    SELECT text, surface, vector, product + %s * ln(frequency) AS fit FROM (
        SELECT text, surface, vector, frequency, -(term.vector::halfvec({dimensions}) <#> asked.centred) AS product
        FROM retrieval_term AS term
        WHERE vector IS NOT NULL AND collection_id = %s AND model = %s AND vector_dims(vector) = {dimensions}
            AND frequency > %s OFFSET 0
    ) AS compared ORDER BY fit DESC LIMIT 1
) AS near
"""
