"""Whether the passages that were found support an answer, so that nothing is answered that the documents do not say.

A logistic regression over a few things that can be said of any question. Its constants are fitted on questions of our
own with and without an answer by bench/fit_support.py; docs/retrieval.md has the rates, both ways.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

# The most that a question can reach that names a setting the documents do not have.
UNKNOWN_SETTING = 0.9
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


Weights = tuple[float, ...]
"""A weight for each of `features_of` in turn, and the constant."""


# The constants are set so that 5 in 100 of the questions with an answer are refused.
_WITH_VECTORS: Weights = (6.31, 4.09, -4.9, 1.35, 0.5, -0.88, -3.66)
_BY_WORDS: Weights = (0.0, 5.18, -5.52, 1.46, 0.66, -1.2, -1.14)


def support_of(evidence: Sequence[Evidence], *, question: str, known: Collection[str]) -> float:
    """Return how well the best of the queries is supported, 0 to 2; from 1 on it is enough.

    `known` are the question's terms that the collection has. A name in capitals with underscores that it has nowhere
    belongs to something else.
    """
    support = max((2 / (1 + math.exp(-_logit(one))) for one in evidence), default=0.0)
    if any(name.lower() not in known for name in _SETTING.findall(question)):
        return min(support, UNKNOWN_SETTING)
    return support


def features_of(one: Evidence) -> tuple[float, ...]:
    """Return the numbers that are weighed. Of the number of words the logarithm: many words are more often missing."""
    return (
        one.cosine or 0.0,
        one.coverage,
        one.rarest,
        math.log(1 + one.words),
        float(one.has_name),
        float(one.is_across_languages),
    )


def _logit(one: Evidence) -> float:
    *weights, constant = _BY_WORDS if one.cosine is None else _WITH_VECTORS
    return constant + sum(
        weight * feature for weight, feature in zip(weights, features_of(one), strict=True)
    )
