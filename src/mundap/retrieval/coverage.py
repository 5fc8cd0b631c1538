"""How much of what a question asks for stands in a passage: its words, weighed by how rare the collection makes them.

A Korean word is covered by any of the words that it may stand for. What can be read by no means counts as rare.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mundap.retrieval import lexical
from mundap.retrieval.korean import is_hangul, short_words_of, words_of
from mundap.retrieval.terms import Lookup, Reading

UNREAD = 0.67  # the rarity of a Korean word that the glossary lacks, on a scale where a word of no passage has 1
RAREST = 10.0  # the idf of a word that stands in one of 20,000 passages; a few passages cannot make a word rare


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a query looks for: for each word the terms that will do and its rarity; and how rare the rarest term is.

    `is_translated` says that some of its words were read in the documents' language.
    """

    words: tuple[tuple[frozenset[str], float], ...]
    rarest: float
    is_translated: bool

    def covered_by(self, passage: Collection[str]) -> float:
        """Return 0 to 1: the share that has its word among the passage's terms."""
        total = sum(rarity for _, rarity in self.words)
        found = sum(rarity for terms, rarity in self.words if not terms.isdisjoint(passage))
        return found / total if total else 0.0


def wanted(
    text: str, counts: Mapping[str, float], readings: Mapping[str, Reading], lookup: Lookup
) -> Wanted:
    """Return what the query looks for: `counts` are its terms, `readings` the glossary's of its Korean words."""
    words: list[tuple[frozenset[str], float]] = []
    typed = lexical.query_terms(text)
    korean = words_of(text) if readings else []
    korean += [word for word in short_words_of(text) if word in readings]
    for word in korean:
        reading = readings.get(word)
        if reading is None:
            words.append((frozenset(), UNREAD))
        elif reading.weights:
            words.append(_word(reading.weights, lookup))
    asking = lexical.QUESTION_WORDS  # a question of nothing else wants nothing
    own = [term for term in typed if term not in asking and not (korean and is_hangul(term))]
    words += [_word([term], lookup) for term in own]
    rarest = max(
        (
            min(weight, 1.0) * lookup.rarity[term]
            for term, weight in counts.items()
            if not is_hangul(term)
        ),
        default=0.0,
    )
    return Wanted(tuple(words), min(rarest / RAREST, 1.0), is_translated=bool(korean))


def terms_of(headings: Sequence[str], text: str) -> frozenset[str]:
    """Return the terms of a passage."""
    return frozenset(term.text for term in lexical.analyse("\n".join((*headings, text))))


def _word(terms: Collection[str], lookup: Lookup) -> tuple[frozenset[str], float]:
    known = frozenset(term for term in terms if term in lookup.known)
    rarity = min((lookup.rarity[term] for term in known), default=lookup.highest)
    return known, rarity / lookup.highest
