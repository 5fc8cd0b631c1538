"""Server processes of the application that can be killed and started again at the same address."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx2

APPLICATION = "mundap.config.asgi:application"
START_SECONDS = 60.0


class Node:
    """One server process."""

    def __init__(
        self,
        number: int,
        *,
        environment: Mapping[str, str],
        log: Path,
        application: str = APPLICATION,
    ) -> None:
        self.number = number
        self._environment = dict(environment)
        self._application = application
        self._log = log
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Return what is run."""
        return [
            *(sys.executable, "-m", "uvicorn", self._application),
            *("--port", str(self.port), "--log-level", "error", "--no-access-log"),
        ]

    def launch(self) -> None:
        """Start the process."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                env=os.environ | self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def until_ready(self) -> None:
        """Return when it answers."""
        async with httpx2.AsyncClient(timeout=5) as client:
            async with asyncio.timeout(START_SECONDS):
                while True:
                    try:
                        reply = await client.get(f"{self.url}/api/v1/chats/")
                    except httpx2.HTTPError:
                        await asyncio.sleep(0.05)
                    else:
                        if reply.status_code == 401:
                            return
                        await asyncio.sleep(0.05)

    def kill(self) -> None:
        """Kill it at once, in the middle of whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop the process where it is: its connections stay, and its time does not."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on, as if nothing had happened."""
        os.kill(self.pid, signal.SIGCONT)

    async def end(self, *, within_seconds: float) -> None:
        """Ask it to end, and return when it has; kill it if that takes longer."""
        assert self._process is not None
        self._process.terminate()
        last = time.monotonic() + within_seconds
        while self._process.poll() is None and time.monotonic() < last:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        self.kill()

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None
