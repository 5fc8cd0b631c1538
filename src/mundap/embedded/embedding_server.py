"""The local embedding server's process: started, found and stopped like the other parts.

What it computes is in `embeddings.py`, which runs in that process.
"""

from __future__ import annotations

import http.client
import importlib.metadata
import json
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mundap.embedded.part import Part
from mundap.errors import EmbeddedError

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


class EmbeddingServer(Part):
    """The home's embedding server."""

    name = "embeddings"
    start_timeout_seconds = 120
    stop_timeout_seconds = 10

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._ready_file = home / "run" / "embeddings.json"

    def find_address(self) -> EmbeddingAddress | None:
        """Return what the server wrote when it was ready; None before that."""
        try:
            record = json.loads(self._ready_file.read_text(encoding="utf-8"))
            return EmbeddingAddress(port=int(record["port"]), key=str(record["key"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def is_ready(self) -> bool:
        """Return whether the server says that it is healthy."""
        address = self.find_address()
        return address is not None and _is_healthy(address)

    def launch(self) -> None:
        """Start the server with a new key."""
        self._ready_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "mundap.embedded.embeddings", "--home", str(self.home)]
        self.process.spawn(command, environment=_environment())

    def installed_versions(self) -> Mapping[str, str]:
        """Return the version of the runtime that computes the embeddings."""
        try:
            return {"onnxruntime": importlib.metadata.version("onnxruntime")}
        except importlib.metadata.PackageNotFoundError as exc:
            raise EmbeddedError(
                "The package onnxruntime, which computes embeddings, is not installed. Install it, "
                "or set MUNDAP_EMBEDDING_BASE_URL to an endpoint of your own."
            ) from exc

    def address(self) -> tuple[str | None, str | None]:
        """Return the URL and the key, once the server was ready."""
        found = self.find_address()
        return (found.url, found.key) if found else (None, None)

    def clean_up(self) -> None:
        """Remove the file with the key."""
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
