"""A model server whose every answer a test writes down; it speaks OpenAI's protocol over a real socket.

with ScriptedModel() as model:
    model.say("Set CACHES [1].")                   # the next answer; later ones repeat the last
    model.say("one two three", hold_after=1)       # stops after the first token until model.release()
    model.say("one two three", cut_after=2)        # the connection breaks after two tokens
    model.fail(429, "slow down")                   # an error as OpenAI writes it
    model.rubbish()                                # 200 with something that is not an answer
    model.requests[-1]["messages"]                 # what was asked
    model.headers[-1]["authorization"]             # and with which headers
    model.refuse_embeddings(503)                   # from now on
    model.rank(lambda query, texts: [len(text) for text in texts])    # what /rerank scores
    model.answer_rerank(b"[]")                     # … or its raw reply, a status, drop by drop, or never
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

DIMENSIONS = 64


@dataclass
class Reply:
    """One scripted answer; `hold_after` and `cut_after` count tokens."""

    tokens: list[str] = field(default_factory=list)
    status: int = 200
    message: str = ""
    is_rubbish: bool = False
    hold_after: int | None = None
    cut_after: int | None = None
    then_raw: str | None = None


def embed(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """Return a unit vector, the same for the same text and close for texts that share words."""
    vector = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()) or [text]:
        number = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
        vector[(number >> 1) % dimensions] += 1 if number & 1 else -1
    length = math.sqrt(sum(x * x for x in vector)) or 1.0
    return [x / length for x in vector]


@dataclass
class RawRanking:
    """A reply of /rerank that is no ranking, or comes too late."""

    body: bytes
    status: int
    is_held: bool
    is_dripping: bool


class ScriptedModel:
    """The server, in a thread of its own; `url` is its base address."""

    def __init__(self, *, dimensions: int = DIMENSIONS) -> None:
        self.dimensions = dimensions
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.embedded: list[str] = []
        self._replies: deque[Reply] = deque()
        self._gate = threading.Event()
        routes = [
            Route("/v1/models", self._models),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/embeddings", self._embeddings, methods=["POST"]),
            Route("/v1/rerank", self._rerank, methods=["POST"]),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes),
            log_level="critical",
            access_log=False,
            lifespan="off",
            ws="none",
        )
        self._server = uvicorn.Server(config)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self.reset()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()

    # --- what a test says
    def reset(self) -> None:
        """Forget requests and scripted answers."""
        self._gate.set()
        self._gate = threading.Event()
        self.requests.clear()
        self.headers.clear()
        self.embedded.clear()
        self.reranked: list[dict[str, Any]] = []
        self._replies.clear()
        self._embeddings_status = 200
        self._rank: Callable[[str, list[str]], list[float]] = lambda _, texts: [0.0] * len(texts)
        self._raw_ranking: RawRanking | None = None

    def say(
        self,
        text: str,
        *,
        hold_after: int | None = None,
        cut_after: int | None = None,
        then_raw: str | None = None,
    ) -> None:
        """Add an answer; its tokens are words with the white space before them. `then_raw` takes its end's place."""
        tokens = re.findall(r"\s*\S+\s*$|\s*\S+", text)
        self._replies.append(
            Reply(tokens=tokens, hold_after=hold_after, cut_after=cut_after, then_raw=then_raw)
        )

    def fail(self, status: int, message: str = "scripted failure") -> None:
        """Add an error."""
        self._replies.append(Reply(status=status, message=message))

    def rubbish(self) -> None:
        """Add something that is not an answer at all."""
        self._replies.append(Reply(is_rubbish=True))

    def refuse_embeddings(self, status: int) -> None:
        """Answer embeddings with an error from now on; 200 ends it."""
        self._embeddings_status = status

    def rank(self, scores: Callable[[str, list[str]], list[float]]) -> None:
        """Answer /rerank with these scores of a query and its documents, from now on, best first."""
        self._rank, self._raw_ranking = scores, None

    def answer_rerank(
        self,
        body: bytes = b"",
        *,
        status: int = 200,
        is_held: bool = False,
        is_dripping: bool = False,
    ) -> None:
        """Answer /rerank with these bytes from now on: held until `release`, or a byte now and then until then."""
        self._raw_ranking = RawRanking(body, status, is_held, is_dripping)

    def release(self) -> None:
        """Let every held answer go on."""
        self._gate.set()

    # --- what it answers
    def _next_reply(self) -> Reply:
        if not self._replies:
            return Reply(tokens=["An", " answer."])
        return self._replies.popleft() if len(self._replies) > 1 else self._replies[0]

    async def _models(self, request: Request) -> Response:
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "test"}
            for name in ("scripted", "embedder")
        ]
        return JSONResponse({"object": "list", "data": data})

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        reply, gate = self._next_reply(), self._gate  # a reset lets go of what was asked before it
        if reply.is_rubbish:
            return PlainTextResponse("<html>It works!</html>", media_type="text/html")
        if reply.status != 200:
            error = {"error": {"message": reply.message, "type": "scripted", "code": None}}
            return JSONResponse(error, status_code=reply.status)
        usage = {
            "prompt_tokens": 10,
            "completion_tokens": len(reply.tokens),
            "total_tokens": 10 + len(reply.tokens),
        }
        shared = {"id": "chatcmpl-test", "created": 0, "model": body["model"]}
        if body.get("stream"):
            return StreamingResponse(
                self._stream(reply, gate, shared, usage), media_type="text/event-stream"
            )
        await self._hold(reply, gate, len(reply.tokens))
        message = {"role": "assistant", "content": "".join(reply.tokens)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return JSONResponse(
            {**shared, "object": "chat.completion", "choices": [choice], "usage": usage}
        )

    async def _hold(self, reply: Reply, gate: threading.Event, sent: int) -> None:
        if reply.hold_after is not None and sent >= reply.hold_after:
            await asyncio.to_thread(gate.wait)

    async def _stream(
        self, reply: Reply, gate: threading.Event, shared: dict[str, Any], usage: dict[str, int]
    ) -> AsyncIterator[str]:
        def event(delta: dict[str, str], finish: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return (
                "data: "
                + json.dumps({**shared, "object": "chat.completion.chunk", "choices": [choice]})
                + "\n\n"
            )

        yield event({"role": "assistant", "content": ""})
        for sent, token in enumerate(reply.tokens):
            await self._hold(reply, gate, sent)
            if reply.cut_after is not None and sent >= reply.cut_after:
                raise ConnectionAbortedError("scripted cut")
            yield event({"content": token})
        await self._hold(reply, gate, len(reply.tokens))
        if reply.then_raw is not None:
            yield reply.then_raw
            return
        yield event({}, "stop")
        yield (
            "data: "
            + json.dumps(
                {**shared, "object": "chat.completion.chunk", "choices": [], "usage": usage}
            )
            + "\n\n"
        )
        yield "data: [DONE]\n\n"

    async def _embeddings(self, request: Request) -> Response:
        body = await request.json()
        if self._embeddings_status != 200:
            error = {"error": {"message": "scripted", "type": "scripted", "code": None}}
            return JSONResponse(error, status_code=self._embeddings_status)
        inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
        self.embedded.extend(inputs)
        data = [
            {"object": "embedding", "index": i, "embedding": embed(text, self.dimensions)}
            for i, text in enumerate(inputs)
        ]
        usage = {"prompt_tokens": len(inputs), "total_tokens": len(inputs)}
        return JSONResponse(
            {"object": "list", "model": body["model"], "data": data, "usage": usage}
        )

    async def _rerank(self, request: Request) -> Response:
        body = await request.json()
        self.reranked.append(body | {"authorization": request.headers.get("authorization")})
        if raw := self._raw_ranking:
            if raw.is_held:
                await asyncio.to_thread(self._gate.wait)
            if raw.is_dripping:
                return StreamingResponse(self._drip(raw.body))
            return Response(raw.body, raw.status)
        scores = self._rank(body["query"], body["documents"])
        best_first = sorted(range(len(scores)), key=lambda place: scores[place], reverse=True)
        results = [{"index": i, "relevance_score": scores[i]} for i in best_first]
        return JSONResponse({"model": body["model"], "results": results[: body["top_n"]]})

    async def _drip(self, body: bytes) -> AsyncIterator[bytes]:
        gate = self._gate
        while not gate.is_set():
            yield b" "
            await asyncio.sleep(0.05)
        yield body
