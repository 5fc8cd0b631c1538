"""The ASGI server alone: bare ASGI that sends bytes it has in memory. BODY_BYTES says how many."""

from __future__ import annotations

import os
from typing import Any

BODY = b"x" * int(os.environ["BODY_BYTES"])
HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(BODY)).encode()),
]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer everything with the same bytes."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": BODY})
