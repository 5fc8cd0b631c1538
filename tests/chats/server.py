"""The application on real sockets: in a thread of the tests, or as a process of its own that a test may kill."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, TypeVar

import httpx2
import uvicorn

from mundap.config.asgi import application
from tests.database import database_url

T = TypeVar("T")
DEADLINE_SECONDS = 20.0


def wait_for(condition: Callable[[], T], *, seconds: float = DEADLINE_SECONDS) -> T:
    """Return the condition's first true value; a deadline is a failure, time itself proves nothing."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "this did not happen in time"
        time.sleep(0.02)
    return value


@contextmanager
def served(app: Any = application) -> Iterator[str]:
    """Serve the application from a thread; gives its address."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        config = uvicorn.Config(
            app, log_level="critical", lifespan="on", ws="none", timeout_graceful_shutdown=5
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        wait_for(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


@dataclass
class Process:
    """A server process."""

    url: str
    popen: subprocess.Popen[bytes]


@contextmanager
def serving_process(*, log: IO[bytes] | None = None, **variables: str) -> Iterator[Process]:
    """Serve the application from a process that shares the tests' database; `log` takes its standard error."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        popen = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "uvicorn",
                "mundap.config.asgi:application",
                "--fd",
                str(listener.fileno()),
                "--log-level",
                "critical",
                "--no-access-log",
            ],
            pass_fds=[listener.fileno()],
            stderr=log,
            env=os.environ
            | {"DATABASE_URL": database_url(), "MUNDAP_SHUTDOWN_SECONDS": "0"}
            | variables,
        )
        try:
            process = Process(f"http://127.0.0.1:{port}", popen)
            wait_for(lambda: _answers(process.url), seconds=30)
            yield process
        finally:
            popen.kill()
            popen.wait()


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/api/v1/chats/", timeout=2).status_code == 401
    except httpx2.HTTPError:
        return False


@dataclass
class Api:
    """A signed-in program."""

    url: str
    token: str
    http: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx2.Client(
            base_url=f"{self.url}/api/v1/",
            headers={"Authorization": f"Bearer {self.token}"} if self.token else {},
            timeout=DEADLINE_SECONDS,
            limits=httpx2.Limits(max_connections=100),
        )

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self.http.get(path, headers=_headers(headers))

    def post(self, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        return self.http.post(path, json={} if body is None else body, headers=_headers(headers))

    def ask(
        self, text: str, *, chat: str = "", collection: str = "shelf", **headers: str
    ) -> httpx2.Response:
        """Ask, and wait for the answer."""
        body = {"text": text} if chat else {"text": text, "collection": collection}
        return self.post(f"chats/{chat}/turns/" if chat else "chats/", body, **headers)

    @contextmanager
    def asking(
        self, text: str, *, chat: str = "", collection: str = "shelf", **headers: str
    ) -> Iterator[Stream]:
        """Ask, and read the answer as a stream."""
        body = {"text": text} if chat else {"text": text, "collection": collection}
        path = f"chats/{chat}/turns/" if chat else "chats/"
        headers = _headers(headers) | {"Accept": "text/event-stream"}
        with self.http.stream("POST", path, json=body, headers=headers) as response:
            yield Stream(response)

    @contextmanager
    def following(self, path: str, **headers: str) -> Iterator[Stream]:
        """Read a stream that runs already."""
        with self.http.stream("GET", path, headers=_headers(headers)) as response:
            yield Stream(response)


class Stream:
    """Server-sent events as they arrive."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self.parts: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.is_done = False
        self._events = self._read()

    def _read(self) -> Iterator[dict[str, Any]]:
        for line in self.response.iter_lines():
            if line.startswith("id: "):
                self.ids.append(line[4:])
            elif line == "data: [DONE]":
                self.is_done = True
            elif line.startswith("data: "):
                self.parts.append(json.loads(line[6:]))
                yield self.parts[-1]

    def until(self, kind: str) -> dict[str, Any]:
        """Return the next part of this kind."""
        for part in self._events:
            if part["type"] == kind:
                return part
        raise AssertionError(f"no {kind} in {self.kinds}")

    def text_until(self, text: str) -> str:
        """Read deltas until the whole text ends with this, and return it."""
        while not self.text.endswith(text):
            self.until("text-delta")
        return self.text

    def to_end(self) -> list[dict[str, Any]]:
        """Return all parts when the stream has ended."""
        for _part in self._events:
            pass
        assert self.is_done
        return self.parts

    def to_break(self) -> None:
        """Read until the connection ends, which it does without an end of the answer."""
        for _part in self._events:
            pass
        assert not self.is_done
        assert "finish" not in self.kinds

    @property
    def kinds(self) -> list[str]:
        return [part["type"] for part in self.parts]

    @property
    def text(self) -> str:
        return "".join(part["delta"] for part in self.parts if part["type"] == "text-delta")

    def part(self, kind: str) -> dict[str, Any]:
        """Return the one part of this kind that was read."""
        (part,) = [part for part in self.parts if part["type"] == kind]
        return part


def _headers(named: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in named.items()}
