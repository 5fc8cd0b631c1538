"""Bodies that nothing may have are refused before they are taken in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mundap.config.body_limit import with_body_limit

MEGABYTE = 1 << 20


async def ask(settings: Any, *, headers: list[tuple[bytes, bytes]], chunks: list[bytes]) -> Any:
    """Return the status that is answered, and what the application behind it received."""
    settings.UPLOAD_MAX_MB = 1
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    sent: list[dict[str, Any]] = []
    received: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while waiting:
            received.append(await receive())
            if received[-1]["type"] == "http.disconnect":
                return
        await send({"type": "http.response.start", "status": 200, "headers": []})

    scope = {"type": "http", "headers": headers}
    await with_body_limit(application)(scope, receive, send)
    if sent[0]["status"] == 413:
        assert json.loads(sent[1]["body"])["error"]["code"] == "too_large"
    return sent[0]["status"], [message["type"] for message in received]


@pytest.mark.parametrize(
    ("length", "status"), [(2 * MEGABYTE, 200), (2 * MEGABYTE + 1, 413), (0, 200)]
)
async def test_a_length_is_believed(settings: Any, length: int, status: int) -> None:
    headers = [(b"content-length", str(length).encode())]
    answered, received = await ask(settings, headers=headers, chunks=[b"x"])
    assert (answered, bool(received)) == (status, status == 200)


async def test_chunks_are_counted(settings: Any) -> None:
    chunks = [b"x" * MEGABYTE] * 4
    answered, received = await ask(settings, headers=[], chunks=chunks)
    assert (answered, received) == (413, ["http.request", "http.request", "http.disconnect"])
