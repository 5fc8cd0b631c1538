"""A chat model whose answers a question's own name paces, and breaks; OpenAI's protocol, bare ASGI.

A name is `q-<user>-<number>` with, behind the number, the manner of its answer (`Manner.suffix`). Only the first answer
to a name is broken: who asks again gets a whole one. All words of an answer differ, so that none can be repeated or
left out unnoticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn

from tests.faults.history import token_of

WORDS = ["Use", "the", "Redis", "backend", "to", "keep", "the", "cache", "in", "memory"]
LAST_WORD = "[1]."
SLOW_SHARE = 5  # one answer in so many comes word by word
SECONDS_A_WORD = 0.08
SILENT_SECONDS = 30.0  # longer than the servers wait
REFUSALS = 2  # that a client which tries again gets
FAULTS = ("cut", "cut", "cut", "refused", "garbage", "garbage", "silent")  # silence takes long
_MANNER = re.compile(r"-\d+w(\d+)p(\d+)(?:(cut|silent|refused|garbage)(\d+))?$")


@dataclass(frozen=True)
class Manner:
    """How an answer comes: so many words, so far apart; and after some of them its model breaks."""

    words: int
    milliseconds: int
    fault: str = ""
    after: int = 0

    @property
    def suffix(self) -> str:
        """Return it as the end of a question's name."""
        broken = f"{self.fault}{self.after}" if self.fault else ""
        return f"w{self.words}p{self.milliseconds}{broken}"


def manner_of(name: str) -> Manner | None:
    """Return the manner that a question's name asks for."""
    found = _MANNER.search(name)
    if found is None:
        return None
    words, pace, fault, after = found.groups()
    return Manner(int(words), int(pace), fault or "", int(after or 0))


class PacedModel:
    """The application; `answers` counts those that it has begun to give, by name."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer chat completions, streamed or whole."""
        if scope["type"] != "http":
            return
        asked = await _asked(receive)
        name = _name(asked["messages"])
        if not asked.get("stream"):
            await _start(send, b"application/json")
            await send({"type": "http.response.body", "body": _whole(f"On {name}")})
            return
        manner = manner_of(name)
        fault = manner.fault if manner and not self.answers[name] else ""
        if fault == "refused" and self._refusals[name] < REFUSALS:
            self._refusals[name] += 1
            await _start(send, b"application/json", status=500)
            await send({"type": "http.response.body", "body": b'{"error": {"message": "no"}}'})
            return
        self.answers[name] += 1
        await _start(send, b"text/event-stream")
        if manner is None:
            await _say(send, [name, *WORDS, LAST_WORD], seconds=_usual_pace(name))
        else:
            words = [f"{self.answers[name]}x{place}" for place in range(manner.words - 2)]
            words = [name, *words, LAST_WORD]
            is_broken = fault in ("cut", "silent", "garbage")
            told = words[: manner.after] if is_broken else words
            await _say(send, told, seconds=manner.milliseconds / 1000)
            if is_broken:
                await _break(send, receive, fault)
        end = _chunk({}, "stop") + b"data: [DONE]\n\n"
        await send({"type": "http.response.body", "body": end})


async def _asked(receive: Any) -> dict[str, Any]:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    asked: dict[str, Any] = json.loads(body or b"{}")
    return asked


def _name(messages: list[dict[str, str]]) -> str:
    """Return the name of the last question; an answer that is gone on with has more messages behind it."""
    texts = (message["content"] for message in reversed(messages) if message["role"] == "user")
    return next((name for text in texts if (name := token_of(text))), "nothing")


def _usual_pace(name: str) -> float:
    return SECONDS_A_WORD if sum(name.encode()) % SLOW_SHARE == 0 else 0.0


async def _say(send: Any, words: list[str], *, seconds: float) -> None:
    for place, word in enumerate(words):
        chunk = _chunk({"content": f" {word}" if place else word})
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if seconds:
            await asyncio.sleep(seconds)


async def _break(send: Any, receive: Any, fault: str) -> None:
    if fault == "garbage":
        garbage = b'data: {"choices": "\xff\n\n'
        await send({"type": "http.response.body", "body": garbage, "more_body": True})
    elif fault == "silent":
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENT_SECONDS):
                await receive()  # until the client has enough
    raise ConnectionAbortedError(fault)  # the server breaks the connection off


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    shared = {"id": "chatcmpl-0", "created": 0, "model": "paced", "object": "chat.completion.chunk"}
    return f"data: {json.dumps({**shared, 'choices': [choice]})}\n\n".encode()


def _whole(text: str) -> bytes:
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": text},
    }
    shared = {"id": "chatcmpl-0", "created": 0, "model": "paced", "object": "chat.completion"}
    return json.dumps({**shared, "choices": [choice]}).encode()


async def _start(send: Any, content_type: bytes, *, status: int = 200) -> None:
    headers = [(b"content-type", content_type)]
    await send({"type": "http.response.start", "status": status, "headers": headers})


@contextlib.contextmanager
def serving_model(model: PacedModel) -> Iterator[str]:
    """Serve the model from a thread; gives its base address."""
    config = uvicorn.Config(
        model, log_level="critical", access_log=False, lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        server.should_exit = True
        thread.join(timeout=10)
