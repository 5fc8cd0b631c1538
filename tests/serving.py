"""HTTP servers that stand in for other people's, each in a thread until its block ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer
from typing import TypeVar

Server = TypeVar("Server", bound=BaseServer)


class Quiet:
    """A handler of requests that says nothing of them; to be named before the one that handles them."""

    def log_message(self, *_said: object) -> None:
        """Say nothing."""


@contextmanager
def in_thread(server: Server) -> Iterator[Server]:
    """Serve until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
