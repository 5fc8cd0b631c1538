"""Answers being written by this server process: each a task of its own, outside any request.

One runner a running event loop. A second a statement extends its turns' leases, saves drafts and hears of stops; the
reaper finishes what dead processes left. `lifespan.py` opens and closes it; without a lifespan it opens with the
first turn.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar, cast
from uuid import UUID
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError
from django.utils.translation import activate, get_language
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.answers.answering import answer, write_title
from mundap.answers.events import HistoryMessage
from mundap.chats import completions, leases, reaper, selectors, services, turns, usage
from mundap.chats.followed import Followed
from mundap.chats.leases import interruption
from mundap.chats.live import LiveTurn, final_view
from mundap.chats.models import State
from mundap.chats.relay import BATCH_SECONDS, BATCH_SECONDS_A_TURN, Mirror, Outbox
from mundap.chats.selectors import TurnView
from mundap.chats.shapes import error_json
from mundap.chats.turns import Ask, Begun, Ending
from mundap.chats.usage import Payer, Purpose
from mundap.chats.versions import Revision
from mundap.config import logs, metrics, redis_client, tracing
from mundap.config.threads import in_database_thread, in_lease_thread
from mundap.errors import ModelError, MundapError, NotFound, ServiceUnavailable
from mundap.library import summaries
from mundap.library.models import Collection
from mundap.llm.metering import Call, note_calls_in

BEAT_SECONDS = 1.0
BEATS_A_DRAFT = 2
REAP_SECONDS = 5.0
PROBE_SECONDS = 5.0  # of a Redis that is left alone
FINISH_ATTEMPTS = 12  # over about a minute: the answer was paid for, the database may come back
PURGE_SECONDS = 3600.0
LAG_SECONDS = 1.0
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
        self._mirrors: dict[UUID, Mirror] = {}  # turns of other processes that are read here
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
        """Start reaping, once."""
        if not self._is_open:
            self._is_open = True
            self._spawn(_repeat(reaper.reap, every_seconds=REAP_SECONDS))
            self._spawn(_repeat(redis_client.probe, every_seconds=PROBE_SECONDS))
            self._spawn(_measure_lag())
            self._spawn(_repeat(_purge, every_seconds=PURGE_SECONDS))

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
        begin = self._begin(user, ask, token=token, language=get_language())
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
            user,
            question,
            collection=collection,
            history=tuple(history),
            token=token,
            language=get_language(),
        )
        # As in `start`: what was reserved for it would wait for nobody.
        return await asyncio.shield(self._spawn(begin, is_carried=True))

    async def _begin_completion(
        self,
        user: User,
        question: str,
        *,
        collection: Collection,
        history: tuple[HistoryMessage, ...],
        token: UUID | None,
        language: str | None,
    ) -> LiveTurn:
        activate(language or settings.LANGUAGE_CODE)
        self._beginning += 1
        try:
            has_room = self._has_room()
            completion, quotas = await in_database_thread(
                completions.begin, user, question, history, has_room=has_room, token=token
            )
        finally:
            self._beginning -= 1
        begun = Begun(
            completion,
            completion,
            completion,
            history=history,
            payer=Payer(user.pk, token),
            quotas=quotas,
        )
        live = LiveTurn(begun, user=user, question=question, collection=collection)
        live.is_wanted = False  # until its reader comes
        self._unstored[completion] = live
        with logs.about(turn=completion):
            generate = _generate(live, language=language)
            live.generation = self._spawn(generate, is_carried=True)
            self._start(self._end_completion(live))
        return live

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
        followed: Followed | None = self._live.get(turn)
        if isinstance(followed, LiveTurn) and followed.user.pk == user.pk:
            source = followed.changes()
        else:
            stored = await reaper.get_turn_for(user, turn)
            if stored.is_final:
                yield stored
                return
            source = self._mirrored(user, stored)
        async with aclosing(source):
            async for view in source:
                yield view

    async def _mirrored(self, user: User, begun: TurnView) -> AsyncGenerator[TurnView | None, None]:
        """Yield the changes of a turn that another process runs, which one task follows for all its readers here."""
        mirror = self._mirrors.get(begun.turn)
        if mirror is None:
            mirror = self._mirrors[begun.turn] = Mirror(user, begun)
            mirror.task = self._spawn(mirror.follow())
            # However it ends, nobody waits for it after that.
            mirror.task.add_done_callback(lambda _task: mirror.leave())
        mirror.readers += 1
        try:
            async with aclosing(mirror.changes()) as changes:
                async for view in changes:
                    yield view
        finally:
            mirror.readers -= 1
            if not mirror.readers:
                del self._mirrors[begun.turn]
                if mirror.task:
                    mirror.task.cancel()

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work beside the answers; it is cancelled when the server stops."""
        self._spawn(work, is_carried=True)

    # --- a turn's tasks
    def _spawn(
        self, coroutine: Coroutine[Any, Any, T], *, is_carried: bool = False
    ) -> asyncio.Task[T]:
        """Start a task in a context of its own: nothing of the request that caused it outlives the request there.

        With `is_carried` the log and the traces tell that it belongs to that request.
        """
        context = tracing.context_of_its_own() if is_carried else contextvars.Context()
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
        for mirror in self._mirrors.values():
            mirror.leave()
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

    async def _begin(
        self, user: User, ask: Ask | Revision, *, token: UUID | None, language: str | None
    ) -> Begun:
        activate(language or settings.LANGUAGE_CODE)
        self._beginning += 1
        try:
            with tracing.span("question"):
                begun = await in_database_thread(
                    turns.begin,
                    user,
                    ask,
                    runner=self.name,
                    has_room=self._has_room(),
                    token=token,
                )
        finally:
            self._beginning -= 1
        if begun.collection is not None:
            live = LiveTurn(begun, user=user, question=begun.question, collection=begun.collection)
            self._live[begun.turn] = live
            self._start(self._answer(live, language=language))
        return begun

    async def _answer(self, live: LiveTurn, *, language: str | None) -> None:
        """Have the answer made, store it, tell its readers, and give its chat a title where it has none."""
        begun = live.begun
        with logs.about(turn=begun.turn):
            named = {"mundap.turn": str(begun.turn), "mundap.chat": str(begun.chat)}
            with tracing.span("turn", named) as span:
                final = await self._answered(live, language=language)
                span.note(_outcome(final))
            logger.info("A turn ended: %s", final.status.value)
            if begun.is_first and final.status in (State.COMPLETE, State.STOPPED):
                with tracing.span("title"):
                    await _write_title(live)

    async def _answered(self, live: LiveTurn, *, language: str | None) -> TurnView:
        live.generation = self._spawn(_generate(live, language=language), is_carried=True)
        await asyncio.wait([live.generation])
        try:
            cut = live.generation.cancelled()
            final = await self._finish(live, live.ending() if cut else live.generation.result())
        except Exception:  # the edge: whatever it was, readers must hear of an end
            logger.exception("The end of turn %s could not be stored", live.begun.turn)
            final = await self._finish_plainly(live)
        finally:
            del self._live[live.begun.turn]
        live.end(final)
        self._outbox.end(live.begun.turn)
        return final

    async def _end_completion(self, live: LiveTurn) -> None:
        """Wait for the end of a completion, and tell its reader when it no longer counts."""
        generation, completion = cast("asyncio.Task[Ending]", live.generation), live.begun.turn
        await asyncio.wait([generation])
        ending = live.ending() if generation.cancelled() else generation.result()
        try:
            await in_database_thread(_end_completion, live, ending)
        except Error:
            logger.warning("Completion %s counts until its lease ends", completion, exc_info=True)
        finally:
            del self._unstored[completion]
            live.end(final_view(live, ending))

    async def _finish(self, live: LiveTurn, ending: Ending) -> TurnView:
        """Store the ending, waiting for a database that is away, and return what is stored."""
        for attempt in range(FINISH_ATTEMPTS):
            try:
                with tracing.span("store"):
                    return await in_database_thread(self._store_end, live, ending)
            except (OperationalError, InterfaceError):
                logger.warning("Turn %s waits for the database", live.begun.turn, exc_info=True)
                await asyncio.sleep(min(2**attempt / 10, 8))
        raise ServiceUnavailable(_("The database is not available at the moment."))

    async def _finish_plainly(self, live: LiveTurn) -> TurnView:
        """Try once more with the text alone; if that fails too, a reaper will store the draft."""
        error = error_json(MundapError(_("Something went wrong on our side. Try again.")))
        ending = Ending(State.FAILED, live.text, error=error)
        try:
            return await in_database_thread(self._store_end, live, ending)
        except Error:
            logger.exception("Turn %s is left to the reaper", live.begun.turn)
        return final_view(live, ending)

    def _store_end(self, live: LiveTurn, ending: Ending) -> TurnView:
        """Store the ending and return it, or what another process has stored before."""
        is_stored = turns.finish(live.begun.turn, ending, runner=self.name)
        _settle(live, ending, Purpose.ANSWER)
        if is_stored:
            return final_view(live, ending)
        logger.warning("Turn %s has been finished already", live.begun.turn)
        try:
            return selectors.get_turn_for(live.user, live.begun.turn)
        except NotFound:  # its chat was deleted meanwhile
            interrupted = replace(
                ending, status=State.INTERRUPTED, error=error_json(interruption())
            )
            return final_view(live, interrupted)

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
            except (
                Exception
            ):  # the edge of a loop that must outlive whatever goes wrong in one round
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


