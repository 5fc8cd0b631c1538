"""Answers a question of an evaluation as people are answered, and checks each of its citations."""

from __future__ import annotations

from collections.abc import Sequence

from asgiref.sync import async_to_sync

from mundap.answers.answering import answer
from mundap.answers.citations import verdicts
from mundap.answers.events import Answered, Given, HistoryMessage
from mundap.answers.evidence import Evidence
from mundap.library.models import Collection
from mundap.retrieval.evaluation import CheckedAnswer
from mundap.retrieval.evaluation_questions import Question


def answer_and_check(question: Question, collection: Collection) -> CheckedAnswer | None:
    """Return the checked citations of an answer to the question; None where it was refused. Raises ModelError."""
    answered, evidence = async_to_sync(_answer)(question, collection)
    if not answered.is_answered:
        return None
    places = {(one.path, heading) for one in answered.citations for heading in one.headings}
    return CheckedAnswer(frozenset(places), tuple(verdicts(answered.text, evidence)))


async def _answer(
    question: Question, collection: Collection
) -> tuple[Answered, Sequence[Evidence]]:
    history = [
        HistoryMessage(role="assistant" if role == "assistant" else "user", text=text)
        for role, text in question.history
    ]
    given: Sequence[Evidence] = ()
    async for event in answer(question.text, collection=collection, history=history):
        if isinstance(event, Given):
            given = event.evidence
        elif isinstance(event, Answered):
            return event, given
    raise AssertionError("an answer ends with Answered or raises")
