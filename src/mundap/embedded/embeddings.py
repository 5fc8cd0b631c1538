"""The local embedding server: OpenAI's embeddings protocol, on loopback as one process a MUNDAP_HOME, or anywhere.

Questions go first: small requests have a thread of their own, passages are embedded in small batches by threads of low
priority. The supervisor runs it as `python -m mundap.embedded.embeddings --home HOME`; `mundap embeddings` serves it at
an address of your choice.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import ctypes
import hmac
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from mundap.embedded.sentence_models import MODEL_NAME, SentenceModel, Vectors

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

KEY_VARIABLE = "MUNDAP_EMBEDDING_SERVER_KEY"
# A question with its variants and words; anything longer is a batch of passages.
URGENT_CHARACTERS = 2_000
MAX_INPUTS = 2_048  # as OpenAI's
MAX_BODY_BYTES = 16 * 1024 * 1024
BULK_NICENESS = 10
HOME_CHECK_SECONDS = 2.0

logger = logging.getLogger(__name__)


class Refusal(Exception):
    """A request that is answered with OpenAI's error shape."""

    def __init__(self, status: int, message: str, *, code: str, param: str | None = None) -> None:
        """`param` names the field at fault."""
        super().__init__(message)
        kind = "server_error" if status >= 500 else "invalid_request_error"
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


_INTERNAL_ERROR = Refusal(
    500, "The embedding server failed; its log says why.", code="internal_error"
)


