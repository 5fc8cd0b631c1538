"""Homes of a test's own with real servers in them, and processes that use them as Mundap does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from mundap.embedded import supervisor
from mundap.embedded.process import Account

# Uses the home until its standard input is closed; then it leaves in order.
_IMPORTS = """
import dataclasses, json, os, resource, sys
from pathlib import Path
from mundap.embedded import supervisor
from mundap.errors import EmbeddedError
"""
_USER = """
try:
    with supervisor.running(Path(sys.argv[1]), postgres=True, valkey=True, embeddings=False) as found:
        print(json.dumps(dataclasses.asdict(found)), flush=True)
        sys.stdin.read()
except EmbeddedError as error:
    print(json.dumps({"code": error.code, "error": error.message}), flush=True)
    sys.exit(1)
"""


class User:
    """Another process that uses a home's servers."""

    def __init__(self, home: Path, *, account: Account | None = None, prelude: str = "") -> None:
        if account:
            # Not by Popen: the interpreter itself may be closed to the account, as below /root.
            prelude += "import codecs; codecs.lookup('ascii')\n"
            prelude += f"os.setgroups([]); os.setgid({account.gid}); os.setuid({account.uid})\n"
        program = _IMPORTS + prelude + _USER
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            # A terminal's Ctrl-C goes to a whole process group; this one stands for a terminal's.
            process_group=0,
        )
        self._said: dict[str, Any] | None = None

    def said(self) -> dict[str, Any]:
        """What it printed when it was ready or had failed."""
        if self._said is None:
            assert self._process.stdout is not None
            self._said = json.loads(self._process.stdout.readline())
        return self._said

    @property
    def database_url(self) -> str:
        return str(self.said()["database_url"])

    @property
    def redis_url(self) -> str:
        return str(self.said()["redis_url"])

    def press_ctrl_c(self) -> int:
        os.killpg(self._process.pid, signal.SIGINT)
        return self._process.wait(60)

    def signal(self, number: int) -> int:
        self._process.send_signal(number)
        return self._process.wait(60)

    def leave(self) -> int:
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            self._process.stdin.close()
        return self._process.wait(60)

    def close(self) -> None:
        self.leave()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, as pytest's own cannot be under root.

    It is in memory where there is room: some disks take seconds to delete a data folder.
    """
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > 2_000_000_000
    folder = Path(tempfile.mkdtemp(prefix="mundap-test-", dir=memory if has_room else None))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folder(open_folder: Path) -> Iterator[Path]:
    """A folder of this test's own that every user can reach, with a short name."""
    own = Path(tempfile.mkdtemp(dir=open_folder))
    own.chmod(0o755)
    yield own
    shutil.rmtree(own)


@pytest.fixture
def new_home(folder: Path) -> Iterator[Path]:
    """A home that does not exist yet."""
    with watched(folder / "home") as path:
        yield path


@pytest.fixture(scope="session")
def _used_home(open_folder: Path) -> Path:
    home = open_folder / "used"
    with supervisor.running(home, postgres=True, valkey=True, embeddings=False):
        return home


@pytest.fixture
def home(folder: Path, _used_home: Path) -> Iterator[Path]:
    """A home that was used before; a copy, which is quicker than a first start."""
    with watched(folder / "home") as path:
        subprocess.run(["cp", "-a", _used_home, path], check=True)
        yield path


@pytest.fixture
def other_home(folder: Path, _used_home: Path) -> Iterator[Path]:
    with watched(folder / "other home") as path:
        subprocess.run(["cp", "-a", _used_home, path], check=True)
        yield path


@pytest.fixture
def closed_home(tmp_path: Path) -> Iterator[Path]:
    """A home below a folder that only its owner may enter: pytest's own."""
    with watched(tmp_path / "home") as path:
        yield path


@contextmanager
def watched(home: Path) -> Iterator[Path]:
    """Give the path of a home; at the end delete it, and see that its servers were gone by then."""
    try:
        yield home
    finally:
        is_left_running = any(pids_of(home).values())
        supervisor.discard(home)
    assert not is_left_running, "servers were left running"
    assert not any(pids_of(home).values())


@pytest.fixture
def user() -> Iterator[Callable[..., User]]:
    """Starts users of a home; those that still live leave when the test ends."""
    users: list[User] = []

    def start(home: Path, **options: Any) -> User:
        users.append(User(home, **options))
        return users[-1]

    yield start
    for each in users:
        each.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that comes by itself."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def pids_of(home: Path) -> Mapping[str, int | None]:
    """The process ids of the home's living servers, as anybody can see them."""
    found: dict[str, int | None] = {}
    for part in ("postgres", "valkey", "watcher"):
        lock = home / "run" / f"{part}.lock"
        text = lock.read_text().strip() if lock.exists() else ""
        found[part] = int(text) if text.isdigit() and _exists(int(text)) else None
    return found


def _exists(pid: int) -> bool:
    """Whether the process lives; one that has ended and only waits for its parent does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
