"""Asking over a stream: what is sent, leaving, taking up again, stopping."""

from __future__ import annotations

import pytest

from mundap.chats.models import Message, TurnDraft
from tests.chats.conftest import ANSWER, QUESTION
from tests.chats.server import Api
from tests.scripted_model import ScriptedModel

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_first_question_streams_a_cited_answer(alice_api: Api, model: ScriptedModel) -> None:
    model.say(ANSWER)
    with alice_api.asking(QUESTION) as stream:
        parts = stream.to_end()
    headers = stream.response.headers
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert stream.kinds[0] == "start"
    assert stream.kinds[-1] == "finish"
    assert stream.text == ANSWER
    order = [
        "start",
        "data-retrieval",
        "text-start",
        "text-end",
        "source-url",
        "data-citations",
        "message-metadata",
    ]
    assert [kind for kind in stream.kinds if kind in order] == order
    answer = Message.objects.get(role="assistant")
    assert parts[0]["messageId"] == str(answer.pk)
    assert (answer.text, answer.state) == (ANSWER, "complete")
    (citation,) = stream.part("data-citations")["data"]
    assert citation["number"] == 1
    assert (
        stream.part("source-url")["url"]
        == citation["url"]
        == "https://docs.example.org/cache/#part-1"
    )
    assert not TurnDraft.objects.exists()