class EmbeddingApp:
    """The ASGI app; `key` is what callers must send as a bearer token."""

    def __init__(self, model: SentenceModel, *, key: str) -> None:
        """Start no thread yet: the pools make theirs with the first request."""
        self._model = model
        self._authorization = f"Bearer {key}".encode()
        self._urgent = ThreadPoolExecutor(os.cpu_count() or 1, "urgent")
        self._bulk = ThreadPoolExecutor(os.cpu_count() or 1, "bulk", initializer=_lower_priority)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            return
        try:
            status, body = 200, await self._reply(scope, receive)
        except Refusal as refusal:
            status, body = refusal.status, refusal.body
        except asyncio.CancelledError:
            raise
        except Exception:  # the edge: a fault must be an answer too, its traceback in the log
            logger.exception("The request failed.")
            status, body = 500, _INTERNAL_ERROR.body
        await _send_json(send, status, body)

    async def _reply(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        route = (scope["method"], scope["path"])
        if route == ("GET", "/health"):
            return {"status": "ok", "models": [MODEL_NAME]}
        sent = dict(scope["headers"]).get(b"authorization", b"")
        if not hmac.compare_digest(sent, self._authorization):
            raise Refusal(401, "The key is missing or wrong.", code="invalid_api_key")
        if route == ("GET", "/v1/models"):
            model = {"id": MODEL_NAME, "object": "model", "created": 0, "owned_by": "mundap"}
            return {"object": "list", "data": [model]}
        if route == ("POST", "/v1/embeddings"):
            return await self._embed(await _read_json(receive), receive)
        raise Refusal(404, "There is no such endpoint.", code="not_found")

    async def _embed(self, request: Mapping[str, Any], receive: Receive) -> dict[str, Any]:
        texts, encode = _checked(request)
        work = asyncio.ensure_future(self._vectors(texts))
        gone = asyncio.ensure_future(_disconnected(receive))
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not work.done():  # whoever asked has left: its batches must not hold up the next
            work.cancel()
        vectors, tokens = await work
        data = [
            {"object": "embedding", "index": index, "embedding": encode(vector)}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": MODEL_NAME, "usage": usage}

    async def _vectors(self, texts: Sequence[str]) -> tuple[Vectors, int]:
        loop = asyncio.get_running_loop()
        pool = self._urgent if sum(map(len, texts)) <= URGENT_CHARACTERS else self._bulk
        batches = await loop.run_in_executor(pool, lambda: list(self._model.split(texts)))
        rows = await asyncio.gather(
            *(loop.run_in_executor(pool, self._model.encode, batch) for batch in batches)
        )
        vectors = np.empty((len(texts), self._model.dimensions), np.float32)
        for batch, some in zip(batches, rows, strict=True):
            vectors[batch.positions] = some
        return vectors, sum(len(numbers) for batch in batches for numbers in batch.tokens)


def _checked(request: Mapping[str, Any]) -> tuple[list[str], Callable[[Vectors], object]]:
    """Return the texts and the way their vectors are written, or refuse."""
    given = request.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise Refusal(
            400, "`input` must be a text or a list of texts.", code="invalid_input", param="input"
        )
    if len(texts) > MAX_INPUTS:
        raise Refusal(
            400,
            f"`input` may have up to {MAX_INPUTS} texts.",
            code="too_many_inputs",
            param="input",
        )
    if not all(text.strip() for text in texts):
        raise Refusal(400, "`input` has an empty text.", code="empty_input", param="input")
    if any("\ud800" <= character <= "\udfff" for text in texts for character in text):
        raise Refusal(400, "`input` is not valid Unicode.", code="invalid_input", param="input")
    if request.get("model") != MODEL_NAME:
        raise Refusal(
            404, f"The only model here is {MODEL_NAME}.", code="model_not_found", param="model"
        )
    if request.get("dimensions") not in {None, SentenceModel.dimensions}:
        message = (
            f"{MODEL_NAME} has {SentenceModel.dimensions} dimensions, and they cannot be fewer."
        )
        raise Refusal(400, message, code="invalid_dimensions", param="dimensions")
    match request.get("encoding_format", "float"):
        case "float":
            return texts, lambda vector: vector.tolist()
        case "base64":
            return texts, lambda vector: base64.b64encode(vector.astype("<f4").tobytes()).decode()
    message = "`encoding_format` must be float or base64."
    raise Refusal(400, message, code="invalid_encoding_format", param="encoding_format")


async def _read_json(receive: Receive) -> dict[str, Any]:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise asyncio.CancelledError
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise Refusal(413, f"The body is larger than {MAX_BODY_BYTES} bytes.", code="too_large")
        if not message.get("more_body"):
            break
    try:
        request = json.loads(body)
    except ValueError:
        raise Refusal(400, "The body is not JSON.", code="invalid_json") from None
    if not isinstance(request, dict):
        raise Refusal(400, "The body must be a JSON object.", code="invalid_json")
    return request


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_json(send: Send, status: int, body: Mapping[str, Any]) -> None:
    payload = json.dumps(body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(payload)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": payload})


def _lower_priority() -> None:
    """Let questions overtake; only Linux has priorities a thread, elsewhere the small batches alone must do."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BULK_NICENESS)


def serve(listener: socket.socket, *, key: str) -> None:
    """Serve on the listener until a signal comes; `key` is what callers must send."""
    _log_to_stderr()
    _keep_memory_small()
    _server(EmbeddingApp(SentenceModel(), key=key), listener).run(sockets=[listener])


def _server(app: EmbeddingApp, listener: socket.socket) -> uvicorn.Server:
    # Connections inherit it. Without it a reply's body waits for the reader to acknowledge its head: 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=2
    )
    return uvicorn.Server(config)


async def _serve_home(app: EmbeddingApp, *, key: str, ready_file: Path) -> None:
    """Serve on loopback until a signal comes or the ready file is no longer this process's."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = _server(app, listener)
    ready = {"pid": os.getpid(), "port": listener.getsockname()[1], "key": key}
    _write_private(ready_file, json.dumps(ready))
    watch = asyncio.create_task(_stop_without_home(server, ready_file))
    try:
        await server.serve(sockets=[listener])
    finally:
        watch.cancel()


async def _stop_without_home(server: uvicorn.Server, ready_file: Path) -> None:
    while _is_ours(ready_file):  # noqa: ASYNC110 - a folder that is removed tells nobody
        await asyncio.sleep(HOME_CHECK_SECONDS)
    server.should_exit = True


def _is_ours(ready_file: Path) -> bool:
    try:
        return bool(json.loads(ready_file.read_text())["pid"] == os.getpid())
    except (OSError, ValueError):
        return False


def _write_private(path: Path, text: str) -> None:
    """Write the file at once and for the owner only, so that nobody reads half of it or the key."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123 - needs the mode
        file.write(text)
    draft.replace(path)


def _keep_memory_small() -> None:
    """Give all threads one heap: with one each, glibc kept 250 MB that nobody used (580 MB against 326 MB)."""
    m_arena_max = -8
    with contextlib.suppress(AttributeError, OSError):  # another C library has its own ways
        ctypes.CDLL(None).mallopt(m_arena_max, 1)


def _log_to_stderr() -> None:
    logging.basicConfig(
        level="WARNING", format="{asctime} {levelname} {name}: {message}", style="{"
    )


def _leave(*_: object) -> None:
    sys.exit(0)


def main() -> None:
    """Run the server until SIGTERM."""
    parser = argparse.ArgumentParser(prog="mundap.embedded.embeddings")
    parser.add_argument("--home", type=Path, required=True)
    arguments = parser.parse_args()
    key = os.environ.get(KEY_VARIABLE, "")
    if not key:
        parser.error(f"{KEY_VARIABLE} is not set")
    _log_to_stderr()
    _keep_memory_small()
    app = EmbeddingApp(SentenceModel(), key=key)
    ready_file = arguments.home / "run" / "embeddings.json"
    signal.signal(signal.SIGTERM, _leave)  # uvicorn hands the signal on once it has stopped
    try:
        asyncio.run(_serve_home(app, key=key, ready_file=ready_file))
    finally:
        if _is_ours(ready_file):
            ready_file.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
