"""A model's endpoint that leads elsewhere: nobody else is asked, least of all this machine's neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mundap.errors import ModelError
from mundap.llm import client
from mundap.retrieval import embeddings, rerank
from tests.serving import Quiet, in_thread


class Leading(Quiet, BaseHTTPRequestHandler):
    """Sends everybody to a neighbour, and remembers whether they went."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(307 if self.command == "POST" else 200)
        port = self.server.server_address[1]
        self.send_header("Location", f"http://localhost:{port}/latest/meta-data")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = answer  # noqa: N815 - the base class's names
    do_POST = answer  # noqa: N815


@pytest.fixture
def endpoint(settings: Any) -> Iterator[Any]:
    leading: Any = ThreadingHTTPServer(("127.0.0.1", 0), Leading)
    leading.asked = []
    with in_thread(leading) as server:
        url = f"http://127.0.0.1:{server.server_port}/v1"
        settings.CHAT_BASE_URL = settings.EMBEDDING_BASE_URL = settings.RERANK_BASE_URL = url
        settings.CHAT_MODEL = settings.EMBEDDING_MODEL = settings.RERANK_MODEL = "leading"
        yield server


def not_led_away(server: Any) -> bool:
    return bool(server.asked) and all(path.startswith("/v1/") for path in server.asked)


async def test_a_chat_model(endpoint: Any) -> None:
    with pytest.raises(ModelError):
        await client.complete(
            [{"role": "user", "content": "?"}], purpose="title", timeout_seconds=5
        )
    await client.close()
    assert not_led_away(endpoint)


def test_an_embedding_model(endpoint: Any) -> None:
    with pytest.raises(ModelError):
        embeddings.embed(["?"], model="leading")
    assert not_led_away(endpoint)


def test_a_reranker(endpoint: Any) -> None:
    assert rerank.find_scores("?", ["a", "b"]) is None
    assert not_led_away(endpoint)
