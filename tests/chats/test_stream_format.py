"""The events of a stream, made from views of a turn; no server, no database."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import pytest

from mundap.chats.models import State
from mundap.chats.selectors import TurnView
from mundap.chats.streaming import KEEP_ALIVE, Encoder, as_sse

TURN = UUID("01890000-0000-7000-8000-0123456789ab")
CITATION = {
    "number": 1,
    "passage": "01890000-0000-7000-8000-000000000001",
    "document": "The cache",
    "path": "cache.txt",
    "headings": ["The cache", "Redis"],
    "url": "",
    "quote": "Use Redis.",
    "supported": True,
    "start": 3,
    "end": 13,
    "content_hash": "0",
}


def view(text: str, status: State = State.RUNNING, **more: Any) -> TurnView:
    return TurnView(TURN, TURN, TURN, status, "", text, **more)


def parts(events: bytes) -> list[dict[str, Any]]:
    lines = events.decode().split("\n")
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(each) for each in data if each != "[DONE]"]


def kinds(events: bytes) -> list[str]:
    return [part["type"] for part in parts(events)]


def deltas(events: bytes) -> list[str]:
    return [part["delta"] for part in parts(events) if part["type"] == "text-delta"]


def test_what_came_at_once_is_one_delta() -> None:
    encoder = Encoder(TURN)
    assert kinds(encoder.events(view(""))) == ["start"]
    assert deltas(encoder.events(view("Use"))) == ["Use"]
    assert deltas(encoder.events(view("Use Redis as the"))) == [" Redis as the"]
    assert encoder.events(view("Use Redis as the")) == b""


def test_every_event_says_how_much_text_there_was() -> None:
    encoder = Encoder(TURN)
    events = encoder.events(view("캐시")) + encoder.events(view("캐시를"))
    ids = [line for line in events.decode().split("\n") if line.startswith("id: ")]
    assert ids == [f"id: 0123456789ab-{number}" for number in (0, 0, 2, 3)]


@pytest.mark.parametrize(
    ("last", "rest"),
    [
        ("0123456789ab-3", " Redis"),
        ("0123456789ab-0", "Use Redis"),
        ("0123456789ab-9", ""),
        ("0123456789ab-9000", ""),
        ("ba9876543210-3", "Use Redis"),
        ("nonsense", "Use Redis"),
        ("0123456789ab--3", "Use Redis"),
        ("0123456789ab-³", "Use Redis"),
        ("", "Use Redis"),
    ],
)
def test_a_stream_goes_on_behind_the_last_event(last: str, rest: str) -> None:
    events = Encoder(TURN, last_event_id=last).events(view("Use Redis", State.COMPLETE))
    assert kinds(events)[:2] == ["start", "text-start"]
    assert "".join(deltas(events)) == rest
    assert events.endswith(b"data: [DONE]\n\n")


def test_a_draft_that_is_behind_its_reader_is_waited_for() -> None:
    encoder = Encoder(TURN, last_event_id="0123456789ab-9")
    assert deltas(encoder.events(view("Use"))) == []
    assert deltas(encoder.events(view("Use Redis as"))) == [" as"]


def test_a_final_text_that_differs_is_sent_whole() -> None:
    encoder = Encoder(TURN)
    encoder.events(view("Use it [9]."))
    events = encoder.events(view("Use it.", State.COMPLETE))
    assert deltas(events) == []
    (final,) = [part for part in parts(events) if part["type"] == "data-final"]
    assert final["data"] == {"text": "Use it."}
    same = Encoder(TURN).events(view("Use it.", State.COMPLETE, streamed="Use it."))
    assert "data-final" not in kinds(same)


def test_a_citation_without_an_address_is_a_document() -> None:
    events = Encoder(TURN).events(view("Use it [1].", State.COMPLETE, citations=[CITATION]))
    (source,) = [part for part in parts(events) if part["type"] == "source-document"]
    assert source["title"] == "The cache › Redis"
    (listed,) = [part for part in parts(events) if part["type"] == "data-citations"]
    assert "content_hash" not in listed["data"][0]


@pytest.mark.parametrize(
    ("status", "error", "last"),
    [
        (State.COMPLETE, None, "message-metadata"),
        (State.STOPPED, None, "abort"),
        (State.FAILED, {"code": "model_error", "message": "No."}, "error"),
        (State.INTERRUPTED, {"code": "service_unavailable", "message": "No."}, "error"),
    ],
)
def test_finish_is_always_the_last_part(
    status: State, error: dict[str, str] | None, last: str
) -> None:
    for text in ("", "Some text"):
        names = kinds(Encoder(TURN).events(view(text, status, error=error)))
        assert names[0] == "start"
        assert names[-2:] == [last, "finish"]
        assert names.count("text-start") == names.count("text-end") == (1 if text else 0)


async def test_silence_is_filled_with_comments() -> None:
    async def changes() -> AsyncGenerator[TurnView | None, None]:
        yield view("Use")
        yield None
        yield view("Use it", State.COMPLETE)

    events = [each async for each in as_sse(changes())]
    assert events[1] == KEEP_ALIVE
    assert kinds(b"".join(events))[0] == "start"
