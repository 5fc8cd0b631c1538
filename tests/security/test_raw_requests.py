"""Requests that no client of good will sends: where one ends must be the same to a proxy and to us."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.chats.server import served

pytestmark = pytest.mark.django_db
SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
REQUESTS = {
    "two lengths": "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "a length and chunks": f"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "chunks and a length": f"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "chunks by another name": f"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "a length with a sign": "Content-Length: +5\r\n\r\nhello",
    "a length that is none": "Content-Length: 5x\r\n\r\nhello",
    "a length below zero": "Content-Length: -5\r\n\r\nhello",
    "a header over two lines": "X-One: a\r\n Transfer-Encoding: chunked\r\n\r\n",
    "a space before the colon": f"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "a header without end": "X-One: " + "a" * 300_000 + "\r\n\r\n",
}


@pytest.fixture(scope="module")
def place(django_db_setup: None) -> Iterator[tuple[str, int]]:
    with served() as url:
        parts = urlsplit(url)
        yield str(parts.hostname), int(parts.port or 0)


def answers(place: tuple[str, int], head: str, *, path: str = "/healthz") -> list[str]:
    """Return the first line of each reply that came before the connection was closed or fell silent."""
    with socket.create_connection(place, timeout=2) as connection:
        try:
            connection.sendall(
                f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}".encode()
            )
            got = b"".join(iter(lambda: connection.recv(65536), b""))
        except (ConnectionError, TimeoutError):
            return []
    return [line for line in got.decode("latin-1").splitlines() if line.startswith("HTTP/1.1 ")]


@pytest.mark.parametrize("name", REQUESTS)
def test_what_ends_in_two_places_is_refused(place: tuple[str, int], name: str) -> None:
    replies = answers(place, REQUESTS[name])
    assert len(replies) <= 1
    assert not replies or replies[0].split()[1] in {"400", "403", "431"}


def test_a_whole_one_is_answered(place: tuple[str, int]) -> None:
    """Or the refusals above were for the wrong reason: without its token a form is refused as such."""
    assert [each.split()[1] for each in answers(place, "Content-Length: 5\r\n\r\nhello")] == ["403"]
