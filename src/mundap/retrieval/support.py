"""Whether the passages that were found support an answer, so that nothing is answered that the documents do not say.

A logistic regression over a few things that can be said of any question. Its constants are fitted on questions of our
own with and without an answer (bench/questions.jsonl); docs/retrieval.md has the rates, both ways.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

UNKNOWN_SETTING = (
    0.9  # the most that a question can reach that names a setting the documents do not have
)
_SETTING = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for one query, over the best passages.

    `cosine` is the best one of its reading in the documents' language; None without vectors, and for models other than
    the local one: each has a scale of its own. `coverage` is the share of its words that the best passage has, `rarest`
    how rare its rarest word is (1: in none of many passages), `words` their number; `has_name` whether a name of code
    that it has stands in one of the passages.
    """

    cosine: float | None
    coverage: float
    rarest: float
    words: int
    has_name: bool
    is_across_languages: bool


@dataclass(frozen=True, slots=True)
class _Weights:
    cosine: float
    coverage: float
    rarest: float
    words: float  # of the logarithm: a long question has more words that are rare or missing
    has_name: float
    is_across_languages: float
    constant: float


# The constants are set so that 6 in 100 of the questions with an answer are refused.
_WITH_VECTORS = _Weights(6.38, 3.83, -4.91, 1.32, 0.57, -0.92, -3.62)
_BY_WORDS = _Weights(0.0, 4.95, -5.51, 1.44, 0.71, -1.24, -1.15)


def support_of(evidence: Sequence[Evidence], *, question: str, known: Collection[str]) -> float:
    """Return how well the best of the queries is supported, 0 to 2; from 1 on it is enough.

    `known` are the question's terms that the collection has. A name in capitals with underscores that it has nowhere
    belongs to something else.
    """
    support = max((2 / (1 + math.exp(-_logit(one))) for one in evidence), default=0.0)
    if any(name.lower() not in known for name in _SETTING.findall(question)):
        return min(support, UNKNOWN_SETTING)
    return support


def _logit(one: Evidence) -> float:
    weights = _BY_WORDS if one.cosine is None else _WITH_VECTORS
    return (
        weights.cosine * (one.cosine or 0.0)
        + weights.coverage * one.coverage
        + weights.rarest * one.rarest
        + weights.words * math.log(1 + one.words)
        + weights.has_name * one.has_name
        + weights.is_across_languages * one.is_across_languages
        + weights.constant
    )
