"""Running answers between processes: their texts go out through Redis Streams, and are mirrored where they are read.

An answer is one growing text, and an entry says from which character on it goes on. So a lost, doubled or late entry
can only leave a gap, never a wrong text; a gap is closed by the draft in Postgres, or by an entry with the whole text.
Redis is never on the way to readers in the answer's own process, and no error of it reaches the answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hmac import compare_digest
from typing import Any
from uuid import UUID

from django.db import DatabaseError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from mundap.accounts.models import User
from mundap.chats import selectors
from mundap.chats.followed import Followed
from mundap.chats.models import State
from mundap.chats.selectors import TurnView
from mundap.chats.turns import error_json
from mundap.config.redis_client import (
    MISSING,
    PATIENCE_SECONDS,
    find_client,
    find_patient_client,
)
from mundap.config.seals import seal_of
from mundap.config.threads import in_database_thread
from mundap.errors import NotFound

BATCH_SECONDS = 0.03
BATCH_SECONDS_A_TURN = 0.0005  # with many turns at once, fewer and longer entries
PAUSE_SECONDS = 1.0  # after an entry that did not get there
CHECK_SECONDS = 5.0  # without an entry, after which Postgres is asked for the end
POLL_SECONDS = 1.0  # of the draft, while the stream does not give the text
RUNNING_KEPT_SECONDS = 15 * 60
ENDED_KEPT_SECONDS = 5 * 60
_PURPOSE = b"MDE1"
_MOST_ENTRIES = 100  # read at once
logger = logging.getLogger(__name__)


def key_of(turn: UUID) -> str:
    """Return the key of the turn's stream."""
    return f"mundap1:{{{turn}}}:events"


# --- sending


@dataclass(slots=True)
class _Sent:
    """What a turn's stream holds, as far as is known."""

    number: int = 0  # of the last entry
    characters: int = 0
    has_retrieval: bool = False
    paused_until: float = 0.0


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """An entry to be added: the text from a character on, or word of the end."""

    turn: UUID
    number: int
    content: Mapping[str, Any]
    seconds_kept: int = RUNNING_KEPT_SECONDS


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
        client = find_client()
        if client is None:
            return
        entries = [*self._news(running), *(self._end_of(turn) for turn in ended)]
        if entries:
            done = await client.attempt("send_events", lambda redis: _add(redis, entries))
            for place, entry in enumerate(entries):
                self._note(entry, is_done=done is not MISSING and done[place])
        for turn in self._sent.keys() - running.keys():
            del self._sent[turn]

    def _news(self, running: Mapping[UUID, Followed]) -> list[_Outgoing]:
        now, entries = time.monotonic(), []
        for turn, followed in running.items():
            sent = self._sent.setdefault(turn, _Sent())
            retrieval = followed.retrieval if followed.text or _is_whole(followed) else None
            is_news = len(followed.text) > sent.characters or (
                retrieval is not None and not sent.has_retrieval
            )
            if is_news and now >= sent.paused_until:
                content: dict[str, Any] = {
                    "from": sent.characters,
                    "text": followed.text[sent.characters :],
                }
                if retrieval is not None and not sent.has_retrieval:
                    content["retrieval"] = retrieval
                sent.number += 1
                entries.append(_Outgoing(turn, sent.number, content))
        return entries

    def _end_of(self, turn: UUID) -> _Outgoing:
        number = self._sent.get(turn, _Sent()).number + 1
        return _Outgoing(turn, number, {"end": True}, seconds_kept=ENDED_KEPT_SECONDS)

    def _note(self, entry: _Outgoing, *, is_done: bool) -> None:
        sent = self._sent.get(entry.turn)
        if sent is None or "end" in entry.content:
            return
        if is_done:
            sent.characters = entry.content["from"] + len(entry.content["text"])
            sent.has_retrieval = sent.has_retrieval or "retrieval" in entry.content
        else:
            sent.characters, sent.has_retrieval = 0, False
            sent.paused_until = time.monotonic() + PAUSE_SECONDS


def _is_whole(followed: Followed) -> bool:
    """Tell whether the passages are known: the queries are, a moment earlier."""
    return bool(followed.retrieval and followed.retrieval.get("passages"))


async def _add(redis: Redis, entries: Sequence[_Outgoing]) -> list[bool]:
    """Add the entries under ids of our own: one that is repeated is refused, and changes nothing."""
    async with redis.pipeline(transaction=False) as pipeline:
        for entry in entries:
            payload = json.dumps(entry.content, ensure_ascii=False, separators=(",", ":")).encode()
            seal = _seal(entry.turn, f"{entry.number}-0".encode(), payload)
            key = key_of(entry.turn)
            pipeline.xadd(key, {"e": payload, "s": seal}, id=f"{entry.number}-0")
            pipeline.expire(key, entry.seconds_kept)
        replies = await pipeline.execute(raise_on_error=False)
    return [not isinstance(reply, RedisError) for reply in replies[::2]]


def _seal(turn: UUID, entry_id: bytes, payload: bytes) -> bytes:
    return seal_of(turn.bytes, entry_id, b" ", payload, purpose=_PURPOSE)


# --- reading


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
        self._after = b"0"
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

    async def _read(self) -> list[tuple[bytes, dict[bytes, bytes]]] | None:
        """Return the next entries, none after a silence; None when Redis does not answer."""
        client = find_patient_client()
        if client is None:
            return None
        key, after = key_of(self._begun.turn), self._after
        block = int(PATIENCE_SECONDS * 1000) if self._is_reading_on else None
        streams: Any = await client.attempt(
            "read_events",
            lambda redis: redis.xread({key: after}, count=_MOST_ENTRIES, block=block),
        )
        if streams is MISSING:
            return None
        self._is_reading_on = True
        # Another stream's reply is not for us.
        found = [entries for name, entries in streams if name == key.encode()]
        return found[0] if found else []

    def _take(self, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> bool:
        """Take the entries in their order; False where Postgres has to be asked: a gap, rubbish, word of the end."""
        is_complete = True
        for entry_id, fields in entries:
            self._after = entry_id
            content = _open(self._begun.turn, entry_id, fields)
            if content is None or "end" in content or content["from"] > len(self.text):
                is_complete = False
                continue
            self.text += content["text"][len(self.text) - content["from"] :]
            self.retrieval = content.get("retrieval", self.retrieval)
        if entries:
            self.announce()
        return is_complete

    async def _look(self) -> None:
        """Read the turn in Postgres: its end, or a draft that is ahead."""
        try:
            stored = await in_database_thread(selectors.get_turn_for, self._user, self._begun.turn)
        except NotFound as exc:  # its chat was deleted meanwhile
            self.end(replace(self.view, status=State.INTERRUPTED, error=error_json(exc)))
        except DatabaseError:
            logger.warning("Turn %s is looked at again later", self._begun.turn, exc_info=True)
        else:
            if stored.is_final:
                self.end(stored)
            elif len(stored.text) > len(self.text):
                self.text = stored.text
                self.announce()


def _open(turn: UUID, entry_id: bytes, fields: Mapping[bytes, bytes]) -> dict[str, Any] | None:
    """Return an entry's content, None where it was not sealed for this turn and place."""
    payload, seal = fields.get(b"e", b""), fields.get(b"s", b"")
    if not compare_digest(_seal(turn, entry_id, payload), seal):
        return None
    content: dict[str, Any] = json.loads(payload)
    return content
