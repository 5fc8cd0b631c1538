"""The words of a text, and BM25 as a pair of sparse vectors whose inner product is the score.

The document's side holds the saturated term frequencies and depends on the passage alone; the query's side holds the
inverse document frequencies, which `search.py` reads from the collection's terms. Raise ANALYSER_VERSION whenever the
same text would give other terms: passages of an older version are then indexed again.
"""

from __future__ import annotations

import hashlib
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import snowballstemmer

from mundap.retrieval.korean import bigrams_of, stem_of

ANALYSER_VERSION = 1
# Of pgvector's sparsevec: terms are hashed into it, 50,000 of them collide once.
DIMENSIONS = 1_000_000_000
MAX_TERMS = 1_000  # pgvector indexes at most so many non-zeros of a sparsevec

# BM25 (Robertson and Zaragoza, 2009). The pivot is a constant and not the collection's mean, so that a passage's vector
# never goes stale when others come and go; passages are bounded by the chunker, so their mean hardly differs.
SATURATION = 1.2
LENGTH_WEIGHT = 0.75
PIVOT_TERMS = 110
HEADING_WEIGHT = 2  # a term in the trail of headings counts as so many in the text

_TOKEN = re.compile(
    r"(?P<option>(?<![\w-])--?[A-Za-z][\w-]+)"  # --noinput, -Wd
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)"  # select_related, django.db.models.Q
    r"|(?P<hangul>[\uac00-\ud7a3]+)"
    r"|(?P<han>[\u3040-\u30ff\u3400-\u9fff]+)"
    r"|(?P<number>\d+(?:\.\d+)*)"
    r"|(?P<word>[^\W\d_]+)"
)
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

# Words that ask and do not say about what. They are rare in documentation, so their idf alone would not silence them.
_QUESTION_WORDS = (
    "a about am an and any are as at be because been being but by can cannot could did do does "
    "doing don else for from get gets getting had has have having he her hers him his how i if in "
    "into is it its just let like me mine my myself of on or our ours please really she should so "
    "some than that the their them then there these they this those to too us want wants was we "
    "were what when where which while who whom why will with would you your yours "
)
QUESTION_WORDS = frozenset(_QUESTION_WORDS.split())


@dataclass(frozen=True, slots=True)
class Term:
    """A term as indexed, the form it had in the text, and whether it is one word and not a compound name."""

    text: str
    surface: str
    is_word: bool = True


@lru_cache(maxsize=50_000)
def term_id(text: str) -> int:
    """Return the term's dimension, 1 to DIMENSIONS, the same in every process."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % DIMENSIONS + 1


def analyse(text: str) -> Iterator[Term]:
    """Yield the text's terms in order, repeated as often as they occur.

    A compound name gives itself and its parts (`Model.save_base` gives model.save_base, save_base, model, save, base);
    English words are stemmed; Korean words lose their particles and also give their pairs of syllables.
    """
    for match in _TOKEN.finditer(unicodedata.normalize("NFKC", text)):
        token = match.group()
        match match.lastgroup:
            case "option":
                yield Term(token.lower(), token, is_word=False)
                yield from _name_terms(token.lstrip("-").replace("-", "_"))
            case "name":
                yield from _name_terms(token)
            case "hangul":
                yield from _hangul_terms(token)
            case "han":
                yield from (Term(pair, pair, is_word=False) for pair in bigrams_of(token))
            case "word":
                yield Term(_stem(token.lower()), token.lower())
            case _:
                yield Term(token, token)


def document_vector(headings: Sequence[str], text: str) -> tuple[dict[int, float], list[Term]]:
    """Return the saturated term frequencies by dimension, and the terms that the passage has."""
    heading_terms = list(analyse("\n".join(headings)))
    text_terms = list(analyse(text))
    counts = Counter(term.text for term in text_terms)
    for term in heading_terms:
        counts[term.text] += HEADING_WEIGHT
    length = len(text_terms) + len(heading_terms)
    norm = SATURATION * (1 - LENGTH_WEIGHT + LENGTH_WEIGHT * length / PIVOT_TERMS)
    weights = {
        term_id(text): count * (SATURATION + 1) / (count + norm)
        for text, count in counts.most_common(MAX_TERMS)
    }
    return weights, [*heading_terms, *text_terms]


def query_terms(question: str) -> dict[str, float]:
    """Return the terms to look for with their counts; words that only ask are left out unless nothing else is left."""
    terms = Counter(
        term.text for term in analyse(question) if term.surface.lower() not in QUESTION_WORDS
    )
    return dict(terms or Counter(term.text for term in analyse(question)))


def as_sparsevec(weights: Mapping[int, float]) -> str:
    """Return pgvector's text form of a sparse vector."""
    parts = ",".join(f"{index}:{weights[index]:.5g}" for index in sorted(weights))
    return f"{{{parts}}}/{DIMENSIONS}"


def _name_terms(name: str) -> Iterator[Term]:
    parts = name.split(".")
    if len(parts) > 1:
        yield Term(name.lower(), name, is_word=False)
    for part in parts:
        words = [word for piece in part.split("_") for word in _CAMEL.findall(piece)]
        if len(words) != 1 or words[0] != part:
            yield Term(part.lower(), part, is_word=False)
        for word in words:
            yield Term(_stem(word.lower()), word.lower())


def _hangul_terms(word: str) -> Iterator[Term]:
    stem = stem_of(word)
    yield Term(stem, stem)
    if len(stem) > 2:
        yield from (Term(pair, pair, is_word=False) for pair in bigrams_of(stem))


@lru_cache(maxsize=50_000)
def _stem(word: str) -> str:
    with _STEMMING:
        return str(_STEMMER.stemWord(word))


_STEMMER = snowballstemmer.stemmer("english")
_STEMMING = threading.Lock()  # it keeps the word in itself while it works
