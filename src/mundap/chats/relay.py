"""Running answers between processes: their texts go out through Redis Streams, and are mirrored where they are read.

Redis is never on the way to readers in the answer's own process, and no error of it reaches the answer. A gap is closed
by the draft in Postgres, or by an entry with the whole text.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import Error

from mundap.accounts.models import User
from mundap.chats import reaper, turn_stream
from mundap.chats.followed import Followed
from mundap.chats.models import State
from mundap.chats.selectors import TurnView
from mundap.chats.shapes import error_json
from mundap.chats.turn_stream import Entry
from mundap.config.redis_client import (
    PATIENCE_SECONDS,
    find_client,
    find_patient_client,
    find_sending_client,
)
from mundap.errors import NotFound

BATCH_SECONDS = 0.03
BATCH_SECONDS_A_TURN = 0.0005  # with many turns at once, fewer and longer entries
PAUSE_SECONDS = 1.0  # after an entry that did not get there
CHECK_SECONDS = 5.0  # without an entry, after which Postgres is asked for the end
POLL_SECONDS = 0.25  # of the draft, while the stream does not give the text
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Sent:
    """What a turn's stream holds, as far as is known."""

    number: int = 0  # of the last entry
    characters: int = 0
    has_retrieval: bool = False
    paused_until: float = 0.0


class Outbox:
    """What readers elsewhere are to hear of this process's turns: all that is new, in one round trip."""

    def __init__(self) -> None:
        self._sent: dict[UUID, _Sent] = {}
        self._ended: list[UUID] = []

    def end(self, turn: UUID) -> None:
        """Say with the next batch that the turn's end is stored."""
        self._ended.append(turn)

    def has_ends(self) -> bool:
        """Tell whether an end is still to be told."""
        return bool(self._ended)

    async def send(self, running: Mapping[UUID, Followed]) -> None:
        """Send what is new in the running turns, and the ends. What does not get there is sent again later, whole."""
        ended, self._ended = self._ended, []
        # Nobody waits for this: in a busy process a batch may take longer than a read may, and to take it for lost
        # would have all texts sent again.
        client = find_sending_client()
        if client is None:
            return
        entries = [*self._news(running), *(self._end_of(turn) for turn in ended)]
        if entries:
            for entry, is_done in zip(entries, await turn_stream.add(client, entries), strict=True):
                self._note(entry, is_done=is_done)
        # One that ended while this batch was under way is told of with the next, behind its last entry.
        for turn in self._sent.keys() - running.keys() - set(self._ended):
            del self._sent[turn]

    def _news(self, running: Mapping[UUID, Followed]) -> list[Entry]:
        now, entries = time.monotonic(), []
        for turn, followed in running.items():
            sent = self._sent.setdefault(turn, _Sent())
            # The queries are known a moment before the passages; readers are told of both at once.
            is_whole = bool(followed.retrieval and followed.retrieval.get("passages"))
            retrieval = followed.retrieval if is_whole or followed.text else None
            retrieval = None if sent.has_retrieval else retrieval
            is_news = len(followed.text) > sent.characters or retrieval is not None
            if is_news and now >= sent.paused_until:
                sent.number += 1
                text = followed.text[sent.characters :]
                entries.append(
                    Entry(turn, f"{sent.number}-0", sent.characters, text, retrieval=retrieval)
                )
        return entries

    def _end_of(self, turn: UUID) -> Entry:
        return Entry(turn, f"{self._sent.get(turn, _Sent()).number + 1}-0", is_end=True)

    def _note(self, entry: Entry, *, is_done: bool) -> None:
        sent = self._sent.get(entry.turn)
        if sent is None or entry.is_end:
            return
        if is_done:
            sent.characters = entry.end
            sent.has_retrieval = sent.has_retrieval or entry.retrieval is not None
        else:
            sent.characters, sent.has_retrieval = 0, False
            sent.paused_until = time.monotonic() + PAUSE_SECONDS


class Mirror(Followed):
    """A turn that another process runs; one task follows it for all readers in this process."""

    def __init__(self, user: User, begun: TurnView) -> None:
        super().__init__()
        self.readers = 0
        self.task: asyncio.Task[None] | None = None
        self._user = user
        self._begun = begun
        self.text = begun.text
        self.retrieval = dict(begun.retrieval) if begun.retrieval else None
        self._after = "0"
        self._is_reading_on = False  # behind what the stream held when it was first read

    @property
    def view(self) -> TurnView:
        """Return the turn as far as it is known here."""
        return replace(self._begun, text=self.text, retrieval=self.retrieval)

    async def follow(self) -> None:
        """Follow the turn to its stored end."""
        heard = time.monotonic()
        while self.final is None:
            entries = await self._read()
            is_complete = entries is not None and self._take(entries)
            if is_complete and entries:
                heard = time.monotonic()
            if not is_complete or time.monotonic() - heard >= CHECK_SECONDS:
                heard = time.monotonic()
                await self._look()
                if not is_complete and self.final is None:
                    await asyncio.sleep(POLL_SECONDS)

    async def _read(self) -> list[Entry] | None:
        # What there is comes at once, so none waits long for it; only who has it waits for more.
        client = find_patient_client() if self._is_reading_on else find_client()
        if client is None:
            return None
        block = int(PATIENCE_SECONDS * 1000) if self._is_reading_on else None
        entries = await turn_stream.read(
            client, self._begun.turn, after=self._after, block_milliseconds=block
        )
        self._is_reading_on = entries is not None
        return entries

    def _take(self, entries: Sequence[Entry]) -> bool:
        """Take the entries in their order; False where Postgres has to be asked: a gap, rubbish, word of the end."""
        is_complete = True
        for entry in entries:
            self._after = entry.id
            text = entry.added_to(self.text)
            is_complete = is_complete and text is not None and not entry.is_end
            self.text = text or self.text
            self.retrieval = dict(entry.retrieval) if entry.retrieval else self.retrieval
        if entries:
            self.announce()
        return is_complete

    async def _look(self) -> None:
        """Read the turn in Postgres: its end, or a draft that is ahead."""
        try:
            stored = await reaper.get_turn_for(self._user, self._begun.turn)
        except NotFound as exc:  # its chat was deleted meanwhile
            self.end(replace(self.view, status=State.INTERRUPTED, error=error_json(exc)))
        except Error:
            logger.warning("Turn %s is looked at again later", self._begun.turn, exc_info=True)
        else:
            if stored.is_final:
                self.end(stored)
            elif len(stored.text) > len(self.text):
                self.text = stored.text
                self.announce()


class Mirrors:
    """The turns of other processes that are read here."""

    def __init__(self, spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]) -> None:
        self._spawn = spawn
        self.by_turn: dict[UUID, Mirror] = {}

    async def changes(self, user: User, begun: TurnView) -> AsyncGenerator[TurnView | None, None]:
        """Yield the turn as `Followed.changes` does; it is followed as long as somebody reads it."""
        mirror = self.by_turn.get(begun.turn)
        if mirror is None:
            mirror = self.by_turn[begun.turn] = Mirror(user, begun)
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
                del self.by_turn[begun.turn]
                if mirror.task:
                    mirror.task.cancel()

    def leave(self) -> None:
        """Send all readers away: they are to ask again, elsewhere."""
        for mirror in self.by_turn.values():
            mirror.leave()
