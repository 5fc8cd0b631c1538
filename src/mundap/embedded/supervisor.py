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
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from mundap.embedded.embedding_server import EmbeddingServer
from mundap.embedded.home import PRIVATE_FILE, make_home
from mundap.embedded.part import Part
from mundap.embedded.postgres import Postgres
from mundap.embedded.process import try_lock
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


@contextmanager
def running(home: Path, *, postgres: bool, valkey: bool, embeddings: bool) -> Iterator[Endpoints]:
    """Give the endpoints of the asked parts, which run at least as long as this context.

    Parts that run already for this home are shared, missing ones are started and waited for. The
    last context to end, of all processes, stops them. SIGTERM and SIGHUP end the process through
    SystemExit as long as nothing else handles them, so that it comes to that. Raises
    EmbeddedError, which names the log of the part that failed.
    """
    with _orderly_termination(), ExitStack() as stack:
        with _disk_errors_explained(home):
            home = home.resolve()
            make_home(home)
            stack.enter_context(_use(home))
            endpoints = _start(home, postgres=postgres, valkey=valkey, embeddings=embeddings)
        yield endpoints


@dataclass(frozen=True)
class PartState:
    """What can be told of a part from outside; `error` says what will keep it from starting."""

    name: str
    is_alive: bool
    is_in_use: bool | None
    url: str | None
    key: str | None
    folder: str | None
    log: str | None
    versions: Mapping[str, str]
    error: str | None


def inspect(home: Path) -> list[PartState]:
    """Return the state of each part of the home. Nothing is started, made or changed."""
    home = home.resolve()
    with _disk_errors_explained(home):
        is_in_use = _has_users(home)
        return [
            _state(part, is_in_use)
            for part in (Postgres(home), Valkey(home), EmbeddingServer(home))
        ]


def _state(part: Part, is_in_use: bool | None) -> PartState:
    versions: Mapping[str, str] = {}
    error = None
    try:
        versions = part.installed_versions()
        part.check()
    except EmbeddedError as exc:
        error = exc.message
    url, key = part.address()
    return PartState(
        name=part.name,
        is_alive=part.process.is_alive(),
        is_in_use=is_in_use,
        url=url,
        key=key,
        folder=str(part.folder) if part.folder else None,
        log=str(part.process.log) if part.process.log.exists() else None,
        versions=versions,
        error=error,
    )


def _has_users(home: Path) -> bool | None:
    """Return whether any process uses the home's parts; None when that cannot be told just now."""
    try:
        start, users = (
            os.open(home / "run" / f"{name}.lock", os.O_RDONLY | os.O_CLOEXEC)
            for name in ("start", "users")
        )
    except FileNotFoundError:
        return False
    try:
        # Only while nobody is leaving: its own look at the users must not be disturbed by ours.
        return not try_lock(users, fcntl.LOCK_EX) if try_lock(start, fcntl.LOCK_EX) else None
    finally:
        os.close(users)
        os.close(start)


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
        asked = {embedding_server: embeddings, database: postgres, cache: valkey}
        parts: list[Part] = [part for part, is_asked in asked.items() if is_asked]
        # All are launched before the first is waited for.
        for part in parts:
            part.start()
        for part in parts:
            part.wait_until_ready()
        if postgres:
            database.prepare()
        address = embedding_server.find_address() if embeddings else None
        return Endpoints(
            database_url=database.url if postgres else None,
            redis_url=cache.url if valkey else None,
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
                # Under the start lock: of two that leave together the second must see the first
                # gone, and nobody may join while the parts are being stopped.
                with _locked(home, "start", fcntl.LOCK_EX):
                    if try_lock(users, fcntl.LOCK_EX):
                        _stop_all(home)
                    fcntl.flock(users, fcntl.LOCK_UN)


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

    def exit_once(number: int, _frame: FrameType | None) -> None:
        for each in ours:  # a second signal must not break off the stopping
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in ours:
        signal.signal(number, exit_once)
    try:
        yield
    finally:
        for number in ours:
            if signal.getsignal(number) in (exit_once, signal.SIG_IGN):
                signal.signal(number, signal.SIG_DFL)


@contextmanager
def _disk_errors_explained(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        where = f" ({exc.filename})" if exc.filename else ""
        raise EmbeddedError(
            f"Starting the embedded servers of {home} failed: {exc.strerror or exc}{where}. "
            "Is the disk full, or does the folder belong to another user?"
        ) from exc
