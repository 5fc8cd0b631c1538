"""A turn as server-sent events: the AI SDK's UI message stream, version 1.

Parts, in this order: `start`, `data-title`, `data-retrieval`, `text-start`, `text-delta`…, `text-end`, a `source-url`
or `source-document` for each citation, `data-citations`, `data-final` where the stored text differs from the deltas
(a client shows it instead), `message-metadata`, `error` or `abort`, `finish`.

Each event's id is `<turn>-<characters of the text sent so far>`, so a stream can be taken up again in any process, from
memory or from the stored text: what had been read before comes again, the deltas go on behind the characters named by
`Last-Event-ID`. Source: the AI SDK's `ui-message-chunks.ts` and its documented stream protocol.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse

from mundap.chats.models import State
from mundap.chats.selectors import TurnView
from mundap.chats.shapes import citation_json, source_title

KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
TEXT_ID = "text"
SSE_HEADERS = {
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
    # Said aloud, so that no middleware or proxy compresses and thereby holds back the stream.
    "content-encoding": "identity",
}
HEADERS = {"x-vercel-ai-ui-message-stream": "v1", **SSE_HEADERS}


async def stream_response(
    changes: AsyncGenerator[TurnView | None, None], *, last_event_id: str = ""
) -> StreamingHttpResponse:
    """Return the response that follows a turn to its end; None among the changes keeps the connection alive.

    Raises what the first change raises, as long as that can be told with a status.
    """
    first = await anext(changes, None)
    return StreamingHttpResponse(
        as_sse(from_first(first, changes), last_event_id=last_event_id),
        content_type="text/event-stream",
        headers=HEADERS,
    )


async def from_first(
    first: TurnView | None, rest: AsyncGenerator[TurnView | None, None]
) -> AsyncGenerator[TurnView | None, None]:
    """Yield the change that was asked for already, and the rest."""
    async with aclosing(rest):
        yield first
        async for view in rest:
            yield view


async def as_sse(
    changes: AsyncGenerator[TurnView | None, None], *, last_event_id: str = ""
) -> AsyncGenerator[bytes, None]:
    """Yield the events of each change; several deltas that came at once are one."""
    encoder: Encoder | None = None
    async with aclosing(changes):
        async for view in changes:
            if view is None:
                yield KEEP_ALIVE
                continue
            encoder = encoder or Encoder(view.turn, last_event_id=last_event_id)
            if events := encoder.events(view):
                yield events


class Encoder:
    """Turns successive views of one turn into events, each part once."""

    def __init__(self, turn: UUID, *, last_event_id: str = "") -> None:
        # The end of a UUIDv7 is random; with it, an id of another turn is told from one of this.
        self._name = turn.hex[-12:]
        self._sent = self._skipped = self._resume_at(last_event_id)
        self._seen = ""
        self._is_started = self._has_retrieval = self._has_text = False

    def events(self, view: TurnView) -> bytes:
        """Return what is new in `view`; the end when it is final."""
        parts: list[dict[str, Any]] = []
        if not self._is_started:
            parts += self._start(view)
        if view.retrieval and not self._has_retrieval:
            # Its passages are known a moment after its queries; where there are none, once there is a text.
            self._has_retrieval = bool(view.retrieval.get("passages") or view.text or view.is_final)
            if self._has_retrieval:
                parts.append({"type": "data-retrieval", "data": _retrieval(view.retrieval)})
        streamed = self._streamed(view)
        events = [self._event(part) for part in parts]
        events += self._text(streamed)
        if view.is_final:
            events += [self._event(part) for part in self._end(view, streamed)]
            events.append(DONE)
        return b"".join(events)

    def _resume_at(self, last_event_id: str) -> int:
        name, _dash, characters = last_event_id.strip().rpartition("-")
        is_ours = name == self._name and characters.isascii() and characters.isdigit()
        return int(characters) if is_ours and len(characters) < 10 else 0

    def _event(self, part: Mapping[str, Any]) -> bytes:
        data = json.dumps(part, ensure_ascii=False, separators=(",", ":"))
        return f"id: {self._name}-{self._sent}\ndata: {data}\n\n".encode()

    def _start(self, view: TurnView) -> list[dict[str, Any]]:
        self._is_started = True
        metadata = {"turn": str(view.turn), "chat": str(view.chat)}
        parts: list[dict[str, Any]] = [
            {"type": "start", "messageId": str(view.answer), "messageMetadata": metadata}
        ]
        if view.title:
            parts.append({"type": "data-title", "id": "title", "data": {"title": view.title}})
        return parts

    def _text(self, text: str) -> list[bytes]:
        """Return what the text has gained as one delta. A resumed stream goes on behind what was read before."""
        events = []
        if (text or self._sent) and not self._has_text:
            self._has_text = True
            events.append(self._event({"type": "text-start", "id": TEXT_ID}))
        if len(text) > self._sent:
            delta, self._sent = text[self._sent :], len(text)
            events.append(self._event({"type": "text-delta", "id": TEXT_ID, "delta": delta}))
        return events

    def _streamed(self, view: TurnView) -> str:
        """Return the text that deltas are made of; the final one may not go on where they ended."""
        if view.streamed is not None:
            return view.streamed
        if not view.text.startswith(self._seen):
            return self._seen
        self._seen = view.text
        return view.text

    def _end(self, view: TurnView, streamed: str) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        if self._has_text:
            parts.append({"type": "text-end", "id": TEXT_ID})
        citations = [citation_json(dict(each)) for each in view.citations]
        parts += [_source(citation) for citation in citations]
        parts.append({"type": "data-citations", "id": "citations", "data": citations})
        if view.text != streamed or self._skipped:
            parts.append({"type": "data-final", "id": "final", "data": {"text": view.text}})
        metadata: dict[str, Any] = {
            "turn": str(view.turn),
            "chat": str(view.chat),
            "status": view.status.value,
        }
        if view.retrieval and "is_answered" in view.retrieval:
            metadata["is_answered"] = view.retrieval["is_answered"]
        if view.usage:
            metadata["usage"] = dict(view.usage)
        parts.append({"type": "message-metadata", "messageMetadata": metadata})
        if view.status is State.STOPPED:
            parts.append({"type": "abort"})
        elif view.error:
            parts.append({"type": "error", "errorText": view.error["message"]})
        parts.append({"type": "finish"})
        return parts


def _retrieval(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "queries": stored.get("queries", []),
        "passages": [each["passage"] for each in stored.get("passages", [])],
    }


def _source(citation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part that AI SDK clients show as a source."""
    source = {"sourceId": citation["passage"], "title": source_title(citation)}
    if citation["url"]:
        return {"type": "source-url", "url": citation["url"], **source}
    return {"type": "source-document", "mediaType": "text/plain", **source}
