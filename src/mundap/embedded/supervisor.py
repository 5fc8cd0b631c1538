"""Starts the embedded parts of a home folder, shares them between processes, stops them.

Two locked files in `run/` are all the state there is: `start.lock` is held while parts are started
or stopped, `users.lock` is shared by every process that uses them. A lock ends with its process,
so a killed user or starter leaves nothing stale behind. A small watcher process stops the parts when
the last user was killed, and starts a part again that died while it was used.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from mundap.embedded.embedding_server import EmbeddingServer
from mundap.embedded.home import PRIVATE_FILE, make_home
from mundap.embedded.part import Part
from mundap.embedded.postgres import Postgres
from mundap.embedded.process import ServerProcess, try_lock
from mundap.embedded.valkey import Valkey
from mundap.errors import EmbeddedError

_log = logging.getLogger(__name__)

_TERMINATIONS = (signal.SIGTERM, signal.SIGHUP)
_WATCHER_STOP_SECONDS = 5
_WATCHER_VARIABLES = ("PATH", "HOME", "LANG", "PYTHONPATH", "TMPDIR")


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
    with _orderly_termination() as begin_ending, ExitStack() as stack:
        with _disk_errors_explained(home):
            home = home.resolve()
            make_home(home)
            parts = _Parts(home)
            start_lock = stack.enter_context(_opened(home, "start"))
            stack.enter_context(_use(parts, _opened(home, "users"), start_lock))
            stack.callback(begin_ending)  # called first on the way out
            with _held(start_lock):
                endpoints = parts.start(postgres=postgres, valkey=valkey, embeddings=embeddings)
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
        with _opened(home, "start") as start_lock, _held(start_lock):
            parts = _Parts(home)
            parts.stop()
            parts.postgres.discard()
    shutil.rmtree(home, ignore_errors=True)


def watch(home: Path, *, interval_seconds: float) -> None:
    """Tend the home's parts until nobody uses them, then stop them; `watcher.py` runs this.

    A part that dies while it is used is started again at the same address, except for the
    embedding server, whose address is a new one each time. Users that were killed could not stop
    the parts themselves.
    """
    home = home.resolve()
    parts = _Parts(home)
    seen_alive: set[Part] = set()
    with _opened(home, "start") as start_lock, _opened(home, "users") as users:
        while True:
            if not try_lock(start_lock, fcntl.LOCK_EX):
                time.sleep(interval_seconds)  # somebody is starting or stopping parts
                continue
            try:
                if try_lock(users, fcntl.LOCK_EX):
                    parts.stop_servers()
                    return
                parts.restart_dead(seen_alive)
            finally:
                fcntl.flock(users, fcntl.LOCK_UN)
                fcntl.flock(start_lock, fcntl.LOCK_UN)
            time.sleep(interval_seconds)


class _Parts:
    """All parts of a home. Every method needs the home's start lock."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.postgres = Postgres(home)
        self.valkey = Valkey(home)
        self.embeddings = EmbeddingServer(home)
        self._watcher = ServerProcess(home, name="watcher")

    def start(self, *, postgres: bool, valkey: bool, embeddings: bool) -> Endpoints:
        """Return the endpoints of the asked parts when they are ready."""
        asked = {self.embeddings: embeddings, self.postgres: postgres, self.valkey: valkey}
        parts: list[Part] = [part for part, is_asked in asked.items() if is_asked]
        if parts and not self._watcher.is_alive():
            self._start_watcher()  # first, for we may be killed at any moment
        # All are launched before the first is waited for.
        for part in parts:
            part.start()
        for part in parts:
            part.wait_until_ready()
        if postgres:
            self.postgres.prepare()
        address = self.embeddings.find_address() if embeddings else None
        return Endpoints(
            database_url=self.postgres.url if postgres else None,
            redis_url=self.valkey.url if valkey else None,
            embedding_url=address.url if address else None,
            embedding_key=address.key if address else None,
        )

    def stop(self) -> None:
        """Stop everything."""
        self._watcher.send(signal.SIGTERM)
        self._watcher.end(timeout_seconds=_WATCHER_STOP_SECONDS)
        self.stop_servers()

    def stop_servers(self) -> None:
        """Stop the parts, all at once."""
        alive = [part for part in self._all() if part.process.is_alive()]
        for part in alive:
            part.ask_to_stop()
        for part in alive:
            part.wait_until_stopped()

    def restart_dead(self, seen_alive: set[Part]) -> None:
        """Start those again that were seen alive before; one that fails is left to the next user."""
        for part in (self.postgres, self.valkey):
            if part.process.is_alive():
                if part not in seen_alive:
                    _log.info("watching %s, process %s", part.name, part.process.pid())
                    seen_alive.add(part)
            elif part in seen_alive and part.process.pid() is not None:
                seen_alive.remove(part)
                _log.warning("%s died and is started again", part.name)
                try:
                    part.start()
                    part.wait_until_ready()
                except (EmbeddedError, OSError):
                    _log.exception("%s did not start", part.name)

    def _all(self) -> tuple[Part, ...]:
        return (self.embeddings, self.valkey, self.postgres)

    def _start_watcher(self) -> None:
        self._watcher.trim_log()
        kept = {name: os.environ[name] for name in _WATCHER_VARIABLES if name in os.environ}
        command = [sys.executable, "-m", "mundap.embedded.watcher", str(self._home)]
        self._watcher.spawn(command, environment=kept)


@contextmanager
def _use(parts: _Parts, users_file: AbstractContextManager[int], start_lock: int) -> Iterator[None]:
    """Count as a user of the home's parts; on leaving, stop them when no other is left."""
    process = os.getpid()
    with users_file as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield
        finally:
            if os.getpid() == process:  # and not a child that was forked inside the context
                # Under the start lock: of two that leave together the second must see the first
                # gone, and nobody may join while the parts are being stopped.
                with _held(start_lock):
                    if try_lock(users, fcntl.LOCK_EX):
                        parts.stop()
                    fcntl.flock(users, fcntl.LOCK_UN)


@contextmanager
def _opened(home: Path, name: str) -> Iterator[int]:
    """Give a lock file's descriptor. The file stays good when the home folder is deleted."""
    path = home / "run" / f"{name}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _held(lock: int) -> Iterator[None]:
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)


@contextmanager
def _orderly_termination() -> Iterator[Callable[[], None]]:
    """Let SIGTERM and SIGHUP raise SystemExit where they would end the process on the spot.

    Gives what is to be called when the stopping begins: from there on they are ignored, because a second one must not
    break it off. Not before: Python drops an exception that is raised inside a finalizer, and the next signal counts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    ours = [number for number in _TERMINATIONS if signal.getsignal(number) is signal.SIG_DFL]

    def set_all(handler: signal.Handlers | Callable[[int, FrameType | None], None]) -> None:
        for number in ours:
            if signal.getsignal(number) in (leave, signal.SIG_IGN, signal.SIG_DFL):
                signal.signal(number, handler)

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    set_all(leave)
    try:
        yield lambda: set_all(signal.SIG_IGN)
    finally:
        set_all(signal.SIG_DFL)


@contextmanager
def _disk_errors_explained(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        where = f" ({exc.filename})" if exc.filename else ""
        raise EmbeddedError(
            f"The embedded servers cannot use {home}: {exc.strerror or exc}{where}. "
            "Is the disk full, or does the folder belong to another user?"
        ) from exc
