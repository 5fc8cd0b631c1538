"""Whether the passages that were found support an answer, so that nothing is answered that the documents do not say.

Calibrated on questions with and without an answer and on questions about other things; docs/retrieval.md has the rates,
both ways. The thresholds lean to answering: a wrong refusal hides what the documents do say.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mundap.retrieval.lexical import SATURATION

# Enough closeness for a question that the documents' language model reads, and for one that it reads only in part.
ENOUGH = 0.57
ENOUGH_ACROSS_LANGUAGES = 0.42
ENOUGH_BY_WORDS = 0.1
ENOUGH_BY_WORDS_ACROSS_LANGUAGES = 0.06
UNKNOWN_SETTING = (
    0.9  # the most that a question can reach that names a setting the documents do not have
)
_SETTING = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
_LEXICAL_CEILING = 30.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for one query: the best cosine, the best BM25, and how rare its terms are in all.

    The cosine is None without vectors, and for models other than the local one: each has a scale of its own.
    """

    cosine: float | None
    lexical: float
    rarity: float
    is_across_languages: bool


def support_of(evidence: Sequence[Evidence], *, question: str, known: Collection[str]) -> float:
    """Return how well the best of the queries is supported; from 1 on it is enough.

    `known` are the question's terms that the collection has. A name in capitals with underscores that it has nowhere
    belongs to something else.
    """
    support = max((_closeness(one) for one in evidence), default=0.0)
    if any(name.lower() not in known for name in _SETTING.findall(question)):
        return min(support, UNKNOWN_SETTING)
    return support


def _closeness(one: Evidence) -> float:
    share = one.lexical / ((SATURATION + 1) * one.rarity) if one.rarity else 0.0
    words = 0.3 * share + 0.005 * min(one.lexical, _LEXICAL_CEILING)
    if one.cosine is None:
        return words / (
            ENOUGH_BY_WORDS_ACROSS_LANGUAGES if one.is_across_languages else ENOUGH_BY_WORDS
        )
    return (one.cosine + words) / (ENOUGH_ACROSS_LANGUAGES if one.is_across_languages else ENOUGH)
