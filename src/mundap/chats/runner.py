"""Answers being written by this server process: each a task of its own, outside any request.

One runner a running event loop. A second a statement extends its turns' leases, saves drafts and hears of stops.
`live.py` makes an answer, `finishing.py` stores its end. `lifespan.py` opens and closes the runner; without a lifespan
it opens with the first turn.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from django.conf import settings
from django.utils.translation import activate, get_language
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.answers.events import HistoryMessage
from mundap.chats import completions, leases, reaper, turns, upkeep
from mundap.chats.finishing import finish_completion, finish_turn, retitle
from mundap.chats.leases import interruption
from mundap.chats.live import LiveTurn, final_view
from mundap.chats.models import State
from mundap.chats.relay import BATCH_SECONDS, BATCH_SECONDS_A_TURN, Mirrors, Outbox
from mundap.chats.selectors import TurnView
from mundap.chats.turns import Ask, Begun, Ending
from mundap.chats.versions import Revision
from mundap.config import logs, tracing
from mundap.config.threads import in_database_thread, in_lease_thread
from mundap.errors import ServiceUnavailable
from mundap.library.models import Collection

BEAT_SECONDS = 1.0
BEATS_A_DRAFT = 2
CLOSE_SECONDS = 5.0

T = TypeVar("T")
logger = logging.getLogger(__name__)
_runners: WeakKeyDictionary[asyncio.AbstractEventLoop, Runner] = WeakKeyDictionary()


def get_runner() -> Runner:
    """Return the runner of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _runners:
        _runners[loop] = Runner()
    return _runners[loop]


