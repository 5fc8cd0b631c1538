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
"""So many chats are handed over by their ids; with more, the list is walked and each chat looked up among them."""

# The planner knows too little of these terms to choose, and the index is always right.
STEADY_PLANS = "SET LOCAL enable_seqscan = off; SET LOCAL jit = off"

_HAVING_WORD = f"""
    SELECT chat_id FROM chats_searchsegment WHERE terms @@ %s::tsquery AND owner_id = %s
    UNION
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


def find_condition(cursor: CursorWrapper, user: User, query: str) -> Condition | None:
    """Return what chats with the query's words meet; None when there are no such chats. Runs in a transaction.

    Each word must be in the title or in a current message; words may be in different ones. The first ten count.
    """
    if not _may_be_stored(query):
        return None
    words = [_word(user.pk, word) for word in dict.fromkeys(normalize("NFC", query).split())]
    words = words[:MAX_WORDS]
    cursor.execute(STEADY_PLANS)
    having = _having(user.pk, words)
    cursor.execute(f"{having.sql} LIMIT %s", [*having.values, FEW + 1])
    chats = [row[0] for row in cursor.fetchall()]
    if not chats:
        return None
    found = Condition("c.id = ANY(%s)", [chats])
    if len(chats) > FEW:
        found = Condition(f"c.id IN ({having.sql})", having.values)
    return _all_of([found, *(_proof(word) for word in words if not word.asked.is_exact)])


def _may_be_stored(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _word(owner: UUID, word: str) -> _Word:
    spellings = dict.fromkeys([word, normalize("NFD", word)])  # some systems decompose Hangul
    return _Word(
        asked_terms(owner, word),
        tuple(f"%{_escape_like(spelling)}%" for spelling in spellings),
        has_case=word.lower() != word or word.upper() != word,
    )


def _having(owner: UUID, words: Sequence[_Word]) -> Condition:
    parts = [
        _HAVING_WORD.format(text=word.matches("m.text"), title=word.matches("t.title"))
        for word in words
    ]
    values = [
        value
        for word in words
        for value in (word.asked.tsquery, owner, *word.patterns, *word.patterns, owner)
    ]
    return Condition(" INTERSECT ".join(f"({part})" for part in parts), values)


def _proof(word: _Word) -> Condition:
    sql = _PROVEN.format(title=word.matches("c.title"), text=word.matches("m.text"))
    return Condition(sql, [*word.patterns, *word.patterns])


def _all_of(conditions: Sequence[Condition]) -> Condition:
    return Condition(
        " AND ".join(each.sql for each in conditions),
        [value for each in conditions for value in each.values],
    )


def _escape_like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
