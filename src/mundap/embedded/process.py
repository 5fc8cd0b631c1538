"""A server process that outlives its starter: detached, logged, and known to be alive by a lock.

The process inherits a locked file and so do its children. The lock is free exactly when all of
them are gone, whatever killed them: no process id is trusted, none can be mistaken for a reused
one, and a database whose last backends are still dying is not started again too early.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mundap.embedded.home import PRIVATE_FILE
from mundap.errors import EmbeddedError

_POLL_SECONDS = 0.01
_MAX_LOG_BYTES = 2_000_000
_TAIL_LINES = 15
_TAIL_BYTES = 8_000
_PID_BYTES = 32

# Standard output is the lock file. The shell writes its process id there and becomes the server,
# which keeps the lock as descriptor 3 and logs to standard error.
_BECOME = 'echo $$; exec "$@" 3>&1 1>&2'


@dataclass(frozen=True)
class Account:
    """A system user that a server runs as instead of root."""

    uid: int
    gid: int

    def popen_options(self) -> dict[str, Any]:
        """Return the keywords that make `subprocess` run a command as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


class _Detached(subprocess.Popen[bytes]):
    """A child that may outlive us, which `Popen` would warn of when it is forgotten."""

    def __del__(self) -> None:
        """Leave it to the system."""


# By process id, to reap those that end before us.
_children: dict[int, _Detached] = {}


class ServerProcess:
    """One part's process: `spawn` it, ask `is_alive`, `stop` it, read its log's end."""

    def __init__(self, home: Path, *, name: str) -> None:
        self.name = name
        self.log = home / "log" / f"{name}.log"
        self._lock_path = home / "run" / f"{name}.lock"
        self._lock: int | None = None
        self._log_start = 0

    def is_alive(self) -> bool:
        """Return whether the process or a child of it lives, started by whichever user process."""
        lock = self._open_lock()
        if lock is None:
            return False
        is_alive = not try_lock(lock, fcntl.LOCK_SH)
        if not is_alive:
            fcntl.flock(lock, fcntl.LOCK_UN)
            _reap_children()
        return is_alive

    def pid(self) -> int | None:
        """Return the id of the process that was started last and not stopped since."""
        lock = self._open_lock()
        text = os.pread(lock, _PID_BYTES, 0).strip() if lock is not None else b""
        return int(text) if text.isdigit() else None

    def _open_lock(self) -> int | None:
        """Return the lock file's descriptor, which stays good when the home folder is deleted."""
        with contextlib.suppress(FileNotFoundError):
            now = self._lock_path.stat()
            if self._lock is None or not os.path.samestat(os.fstat(self._lock), now):
                self._lock = os.open(self._lock_path, os.O_RDONLY | os.O_CLOEXEC)
                closer = weakref.finalize(self, os.close, self._lock)
                # Not at exit: a `with` block may be left only while the interpreter shuts down.
                closer.atexit = False  # type: ignore[misc] # the stubs say that it has a slot
        return self._lock

    def spawn(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        account: Account | None = None,
    ) -> None:
        """Start the command. It must not be alive; whoever calls holds the home's start lock."""
        with self._new_lock() as lock, self._open_log() as log:
            child = _Detached(
                ["/bin/sh", "-c", _BECOME, "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=lock,
                stderr=log,
                cwd="/",
                env=dict(environment),
                umask=0o077,
                # The terminal's Ctrl-C must not reach it: the last user stops it in order.
                start_new_session=True,
                **(account.popen_options() if account else {}),
            )
            # The shell writes the same, so that it is there even if we are killed right here.
            os.pwrite(lock, f"{child.pid}\n".encode(), 0)
            _children[child.pid] = child
            self._open_lock()

    def run_logged(
        self, command: Sequence[str], *, environment: Mapping[str, str], account: Account | None
    ) -> None:
        """Run a command to its end with its output in the log; a failure is an EmbeddedError.

        It counts as the part being alive: should we be killed, the next starter waits for its end.
        """
        with self._new_lock() as lock, self._open_log() as log:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                cwd="/",
                env=dict(environment),
                umask=0o077,
                check=False,
                **(account.popen_options() if account else {}),
            )
        if done.returncode:
            raise self.failure(f"{Path(command[0]).name} failed ({done.returncode})")

    @contextlib.contextmanager
    def _new_lock(self) -> Iterator[int]:
        """Give the locked and emptied lock file, for a process to inherit."""
        handle = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            # A look by `is_alive` elsewhere may hold the lock for a moment, so this one waits.
            fcntl.flock(handle, fcntl.LOCK_EX)
            os.ftruncate(handle, 0)
            # Room for the process id: on a full disk nothing is started that nobody could stop.
            os.pwrite(handle, b"\n" * _PID_BYTES, 0)
            yield handle
        finally:
            os.close(handle)

    def send(self, signal_number: int) -> None:
        """Send a signal to the process if it is alive."""
        pid = self.pid()
        if pid is not None and self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal_number)

    def wait_until_gone(self, *, timeout_seconds: float) -> bool:
        """Return whether the process and all its children were gone in that time."""
        deadline = time.monotonic() + timeout_seconds
        while self.is_alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def end(self, *signals: int, timeout_seconds: float) -> None:
        """Wait for the process to be gone; after each time-out send the next, sterner signal."""
        for signal_number in (*signals, signal.SIGKILL):
            if self.wait_until_gone(timeout_seconds=timeout_seconds):
                break
            self.send(signal_number)
        else:
            if not self.wait_until_gone(timeout_seconds=timeout_seconds):
                raise self.failure("it could not be stopped")
        with contextlib.suppress(FileNotFoundError):
            os.truncate(self._lock_path, 0)

    def failure(self, what: str) -> EmbeddedError:
        """Return the error that says what happened, with the end of the log and its path."""
        tail = self._log_tail()
        said = f" The end of its log:\n{tail}\n" if tail else " "
        return EmbeddedError(f"{self.name}: {what}.{said}The whole log: {self.log}")

    def trim_log(self) -> None:
        """Keep the log small: an overlong one is moved to `.1`, over the one before it.

        The file itself is emptied, not replaced, since a running server appends to it.
        """
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > _MAX_LOG_BYTES:
                with self.log.open("rb") as log:
                    log.seek(-_MAX_LOG_BYTES, os.SEEK_END)
                    old = self.log.with_suffix(".log.1")
                    old.touch(mode=PRIVATE_FILE)
                    old.write_bytes(log.read())
                os.truncate(self.log, 0)

    @contextlib.contextmanager
    def _open_log(self) -> Iterator[int]:
        handle = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE_FILE)
        try:
            self._log_start = os.fstat(handle).st_size
            yield handle
        finally:
            os.close(handle)

    def _log_tail(self) -> str:
        try:
            with self.log.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start, size - _TAIL_BYTES))
                lines = log.read().decode("utf-8", "replace").strip().splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-_TAIL_LINES:])


def installed_version(program: Path) -> str:
    """Return the version number that a program says it has."""
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=True, timeout=10
        ).stdout
    except (OSError, subprocess.SubprocessError) as exc:
        raise EmbeddedError(f"{program} does not run on this system: {exc}") from exc
    found = re.search(r"\d+(\.\d+)+", said)
    return found.group() if found else said.strip()


def _reap_children() -> None:
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            _children.pop(pid, None)


def try_lock(handle: int, kind: int) -> bool:
    """Return whether the lock was to be had at once."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
