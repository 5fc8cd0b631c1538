"""What calls of the chat model took: each is noted in the list that its task was given, and counted up as it goes.

So what was used is known at any moment, however a call ends. Who pays for it is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Purpose = Literal["answer", "queries", "title", "summary"]


@dataclass(slots=True, eq=False)
class Call:
    """A call of the model. Until the endpoint says what it counted, tokens are estimated from the texts.

    Some endpoints count as they go: what they write after that, `reply_bytes`, is estimated on top.
    """

    purpose: Purpose
    model: str
    asked_tokens: int
    reply_bytes: int = 0
    counted: tuple[int, int] | None = None

    @property
    def is_estimated(self) -> bool:
        """Has the endpoint not said how many tokens it were, or not of all?"""
        return self.counted is None or self.reply_bytes > 0

    @property
    def tokens(self) -> tuple[int, int]:
        """Return the tokens in and out."""
        given, made = self.counted or (self.asked_tokens, 0)
        return given, made - (-self.reply_bytes // 3)

    def count(self, given: object, made: object) -> bool:
        """Take what the endpoint counted so far; False where that cannot be, as zeros for a question."""
        if not (isinstance(given, int) and isinstance(made, int) and given > 0 and made >= 0):
            return False
        self.counted, self.reply_bytes = (given, made), 0
        return True


_calls: ContextVar[list[Call] | None] = ContextVar("calls", default=None)


def note_calls_in(calls: list[Call]) -> None:
    """Have the calls of this task, and of the tasks that it starts from now on, noted there."""
    _calls.set(calls)


def note_call(purpose: Purpose, model: str, texts: Sequence[str]) -> Call:
    """Return a call that is about to be made with these texts, noted where its task notes its calls."""
    call = Call(purpose, model, sum(count_tokens(text) for text in texts))
    if (calls := _calls.get()) is not None:
        calls.append(call)
    return call


def forget_call(call: Call) -> None:
    """Take back a call that the endpoint refused, or that did not reach it."""
    calls = _calls.get()
    if calls is not None and call in calls:
        calls.remove(call)


def count_tokens(text: str) -> int:
    """Return about how many tokens a model sees; on the high side for code and for Korean."""
    return len(text.encode()) // 3 + 1