class Runner:
    """The turns of one process."""

    def __init__(self) -> None:
        self.name = f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._live: dict[UUID, LiveTurn] = {}
        self._unstored: dict[UUID, LiveTurn] = {}  # answers outside chats
        self._mirrors = Mirrors(self._spawn)
        self._outbox = Outbox()
        self._beginning = 0
        self._tasks: set[asyncio.Task[Any]] = set()  # asyncio itself keeps only weak references
        self._answers: set[asyncio.Task[None]] = set()  # those of them that close() waits for
        self._keeper: asyncio.Task[None] | None = None
        self._sender: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._is_open = False

    @property
    def is_idle(self) -> bool:
        """Whether no answer or title is being written here."""
        return not self._answers and not self._beginning

    def open(self) -> None:
        """Start what is done beside the answers, once."""
        if not self._is_open:
            self._is_open = True
            for chore in upkeep.chores():
                self._spawn(chore)

    def begin_closing(self, *, grace_seconds: float) -> asyncio.Task[None]:
        """Take no new turns, let the running ones end, and store what is left after the grace as interrupted."""
        if self._closing is None:
            self._closing = self._spawn(self._end_answers(grace_seconds))
        return self._closing

    async def close(self, *, grace_seconds: float) -> None:
        """Return when all turns have ended, at the latest soon after the grace, which counts from the first call."""
        await self.begin_closing(grace_seconds=grace_seconds)
        await self._outbox.send(self._live)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def start(self, user: User, ask: Ask | Revision, *, token: UUID | None = None) -> Begun:
        """Store what is asked and start its answer; the request may end now. Raises as `turns.begin`."""
        self._open_for_one_more()
        # A task, so that a client that leaves while the question is stored does not leave it unanswered.
        begin = self._begin(user, ask, token=token)
        return await asyncio.shield(self._spawn(begin, is_carried=True))

    async def complete(
        self,
        user: User,
        question: str,
        *,
        collection: Collection,
        history: Sequence[HistoryMessage] = (),
        token: UUID | None = None,
    ) -> LiveTurn:
        """Start an answer that is stored nowhere; who follows it stops it by leaving.

        Raises LimitReached, QuotaReached.
        """
        self._open_for_one_more()
        begin = self._begin_completion(
            user, question, collection=collection, history=tuple(history), token=token
        )
        # As in `start`: what was reserved for it would wait for nobody.
        return await asyncio.shield(self._spawn(begin, is_carried=True))

    async def follow(self, live: LiveTurn) -> AsyncGenerator[TurnView | None, None]:
        """Yield a completion whenever it has changed, as `watch`; it is stopped when nobody follows it any more."""
        live.is_wanted = True
        try:
            async with aclosing(live.changes()) as source:
                async for view in source:
                    yield view
        finally:
            live.cut(State.STOPPED)

    def stop(self, turn: UUID) -> None:
        """Stop the turn at once if it runs here; elsewhere its runner hears of it."""
        if live := self._live.get(turn):
            live.cut(State.STOPPED)

    async def watch(self, user: User, turn: UUID) -> AsyncGenerator[TurnView | None, None]:
        """Yield the user's turn whenever it has changed, its final state last; None when all was quiet for long.

        A turn that runs elsewhere is read from its stream, or its draft. Raises NotFound.
        """
        live = self._live.get(turn)
        if live and live.user.pk == user.pk:
            source = live.changes()
        else:
            stored = await reaper.get_turn_for(user, turn)
            if stored.is_final:
                yield stored
                return
            source = self._mirrors.changes(user, stored)
        async with aclosing(source):
            async for view in source:
                yield view

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work beside the answers; it is cancelled when the server stops."""
        self._spawn(work, is_carried=True)

    # --- a turn's tasks
    def _spawn(
        self, coroutine: Coroutine[Any, Any, T], *, is_carried: bool = False
    ) -> asyncio.Task[T]:
        """Start a task in a context of its own: nothing of the request that caused it outlives the request there.

        With `is_carried` it speaks the request's language, and the log and the traces tell that it belongs to it.
        """
        context = contextvars.Context()
        if is_carried:
            context = tracing.context_of_its_own()
            context.run(activate, get_language() or settings.LANGUAGE_CODE)
        task = asyncio.get_running_loop().create_task(coroutine, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _open_for_one_more(self) -> None:
        if self._closing is not None:
            raise ServiceUnavailable(_("The server is restarting. Try again in a moment."))
        self.open()

    def _has_room(self) -> bool:
        """Tell whether there is room for those that are being begun."""
        running = len(self._live) + len(self._unstored)
        return running + self._beginning <= settings.TURNS_PER_PROCESS

    def _start(self, answering: Coroutine[Any, Any, None]) -> None:
        """Start an answer's task, and the keeper where it does not run."""
        task = self._spawn(answering, is_carried=True)
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)
        if self._keeper is None or self._keeper.done():
            self._keeper = self._spawn(self._keep())
        if self._sender is None or self._sender.done():
            self._sender = self._spawn(self._send())

    async def _end_answers(self, grace_seconds: float) -> None:
        self._mirrors.leave()
        await self._wait_until_idle(grace_seconds)
        await self._wait_until_idle(CLOSE_SECONDS, is_cutting=True)

    async def _wait_until_idle(self, seconds: float, *, is_cutting: bool = False) -> None:
        """Return when nothing is being written here or begun, at the latest after so many seconds."""
        end = time.monotonic() + seconds
        while not self.is_idle and time.monotonic() < end:
            if is_cutting:  # again each time: a question may still be on its way to the database
                for live in (*self._live.values(), *self._unstored.values()):
                    live.cut(State.INTERRUPTED, interruption())
            await asyncio.sleep(0.02)

    async def _begin(self, user: User, ask: Ask | Revision, *, token: UUID | None) -> Begun:
        with tracing.span("question"):
            begun = await self._stored(
                partial(turns.begin, user, ask, runner=self.name, token=token)
            )
        if begun.collection is not None:
            live = LiveTurn(begun, user=user, question=begun.question, collection=begun.collection)
            self._live[begun.turn] = live
            self._start(self._answer(live))
        return begun

    async def _begin_completion(
        self,
        user: User,
        question: str,
        *,
        collection: Collection,
        history: tuple[HistoryMessage, ...],
        token: UUID | None,
    ) -> LiveTurn:
        begun = await self._stored(partial(completions.begin, user, question, history, token=token))
        live = LiveTurn(begun, user=user, question=question, collection=collection)
        live.is_wanted = False  # until its reader comes
        self._unstored[begun.turn] = live
        self._start(self._complete(live))
        return live

    async def _stored(self, begin: Callable[..., Begun]) -> Begun:
        """Return what `begin` stored, with those that are being begun counted until it has."""
        self._beginning += 1
        try:
            return await in_database_thread(begin, has_room=self._has_room())
        finally:
            self._beginning -= 1

    async def _answer(self, live: LiveTurn) -> None:
        """Have the answer made, store it, tell its readers, and give its chat a title where it has none."""
        begun = live.begun
        with logs.about(turn=begun.turn):
            named = {"mundap.turn": str(begun.turn), "mundap.chat": str(begun.chat)}
            with tracing.span("turn", named) as span:
                ending = await self._generated(live)
                try:
                    final = await finish_turn(live, ending, runner=self.name)
                finally:
                    del self._live[begun.turn]
                live.end(final)
                self._outbox.end(begun.turn)
                span.note(_outcome(final))
            logger.info("A turn ended: %s", final.status.value)
            if begun.is_first and final.status in (State.COMPLETE, State.STOPPED):
                with tracing.span("title"):
                    await retitle(live)

    async def _complete(self, live: LiveTurn) -> None:
        """Have a completion made, and tell its reader when it no longer counts."""
        with logs.about(turn=live.begun.turn):
            ending = await self._generated(live)
            try:
                await finish_completion(live, ending)
            finally:
                del self._unstored[live.begun.turn]
                live.end(final_view(live, ending))

    async def _generated(self, live: LiveTurn) -> Ending:
        """Have the answer made, and return how that ended."""
        generation = live.generation = self._spawn(live.generate(), is_carried=True)
        await asyncio.wait([generation])
        try:
            return live.ending() if generation.cancelled() else generation.result()
        except Exception:  # the edge: whatever it was, readers must hear of an end
            logger.exception("Nobody knows how turn %s ended", live.begun.turn)
            return live.broken_ending()

    # --- a process's tasks
    async def _keep(self) -> None:
        """Extend leases, save drafts, hear of stops and watch the clock, as long as there are turns."""
        beat = 0
        while self._live or self._unstored:
            await asyncio.sleep(BEAT_SECONDS)
            beat += 1
            held, unstored = list(self._live.values()), list(self._unstored.values())
            for live in (*held, *unstored):
                live.give_up_if_stuck()
            drafts = [live for live in held if live.saved_characters != len(live.text)]
            if beat % BEATS_A_DRAFT:
                drafts = []
            try:
                if unstored:
                    await in_lease_thread(completions.keep, [*self._unstored])
                if held:
                    await self._beat(held, {live.begun.turn: live.text for live in drafts})
            except Exception:  # the edge of a loop that must outlive what goes wrong in one round
                logger.exception("No heartbeat; it is tried again")

    async def _send(self) -> None:
        """Send what readers in other processes are waiting for, as long as there are turns."""
        while self._live or self._outbox.has_ends():
            await asyncio.sleep(max(BATCH_SECONDS, BATCH_SECONDS_A_TURN * len(self._live)))
            await self._outbox.send(self._live)

    async def _beat(self, held: list[LiveTurn], drafts: dict[UUID, str]) -> None:
        ids = [live.begun.turn for live in held]
        found = {live.begun.turn: found for live in held if (found := live.unsaved_retrieval)}
        heard = await in_lease_thread(leases.keep, ids, drafts, retrievals=found, runner=self.name)
        for live in held:
            turn = live.begun.turn
            live.is_retrieval_saved = live.is_retrieval_saved or turn in found
            live.saved_characters = len(drafts.get(turn, "")) or live.saved_characters
            if turn in heard.to_stop:
                live.cut(State.STOPPED)
            elif turn not in heard.held:  # finished by itself meanwhile, or taken by a reaper
                live.cut(State.INTERRUPTED, interruption())


def _outcome(final: TurnView) -> dict[str, tracing.Value]:
    """Return what a turn's span tells of its end."""
    retrieval = final.retrieval or {}
    return {
        "mundap.state": final.status.value,
        "mundap.is_answered": bool(retrieval.get("is_answered")),
        "mundap.passages": len(retrieval.get("passages", ())),
        "mundap.citations": len(final.citations),
        "mundap.characters": len(final.text),
        **{f"mundap.tokens.{name}": number for name, number in (final.usage or {}).items()},
    }
