"""Finishing the turns of dead processes, as interrupted, with the longer of their draft and their stream.

What they took of the model is estimated.
"""

from __future__ import annotations

from uuid import UUID

from mundap.accounts.models import User
from mundap.chats import leases, selectors, turn_stream, usage
from mundap.chats.selectors import TurnView
from mundap.config.threads import in_database_thread


async def reap() -> None:
    """Finish all turns whose lease has run out."""
    for turn in await in_database_thread(leases.list_expired):
        await finish_dead(turn)
    await in_database_thread(usage.settle_dead)


async def finish_dead(turn: UUID) -> None:
    """Finish this turn, if its lease has run out."""
    streamed = await turn_stream.find_text(turn)
    await in_database_thread(leases.interrupt, turn, streamed=streamed)


async def get_turn_for(user: User, turn: UUID) -> TurnView:
    """Return the turn as stored, after finishing it if its process is dead. Raises NotFound."""
    view = await in_database_thread(selectors.get_turn_for, user, turn)
    if view.is_expired:
        await finish_dead(turn)
        view = await in_database_thread(selectors.get_turn_for, user, turn)
    return view
