"""From a question and its history to a cited answer. No HTTP, and nothing is written.

The steps: queries (rewriting) → search → evidence → the model's answer, or quotations → citations checked. An answer
that ended early is gone on with from its own evidence, without the first three.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from django.conf import settings
from django.utils.translation import gettext as _

from mundap.answers import citations, evidence, quoting
from mundap.answers.events import (
    Answered,
    AnswerEvent,
    Earlier,
    Given,
    HistoryMessage,
    Retrieved,
    TextDelta,
)
from mundap.answers.evidence import Evidence
from mundap.answers.language import NAMES, Language, language_of
from mundap.answers.readiness import why_unready
from mundap.answers.rewriting import HISTORY_CHARACTERS, HISTORY_MESSAGES, queries_for
from mundap.answers.seam import Seam, last_word
from mundap.config import tracing
from mundap.config.threads import in_database_thread
from mundap.errors import ModelError
from mundap.library.models import OFFICIAL_DOCS, Collection
from mundap.llm import client
from mundap.llm.client import ChatMessage, Usage
from mundap.llm.prompts import prompt
from mundap.retrieval.followups import with_history
from mundap.retrieval.search import search

PASSAGES = 8  # found passages that an answer may use
PASSAGE_SHARE = 0.6  # of the model's context; the rest is for history, rules and the answer
NOT_IN_DOCUMENTS = "NOT_IN_DOCUMENTS"
TITLE_CHARACTERS = 60
TITLE_TIMEOUT_SECONDS = 10.0


async def answer(
    question: str,
    *,
    collection: Collection,
    history: Sequence[HistoryMessage] = (),
    earlier: Earlier | None = None,
) -> AsyncGenerator[AnswerEvent, None]:
    """Yield Retrieved, Given, then TextDelta as the text comes, then Answered.

    With `earlier` the first delta is its text, which the chat model goes on from; that needs one. Raises ModelError (or
    a subclass) when the chat model fails, also after some deltas.
    """
    language = language_of(question)
    if earlier is not None:
        async for event in _from_earlier(question, collection, history, earlier, language):
            yield event
        return
    if problem := await in_database_thread(why_unready, collection, language=language):
        yield Retrieved((question,), ())
        yield TextDelta(problem)
        yield Answered(problem, (), is_answered=False, language=language)
        return
    if everything := await in_database_thread(_everything, collection):
        async for event in _from_everything(question, collection, history, everything, language):
            yield event
        return
    with tracing.span("rewriting") as span:
        queries = await queries_for(question, collection=collection, history=history)
        span.note({"mundap.queries": len(queries)})
    result = await in_database_thread(search, collection, list(queries), limit=PASSAGES)
    yield Retrieved(queries, tuple(result.passages))
    with tracing.span("evidence"):
        given = await in_database_thread(
            evidence.gather, result.passages, budget_tokens=_budget(), is_widened=client.has_model()
        )
    yield Given(tuple(given))
    if not (result.is_supported and given):
        is_complete = collection.state != Collection.State.INGESTING
        text, cited = quoting.refuse(given, language=language, is_complete=is_complete)
        yield TextDelta(text)
        yield Answered(text, cited, is_answered=False, language=language)
    elif client.has_model():
        messages = _messages(question, collection, history, given, language)
        async for event in _from_model(messages, given, language):
            yield event
    else:
        text, cited = await in_database_thread(
            quoting.quote, " ".join(dict.fromkeys(queries)), given, language=language
        )
        yield TextDelta(text)
        yield Answered(text, cited, is_answered=True, language=language)


async def write_title(question: str) -> str:
    """Return a short title for a conversation that begins with `question`; the model's, or the question cut short."""
    if client.has_model():
        try:
            title = await client.complete(
                [{"role": "user", "content": prompt("title", question=question[:2000])}],
                purpose="title",
                timeout_seconds=TITLE_TIMEOUT_SECONDS,
                max_tokens=60,
            )
        except ModelError:
            title = ""
        # Some models set it in bold or as a heading; it is shown as plain text.
        title = title.replace("**", "").replace("`", "").strip("\"'“”# \n")
        if title:
            return shorten(title)
    return shorten(question)


def shorten(text: str) -> str:
    """Return the text on one line, cut at a word to a title's length."""
    line = " ".join(text.split())
    if len(line) <= TITLE_CHARACTERS:
        return line
    cut = line[: TITLE_CHARACTERS - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut[20:] else cut) + "…"


def _budget() -> int:
    """Return how many tokens of passages an answer may use."""
    return int(settings.CHAT_CONTEXT_TOKENS * PASSAGE_SHARE)


