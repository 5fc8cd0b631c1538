"""How well short texts fit a question, for choosing sentences within passages that were already found."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from mundap.errors import ModelError
from mundap.retrieval import lexical
from mundap.retrieval.embeddings import QUESTION_SECONDS, embed, has_embeddings

MAX_EMBEDDED_CHARACTERS = 7_000  # more would not be answered with a question's priority

logger = logging.getLogger(__name__)


def rank_texts(question: str, texts: Sequence[str]) -> list[float]:
    """Return a score for each text, higher for a better fit: shared terms and, where there are vectors, meaning."""
    if not texts:
        return []
    words = _standardised(_by_words(question, texts))
    meaning = _by_meaning(question, texts)
    return (
        words
        if meaning is None
        else [a + b for a, b in zip(words, _standardised(meaning), strict=True)]
    )


def _by_words(question: str, texts: Sequence[str]) -> list[float]:
    asked = lexical.query_terms(question)
    terms = [{term.text for term in lexical.analyse(text)} for text in texts]
    counts = Counter(text for some in terms for text in some)
    rarity = {text: math.log(1 + len(texts) / counts[text]) for text in asked if counts[text]}
    return [sum(rarity.get(text, 0.0) for text in some) for some in terms]


def _by_meaning(question: str, texts: Sequence[str]) -> list[float] | None:
    if not has_embeddings() or sum(map(len, texts)) > MAX_EMBEDDED_CHARACTERS:
        return None
    try:
        vectors = np.array(embed([question, *texts], timeout_seconds=QUESTION_SECONDS))
    except ModelError as error:
        logger.warning("Choosing sentences by words alone: %s", error.code)
        return None
    return list((vectors[1:] @ vectors[0]).tolist())


def _standardised(scores: Sequence[float]) -> list[float]:
    values = np.array(scores)
    spread = float(values.std())
    return (
        [0.0] * len(scores) if spread == 0 else list(((values - values.mean()) / spread).tolist())
    )
