"""The local embedding server's process: started, found and stopped like the other parts.

What it computes is in `embeddings.py`, which runs in that process.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mundap.embedded.process import ServerProcess

_START_TIMEOUT_SECONDS = 120
_STOP_TIMEOUT_SECONDS = 10
_POLL_SECONDS = 0.02
_KEY_VARIABLE = "MUNDAP_EMBEDDING_SERVER_KEY"
_SECRETS = ("SECRET_KEY", "DATABASE_URL", "REDIS_URL", "_API_KEY", "_PASSWORD", "_TOKEN")


@dataclass(frozen=True)
class EmbeddingAddress:
    """Where the server listens and the key it asks for."""

    port: int
    key: str

    @property
    def url(self) -> str:
        """The base URL, as an OpenAI client takes it."""
        return f"http://127.0.0.1:{self.port}/v1"


class EmbeddingServer:
    """The home's embedding server: `start`, `wait_until_ready`; then
    `ask_to_stop` and `wait_until_stopped`."""

    def __init__(self, home: Path) -> None:
        self.process = ServerProcess(home, name="embeddings")
        self._home = home
        self._ready_file = home / "run" / "embeddings.json"

    def start(self) -> None:
        """Start the server unless it lives. The caller holds the home's start lock."""
        if self.process.is_alive():
            return
        self.process.trim_log()
        self._ready_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "mundap.embedded.embeddings", "--home", str(self._home)]
        self.process.spawn(command, environment=_environment())

    def wait_until_ready(self) -> EmbeddingAddress:
        """Return the address as soon as the server says that it is healthy."""
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while (address := self.find_address()) is None or not _is_healthy(address):
            if not self.process.is_alive():
                raise self.process.failure("the server did not start")
            if time.monotonic() > deadline:
                raise self.process.failure(f"not ready within {_START_TIMEOUT_SECONDS} s")
            time.sleep(_POLL_SECONDS)
        return address

    def find_address(self) -> EmbeddingAddress | None:
        """Return what the server wrote when it was ready; None before that."""
        try:
            record = json.loads(self._ready_file.read_text(encoding="utf-8"))
            return EmbeddingAddress(port=int(record["port"]), key=str(record["key"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def ask_to_stop(self) -> None:
        """Begin to stop the server."""
        self.process.send(signal.SIGTERM)

    def wait_until_stopped(self) -> None:
        """Return when the server is gone, killed if it must be."""
        self.process.end(timeout_seconds=_STOP_TIMEOUT_SECONDS)
        self._ready_file.unlink(missing_ok=True)


def _environment() -> dict[str, str]:
    """Return our environment without others' secrets and with the new server's key."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith(_SECRETS)}
    return kept | {_KEY_VARIABLE: secrets.token_urlsafe(32)}


def _is_healthy(address: EmbeddingAddress) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
