"""What is searched for: the question as typed, made self-contained, and variants of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from django.conf import settings

from mundap.answers.events import HistoryMessage
from mundap.errors import ModelError
from mundap.library.models import Collection
from mundap.llm import client
from mundap.llm.prompts import prompt
from mundap.retrieval.followups import with_history

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 4.0
REPLY_TOKENS = 300
HISTORY_MESSAGES = 6
HISTORY_CHARACTERS = 600  # of each message; the beginning says what it is about
_NUMBERING = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s+")


async def queries_for(
    question: str, *, collection: Collection, history: Sequence[HistoryMessage]
) -> tuple[str, ...]:
    """Return the queries to search with, the question as typed first.

    A chat model that is slow or fails costs the variants and nothing else.
    """
    said = [message.text for message in history if message.role == "user"]
    typed = with_history(question, said)
    if not (client.has_model() and settings.QUERY_VARIANTS):
        return tuple(typed)
    try:
        variants = await _from_model(question, collection=collection, history=history)
    except ModelError as error:
        logger.warning("Searching without query variants: %s", error.code)
        return tuple(typed)
    return tuple(dict.fromkeys([question, *variants] if variants else typed))


async def _from_model(
    question: str, *, collection: Collection, history: Sequence[HistoryMessage]
) -> list[str]:
    text = prompt(
        "queries",
        title=collection.title,
        language={"ko": "Korean", "en": "English"}.get(collection.language, collection.language),
        history=as_dialogue(history) or "(none)",
        question=question,
    )
    reply = await client.complete(
        [{"role": "user", "content": text}],
        purpose="queries",
        timeout_seconds=TIMEOUT_SECONDS,
        max_tokens=REPLY_TOKENS,
    )
    lines = [_NUMBERING.sub("", line).strip() for line in reply.splitlines()]
    return [line[:500] for line in lines if line][:4]


def as_dialogue(history: Sequence[HistoryMessage]) -> str:
    """Return the latest messages as lines of a dialogue."""
    return "\n".join(
        f"{message.role}: {message.text[:HISTORY_CHARACTERS]}"
        for message in history[-HISTORY_MESSAGES:]
    )
