"""Which of a few texts says most about a question: sentences of passages that were found already.

Words and meaning count alike, each standardised over the texts, as in `fusion.py`; without vectors, words alone.
"""

from __future__ import annotations

import logging
import math
import operator
from collections import Counter
from collections.abc import Sequence
from statistics import fmean, pstdev

from mundap.errors import ModelError
from mundap.retrieval.embeddings import QUESTION_SECONDS, embed, has_embeddings
from mundap.retrieval.lexical import analyse, query_terms

logger = logging.getLogger(__name__)

LENGTH_PIVOT = 25  # terms; shorter texts are not rewarded further


def rank_texts(question: str, texts: Sequence[str]) -> list[float]:
    """Return a score for each text, higher is better; scores of different calls do not compare."""
    if not texts:
        return []
    scores = _standardised(_lexical(question, texts))
    if has_embeddings():
        try:
            asked, *vectors = embed([question, *texts], timeout_seconds=QUESTION_SECONDS)
        except ModelError as error:
            logger.warning("Ranking by words alone: %s", error.code)
            return scores
        dense = [sum(map(operator.mul, asked, vector)) for vector in vectors]
        scores = [a + b for a, b in zip(scores, _standardised(dense), strict=True)]
    return scores


def _lexical(question: str, texts: Sequence[str]) -> list[float]:
    """Return the share of the question's terms in each text, rare ones of these texts weighing more."""
    wanted = query_terms(question)
    bags = [Counter(term.text for term in analyse(text)) for text in texts]
    weights = {
        term: math.log(1 + len(texts) / (1 + sum(term in bag for bag in bags))) for term in wanted
    }
    return [
        sum(weight for term, weight in weights.items() if term in bag)
        / math.sqrt(max(bag.total(), LENGTH_PIVOT))
        for bag in bags
    ]


def _standardised(values: Sequence[float]) -> list[float]:
    mean, spread = fmean(values), pstdev(values)
    return [(value - mean) / spread if spread else 0.0 for value in values]