def _everything(collection: Collection) -> list[Evidence] | None:
    """Return all of a reference that the model can be given whole; official documentation is retrieved from."""
    if not client.has_model() or collection.category == OFFICIAL_DOCS:
        return None
    return evidence.whole(collection, budget_tokens=_budget())


async def _from_earlier(
    question: str,
    collection: Collection,
    history: Sequence[HistoryMessage],
    earlier: Earlier,
    language: Language,
) -> AsyncIterator[AnswerEvent]:
    """Yield what an answer that ended early begins with, and its rest; it has its evidence already."""
    yield Retrieved(earlier.queries, ())
    yield Given(earlier.evidence)
    yield TextDelta(earlier.text)
    # Not all endpoints go on from an answer by themselves.
    messages: list[ChatMessage] = [
        *_messages(question, collection, history, earlier.evidence, language),
        {"role": "assistant", "content": earlier.text},
        {"role": "user", "content": prompt("continue", word=last_word(earlier.text))},
    ]
    async for event in _from_model(messages, earlier.evidence, language, begun=earlier.text):
        yield event


async def _from_everything(
    question: str,
    collection: Collection,
    history: Sequence[HistoryMessage],
    given: Sequence[Evidence],
    language: Language,
) -> AsyncIterator[AnswerEvent]:
    """Yield an answer from a reference that the model is given whole: the model judges whether it answers.

    The search, which needs no model here, says what to name where it does not.
    """
    queries = with_history(question, [one.text for one in history if one.role == "user"])
    result = await in_database_thread(search, collection, queries, limit=PASSAGES)
    yield Retrieved(tuple(queries), tuple(result.passages))
    yield Given(tuple(given))
    by_passage = {one.parts[0].passage: one for one in given}
    nearest = [by_passage[one.passage] for one in result.passages if one.passage in by_passage]
    messages = _messages(question, collection, history, given, language)
    async for event in _from_model(messages, given, language, nearest=nearest):
        yield event


async def _from_model(
    messages: Sequence[ChatMessage],
    given: Sequence[Evidence],
    language: Language,
    *,
    begun: str = "",
    nearest: Sequence[Evidence] | None = None,
) -> AsyncIterator[AnswerEvent]:
    """Yield the reply to `messages` as deltas and the answer; `begun` is the part of it that was shown before.

    `nearest` is what to name of the evidence where it does not answer; the first of it, if that is not said.
    """
    reply, usage, text, shown = "", {}, begun, begun
    seam, unfinished = Seam(begun), citations.Unfinished(given)
    unfinished.add(begun)
    async for piece in client.stream_chat(messages, purpose="answer"):
        if isinstance(piece, Usage):
            usage = {"prompt": piece.prompt_tokens, "completion": piece.completion_tokens}
            continue
        reply += piece
        gained = seam.add(piece)
        text += gained
        # Nothing is shown while the reply may still turn out to be the refusal, nor a marker that leads nowhere.
        settled = unfinished.add(gained)
        if not _may_be_refusal(reply) and settled != shown and settled.startswith(shown):
            yield TextDelta(settled[len(shown) :])
            shown = settled
    if not reply.strip():
        raise ModelError(_("The language model sent an empty answer. Try again."))
    if _may_be_refusal(reply) and not begun:
        named = given if nearest is None else nearest
        text, cited = quoting.refuse(named, language=language)
        yield TextDelta(text)
        yield Answered(text, cited, is_answered=False, language=language, usage=usage)
        return
    # The passages have nothing to add to what was begun: then that was all.
    text = begun if _may_be_refusal(reply) else text + seam.end()
    with tracing.span("citations"):
        text, cited = await in_database_thread(citations.check, text, given, by_meaning=True)
    if text != shown and text.startswith(shown):
        yield TextDelta(text[len(shown) :])
    yield Answered(text, cited, is_answered=True, language=language, usage=usage)


def _may_be_refusal(text: str) -> bool:
    return NOT_IN_DOCUMENTS.startswith(text.strip()[: len(NOT_IN_DOCUMENTS)])


def _messages(
    question: str,
    collection: Collection,
    history: Sequence[HistoryMessage],
    given: Sequence[Evidence],
    language: Language,
) -> list[ChatMessage]:
    rules = prompt(
        "answer",
        title=collection.title,
        language=NAMES[language],
        passages=evidence.as_material(given),
    )
    earlier: list[ChatMessage] = [
        {"role": message.role, "content": message.text[:HISTORY_CHARACTERS]}
        for message in history[-HISTORY_MESSAGES:]
    ]
    return [{"role": "system", "content": rules}, *earlier, {"role": "user", "content": question}]
