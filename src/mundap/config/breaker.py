"""A circuit breaker: a service that does not answer is left alone for a moment, so that not everyone waits for it."""

from __future__ import annotations

import time


class Breaker:
    """Opens after `failures` in a row; every `rest_seconds` from then on one caller may try."""

    def __init__(self, *, failures: int = 3, rest_seconds: float = 2.0) -> None:
        self._limit = failures
        self._rest_seconds = rest_seconds
        self._failures = 0
        self._closed_to_callers_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the service is taken to be away."""
        return self._failures >= self._limit

    def admits(self) -> bool:
        """Tell whether to try now. While open, the one that is let through keeps the others out until it is known."""
        if not self.is_open:
            return True
        now = time.monotonic()
        if now < self._closed_to_callers_until:
            return False
        self._closed_to_callers_until = now + self._rest_seconds
        return True

    def succeed(self) -> None:
        """Note an answer."""
        self._failures = 0

    def fail(self) -> None:
        """Note that there was none."""
        self._failures += 1
        if self._failures == self._limit:
            self._closed_to_callers_until = time.monotonic() + self._rest_seconds
