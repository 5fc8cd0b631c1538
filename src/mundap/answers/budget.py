"""How many tokens of the chat model an answer or a summary may take at most, known before it begins.

Estimated as everywhere (`count_tokens`), from what limits each call: the model's context for what it is given, the
answer's length for what it writes. A model that thinks at length before it writes may take more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from mundap.answers import answering, rewriting, summarising
from mundap.answers.events import Earlier, HistoryMessage
from mundap.llm import client
from mundap.llm.metering import count_tokens

_RULES = 1000  # the longest prompt without what is filled in, and the headings of passages
_LINKS = 2000  # that a summary's prompt may name
_CHARACTERS_A_TOKEN = 2  # of an answer; English has four, Korean between one and two


@dataclass(frozen=True, slots=True)
class Most:
    """Tokens at most, of all calls together; zeros where no model is asked."""

    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Return both together."""
        return self.input_tokens + self.output_tokens


def most_of_answer(
    question: str, history: Sequence[HistoryMessage], *, earlier: Earlier | None = None
) -> Most:
    """Return what wording the search and answering may take; a title is not among it."""
    if not client.has_model():
        return Most()
    said = count_tokens(question) + sum(
        count_tokens(message.text[: rewriting.HISTORY_CHARACTERS])
        for message in history[-rewriting.HISTORY_MESSAGES :]
    )
    given = int(settings.CHAT_CONTEXT_TOKENS * answering.PASSAGE_SHARE) + _RULES + said
    written = settings.ANSWER_MAX_CHARACTERS // _CHARACTERS_A_TOKEN
    if earlier:
        return Most(given + count_tokens(earlier.text), written)
    if settings.QUERY_VARIANTS:
        return Most(given + _RULES + said, written + rewriting.REPLY_TOKENS)
    return Most(given, written)


def most_of_summary(calls: int) -> Most:
    """Return what a summary of so many calls may take."""
    given = int(settings.CHAT_CONTEXT_TOKENS * summarising.MATERIAL_SHARE) + _RULES + _LINKS
    written = settings.ANSWER_MAX_CHARACTERS // _CHARACTERS_A_TOKEN
    return Most(calls * given, (calls - 1) * summarising.NOTES_TOKENS + written)
