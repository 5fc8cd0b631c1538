"""A running answer in Redis: the entries of its stream, each sealed for its turn and place.

An answer is one growing text, and an entry says from which character on it goes on. So a lost, doubled or late entry
can only leave a gap, never a wrong text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from mundap.config.redis_client import MISSING, RedisClient, find_client
from mundap.config.seals import seal_of

RUNNING_KEPT_SECONDS = 15 * 60
ENDED_KEPT_SECONDS = 5 * 60
_PURPOSE = b"MDE1"
_MOST_ENTRIES = 100  # read at once

RawEntry = tuple[bytes, dict[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry: the text from a character on, with what was found where that is new; or word of the end.

    `id` is where it stands in the stream. `is_ours` is False for what was not sealed for this turn and place.
    """

    turn: UUID
    id: str
    start: int = 0
    text: str = ""
    retrieval: Mapping[str, Any] | None = None
    is_end: bool = False
    is_ours: bool = True

    @property
    def end(self) -> int:
        """Return how many characters the text has with it."""
        return self.start + len(self.text)

    def added_to(self, text: str) -> str | None:
        """Return the text with this entry's; None where something is missing between them."""
        if self.start > len(text) or not self.is_ours:
            return None
        return text + self.text[len(text) - self.start :]


def key_of(turn: UUID) -> str:
    """Return the key of the turn's stream."""
    return f"mundap1:{{{turn}}}:events"


async def add(client: RedisClient, entries: Sequence[Entry]) -> list[bool]:
    """Add the entries, of any turns, in one round trip; tell which of them are there now.

    Their ids are ours: one that is repeated is refused, and changes nothing.
    """

    async def send(redis: Redis) -> list[Any]:
        async with redis.pipeline(transaction=False) as pipeline:
            for entry in entries:
                key, payload = key_of(entry.turn), _payload(entry)
                seal = _seal(entry.turn, entry.id.encode(), payload)
                pipeline.xadd(key, {"e": payload, "s": seal}, id=entry.id)
                pipeline.expire(key, ENDED_KEPT_SECONDS if entry.is_end else RUNNING_KEPT_SECONDS)
            return await pipeline.execute(raise_on_error=False)

    replies = await client.attempt("send_events", send)
    if replies is MISSING:
        return [False] * len(entries)
    return [not isinstance(reply, RedisError) for reply in replies[::2]]


async def read(
    client: RedisClient, turn: UUID, *, after: str, block_milliseconds: int | None = None
) -> list[Entry] | None:
    """Return the next entries, none after a silence of this length; None when Redis does not answer."""
    key = key_of(turn)
    streams: Any = await client.attempt(
        "read_events",
        lambda redis: redis.xread({key: after}, count=_MOST_ENTRIES, block=block_milliseconds),
    )
    if streams is MISSING:
        return None
    # Another stream's reply is not for us.
    found: Iterable[Sequence[RawEntry]] = (raw for name, raw in streams if name == key.encode())
    return [_open(turn, entry_id, fields) for raw in found for entry_id, fields in raw]


async def find_text(turn: UUID) -> str:
    """Return the turn's text as far as its stream holds it without a gap; empty when Redis does not answer."""
    client, text, after = find_client(), "", "0"
    while client and (entries := await read(client, turn, after=after)):
        after = entries[-1].id
        for entry in entries:
            text = entry.added_to(text) or text
    return text


def _payload(entry: Entry) -> bytes:
    content: dict[str, Any] = (
        {"end": True} if entry.is_end else {"from": entry.start, "text": entry.text}
    )
    if entry.retrieval is not None:
        content["retrieval"] = entry.retrieval
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _open(turn: UUID, entry_id: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    payload, seal = fields.get(b"e", b""), fields.get(b"s", b"")
    place = entry_id.decode()
    if not compare_digest(_seal(turn, entry_id, payload), seal):
        return Entry(turn, place, is_ours=False)
    content = json.loads(payload)
    return Entry(
        turn,
        place,
        start=content.get("from", 0),
        text=content.get("text", ""),
        retrieval=content.get("retrieval"),
        is_end="end" in content,
    )


def _seal(turn: UUID, entry_id: bytes, payload: bytes) -> bytes:
    return seal_of(turn.bytes, entry_id, b" ", payload, purpose=_PURPOSE)
