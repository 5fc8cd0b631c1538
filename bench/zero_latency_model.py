"""A model server that costs almost nothing: bare ASGI, OpenAI's protocol, the same 100 tokens for every question.

Run it with `uvicorn zero_latency_model:app`. TOKENS sets the length of an answer. Embeddings are signed hashed bags of
words, so that texts which share words are near to each other.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import re
from functools import lru_cache
from typing import Any

TOKENS = int(os.environ.get("TOKENS", "100"))
DIMENSIONS = 384
WORDS = ["use", "the", "setting", "that", "documentation", "names", "and", "then", "read", "it"]


def as_chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    """Return one event of a streamed answer."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    shared = {"id": "chatcmpl-0", "created": 0, "model": "zero", "object": "chat.completion.chunk"}
    return f"data: {json.dumps({**shared, 'choices': [choice]})}\n\n".encode()


def _tokens() -> list[str]:
    words = [" " + WORDS[number % len(WORDS)] for number in range(TOKENS)]
    return [words[0].strip(), *words[1:-1], " [1]."]


TEXT = "".join(_tokens())
CHUNKS = [
    as_chunk({"role": "assistant", "content": ""}),
    *(as_chunk({"content": each}) for each in _tokens()),
]
END = as_chunk({}, "stop") + b"data: [DONE]\n\n"
MESSAGE = {"role": "assistant", "content": TEXT}
WHOLE = json.dumps(
    {
        "id": "chatcmpl-0",
        "created": 0,
        "model": "zero",
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop", "message": MESSAGE}],
    }
).encode()


@lru_cache(maxsize=65536)
def _feature(word: str) -> tuple[int, int]:
    number = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
    return (number >> 1) % DIMENSIONS, 1 if number & 1 else -1


def embed(text: str) -> list[float]:
    """Return the text's unit vector."""
    vector = [0.0] * DIMENSIONS
    for word in re.findall(r"\w+", text.lower()) or [text]:
        index, sign = _feature(word)
        vector[index] += sign
    length = math.sqrt(sum(x * x for x in vector)) or 1.0
    return [round(x / length, 5) for x in vector]


def _embeddings(inputs: list[str]) -> bytes:
    data = [
        {"object": "embedding", "index": index, "embedding": embed(text)}
        for index, text in enumerate(inputs)
    ]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return json.dumps({"object": "list", "model": "zero", "data": data, "usage": usage}).encode()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer chat completions, streamed or whole, and embeddings."""
    if scope["type"] != "http":
        return
    asked = await read_json(receive)
    if asked.get("stream"):
        await start(send, b"text/event-stream")
        for chunk in CHUNKS:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await asyncio.sleep(0)  # so that tokens arrive one by one, as from a model
        await send({"type": "http.response.body", "body": END})
        return
    await answer_whole(scope["path"], asked, send)


async def read_json(receive: Any) -> dict[str, Any]:
    """Return the body of the request."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    asked: dict[str, Any] = json.loads(body or b"{}")
    return asked


async def answer_whole(path: str, asked: dict[str, Any], send: Any) -> None:
    """Answer what is not streamed: embeddings, and completions with the same text."""
    reply = WHOLE
    if path.endswith("/embeddings"):
        inputs = asked["input"]
        reply = _embeddings([inputs] if isinstance(inputs, str) else inputs)
    await start(send, b"application/json")
    await send({"type": "http.response.body", "body": reply})


async def start(send: Any, content_type: bytes) -> None:
    """Send the head of an answer."""
    headers = [(b"content-type", content_type)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
