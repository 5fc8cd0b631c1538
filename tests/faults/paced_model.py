"""A chat model that repeats the question's name, at once or word by word; OpenAI's protocol, bare ASGI."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn

from tests.faults.history import token_of

WORDS = ["Use", "the", "Redis", "backend", "to", "keep", "the", "cache", "in", "memory"]
SLOW_SHARE = 5  # one answer in so many comes word by word
SECONDS_A_WORD = 0.08


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    shared = {"id": "chatcmpl-0", "created": 0, "model": "paced", "object": "chat.completion.chunk"}
    return f"data: {json.dumps({**shared, 'choices': [choice]})}\n\n".encode()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer chat completions, streamed or whole."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    asked = json.loads(body or b"{}")
    name = token_of(asked["messages"][-1]["content"]) or "nothing"
    if not asked.get("stream"):
        await _start(send, b"application/json")
        await send({"type": "http.response.body", "body": _whole(f"On {name}")})
        return
    await _start(send, b"text/event-stream")
    is_slow = sum(name.encode()) % SLOW_SHARE == 0
    for word in [name, *(f" {word}" for word in WORDS), " [1]."]:
        chunk = _chunk({"content": word})
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if is_slow:
            await asyncio.sleep(SECONDS_A_WORD)
    end = _chunk({}, "stop") + b"data: [DONE]\n\n"
    await send({"type": "http.response.body", "body": end})


def _whole(text: str) -> bytes:
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": text},
    }
    shared = {"id": "chatcmpl-0", "created": 0, "model": "paced", "object": "chat.completion"}
    return json.dumps({**shared, "choices": [choice]}).encode()


async def _start(send: Any, content_type: bytes) -> None:
    headers = [(b"content-type", content_type)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


@contextlib.contextmanager
def serving_model() -> Iterator[str]:
    """Serve the model from a thread; gives its base address."""
    config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        server.should_exit = True
        thread.join(timeout=10)