async def _generate(live: LiveTurn, *, language: str | None) -> Ending:
    """Run the answer and return how it ended; a cut cancels this task instead."""
    activate(language or settings.LANGUAGE_CODE)
    note_calls_in(live.calls)
    begun = live.begun
    try:
        events = answer(
            live.question,
            collection=live.collection,
            history=begun.history,
            earlier=begun.earlier,
        )
        async with aclosing(events):
            async for event in events:
                live.take(event)
    except MundapError as exc:
        return live.ending(exc)
    except Exception:
        logger.exception("Turn %s failed", begun.turn)
        return live.ending(MundapError(_("Something went wrong on our side. Try again.")))
    return live.ending(ModelError(_("The answer ended too early. Try again.")))


def _settle(live: LiveTurn, ending: Ending, purpose: Purpose) -> None:
    """Enter what the answer took of the model. The answer stands also where that fails; then a reaper estimates."""
    try:
        usage.settle(live.begun.turn, live.calls, answers_as=purpose)
        if ending.status is State.FAILED and not ending.text:
            usage.give_back(live.begun.payer, purpose)
    except Error:
        logger.warning("What %s took is estimated", live.begun.turn, exc_info=True)


def _end_completion(live: LiveTurn, ending: Ending) -> None:
    completions.end(live.begun.turn)
    _settle(live, ending, Purpose.COMPLETION)


async def _write_title(live: LiveTurn) -> None:
    """Give the chat a better title than its shortened question, unless somebody has named it meanwhile."""
    calls: list[Call] = []
    note_calls_in(calls)
    title = await write_title(live.question)
    await in_database_thread(usage.charge, live.begun.payer, calls)
    if title != live.begun.title:
        await in_database_thread(
            services.retitle, live.begun.chat, title=title, instead_of=live.begun.title
        )


async def _purge() -> None:
    await in_database_thread(services.purge)
    await in_database_thread(summaries.purge)


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


async def _measure_lag() -> None:
    """Note each second how late the event loop is."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_SECONDS
        await asyncio.sleep(LAG_SECONDS)
        metrics.event_loop_lag_seconds.observe(max(0.0, loop.time() - due))


async def _repeat(step: Callable[[], Awaitable[None]], *, every_seconds: float) -> None:
    while True:
        try:
            await step()
        except Exception:  # the edge of a loop that must outlive whatever goes wrong in one round
            logger.exception("A repeated step failed; it is tried again")
        await asyncio.sleep(every_seconds)
