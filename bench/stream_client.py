"""A client that follows many streams on one core: it keeps what comes with the time, and looks at it when all is over.

Raw asyncio, a connection a request; no event is parsed while others wait. Times are the system's monotonic clock, which
`paced_model.py` stamps its tokens with.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import uvloop

T = TypeVar("T")
TICK_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream, and when its last byte came."""

    at: float
    id: str
    part: dict[str, Any]


@dataclass
class Followed:
    """What a stream said, once it is over or was left."""

    status: int
    answer: str = ""
    turn: str = ""
    chat: str = ""
    text: str = ""
    deltas: list[tuple[float, str]] = field(default_factory=list)
    state: str = ""
    last_id: str = ""
    errors: list[str] = field(default_factory=list)


class Reading(asyncio.Protocol):
    """A request and the bytes of its response as they came."""

    def __init__(self, request: bytes) -> None:
        self.begun = time.monotonic()
        self.arrivals: list[tuple[float, bytes]] = []
        self.text_at = 0.0  # when its first text came
        loop = asyncio.get_running_loop()
        self.has_text: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._request = request
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has another base
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Keep what came."""
        now = time.monotonic()
        self.arrivals.append((now, data))
        if not self.text_at and b'"text-delta"' in data:
            self.text_at = now
            if not self.has_text.done():
                self.has_text.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end; the server closes after each response."""
        for each in (self.has_text, self.ended):
            if not each.done():
                each.set_result(None)

    async def leave(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()
        await self.ended

    @property
    def first_byte_ms(self) -> float:
        """How long the first byte took from before the connection."""
        return (self.arrivals[0][0] - self.begun) * 1000

    @property
    def first_text_ms(self) -> float:
        """How long the first text took."""
        return (self.text_at - self.begun) * 1000

    @property
    def whole_ms(self) -> float:
        """How long the whole response took."""
        return (self.arrivals[-1][0] - self.begun) * 1000


async def ask(
    url: str, path: str, headers: Mapping[str, str], body: Mapping[str, Any] | None = None
) -> Reading:
    """Post the body, or get without one; the response is read while the caller goes on."""
    place = urlsplit(url)
    content = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{'GET' if body is None else 'POST'} {path} HTTP/1.1",
        f"Host: {place.netloc}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    request = "\r\n".join([*lines, "", ""]).encode() + content
    reading = Reading(request)
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: reading, place.hostname, place.port)
    return reading


def streaming(token: str) -> dict[str, str]:
    """Return the headers of a user who wants a stream."""
    return {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}


# --- looking at what came


def body_of(reading: Reading) -> bytes:
    """Return the response's body."""
    return b"".join(piece for _at, piece in _body(reading))


def status_of(reading: Reading) -> int:
    """Return the response's status; 0 where there was none."""
    words = b"".join(data for _at, data in reading.arrivals[:2]).split(b" ", 2)
    return int(words[1]) if len(words) > 2 else 0


def followed(reading: Reading) -> Followed:
    """Return what the stream said."""
    seen = Followed(status_of(reading))
    for event in _events(reading):
        part = event.part
        seen.last_id = event.id
        match part["type"]:
            case "start":
                seen.answer = part["messageId"]
                seen.turn = part["messageMetadata"]["turn"]
                seen.chat = part["messageMetadata"]["chat"]
            case "text-delta":
                seen.deltas.append((event.at, part["delta"]))
            case "data-final":
                seen.text = part["data"]["text"]
            case "message-metadata":
                seen.state = part["messageMetadata"]["status"]
            case "error":
                seen.errors.append(part["errorText"])
    seen.text = seen.text or "".join(delta for _at, delta in seen.deltas)
    if seen.status != 200:
        seen.errors.append(f"status {seen.status}")
    return seen


def _events(reading: Reading) -> Iterator[Event]:
    rest = b""
    for at, piece in _body(reading):
        *whole, rest = (rest + piece).split(b"\n\n")
        for block in whole:
            lines = dict(line.split(b": ", 1) for line in block.split(b"\n") if line[:1] != b":")
            data = lines.get(b"data", b"[DONE]")
            if data != b"[DONE]":
                yield Event(at, lines.get(b"id", b"").decode(), json.loads(data))


def _body(reading: Reading) -> Iterator[tuple[float, bytes]]:
    """Yield the pieces of the body, each with the time of its last byte."""
    buffer, is_chunked, has_head = b"", False, False
    for at, data in reading.arrivals:
        buffer += data
        if not has_head:
            head, blank, rest = buffer.partition(b"\r\n\r\n")
            if not blank:
                continue
            has_head, buffer = True, rest
            is_chunked = b"transfer-encoding: chunked" in head.lower()
        if not is_chunked:
            yield at, buffer
            buffer = b""
            continue
        while True:
            size, line_end, rest = buffer.partition(b"\r\n")
            length = int(size, 16) if line_end else 0
            if not length or len(rest) < length + 2:
                break
            yield at, rest[:length]
            buffer = rest[length + 2 :]


# --- the client itself


@dataclass
class Lateness:
    """How much later than asked for the client's own loop did something, every ten milliseconds."""

    ms: list[float] = field(default_factory=list)

    async def watch(self) -> None:
        """Measure until cancelled."""
        while True:
            due = time.monotonic() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            self.ms.append((time.monotonic() - due) * 1000)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run the load on a quick event loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
