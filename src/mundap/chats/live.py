"""An answer that this process is writing: what its events make of it, when it is cut, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.answers import citations
from mundap.answers.answering import answer
from mundap.answers.events import Answered, AnswerEvent, Given, Retrieved, TextDelta
from mundap.answers.evidence import Evidence, as_json
from mundap.chats.followed import Followed
from mundap.chats.models import State
from mundap.chats.selectors import TurnView
from mundap.chats.shapes import error_json
from mundap.chats.turns import Begun, Ending
from mundap.config import metrics
from mundap.errors import ModelError, ModelTimeout, MundapError
from mundap.library.models import Collection
from mundap.llm.metering import Call, note_calls_in

UNREAD_SECONDS = 5  # that the reader of an answer outside chats, who may have left, has to come
logger = logging.getLogger(__name__)


class LiveTurn(Followed):
    """A running turn's text so far, and how it is to end."""

    def __init__(self, begun: Begun, *, user: User, question: str, collection: Collection) -> None:
        super().__init__()
        self.begun = begun
        self.user = user
        self.question = question
        self.collection = collection
        self.saved_characters = 0  # of the text, in the draft
        self.is_retrieval_saved = False
        self.is_wanted = True  # also when nobody reads it
        self.generation: asyncio.Task[Ending] | None = None
        self.calls: list[Call] = []  # of the model
        self._evidence: tuple[Evidence, ...] = ()
        self._answered: Answered | None = None
        self._cut: tuple[State, MundapError | None] | None = None
        self._started = self._heard = time.monotonic()
        metrics.turns_begun.inc()
        metrics.turns_running.inc()

    @property
    def view(self) -> TurnView:
        """Return the turn as its reader sees it now."""
        return self.final or TurnView(
            self.begun.turn,
            self.begun.chat,
            self.begun.answer,
            State.RUNNING,
            self.begun.title,
            self.text,
            retrieval=self.retrieval,
        )

    @property
    def unsaved_retrieval(self) -> dict[str, Any] | None:
        """Return what was found, once all of it is known, until it is saved."""
        if self.is_retrieval_saved or not (self.retrieval and self.retrieval["passages"]):
            return None
        return self.retrieval

    # --- written by the runner
    async def generate(self) -> Ending:
        """Have the answer made and return how it ended; a cut cancels this instead."""
        note_calls_in(self.calls)
        events = answer(
            self.question,
            collection=self.collection,
            history=self.begun.history,
            earlier=self.begun.earlier,
        )
        try:
            async with aclosing(events):
                async for event in events:
                    self.take(event)
        except MundapError as exc:
            return self.ending(exc)
        except Exception:  # the edge: readers must hear of an end
            logger.exception("Turn %s failed", self.begun.turn)
            return self.ending(MundapError(_("Something went wrong on our side. Try again.")))
        return self.ending(ModelError(_("The answer ended too early. Try again.")))

    def take(self, event: AnswerEvent) -> None:
        """Take the next event of the answer. Raises ModelError when it grows too long."""
        self._heard = time.monotonic()
        match event:
            case TextDelta(text):
                if not self.text and self.begun.earlier is None:
                    metrics.first_token_seconds.observe(self._heard - self._started)
                self.text += storable(text)
                if len(self.text) > settings.ANSWER_MAX_CHARACTERS:
                    self.text = self.text[: settings.ANSWER_MAX_CHARACTERS]
                    raise ModelError(
                        _("The answer grew longer than %(limit)d characters and was cut off.")
                        % {"limit": settings.ANSWER_MAX_CHARACTERS}
                    )
            case Retrieved(queries):
                self.retrieval = {"queries": [storable(each) for each in queries], "passages": []}
            case Given(evidence):
                self._evidence = evidence
                self.retrieval = (self.retrieval or {}) | {"passages": as_json(evidence)}
            case Answered():
                self._answered = event
        self.announce()

    def end(self, final: TurnView) -> None:
        """Tell the readers the stored end, and count it."""
        super().end(final)
        metrics.turns_running.dec()
        metrics.turns_ended.labels(final.status.value).inc()
        metrics.turn_seconds.observe(time.monotonic() - self._started)
        if self._answered is not None:
            result = "answered" if self._answered.is_answered else "not_in_documents"
            metrics.answers.labels(result).inc()

    def cut(self, status: State, error: MundapError | None = None) -> None:
        """Stop generating; what there is becomes the answer. The first cut decides."""
        if self._cut is None and self.generation and not self.generation.done():
            self._cut = (status, error)
            self.generation.cancel()

    def give_up_if_stuck(self) -> None:
        """Cut an answer that takes too long, whose model has been silent for too long, or that nobody came to read."""
        now = time.monotonic()
        if now - self._heard > settings.MODEL_SILENCE_SECONDS:
            self.cut(
                State.FAILED,
                ModelTimeout(_("The language model was silent for too long. Try again.")),
            )
        elif now - self._started > settings.TURN_SECONDS:
            self.cut(
                State.FAILED,
                ModelTimeout(_("The answer took too long and was cut off. Try again.")),
            )
        elif not self.is_wanted and now - self._started > UNREAD_SECONDS:
            self.cut(State.STOPPED)

    def ending(self, error: MundapError | None = None) -> Ending:
        """Return how the answer ends as things stand: as cut, by `error`, or complete."""
        if self._answered is not None:
            return Ending(
                State.COMPLETE,
                storable(self._answered.text),
                citations=[each.as_json() for each in self._answered.citations],
                usage=self._answered.usage,
                # The pages show a "not in the documents" in another voice than an answer.
                retrieval=(self.retrieval or {}) | {"is_answered": self._answered.is_answered},
            )
        status, error = self._cut or (State.FAILED, error)
        return Ending(
            status,
            self.text,
            citations=[each.as_json() for each in citations.check(self.text, self._evidence)[1]],
            retrieval=self.retrieval or {},
            error=None if error is None else error_json(error),
        )

    def broken_ending(self) -> Ending:
        """Return an ending by a fault of ours, with nothing but the text so far."""
        error = MundapError(_("Something went wrong on our side. Try again."))
        return Ending(State.FAILED, self.text, error=error_json(error))


def final_view(live: LiveTurn, ending: Ending) -> TurnView:
    """Return what a reader sees of the turn once it is stored with this ending."""
    return replace(
        live.view,
        status=ending.status,
        text=ending.text,
        retrieval=ending.retrieval,
        citations=ending.citations,
        usage=ending.usage,
        error=ending.error,
        streamed=live.text,
    )


def storable(text: str) -> str:
    """Return the text without what the database cannot hold: NUL, and halves of surrogate pairs."""
    if text.isascii():
        return text.replace("\0", "")
    return text.replace("\0", "").encode("utf-8", "replace").decode()
