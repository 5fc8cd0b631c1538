"""Asking: exactly once, one at a time, within the limits, and with a clear refusal."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from django.db import InternalError, connection, transaction

from mundap.accounts.models import User
from mundap.chats import turns
from mundap.chats.models import Chat, Message, Turn
from mundap.config.exceptions import describe
from mundap.library.models import Collection
from tests.chats.conftest import ANSWER, QUESTION, script
from tests.chats.server import Api, wait_for
from tests.conftest import PASSWORD
from tests.scripted_model import ScriptedModel

pytestmark = pytest.mark.django_db(transaction=True)
MESSAGE_KEYS = {
    "id", "position", "role", "text", "state", "citations", "versions", "feedback", "created_at",
}  # fmt: skip
CITATION_KEYS = {
    "number", "passage", "document", "path", "headings", "url", "quote", "supported",
}  # fmt: skip


def test_the_json_document_waits_for_the_end(alice_api: Api, model: ScriptedModel) -> None:
    script(model, ANSWER)
    reply = alice_api.ask(QUESTION)
    assert reply.status_code == 200
    turn = reply.json()
    assert set(turn) == {"turn", "chat", "status", "message", "title"}
    assert turn["status"] == "complete"
    message = turn["message"]
    assert set(message) == MESSAGE_KEYS
    assert (message["role"], message["text"], message["position"]) == ("assistant", ANSWER, 1)
    assert set(message["citations"][0]) == CITATION_KEYS
    assert message["versions"] == [message["id"]]
    chat = alice_api.get(f"chats/{turn['chat']}/").json()
    assert [each["text"] for each in chat["messages"]] == [QUESTION, ANSWER]


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_key_of_a_deleted_chat_gives_nothing(alice_api: Api, accept: str) -> None:
    chat = alice_api.ask(QUESTION, Idempotency_Key="k1").json()["chat"]
    alice_api.http.delete(f"chats/{chat}/")
    again = alice_api.ask(QUESTION, Idempotency_Key="k1", Accept=accept)
    assert again.status_code == 404
    assert again.json()["error"]["code"] == "not_found"


def test_the_next_question_carries_the_history(alice_api: Api, model: ScriptedModel) -> None:
    script(model, ANSWER)
    chat = alice_api.ask(QUESTION).json()["chat"]
    wait_for(lambda: Chat.objects.filter(title="Redis as a cache").exists())
    model.say("cache in the database")
    model.say("Run createcachetable [1].")
    turn = alice_api.ask("Can the cache live in the database?", chat=chat).json()
    assert turn["chat"] == chat
    assert turn["message"]["position"] == 3
    asked = [message["content"] for message in model.requests[-1]["messages"]]
    assert asked[1:] == [QUESTION, ANSWER, "Can the cache live in the database?"]


@pytest.mark.parametrize("is_new", [True, False])
def test_a_repeated_key_gives_the_same_turn(
    alice_api: Api, model: ScriptedModel, is_new: bool
) -> None:
    script(model, ANSWER)
    chat = "" if is_new else alice_api.ask(QUESTION).json()["chat"]
    first = alice_api.ask(QUESTION, chat=chat, Idempotency_Key="k1").json()
    wait_for(lambda: not Turn.objects.filter(status="running").exists())
    turns = Turn.objects.count()
    again = alice_api.ask(QUESTION, chat=chat, Idempotency_Key="k1")
    assert again.status_code == 200
    assert again.json() | {"title": ""} == first | {"title": ""}
    with alice_api.asking(QUESTION, chat=chat, Idempotency_Key="k1") as stream:
        stream.to_end()
    assert stream.parts[0]["messageId"] == first["message"]["id"]
    assert stream.text == first["message"]["text"]
    assert Turn.objects.count() == turns


def test_a_key_with_another_request_is_refused(alice_api: Api, bob_api: Api) -> None:
    first = alice_api.ask(QUESTION, Idempotency_Key="k1").json()
    for other in (
        alice_api.ask("Another question?", Idempotency_Key="k1"),
        alice_api.ask(QUESTION, chat=first["chat"], Idempotency_Key="k1"),
    ):
        assert other.status_code == 422
        assert other.json()["error"]["code"] == "idempotency_key_reused"
    assert bob_api.ask(QUESTION, Idempotency_Key="k1").status_code == 200


@pytest.mark.parametrize("is_new", [True, False])
def test_the_same_key_many_times_at_once_is_one_turn(
    alice_api: Api, model: ScriptedModel, is_new: bool
) -> None:
    script(model, ANSWER)
    chat = "" if is_new else alice_api.ask(QUESTION).json()["chat"]
    before = Turn.objects.count()
    with ThreadPoolExecutor(8) as pool:
        replies = list(
            pool.map(lambda _: alice_api.ask("Redis?", chat=chat, Idempotency_Key="k"), range(8))
        )
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.json()["turn"] for reply in replies}) == 1
    assert Turn.objects.count() == before + 1
    assert Chat.objects.count() == 1


def test_a_chat_answers_one_question_at_a_time(alice_api: Api, model: ScriptedModel) -> None:
    chat = alice_api.ask(QUESTION).json()["chat"]
    wait_for(lambda: not Turn.objects.filter(status="running").exists())
    model.reset()
    script(model, ANSWER, hold_after=2)

    def ask(number: int) -> httpx2.Response:
        return alice_api.ask(f"Redis {number}?", chat=chat)

    with ThreadPoolExecutor(6) as pool:
        replies = [pool.submit(ask, number) for number in range(6)]
        wait_for(lambda: sum(reply.done() for reply in replies) == 5)
        model.release()
        done = [reply.result() for reply in replies]
    assert sorted(reply.status_code for reply in done) == [200, 409, 409, 409, 409, 409]
    (answered,) = [reply.json() for reply in done if reply.status_code == 200]
    for refused in (reply.json()["error"] for reply in done if reply.status_code == 409):
        assert refused["code"] == "turn_in_progress"
        assert refused["turn"] == answered["turn"]
        assert refused["stream"] == f"/api/v1/turns/{answered['turn']}/stream/"
    messages = Message.objects.filter(chat=chat).order_by("position")
    assert [message.position for message in messages] == [0, 1, 2, 3]


def test_a_user_has_a_few_running_turns(
    alice_api: Api, bob_api: Api, model: ScriptedModel, settings: Any
) -> None:
    settings.TURNS_PER_USER = 1
    script(model, ANSWER, hold_after=2)
    with alice_api.asking(QUESTION) as stream:
        stream.text_until("the")
        refused = alice_api.ask("Another?")
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "limit_reached"
        assert refused.headers["retry-after"]
        model.release()
        stream.to_end()
    assert alice_api.ask("Another?").status_code == 200
    assert Chat.objects.count() == 2


def test_a_process_has_room_for_so_many_turns(
    alice_api: Api, bob_api: Api, model: ScriptedModel, settings: Any
) -> None:
    settings.TURNS_PER_PROCESS = 1
    script(model, ANSWER, hold_after=2)
    with alice_api.asking(QUESTION, Idempotency_Key="k") as stream:
        stream.text_until("the")
        assert bob_api.ask(QUESTION).status_code == 429
        with alice_api.asking(QUESTION, Idempotency_Key="k") as again:  # needs no room
            model.release()
            again.to_end()
        stream.to_end()
    assert again.text == stream.text == ANSWER


def test_questions_have_a_rate(alice_api: Api, settings: Any) -> None:
    rates = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {
        "DEFAULT_THROTTLE_RATES": rates | {"turns": "2/hour"}
    }
    replies = [alice_api.ask(QUESTION) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert replies[-1].headers["retry-after"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"collection": "shelf"}, 400),
        ({"collection": "shelf", "text": ""}, 400),
        ({"collection": "shelf", "text": "  \n "}, 400),
        ({"collection": "shelf", "text": None}, 400),
        ({"collection": "shelf", "text": 7}, 400),
        ({"collection": "shelf", "text": ["Redis?"]}, 400),
        ({"collection": "shelf", "text": "Redis\0?"}, 400),
        ({"collection": "shelf", "text": "R" * (16 * 1024 + 1)}, 413),
        ({"collection": "shelf", "text": "캐" * 6000}, 413),
        ({"collection": "shelf", "text": "R" * 300_000}, 413),
        ({"text": "Redis?"}, 400),
        ({"collection": "", "text": "Redis?"}, 400),
        ({"collection": 7, "text": "Redis?"}, 400),
        ({"collection": "nowhere", "text": "Redis?"}, 404),
        ({"collection": "x" * 5000, "text": "Redis?"}, 404),
        ({"collection": "secret", "text": "Redis?"}, 404),
    ],
)
def test_a_question_that_is_none_is_refused(
    alice_api: Api, users: dict[str, User], body: dict[str, Any], status: int
) -> None:
    Collection.objects.create(slug="secret", title="Secret", title_no=9, owner=users["bob"])
    for accept in ("application/json", "text/event-stream"):
        reply = alice_api.post("chats/", body, Accept=accept)
        assert reply.status_code == status
        assert reply.json()["error"]["message"]
    assert not Chat.objects.exists()
    assert not Turn.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe",
        b'{"text": "\xff"}',
        b'{"text": "\\ud800"}',
        b"[1]",
        b"{",
        b"[" * 60_000,
        b'"text"',
        b"null",
    ],
)
def test_a_body_that_is_no_json_object_is_refused(alice_api: Api, body: bytes) -> None:
    reply = alice_api.http.post(
        "chats/", content=body, headers={"Content-Type": "application/json"}
    )
    assert reply.status_code == 400
    assert reply.json()["error"]["message"]
    assert not Chat.objects.exists()


@pytest.mark.parametrize(("text", "status"), [(QUESTION, 200), ("R" * 300_000, 413)])
def test_a_body_may_come_in_chunks(alice_api: Api, text: str, status: int) -> None:
    body = json.dumps({"collection": "shelf", "text": text}).encode()
    pieces = (body[start : start + 1000] for start in range(0, len(body), 1000))
    reply = alice_api.http.post(
        "chats/", content=pieces, headers={"Content-Type": "application/json"}
    )
    assert reply.status_code == status


def test_the_largest_question_is_taken(alice_api: Api) -> None:
    text = "Redis " + "x" * (16 * 1024 - 6)
    chat = alice_api.ask(text).json()["chat"]
    assert alice_api.get(f"chats/{chat}/").json()["messages"][0]["text"] == text


def test_a_refused_question_leaves_the_chat_as_it_was(alice_api: Api) -> None:
    chat = alice_api.ask(QUESTION).json()["chat"]
    before = alice_api.get(f"chats/{chat}/")
    assert alice_api.ask("", chat=chat).status_code == 400
    assert alice_api.ask("x" * 20_000, chat=chat).status_code == 413
    assert alice_api.ask("Redis?", chat=chat, Idempotency_Key="k" * 256).status_code == 400
    assert alice_api.get(f"chats/{chat}/").json() == before.json()


def test_a_key_may_have_255_characters(alice_api: Api) -> None:
    first = alice_api.ask(QUESTION, Idempotency_Key="k" * 255)
    assert first.status_code == 200
    assert alice_api.ask(QUESTION, Idempotency_Key="k" * 255).json()["turn"] == first.json()["turn"]


def test_only_its_owner_asks_in_a_chat(alice_api: Api, bob_api: Api, nobody: Api) -> None:
    chat = alice_api.ask(QUESTION).json()["chat"]
    assert bob_api.ask("Redis?", chat=chat).status_code == 404
    assert nobody.ask("Redis?", chat=chat).status_code == 401
    assert nobody.ask("Redis?").status_code == 401
    assert alice_api.ask("Redis?", chat=str(uuid4())).status_code == 404
    assert Message.objects.count() == 2


def test_a_chat_whose_collection_is_gone_is_kept(alice_api: Api, shelf: Collection) -> None:
    chat = alice_api.ask(QUESTION).json()["chat"]
    shelf.delete()
    assert alice_api.ask("Redis?", chat=chat).status_code == 409
    kept = alice_api.get(f"chats/{chat}/").json()
    assert kept["collection"] is None
    assert len(kept["messages"]) == 2


def test_a_chat_whose_collection_was_closed_to_its_owner_is_kept(
    alice_api: Api, shelf: Collection, users: dict[str, User]
) -> None:
    chat = alice_api.ask(QUESTION).json()["chat"]
    Collection.objects.filter(pk=shelf.pk).update(visibility="private", owner=users["bob"])
    assert alice_api.ask("Redis?", chat=chat).status_code == 409
    assert len(alice_api.get(f"chats/{chat}/").json()["messages"]) == 2


def test_all_three_ways_to_sign_in_may_ask(
    nobody: Api, users: dict[str, User], shelf: Collection
) -> None:
    users["alice"].set_password(PASSWORD)
    users["alice"].save()
    root = nobody.url
    login = {"email": "alice@example.org", "password": PASSWORD}
    session = httpx2.post(f"{root}/_allauth/app/v1/auth/login", json=login, timeout=20).json()
    token_header = {"X_Session_Token": session["meta"]["session_token"]}
    assert nobody.ask(QUESTION, **token_header).status_code == 200

    with httpx2.Client(base_url=root, timeout=20, follow_redirects=True) as browser:
        page = browser.get("/accounts/login/").text
        token = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token
        form = {"csrfmiddlewaretoken": token[1], "login": login["email"], "password": PASSWORD}
        browser.post("/accounts/login/", data=form)
        body = {"collection": "shelf", "text": QUESTION}
        refused = browser.post("/api/v1/chats/", json=body)
        assert refused.status_code == 403
        taken = browser.post(
            "/api/v1/chats/", json=body, headers={"X-CSRFToken": browser.cookies["csrftoken"]}
        )
        assert taken.status_code == 200
    assert Chat.objects.filter(owner=users["alice"]).count() == 2


def test_a_lock_that_stays_taken_is_not_waited_for_forever(
    alice_api: Api, chat: Chat, model: ScriptedModel, monkeypatch
) -> None:
    """Whoever waits holds a thread; the question was not stored, and the same key stores it later."""
    monkeypatch.setattr(turns, "LOCK_MILLISECONDS", 200)
    with transaction.atomic():
        Chat.objects.select_for_update().get(pk=chat.pk)
        refused = alice_api.ask(QUESTION, chat=str(chat.pk), Idempotency_Key="k")
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    script(model, ANSWER)
    asked = alice_api.ask(QUESTION, chat=str(chat.pk), Idempotency_Key="k")
    assert asked.json()["message"]["text"] == ANSWER


def test_what_a_frozen_process_has_locked_is_free_again(
    alice_api: Api, chat: Chat, users: dict[str, User], model: ScriptedModel, monkeypatch
) -> None:
    """It stopped while it stored a question: the next one waits for that, and does not fail with it."""
    monkeypatch.setattr(turns, "IDLE_MILLISECONDS", 200)
    script(model, ANSWER)
    with (
        pytest.raises(InternalError) as lost,
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        turns.lock_posts(cursor, users["alice"])
        Chat.objects.select_for_update().get(pk=chat.pk)
        asked = alice_api.ask(QUESTION, chat=str(chat.pk))
        assert asked.json()["message"]["text"] == ANSWER
        cursor.execute("SELECT 1")
    told = describe(lost.value)
    assert told
    assert told.status == 503
