"""The terms that chats are found by: those of a text as stored, and those that a word of a query asks for.

Words of alphabets are found by their beginnings, also inside names: `select_related` is stored as itself and as
`related`, `RedisCache` as itself and as `cache`. Scripts that do not stand with spaces (Hangul, Han, kana, Thai) are
stored as pairs of characters and are found anywhere. Any other character is a term by itself. So every word asks for at
least one term, and a text that has the word at such a place has all of them.

Each term begins with a tag of the owner, so that a search reads nobody else's part of the index. Whoever changes what a
text gives sets `chats_searchsegment.terms` to NULL in a migration: everything is then analysed again.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from unicodedata import normalize
from uuid import UUID

# A tsvector has room for 1 MB of terms. Sixteen texts of the allowed size need less, unless no word comes twice.
MAX_TERM_CHARACTERS = 40
MAX_TERMS_BYTES = 800_000
_MAX_ASKED = 12
_NAME_CHARACTERS = 64  # longer runs are no names but encoded bytes

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
_LETTER = rf"[^\W_{_UNSPACED}]"
_TOKEN = re.compile(
    rf"(?P<unspaced>[{_UNSPACED}]+)|(?P<name>{_LETTER}+(?:(?:_+|[.-]){_LETTER}+)*)|(?P<mark>\S)"
)
_PART = re.compile(rf"(?:^|[_.-])(?={_LETTER})")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a word asks for: a tsquery, and whether whatever has its terms surely has the word."""

    tsquery: str
    is_exact: bool


def owner_tag(owner: UUID) -> str:
    """Return the four characters that the owner's terms begin with; a few owners may share them."""
    return base64.b64encode(hashlib.blake2b(owner.bytes, digest_size=3).digest()).decode()


def stored_terms(owner: UUID, texts: Iterable[str]) -> set[str]:
    """Return the terms of the texts. None contains a space; what exceeds PostgreSQL's limit is left out."""
    tag = owner_tag(owner)
    words = {word for text in texts for word in normalize("NFC", text).split()}
    found = {term for word in words for term in _terms(word)}
    ends = accumulate(len(tag) + len(term.encode()) for term in found)
    return {tag + term for term, end in zip(found, ends, strict=True) if end <= MAX_TERMS_BYTES}


def asked_terms(owner: UUID, word: str) -> Asked:
    """Return what the word, which has no spaces, asks for."""
    tag = owner_tag(owner)
    tokens = list(_TOKEN.finditer(normalize("NFC", word)))
    terms: list[str] = []
    is_cut = False
    for token in tokens:
        text = _lower(token.group())
        is_cut |= len(text) > MAX_TERM_CHARACTERS
        if token.lastgroup == "unspaced" and len(text) > 1:
            terms += [_quoted(tag + pair) for pair in _pairs(text)]
        else:
            # A single character of an unspaced script is the beginning of a pair, or stands last.
            terms.append(_quoted(tag + text[:MAX_TERM_CHARACTERS]) + ":*")
    is_exact = len(tokens) == 1 and len(terms) == 1 and not is_cut
    return Asked(" & ".join(list(dict.fromkeys(terms))[:_MAX_ASKED]), is_exact)


def _terms(word: str) -> Sequence[str]:
    """Return the terms of a word, which has no spaces; most words come again and again."""
    return _terms_of_short(word) if len(word) <= _NAME_CHARACTERS else list(_find_terms(word))


@lru_cache(maxsize=20_000)
def _terms_of_short(word: str) -> tuple[str, ...]:
    return tuple(_find_terms(word))


def _find_terms(word: str) -> Iterator[str]:
    for token in _TOKEN.finditer(word):
        found = token.group()
        match token.lastgroup:
            case "unspaced":
                lowered = _lower(found)
                yield from _pairs(lowered)
                yield lowered[-1]
            case "name":
                yield from _beginnings(found)
            case _:
                yield _lower(found)


def _beginnings(name: str) -> Iterator[str]:
    """Yield the rest of the name from each of its parts on, and the marks inside it."""
    starts = {match.end() for match in _PART.finditer(name)}
    if len(name) <= _NAME_CHARACTERS:
        starts |= {match.end() for match in _HUMP.finditer(name)}
    for start in starts:
        yield _lower(name[start : start + MAX_TERM_CHARACTERS])[:MAX_TERM_CHARACTERS]
    yield from (mark for mark in "_.-" if mark in name)


def _pairs(text: str) -> Iterator[str]:
    return (text[place : place + 2] for place in range(len(text) - 1))


def _lower(text: str) -> str:
    return normalize("NFC", text.lower())


def _quoted(term: str) -> str:
    return "'" + term.replace("\\", "\\\\").replace("'", "''") + "'"
