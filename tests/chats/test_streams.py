"""Answers as streams: what is sent, leaving, taking up again, stopping."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest

from mundap.chats.models import Chat, Message, Turn, TurnDraft
from tests.chats.conftest import ANSWER, QUESTION, script
from tests.chats.server import Api, wait_for
from tests.scripted_model import ScriptedModel

pytestmark = pytest.mark.django_db(transaction=True)
LONG = "Use the Redis backend [1]. It keeps the cache in memory on another machine."


def test_a_first_question_streams_a_cited_answer(alice_api: Api, model: ScriptedModel) -> None:
    script(model, ANSWER)
    with alice_api.asking(QUESTION) as stream:
        parts = stream.to_end()
    headers = stream.response.headers
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["x-accel-buffering"] == "no"
    order = ["start", "data-retrieval", "text-start", "text-end", "source-url"]
    order += ["data-citations", "message-metadata", "finish"]
    assert [kind for kind in stream.kinds if kind in order] == order
    assert (stream.kinds[0], stream.kinds[-1]) == ("start", "finish")
    assert stream.text == ANSWER
    answer = Message.objects.get(role="assistant")
    assert parts[0]["messageId"] == str(answer.pk)
    assert (answer.text, answer.state) == (ANSWER, "complete")
    (citation,) = stream.part("data-citations")["data"]
    assert citation["number"] == 1
    url = "https://docs.example.org/cache/#part-1"
    assert stream.part("source-url")["url"] == citation["url"] == url
    assert not TurnDraft.objects.exists()


def test_the_title_comes_after_the_first_turn(alice_api: Api, model: ScriptedModel) -> None:
    script(model, ANSWER)
    with alice_api.asking(QUESTION) as stream:
        stream.to_end()
    assert stream.part("data-title")["data"] == {"title": QUESTION}
    wait_for(lambda: Chat.objects.filter(title="Redis as a cache").exists())


def test_a_title_that_somebody_chose_stays(alice_api: Api, model: ScriptedModel) -> None:
    model.say("redis cache backend")
    model.say(ANSWER)
    model.say("Redis as a cache", hold_after=0)
    chat = alice_api.ask(QUESTION).json()["chat"]
    wait_for(lambda: len(model.requests) == 3)
    alice_api.http.patch(f"chats/{chat}/", json={"title": "Mine"})
    model.release()
    script(model, ANSWER)
    alice_api.ask("And the database?", chat=chat)
    assert alice_api.get(f"chats/{chat}/").json()["title"] == "Mine"


def test_an_answer_without_a_model_is_quoted(alice_api: Api) -> None:
    with alice_api.asking(QUESTION) as stream:
        stream.to_end()
    assert "Redis" in stream.text
    assert stream.part("data-citations")["data"]
    assert Message.objects.get(role="assistant").text == stream.text


def test_the_answer_goes_on_when_its_reader_leaves(alice_api: Api, model: ScriptedModel) -> None:
    script(model, LONG, hold_after=3)
    with alice_api.asking(QUESTION) as stream:
        stream.text_until("Redis")
    assert Message.objects.get(role="assistant").state == "running"
    model.release()
    wait_for(lambda: Message.objects.filter(role="assistant", text=LONG, state="complete").exists())


def test_a_stream_is_taken_up_again_after_the_last_event(
    alice_api: Api, model: ScriptedModel
) -> None:
    script(model, LONG, hold_after=5)
    with alice_api.asking(QUESTION) as first:
        seen = first.text_until("[1].")
        last, turn = first.ids[-1], first.parts[0]["messageMetadata"]["turn"]
    with alice_api.following(f"turns/{turn}/stream/", Last_Event_ID=last) as again:
        again.until("text-start")
        model.release()
        again.to_end()
    assert seen + again.text == LONG
    assert again.kinds[0] == "start"
    with alice_api.following(f"turns/{turn}/stream/") as whole:
        whole.to_end()
    assert whole.text == LONG
    assert whole.kinds.count("text-delta") == 1
    assert whole.part("data-citations") == again.part("data-citations")


def test_a_page_that_comes_back_finds_the_running_turn(
    alice_api: Api, model: ScriptedModel
) -> None:
    script(model, LONG, hold_after=5)
    with alice_api.asking(QUESTION) as stream:
        chat = stream.until("start")["messageMetadata"]["chat"]
        stream.text_until("[1].")
        active = alice_api.get(f"chats/{chat}/").json()["active_turn"]
        assert active["id"] == stream.parts[0]["messageMetadata"]["turn"]
        assert active["stream"] == f"/api/v1/turns/{active['id']}/stream/"
        with alice_api.following(f"chats/{chat}/stream") as other:
            assert other.text_until("[1].") == stream.text
            model.release()
            other.to_end()
        stream.to_end()
    assert other.text == stream.text == LONG
    nothing = alice_api.get(f"chats/{chat}/stream")
    assert (nothing.status_code, nothing.content) == (204, b"")
    assert alice_api.get(f"chats/{chat}/").json()["active_turn"] is None


def test_stopping_keeps_the_text_so_far(alice_api: Api, model: ScriptedModel) -> None:
    script(model, LONG, hold_after=5)
    with alice_api.asking(QUESTION) as stream:
        turn = stream.until("start")["messageMetadata"]["turn"]
        seen = stream.text_until("[1].")
        reply = alice_api.post(f"turns/{turn}/stop/")
        stream.to_end()
    assert reply.json()["status"] == "stopped"
    assert reply.json()["message"]["text"] == seen == "Use the Redis backend [1]."
    assert reply.json()["message"]["state"] == "stopped"
    assert [each["number"] for each in reply.json()["message"]["citations"]] == [1]
    assert stream.kinds[-2:] == ["abort", "finish"]
    assert alice_api.post(f"turns/{turn}/stop/").json() | {"title": ""} == reply.json() | {
        "title": ""
    }


def test_stopping_what_has_ended_changes_nothing(alice_api: Api) -> None:
    done = alice_api.ask(QUESTION).json()
    assert alice_api.post(f"turns/{done['turn']}/stop/").json() == done


def test_a_marker_that_points_to_nothing_is_never_shown(
    alice_api: Api, model: ScriptedModel
) -> None:
    script(model, "Use the Redis backend [1]. Nobody knows [99].")
    with alice_api.asking(QUESTION) as stream:
        stream.to_end()
    answer = Message.objects.get(role="assistant")
    assert answer.text == stream.text == "Use the Redis backend [1]. Nobody knows."
    assert "data-final" not in stream.kinds


def test_a_deleted_chat_stops_writing(alice_api: Api, model: ScriptedModel) -> None:
    script(model, LONG, hold_after=5)
    with alice_api.asking(QUESTION) as stream:
        chat = stream.until("start")["messageMetadata"]["chat"]
        stream.text_until("[1].")
        alice_api.http.delete(f"chats/{chat}/")
        stream.to_end()
    assert Turn.objects.get().status == "stopped"


def test_a_stranger_hears_nothing(alice_api: Api, bob_api: Api, nobody: Api) -> None:
    done = alice_api.ask(QUESTION).json()
    for path in (f"turns/{done['turn']}/stream/", f"chats/{done['chat']}/stream"):
        assert bob_api.get(path).status_code == 404
        assert nobody.get(path).status_code == 401
    assert bob_api.post(f"turns/{done['turn']}/stop/").status_code == 404
    assert nobody.post(f"turns/{done['turn']}/stop/").status_code == 401
    assert alice_api.get(f"turns/{uuid4()}/stream/").status_code == 404
    assert alice_api.post(f"turns/{uuid4()}/stop/").status_code == 404


def test_many_readers_get_the_same(alice_api: Api, model: ScriptedModel) -> None:
    script(model, LONG, hold_after=5)
    texts: list[str] = []

    def read(turn: str) -> None:
        with alice_api.following(f"turns/{turn}/stream/") as stream:
            stream.to_end()
        texts.append(stream.text)

    with alice_api.asking(QUESTION) as stream:
        turn = stream.until("start")["messageMetadata"]["turn"]
        readers = [threading.Thread(target=read, args=[turn]) for _ in range(8)]
        for reader in readers:
            reader.start()
        model.release()
        stream.to_end()
        for reader in readers:
            reader.join(timeout=20)
    assert texts == [LONG] * 8
