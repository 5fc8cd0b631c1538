"""Which of a user's chats have the words of a query: the part of a search that `chat_list.py` puts into its statement.

The index gives the chats that have the terms of each word (`search_terms.py`). Where terms alone do not prove the word,
the title and the current messages of those chats are looked at, newest first and only until the page is full. What the
worker has not analysed yet is looked at right away, so a message is found as soon as it is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from mundap.accounts.models import User
from mundap.chats.models import SEGMENT_POSITIONS
from mundap.chats.search_terms import Asked, asked_terms

MAX_WORDS = 10
FEW = 300
"""Chats of a word that is in no more segments than this are handed over by their ids; a search begins with those."""

# The planner knows too little of these terms to choose, and the index is always right.
STEADY_PLANS = "SET LOCAL enable_seqscan = off; SET LOCAL jit = off"

_HAVING_WORD = f"""
    SELECT chat_id FROM chats_searchsegment WHERE terms @@ %s::tsquery AND owner_id = %s
    UNION ALL
    SELECT s.chat_id FROM chats_searchsegment s
    CROSS JOIN LATERAL (
        SELECT 1 FROM chats_message m
        WHERE m.chat_id = s.chat_id AND m.is_current AND {{text}}
          AND m.position >= s.number * {SEGMENT_POSITIONS} AND m.position < (s.number + 1) * {SEGMENT_POSITIONS}
        UNION ALL
        SELECT 1 FROM chats_chat t WHERE s.number = 0 AND t.id = s.chat_id AND {{title}}
        LIMIT 1
    ) hit
    WHERE s.terms IS NULL AND s.owner_id = %s
"""  # noqa: S608 - constants; values are parameters
# OFFSET 0 keeps the planner from looking through everybody's messages once instead of through this chat's.
_PROVEN = """
    ({title} OR EXISTS (
        SELECT 1 FROM chats_message m WHERE m.chat_id = c.id AND m.is_current AND {text} OFFSET 0
    ))
"""


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of the query: what it asks of the index, and the ways it may be spelt in a text."""

    asked: Asked
    patterns: tuple[str, ...]
    has_case: bool

    def matches(self, column: str) -> str:
        """Return the condition that the column has the word; its values are `patterns`."""
        like = "ILIKE" if self.has_case else "LIKE"
        return "(" + " OR ".join(f"{column} {like} %s" for _ in self.patterns) + ")"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on the chat `c`, and its values."""

    sql: str
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Search:
    """What a chat with all the words meets: `found` is quick to tell of all chats, `proofs` of one after the other."""

    found: Sequence[Condition]
    proofs: Sequence[Condition]


def find_search(cursor: CursorWrapper, user: User, query: str) -> Search | None:
    """Return how to search for the query's words; None when no chat has them. Runs in a transaction.

    Each word must be in the title or in a current message; words may be in different ones. The first ten count.
    """
    if not _may_be_stored(query):
        return None
    words = [_word(user.pk, word) for word in dict.fromkeys(normalize("NFC", query).split())]
    words = words[:MAX_WORDS]
    cursor.execute(STEADY_PLANS)
    firsts = _first_chats(cursor, user.pk, words)
    few = [chats for chats in firsts if len(chats) <= FEW]
    found = [
        _having(user.pk, word)
        for word, chats in zip(words, firsts, strict=True)
        if len(chats) > FEW
    ]
    if few:
        both = set(few[0]).intersection(*few)
        if not both:
            return None
        found.insert(0, Condition("c.id = ANY(%s)", [list(both)]))
    return Search(found, [_proof(word) for word in words if not word.asked.is_exact])


def _first_chats(cursor: CursorWrapper, owner: UUID, words: Sequence[_Word]) -> list[list[UUID]]:
    """Return chats that may have each word: all, with repetitions, or one more than FEW of them."""
    parts, values = [], []
    for number, word in enumerate(words):
        sql, of_word = _chats_with(owner, word)
        parts.append(f"(SELECT {number}, chat_id FROM ({sql}) has LIMIT {FEW + 1})")  # noqa: S608 - constants
        values += of_word
    cursor.execute(" UNION ALL ".join(parts), values)
    chats: list[list[UUID]] = [[] for _ in words]
    for number, chat in cursor.fetchall():
        chats[number].append(chat)
    return chats


def _may_be_stored(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _word(owner: UUID, word: str) -> _Word:
    spellings = dict.fromkeys([word, normalize("NFD", word)])  # some systems decompose Hangul
    return _Word(
        asked_terms(owner, word),
        tuple(f"%{_escape_like(spelling)}%" for spelling in spellings),
        has_case=word.lower() != word or word.upper() != word,
    )


def _chats_with(owner: UUID, word: _Word) -> tuple[str, list[Any]]:
    sql = _HAVING_WORD.format(text=word.matches("m.text"), title=word.matches("t.title"))
    return sql, [word.asked.tsquery, owner, *word.patterns, *word.patterns, owner]


def _having(owner: UUID, word: _Word) -> Condition:
    sql, values = _chats_with(owner, word)
    return Condition(f"c.id IN ({sql})", values)


def _proof(word: _Word) -> Condition:
    sql = _PROVEN.format(title=word.matches("c.title"), text=word.matches("m.text"))
    return Condition(sql, [*word.patterns, *word.patterns])


def _escape_like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
