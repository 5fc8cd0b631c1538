"""Answers that fail: a clear message, a fitting status, the question and the text so far kept."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from mundap.answers import answering, citations
from mundap.answers.events import Citation
from mundap.chats.models import Message, Turn
from tests.chats.conftest import ANSWER, QUESTION, script
from tests.chats.server import Api
from tests.scripted_model import ScriptedModel

pytestmark = pytest.mark.django_db(transaction=True)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("broken", "status", "code"),
    [
        (lambda model: model.fail(500), 502, "model_error"),
        (lambda model: model.fail(401), 502, "model_error"),
        (lambda model: model.fail(404), 502, "model_error"),
        (lambda model: model.fail(429), 503, "model_unavailable"),
        (lambda model: model.rubbish(), 502, "model_error"),
    ],
    ids=["500", "401", "404", "429", "rubbish"],
)
def test_a_model_that_refuses_or_sends_rubbish(
    alice_api: Api,
    model: ScriptedModel,
    broken: Callable[[ScriptedModel], None],
    status: int,
    code: str,
) -> None:
    broken(model)
    reply = alice_api.ask(QUESTION, Idempotency_Key="k")
    assert reply.status_code == status
    failed = reply.json()
    assert failed["status"] == "failed"
    assert failed["error"]["code"] == code
    assert failed["error"]["message"]
    assert "scripted failure" not in reply.text
    chat = alice_api.get(f"chats/{failed['chat']}/").json()
    assert [message["state"] for message in chat["messages"]] == ["complete", "failed"]
    assert chat["messages"][0]["text"] == QUESTION
    assert chat["active_turn"] is None
    again = alice_api.ask(QUESTION, Idempotency_Key="k")
    assert (again.status_code, again.json()) == (status, failed)
    model.reset()
    script(model, ANSWER)
    assert alice_api.ask(QUESTION, chat=failed["chat"]).json()["message"]["text"] == ANSWER


def test_a_model_that_is_not_there(alice_api: Api, settings: Any) -> None:
    settings.CHAT_BASE_URL = f"http://127.0.0.1:{closed_port()}/v1"
    settings.CHAT_MODEL = "scripted"
    with alice_api.asking(QUESTION) as stream:
        stream.to_end()
    assert stream.response.status_code == 200
    assert stream.kinds[0] == "start"
    assert stream.kinds[-2:] == ["error", "finish"]
    assert "cannot be reached" in stream.part("error")["errorText"]
    assert Message.objects.get(role="assistant").state == "failed"
    turn = stream.parts[0]["messageMetadata"]["turn"]
    with alice_api.following(f"turns/{turn}/stream/") as again:
        again.to_end()
    assert again.kinds[-2:] == ["error", "finish"]


def test_a_model_that_breaks_off(alice_api: Api, model: ScriptedModel) -> None:
    model.say("redis cache backend")
    model.say("Use the Redis backend [1] and more", cut_after=4)
    with alice_api.asking(QUESTION) as stream:
        stream.to_end()
    assert stream.text == "Use the Redis backend"
    assert stream.kinds[-2:] == ["error", "finish"]
    answer = Message.objects.get(role="assistant")
    assert (answer.state, answer.text) == ("failed", "Use the Redis backend")


def test_a_model_that_falls_silent(alice_api: Api, model: ScriptedModel, settings: Any) -> None:
    settings.MODEL_SILENCE_SECONDS = 1
    script(model, ANSWER, hold_after=3)
    reply = alice_api.ask(QUESTION)
    assert reply.status_code == 504
    assert reply.json()["error"]["code"] == "model_timeout"
    assert reply.json()["message"]["text"] == "Use the Redis"
    assert Turn.objects.get().status == "failed"


def test_an_answer_that_takes_too_long(alice_api: Api, model: ScriptedModel, settings: Any) -> None:
    settings.TURN_SECONDS = 1
    script(model, ANSWER, hold_after=3)
    reply = alice_api.ask(QUESTION)
    assert reply.status_code == 504
    assert reply.json()["error"]["message"].startswith("The answer took too long")
    assert reply.json()["message"]["text"] == "Use the Redis"


def test_an_answer_that_does_not_end(alice_api: Api, model: ScriptedModel, settings: Any) -> None:
    settings.ANSWER_MAX_CHARACTERS = 20
    script(model, ANSWER)
    reply = alice_api.ask(QUESTION)
    assert reply.status_code == 502
    assert "longer than 20 characters" in reply.json()["error"]["message"]
    assert reply.json()["message"]["text"] == ANSWER[:20]


def test_text_that_cannot_be_stored_is_left_out(alice_api: Api, model: ScriptedModel) -> None:
    model.say("redis\0 cache \ud800 backend")
    model.say("Use\0 the \ud800Redis backend [1].")
    reply = alice_api.ask(QUESTION)
    assert reply.status_code == 200
    assert reply.json()["message"]["text"] == "Use the ?Redis backend [1]."


def test_an_end_that_cannot_be_stored_whole_is_stored_as_far_as_it_can(
    alice_api: Api, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unstorable(*_arguments: object) -> object:
        return ANSWER, (Citation(1, uuid4(), "\0", "", (), "", "", None, 0, 0, ""),)

    monkeypatch.setattr(citations, "check", unstorable)
    script(model, ANSWER)
    with alice_api.asking(QUESTION) as stream:
        stream.to_end()
    assert stream.kinds[-2:] == ["error", "finish"]
    answer = Message.objects.get(role="assistant")
    assert (answer.state, answer.text) == ("failed", ANSWER)


def test_a_defect_of_ours_ends_the_turn_too(
    alice_api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(answering, "search", broken)
    reply = alice_api.ask(QUESTION)
    assert reply.status_code == 500
    assert "secret" not in reply.text
    assert reply.json()["status"] == "failed"
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    "lines",
    [
        'data: {"error": {"message": "overloaded"}}',
        "data: [1]",
        "data: {",
        'data: {"choices": [7]}',
        'data: {"choices": [], "usage": {}}\n\ndata: {"usage": 7}',
        ": nothing at all",
    ],
)
def test_rubbish_in_mid_stream(alice_api: Api, model: ScriptedModel, lines: str) -> None:
    model.say("redis cache backend")
    model.say("Use the Redis", then_raw=f"{lines}\n\n")
    reply = alice_api.ask(QUESTION)
    assert reply.status_code == 502
    assert reply.json()["error"]["code"] == "model_error"
    assert "overloaded" not in reply.text
    assert reply.json()["message"]["text"] == "Use the Redis"
