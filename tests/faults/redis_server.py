"""A Valkey of the run's own, which can be stopped, killed, and started again from an old snapshot."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from mundap.embedded.valkey import program

_OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "loglevel": "warning",
    "logfile": "",
    "save": "",
    "appendonly": "no",
    "dbfilename": "dump.rdb",
    "maxmemory": "64mb",
    "maxmemory-policy": "volatile-lru",
    "repl-diskless-sync-delay": "0",
}


class RedisServer:
    """The process; `folder` holds its socket and its snapshot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}?db=0"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it with what is in its folder, and return when it answers."""
        self.socket.unlink(missing_ok=True)
        options = _OPTIONS | {"unixsocket": str(self.socket), "dir": str(self.folder)}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen(
            [str(program()), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _attempt in range(500):
            with contextlib.suppress(redis.RedisError), self.client() as client:
                if client.ping():
                    return
            time.sleep(0.01)
        raise TimeoutError("the Redis server did not start")

    def kill(self) -> None:
        """Kill it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int | None:
        """The process's id; None while it does not run."""
        return self._process.pid if self._process else None

    def pause(self) -> None:
        """Stop its process: it takes connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)

    def keep_snapshot(self) -> None:
        """Keep what it holds now, for `restart_with_old_snapshot`."""
        with self.client() as client:
            client.save()
        shutil.copy(self.folder / "dump.rdb", self.folder / "old.rdb")

    def restart_with_old_snapshot(self) -> None:
        """Kill it and start it as it was when the snapshot was kept: a failover that lost what came after."""
        self.kill()
        shutil.copy(self.folder / "old.rdb", self.folder / "dump.rdb")
        self.start()

    def client(self, **options: Any) -> redis.Redis:
        """Return a client past all proxies, which never tries twice."""
        return redis.Redis(
            unix_socket_path=str(self.socket),
            socket_timeout=5,
            socket_connect_timeout=5,
            retry=Retry(NoBackoff(), 0),
            **options,
        )

    async def call(self, action: Any, *arguments: Any) -> Any:
        """Return what a function of a client returns, without holding the event loop."""

        def step() -> Any:
            with self.client() as client:
                return action(client, *arguments)

        return await asyncio.to_thread(step)
