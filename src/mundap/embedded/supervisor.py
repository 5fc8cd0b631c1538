"""Starts the embedded parts of a home folder, shares them between processes, stops them.

Two locked files in `run/` are all the state there is: `start.lock` is held while parts are started
or stopped, `users.lock` is shared by every process that uses them. A lock ends with its process,
so a killed user or starter leaves nothing stale behind; the next user takes running parts over.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from mundap.embedded.embedding_server import EmbeddingServer
from mundap.embedded.home import PRIVATE_FILE, make_home
from mundap.embedded.postgres import Postgres
from mundap.embedded.process import ServerProcess
from mundap.embedded.valkey import Valkey
from mundap.errors import EmbeddedError

_TERMINATIONS = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Endpoints:
    """Where the asked parts are; None for those that were not asked for."""

    database_url: str | None
    redis_url: str | None
    embedding_url: str | None
    embedding_key: str | None


class Part(Protocol):
    """What the supervisor needs of a part, besides its own way of getting ready."""

    process: ServerProcess

    def start(self) -> None:
        """Start it unless it lives."""

    def ask_to_stop(self) -> None:
        """Begin to stop it."""

    def wait_until_stopped(self) -> None:
        """Return when it is gone."""


@contextmanager
def running(home: Path, *, postgres: bool, valkey: bool, embeddings: bool) -> Iterator[Endpoints]:
    """Give the endpoints of the asked parts, which run at least as long as this context.

    Parts that run already for this home are shared, missing ones are started and waited for. The
    last context to end, of all processes, stops them. SIGTERM and SIGHUP end the process through
    SystemExit as long as nothing else handles them, so that it comes to that. Raises
    EmbeddedError, which names the log of the part that failed.
    """
    home = home.resolve()
    make_home(home)
    with _orderly_termination(), _use(home):
        try:
            endpoints = _start(home, postgres=postgres, valkey=valkey, embeddings=embeddings)
        except OSError as exc:
            raise EmbeddedError(
                f"Starting the embedded servers in {home} failed: {exc.strerror or exc}"
                f"{f' ({exc.filename})' if exc.filename else ''}. Is the disk full or read-only?"
            ) from exc
        yield endpoints


def discard(home: Path) -> None:
    """Stop the home's parts and delete the folder with all its data, wherever they lie."""
    home = home.resolve()
    if (home / "run").exists():
        with _locked(home, "start", fcntl.LOCK_EX):
            _stop_all(home)
            Postgres(home).discard()
    shutil.rmtree(home, ignore_errors=True)


def _start(home: Path, *, postgres: bool, valkey: bool, embeddings: bool) -> Endpoints:
    database, cache, embedding_server = Postgres(home), Valkey(home), EmbeddingServer(home)
    with _locked(home, "start", fcntl.LOCK_EX):
        # All are launched before the first is waited for. The slowest to get ready goes first.
        if embeddings:
            embedding_server.start()
        if postgres:
            database.start()
        if valkey:
            cache.start()
        address = embedding_server.wait_until_ready() if embeddings else None
        return Endpoints(
            database_url=database.wait_until_ready() if postgres else None,
            redis_url=cache.wait_until_ready() if valkey else None,
            embedding_url=address.url if address else None,
            embedding_key=address.key if address else None,
        )


def _stop_all(home: Path) -> None:
    parts: tuple[Part, ...] = (EmbeddingServer(home), Valkey(home), Postgres(home))
    alive = [part for part in parts if part.process.is_alive()]
    for part in alive:
        part.ask_to_stop()
    for part in alive:
        part.wait_until_stopped()


@contextmanager
def _use(home: Path) -> Iterator[None]:
    """Count as a user of the home's parts; on leaving, stop them when no other is left."""
    process = os.getpid()
    with _locked(home, "users", fcntl.LOCK_SH) as users:
        try:
            yield
        finally:
            if os.getpid() == process:  # and not a child that was forked inside the context
                with _locked(home, "start", fcntl.LOCK_EX), suppress(BlockingIOError):
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _stop_all(home)


@contextmanager
def _locked(home: Path, name: str, kind: int) -> Iterator[int]:
    path = home / "run" / f"{name}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        fcntl.flock(handle, kind)
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _orderly_termination() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise SystemExit where they would end the process on the spot."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in _TERMINATIONS if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _exit)
    try:
        yield
    finally:
        for number in ours:
            if signal.getsignal(number) is _exit:
                signal.signal(number, signal.SIG_DFL)


def _exit(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
