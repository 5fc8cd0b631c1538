"""A model server that sends tokens at a pace, each of them the time when it was sent: OpenAI's protocol, bare ASGI.

Run it with `uvicorn paced_model:app`. TOKENS and TOKENS_PER_SECOND say how many and how quickly. A token is white space
and eight hexadecimal digits: microseconds of the system's monotonic clock, their lowest 32 bits. Whatever is not
streamed is answered by `zero_latency_model.py`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Any

from zero_latency_model import END, answer_whole, as_chunk, read_json, start

TOKENS = int(os.environ.get("TOKENS", "100"))
TOKENS_PER_SECOND = float(os.environ.get("TOKENS_PER_SECOND", "20"))
TOKENS_A_LINE = 40  # answers have paragraphs
_BITS = 0xFFFFFFFF
_MARK = "-stamp-"
_BEFORE, _BEHIND = as_chunk({"content": _MARK}).split(_MARK.encode())


def stamps(text: str) -> list[int]:
    """Return the stamps of the tokens in the text."""
    return [int(word, 16) for word in text.split()]


def seconds_between(stamp: int, moment: float) -> float:
    """Return how long after the stamp a moment of the monotonic clock is, up to half an hour."""
    difference = (int(moment * 1e6) - stamp) & _BITS
    return (difference if difference <= _BITS // 2 else difference - _BITS - 1) / 1e6


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer chat completions, streamed at the pace or whole, and embeddings."""
    if scope["type"] != "http":
        return
    asked = await read_json(receive)
    if not asked.get("stream"):
        await answer_whole(scope["path"], asked, send)
        return
    await start(send, b"text/event-stream")
    begun, left = time.monotonic(), asyncio.create_task(receive())
    for number, space in enumerate(_spaces()):
        await asyncio.sleep(max(begun + number / TOKENS_PER_SECOND - time.monotonic(), 0))
        if left.done():
            return
        token = b"%s%08x" % (space, int(time.monotonic() * 1e6) & _BITS)
        body = _BEFORE + token + _BEHIND
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": END})
    left.cancel()


def _spaces() -> Iterator[bytes]:
    """Yield what stands before each token, as JSON has it."""
    for number in range(TOKENS):
        yield b"" if not number else b" " if number % TOKENS_A_LINE else rb"\n"
