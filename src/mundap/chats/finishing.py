"""The end of an answer, whatever goes wrong: stored, what it took of the model entered, its chat given a title."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from django.db import Error, InterfaceError, OperationalError
from django.utils.translation import gettext as _

from mundap.answers.answering import write_title
from mundap.chats import completions, selectors, services, turns, usage
from mundap.chats.leases import interruption
from mundap.chats.live import LiveTurn, final_view
from mundap.chats.models import State
from mundap.chats.selectors import TurnView
from mundap.chats.shapes import error_json
from mundap.chats.turns import Ending
from mundap.chats.usage import Purpose
from mundap.config import tracing
from mundap.config.threads import in_database_thread
from mundap.errors import NotFound, ServiceUnavailable
from mundap.llm.metering import Call, note_calls_in

ATTEMPTS = 12  # over about a minute: the answer was paid for, the database may come back
logger = logging.getLogger(__name__)


async def finish_turn(live: LiveTurn, ending: Ending, *, runner: str) -> TurnView:
    """Store how the turn ended and return what is stored, which may be what another process stored before.

    Raises nothing: where it cannot be stored the turn is left to a reaper.
    """
    try:
        return await _store_patiently(live, ending, runner=runner)
    except Exception:  # the edge: whatever it was, readers must hear of an end
        logger.exception("The end of turn %s could not be stored", live.begun.turn)
    ending = live.broken_ending()
    try:
        return await in_database_thread(_store, live, ending, runner=runner)
    except Error:
        logger.exception("Turn %s is left to the reaper", live.begun.turn)
    return final_view(live, ending)


async def finish_completion(live: LiveTurn, ending: Ending) -> None:
    """Let a completion count no more; one that cannot be forgotten counts until its lease ends."""
    try:
        await in_database_thread(_forget, live, ending)
    except Error:
        logger.warning("Completion %s counts until its lease ends", live.begun.turn, exc_info=True)


async def retitle(live: LiveTurn) -> None:
    """Give the chat a better title than its shortened question, unless somebody has named it meanwhile."""
    calls: list[Call] = []
    note_calls_in(calls)
    try:
        title = await write_title(live.question)
    finally:  # also where the server stops
        await in_database_thread(usage.charge, live.begun.payer, calls)
    if title != live.begun.title:
        await in_database_thread(
            services.retitle, live.begun.chat, title=title, instead_of=live.begun.title
        )


async def _store_patiently(live: LiveTurn, ending: Ending, *, runner: str) -> TurnView:
    """Store the ending, waiting for a database that is away."""
    for attempt in range(ATTEMPTS):
        try:
            with tracing.span("store"):
                return await in_database_thread(_store, live, ending, runner=runner)
        except (OperationalError, InterfaceError):
            logger.warning("Turn %s waits for the database", live.begun.turn, exc_info=True)
            await asyncio.sleep(min(2**attempt / 10, 8))
    raise ServiceUnavailable(_("The database is not available at the moment."))


def _store(live: LiveTurn, ending: Ending, *, runner: str) -> TurnView:
    is_stored = turns.finish(live.begun.turn, ending, runner=runner)
    _settle(live, ending, Purpose.ANSWER)
    if is_stored:
        return final_view(live, ending)
    logger.warning("Turn %s has been finished already", live.begun.turn)
    try:
        return selectors.get_turn_for(live.user, live.begun.turn)
    except NotFound:  # its chat was deleted meanwhile
        interrupted = replace(ending, status=State.INTERRUPTED, error=error_json(interruption()))
        return final_view(live, interrupted)


def _forget(live: LiveTurn, ending: Ending) -> None:
    completions.end(live.begun.turn)
    _settle(live, ending, Purpose.COMPLETION)


def _settle(live: LiveTurn, ending: Ending, purpose: Purpose) -> None:
    """Enter what the answer took of the model. The answer stands also where that fails; then a reaper estimates.

    A question that got no word of ours for a reason of ours is none.
    """
    earlier = live.begun.earlier.text if live.begun.earlier else ""
    is_ours = ending.status in (State.FAILED, State.INTERRUPTED)
    try:
        usage.settle(live.begun.turn, live.calls, answers_as=purpose)
        if is_ours and ending.text in ("", earlier):
            usage.give_back(live.begun.payer, purpose)
    except Error:
        logger.warning("What %s took is estimated", live.begun.turn, exc_info=True)
