"""The life that all parts share: start or take over, wait until ready, ask to stop, wait again."""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from mundap.embedded.process import ServerProcess

_POLL_SECONDS = 0.01


class Part(ABC):
    """One server of a home. `start` and the stopping methods need the home's start lock."""

    name: ClassVar[str]
    start_timeout_seconds: ClassVar[float]
    stop_timeout_seconds: ClassVar[float]
    # The first asks for an orderly stop; each next one is sent when the time-out has passed.
    stop_signals: ClassVar[tuple[int, ...]] = (signal.SIGTERM,)

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process = ServerProcess(home, name=self.name)

    @abstractmethod
    def is_ready(self) -> bool:
        """Return whether the server answers."""

    @abstractmethod
    def launch(self) -> None:
        """Start the server, which is known to be dead; remove what a killed one left."""

    @abstractmethod
    def installed_versions(self) -> Mapping[str, str]:
        """Return the versions that are installed, by name. Raises EmbeddedError if none is."""

    @abstractmethod
    def address(self) -> tuple[str | None, str | None]:
        """Return the URL and the key of the server, as far as they are known."""

    @property
    def folder(self) -> Path | None:
        """Where its data lie, if it has any."""
        return None

    def check(self) -> None:
        """Raise the EmbeddedError that starting it would end in, as far as can be told."""
        return

    @abstractmethod
    def clean_up(self) -> None:
        """Remove what the stopped server needs no more."""

    def start(self) -> None:
        """Launch the server unless it lives.

        One that lives but does not answer is either getting ready, its starter having been
        killed, or dying; which of the two is waited for.
        """
        self.process.trim_log()
        self._wait_while_silent()
        if not self.process.is_alive():
            self.launch()

    def wait_until_ready(self) -> None:
        """Return as soon as the server answers. Raises EmbeddedError with its log's end."""
        self._wait_while_silent()
        if not self.process.is_alive():
            raise self.process.failure("the server did not start")

    def ask_to_stop(self) -> None:
        """Begin to stop the server."""
        self.process.send(self.stop_signals[0])

    def wait_until_stopped(self) -> None:
        """Return when the server is gone, killed if it must be."""
        self.process.end(*self.stop_signals[1:], timeout_seconds=self.stop_timeout_seconds)
        self.clean_up()

    def _wait_while_silent(self) -> None:
        deadline = time.monotonic() + self.start_timeout_seconds
        while self.process.is_alive() and not self.is_ready():
            if time.monotonic() > deadline:
                raise self.process.failure(
                    f"process {self.process.pid()} lives, but did not answer within "
                    f"{self.start_timeout_seconds:.0f} s; end it (kill -9) and try again"
                )
            time.sleep(_POLL_SECONDS)
