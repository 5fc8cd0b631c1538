"""An answer that is being written, as this process knows it; any number of readers follow it at their own pace.

Readers keep no queue: each remembers how much of the text it has sent, so one that falls behind gets what it missed as
one piece, and none can slow the writer or cost memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from mundap.chats.selectors import TurnView

QUIET_SECONDS = 15.0  # after which a reader is told that there is nothing new


class Followed:
    """A running turn's text so far, which only grows, and its end."""

    def __init__(self) -> None:
        self.text = ""
        self.retrieval: dict[str, Any] | None = None
        self.final: TurnView | None = None
        self._is_left = False
        self._revision = 0  # of what readers see
        self._waiters: list[asyncio.Future[bool]] = []

    @property
    def view(self) -> TurnView:
        """Return the turn as its reader sees it now."""
        raise NotImplementedError

    def end(self, final: TurnView) -> None:
        """Tell the readers the stored end."""
        self.final = final
        self.announce()

    def leave(self) -> None:
        """Send the readers away without an end: they are to ask again, elsewhere."""
        self._is_left = True
        self.announce()

    def announce(self) -> None:
        """Wake the readers."""
        self._revision += 1
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(True)

    async def changes(self) -> AsyncGenerator[TurnView | None, None]:
        """Yield the turn whenever it has changed, its final state last; None when all was quiet for long."""
        patience = _Patience()
        try:
            while not self.final:
                if self._is_left:
                    return
                seen = self._revision
                yield self.view
                while self._revision == seen:
                    waiter = patience.waiter()
                    self._waiters.append(waiter)
                    if not await waiter:
                        yield None
            yield self.final
        finally:
            patience.end()


class _Patience:
    """Ends a reader's waits that take too long, all with one timer: one a token costs as much as the token."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[bool] | None = None
        self._begun = self._loop.time()
        self._timer = self._loop.call_later(QUIET_SECONDS, self._look)

    def waiter(self) -> asyncio.Future[bool]:
        """Return what is to be waited for: true when there is something new, false when it took too long."""
        self._begun = self._loop.time()
        self._waiter = self._loop.create_future()
        return self._waiter

    def end(self) -> None:
        """Stop the timer."""
        self._timer.cancel()

    def _look(self) -> None:
        left = self._begun + QUIET_SECONDS - self._loop.time()
        if left <= 0:
            left = QUIET_SECONDS
            if self._waiter and not self._waiter.done():
                self._waiter.set_result(False)
        self._timer = self._loop.call_later(left, self._look)
