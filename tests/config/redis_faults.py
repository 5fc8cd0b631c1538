"""Redis servers that are of no use, each in its own way; and one that is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import redis

from mundap.embedded.valkey import program
from tests.chats.server import wait_for

KEYS = 100


@dataclass
class Valkey:
    """A running one."""

    url: str
    popen: subprocess.Popen[bytes]

    def pause(self) -> None:
        os.kill(self.popen.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.popen.pid, signal.SIGCONT)


@contextmanager
def valkey(folder: Path, **options: str) -> Iterator[Valkey]:
    """A Valkey of the test's own; options are written with _ for -."""
    path = folder / "valkey.sock"
    all_options = {"port": "0", "unixsocket": str(path), "save": "", "dir": str(folder)} | options
    words = [
        word
        for name, value in all_options.items()
        for word in (f"--{name.replace('_', '-')}", value)
    ]
    output = subprocess.DEVNULL
    with subprocess.Popen([str(program()), *words], stdout=output, stderr=output) as popen:
        try:
            wait_for(lambda: _is_listening(path))
            yield Valkey(f"unix://{path}?db=0", popen)
        finally:
            popen.kill()


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


@contextmanager
def refused(_folder: Path) -> Iterator[str]:
    """Nobody listens at the address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"redis://127.0.0.1:{taken.getsockname()[1]}/0"


@contextmanager
def deaf(_folder: Path) -> Iterator[str]:
    """Connections are taken, and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@contextmanager
def foreign(_folder: Path) -> Iterator[str]:
    """A server of something else, which answers in its own language."""
    with _answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as url:
        yield url


@contextmanager
def agreeing(_folder: Path) -> Iterator[str]:
    """A server that says OK to everything, also where a number or a value is meant."""
    with _answering(b"+OK\r\n") as url:
        yield url


@contextmanager
def _answering(reply: bytes) -> Iterator[str]:
    """A server that answers each line with the same."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        threading.Thread(target=_accept, args=(listener, reply), daemon=True).start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, reply: bytes) -> None:
    with suppress(OSError):
        while True:
            connection, _address = listener.accept()
            threading.Thread(target=_answer, args=(connection, reply), daemon=True).start()


def _answer(connection: socket.socket, reply: bytes) -> None:
    with connection, suppress(OSError):
        while received := connection.recv(4096):
            commands = received.count(b"*")
            connection.sendall(reply * max(commands, 1))


@contextmanager
def paused(folder: Path) -> Iterator[str]:
    """A Valkey whose process is stopped."""
    with valkey(folder) as server:
        server.pause()
        yield server.url


@contextmanager
def locked(folder: Path) -> Iterator[str]:
    """A Valkey that wants a password we do not have."""
    with valkey(folder, requirepass="another") as server:
        yield server.url


@contextmanager
def full(folder: Path) -> Iterator[str]:
    """A Valkey without room, which evicts nothing: it reads, and refuses to write."""
    with valkey(folder, maxmemory="1mb", maxmemory_policy="noeviction") as server:
        yield server.url


@contextmanager
def replica(folder: Path) -> Iterator[str]:
    """A read-only copy of a Valkey that is away."""
    with valkey(folder, replicaof="127.0.0.1 1", replica_read_only="yes") as server:
        yield server.url


@contextmanager
def loading(folder: Path) -> Iterator[str]:
    """A Valkey that reads its snapshot, for longer than a test takes."""
    with valkey(folder) as server, redis.Redis.from_url(server.url) as client:
        client.mset({f"key{number}": "x" * 1024 for number in range(KEYS)})
        client.save()
    slowly = {"key_load_delay": "1000000", "loading_process_events_interval_bytes": "1024"}
    with valkey(folder, **slowly) as server:
        yield server.url


FAULTS: dict[str, Callable[[Path], AbstractContextManager[str]]] = {
    fault.__name__: fault
    for fault in (refused, deaf, foreign, agreeing, paused, locked, full, replica, loading)
}
