"""A web server on this machine that answers as it is told to, also badly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from tests.serving import Quiet, in_thread

Act = Callable[["Handler"], None]
HTML = "text/html; charset=utf-8"


def page(text: str = "", *, head: str = "", title: str = "Tea") -> str:
    return f"<!DOCTYPE html><html lang='en'><head><title>{title}</title>{head}</head><body>{text}</body></html>"


@dataclass
class Answer:
    """What is sent for a path: a status, headers and a body, or whatever `act` does with the connection."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    act: Act | None = None


@dataclass(frozen=True)
class Asked:
    path: str
    headers: dict[str, str]


class Handler(Quiet, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Site

    def do_GET(self) -> None:
        site = self.server
        site.asked.append(
            Asked(self.path, {name.lower(): text for name, text in self.headers.items()})
        )
        answer = site.answers.get(self.path, Answer(b"not here", 404))
        if answer.act is not None:
            self.close_connection = True
            answer.act(self)
            return
        matches = answer.headers.get("ETag")
        is_known = matches is not None and self.headers.get("If-None-Match") == matches
        self.send_response(304 if is_known else answer.status)
        body = b"" if is_known else answer.body
        for name, text in (
            {"Content-Type": HTML, "Content-Length": str(len(body))} | answer.headers
        ).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def send(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()


class Site(ThreadingHTTPServer):
    """The server. `answers` are by path; what was `asked` is kept; `ends` is set when it is over."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}
        self.asked: list[Asked] = []
        self.ends = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    @property
    def paths(self) -> list[str]:
        """The paths that were asked for, but robots.txt."""
        return [asked.path for asked in self.asked if asked.path != "/robots.txt"]

    def add(self, path: str, body: str | bytes = "", status: int = 200, **headers: str) -> Self:
        data = body.encode() if isinstance(body, str) else body
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self.answers[path] = Answer(data, status, named)
        return self

    def redirect(self, path: str, location: str, status: int = 302) -> Self:
        return self.add(path, "", status, Location=location)

    def does(self, path: str, act: Act) -> Self:
        self.answers[path] = Answer(act=act)
        return self

    def handle_error(self, *_args: object) -> None:
        """A client that hangs up is what half of these tests are about."""


@contextmanager
def serving() -> Iterator[Site]:
    with in_thread(Site()) as site:
        try:
            yield site
        finally:
            site.ends.set()
