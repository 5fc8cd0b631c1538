"""Korean words of computing and what English documentation calls them, from the hand-written list `korean_terms.txt`.

A word is read as entries of the list followed by particles or endings: 정적파일을 is "static files", 지웠는데 "delete".
Words that the list lacks are left to meaning and sound (`terms.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from mundap.retrieval.conjugation import forms_of

Meanings = tuple[str, ...]
"""The English words for one entry, the likeliest first; none for an entry that names no subject."""

# What may follow a noun: particles (several, too), 하다, 되다 and 시키다 in any form, and 이다.
_PARTICLE = (
    "은|는|이|가|을|를|의|에|에서|에게|에게서|한테|께서|으로|로|으로서|로서|으로써|로써|와|과|랑|이랑|하고|도|만|까지|부터|마다"
    "|조차|밖에|보다|처럼|같이|대로|만큼|들|나|이나|이라도|라도|이란|란|라는|이라는|라고|이라고|별|별로|용|째|씩|끼리|요|죠|면"
)
_PARTICLES = re.compile(rf"(?:{_PARTICLE})*")
_NOUN_END = re.compile(
    rf"(?:{_PARTICLE})*(?:(?:하|한|할|합|함|해|했|되|된|될|됩|됨|돼|됐|시키|시킨|시킬|시켜|시켰|받|당하|당한|당할|당해|당했|인|일|입|이|였).*)?"
)
# What may follow a verb's form: the first syllable of an ending or of an auxiliary verb.
_VERB_END = re.compile(
    r"(?:[는은을음고면으려기게지도자다던든거니나네서야요줘주놓두버보있없습어아었았싶까때수데가로러며므라져졌진질지짐].*)?"
)
_SPACED = re.compile(r"\s+")
MAX_SYLLABLES = 20  # of a word; what is longer is no word, and would take long to read
MIN_INSIDE = 2  # syllables of an entry within a compound; a single one is found in any word
_LAST_SYLLABLES = frozenset(["값", "키", "형", "줄", "행", "열", "폼", "뷰", "앱"])


@dataclass(frozen=True, slots=True)
class _Glossary:
    nouns: dict[str, Meanings]
    verbs: dict[str, Meanings]  # by the beginnings of their forms
    stems: frozenset[str]  # the beginnings that are no word without an ending
    longest: int
    phrases: re.Pattern[str]


def joined(text: str) -> str:
    """Return the text with the list's entries of two words written as one: 외래 키 becomes 외래키."""
    return _glossary().phrases.sub(lambda match: _SPACED.sub("", match.group()), text)


@lru_cache(maxsize=20_000)
def meanings_of(word: str) -> tuple[Meanings, ...] | None:
    """Return the English words for each part of the word, None where the list does not cover it."""
    return _read(word, is_inside=False) if len(word) <= MAX_SYLLABLES else None


def _read(word: str, *, is_inside: bool) -> tuple[Meanings, ...] | None:
    """Read the word as entries and an end; of several ways the one with the longest first entry."""
    glossary = _glossary()
    for length in range(min(len(word), glossary.longest), 0, -1):
        head, rest = word[:length], word[length:]
        if is_inside and length < MIN_INSIDE and head not in _LAST_SYLLABLES:
            return None
        if (noun := glossary.nouns.get(head)) is not None:
            if _PARTICLES.fullmatch(rest):
                return (noun,)
            if length >= MIN_INSIDE and (parts := _read(rest, is_inside=True)) is not None:
                return (noun, *parts)
            if _NOUN_END.fullmatch(rest):
                return (noun,)
        verb = glossary.verbs.get(head)
        if verb is not None and _VERB_END.fullmatch(rest) and (rest or head not in glossary.stems):
            return (verb,)
    return None


@lru_cache(maxsize=1)
def _glossary() -> _Glossary:
    nouns: dict[str, Meanings] = {}
    verbs: dict[str, Meanings] = {}
    stems: set[str] = set()
    phrases = []
    source = resources.files("mundap.retrieval").joinpath("korean_terms.txt")
    for line in source.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        korean, _, english = line.partition(":")
        meanings = tuple(one.strip() for one in english.split(",") if one.strip() != "-")
        if korean.endswith("다"):
            stems.add(korean[:-1])
            for form in forms_of(korean):
                verbs.setdefault(form, meanings)
            continue
        if " " in korean:
            phrases.append(korean)
        nouns.setdefault(_SPACED.sub("", korean), meanings)
    return _Glossary(
        nouns=nouns,
        verbs=verbs,
        stems=frozenset(stems),
        longest=max(map(len, (*nouns, *verbs))),
        phrases=re.compile("|".join(phrase.replace(" ", r"\s+") for phrase in phrases)),
    )
