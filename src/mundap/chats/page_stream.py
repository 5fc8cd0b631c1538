"""A turn as the pages read it: server-sent events with HTML, rendered here so that a page only puts it in place.

`start` names the message; `found` says that the documents were searched; `blocks` are changes of the text, as
`arriving.py` makes them; `end` has the exchange as it is stored. A stream that is picked up again begins anew, with
one `blocks` for all that is there.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict
from functools import partial
from typing import Any

from django.http import StreamingHttpResponse
from django.utils.translation import get_language, override

from mundap.chats.arriving import Arriving, Change
from mundap.chats.rendering import citation_url
from mundap.chats.selectors import TurnView
from mundap.chats.streaming import KEEP_ALIVE, SSE_HEADERS, from_first

FRAME_SECONDS = 0.01  # with what a rendering takes, one is ready for each frame of a screen
# As long as a rendering takes, for each reader: together they have a fifth of a core at most.
REST_TIMES = 4
THREAD_CHARACTERS = 4000  # what takes too long to render for the event loop to wait

Changes = AsyncGenerator[TurnView | None, None]
_read: set[PageStream] = set()  # streams that are being read


async def page_stream(
    changes: Changes, *, ending: Callable[[TurnView], Awaitable[Mapping[str, Any]]]
) -> StreamingHttpResponse:
    """Return the response that follows a turn to its end; `ending` makes what the last event says.

    Raises what the first change raises, as long as that can be told with a status.
    """
    first = await anext(changes, None)
    stream = PageStream(get_language())
    return StreamingHttpResponse(
        stream.events(from_first(first, changes), ending),
        content_type="text/event-stream",
        headers=SSE_HEADERS,
    )


class PageStream:
    """What one reader has been told of a turn."""

    def __init__(self, language: str | None) -> None:
        self._language = language
        self._arriving: Arriving | None = None
        self._text = ""
        self._is_found = False
        self._cost_seconds = 0.0  # of the last rendering

    async def events(
        self, changes: Changes, ending: Callable[[TurnView], Awaitable[Mapping[str, Any]]]
    ) -> AsyncGenerator[bytes, None]:
        """Yield what is new, at most once a frame; changes in between are one."""
        _read.add(self)
        try:
            async with aclosing(changes):
                async for view in changes:
                    if view is None:
                        yield KEEP_ALIVE
                        continue
                    if news := await self._news(view):
                        yield news
                    if view.is_final:
                        yield _event("end", state=view.status.value, **await ending(view))
                        return
                    await asyncio.sleep(self._pause_seconds)
        finally:
            _read.discard(self)

    @property
    def _pause_seconds(self) -> float:
        return max(FRAME_SECONDS, REST_TIMES * self._cost_seconds * len(_read))

    async def _news(self, view: TurnView) -> bytes:
        events = []
        if self._arriving is None:
            self._arriving = Arriving(partial(citation_url, message=view.answer))
            names = {"message": view.answer, "turn": view.turn, "chat": view.chat}
            events.append(_event("start", title=view.title, **names))
        passages = (view.retrieval or {}).get("passages", [])
        if passages and not self._is_found:
            self._is_found = True
            events.append(_event("found"))
        if view.text != self._text:
            self._text = view.text
            changes = await self._rendered(self._arriving, view.text, passages)
            events.append(_event("blocks", changes=[asdict(each) for each in changes]))
        return b"".join(events)

    async def _rendered(
        self, arriving: Arriving, text: str, passages: list[Mapping[str, Any]]
    ) -> list[Change]:
        def render() -> list[Change]:
            with override(self._language):
                return arriving.changes(text, passages=passages)

        begun = time.perf_counter()
        is_short = arriving.open_characters(text) < THREAD_CHARACTERS
        found = render() if is_short else await asyncio.to_thread(render)
        self._cost_seconds = time.perf_counter() - begun
        return found


def _event(kind: str, **content: Any) -> bytes:
    data = json.dumps({"kind": kind, **content}, default=str, ensure_ascii=False)
    return f"data: {data}\n\n".encode()
