"""The classic contract, as a client of the original API calls it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from mundap.accounts.models import User
from mundap.chats.models import Chat, Message, Turn
from mundap.library.models import Collection
from tests.chats.conftest import ANSWER, QUESTION, make_chat, script
from tests.chats.server import Api, wait_for
from tests.scripted_model import ScriptedModel

pytestmark = pytest.mark.django_db(transaction=True)
ABOUT = {"category": "OFFICIAL_DOCS", "title_no": 7}
INFO = {**ABOUT, "title": "Shelf"}
NOT_FOUND = {"error": "ChatHistory not found"}
OPENING = {"SYSTEM": "init conversation"}


def first(api: Api, text: str = QUESTION, **more: object) -> httpx2.Response:
    return api.post("chatbot/", {**ABOUT, "user_input": text, **more})


def test_a_conversation_from_beginning_to_end(alice_api: Api, model: ScriptedModel) -> None:
    script(model, ANSWER)
    reply = first(alice_api)
    assert reply.status_code == 200
    assert reply.json() == {"id": reply.json()["id"], "AI": ANSWER}
    chat = reply.json()["id"]
    wait_for(lambda: Chat.objects.filter(title="Redis as a cache").exists())
    model.reset()
    model.say("database cache")
    model.say("Run createcachetable [1].")
    second = alice_api.post(f"chatbot/{chat}/", {"user_input": "And the database?"})
    assert second.json() == {"id": chat, "AI": "Run createcachetable [1]."}
    log = [
        OPENING,
        {"id_user": 1, "USER": QUESTION},
        {"id_ai": 1, "AI": ANSWER},
        {"id_user": 2, "USER": "And the database?"},
        {"id_ai": 2, "AI": "Run createcachetable [1]."},
    ]
    known = {"id": chat, "title": "Redis as a cache", "content_info": INFO}
    assert alice_api.get(f"chatbot/{chat}/").json() == known | {"chatlog": log}
    sessions = alice_api.get("chatbot/sessions/").json()
    assert sessions["chatsession"] == [known | {"conversation": log}]
    gone = alice_api.http.delete(f"chatbot/{chat}/")
    assert gone.status_code == 200
    assert list(gone.json()) == ["message"]
    assert alice_api.get("chatbot/sessions/").json()["chatsession"] == []
    assert alice_api.get(f"chatbot/{chat}/").json() == NOT_FOUND


def test_an_answer_is_explained_on_request(alice_api: Api, model: ScriptedModel) -> None:
    script(model, ANSWER)
    plain = first(alice_api).json()
    assert set(plain) == {"id", "AI"}
    wait_for(lambda: len(model.requests) == 3)
    model.reset()
    script(model, ANSWER)
    explained = first(alice_api, explain=True).json()
    assert set(explained) == {"id", "AI", "multi_query", "Retriever"}
    assert explained["multi_query"] == [QUESTION, "redis cache backend"]
    assert any("Redis backend" in passage["text"] for passage in explained["Retriever"])
    keys = {"number", "passage", "document", "path", "headings", "url", "text"}
    assert set(explained["Retriever"][0]) == keys


NO_CHAT = "01a20000-0000-7000-8000-00000000000a"
TRIES: list[Callable[[Api, str], httpx2.Response]] = [
    lambda api, chat: api.get(f"chatbot/{chat}/"),
    lambda api, chat: api.post(f"chatbot/{chat}/", {"user_input": "Redis?"}),
    lambda api, chat: api.post(f"chatbot/{chat}/", {}),
    lambda api, chat: api.http.delete(f"chatbot/{chat}/"),
    lambda api, chat: api.http.put(f"chatbot/{chat}/", json={}),
]


@pytest.mark.parametrize("attempt", TRIES)
@pytest.mark.parametrize("chat_id", ["7", "nonsense", "None", "채팅", "a" * 300, NO_CHAT])
def test_a_chat_that_is_not_there(
    alice_api: Api, attempt: Callable[[Api, str], httpx2.Response], chat_id: str
) -> None:
    reply = attempt(alice_api, chat_id)
    assert (reply.status_code, reply.json()) == (404, NOT_FOUND)


@pytest.mark.parametrize("attempt", TRIES)
def test_another_users_chat_is_not_there(
    alice_api: Api,
    bob_api: Api,
    nobody: Api,
    users: dict[str, User],
    shelf: Collection,
    attempt: Callable[[Api, str], httpx2.Response],
) -> None:
    chat = str(make_chat(users["alice"], shelf, "Redis?", "Yes.").pk)
    reply = attempt(bob_api, chat)
    assert (reply.status_code, reply.json()) == (404, NOT_FOUND)
    refused = attempt(nobody, chat)
    assert refused.status_code == 401
    assert isinstance(refused.json()["error"], str)
    assert Message.objects.count() == 2
    assert attempt(alice_api, chat).status_code in (200, 400, 405)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({**ABOUT}, 400),
        ({**ABOUT, "user_input": ""}, 400),
        ({**ABOUT, "user_input": 7}, 400),
        ({**ABOUT, "user_input": "a\0b"}, 400),
        ({**ABOUT, "user_input": "x" * 16_385}, 413),
        ({"category": "OFFICIAL_DOCS", "user_input": "Redis?"}, 400),
        ({"title_no": 7, "user_input": "Redis?"}, 400),
        ({"category": "NOWHERE", "title_no": 7, "user_input": "Redis?"}, 404),
        ({"category": "OFFICIAL_DOCS", "title_no": 99, "user_input": "Redis?"}, 404),
        ({"category": "OFFICIAL_DOCS", "title_no": 10**30, "user_input": "Redis?"}, 404),
        ({"category": "OFFICIAL_DOCS", "title_no": "9" * 30, "user_input": "Redis?"}, 404),
        ({"category": "OFFICIAL_DOCS", "title_no": -1, "user_input": "Redis?"}, 404),
        ({"category": "OFFICIAL_DOCS", "title_no": "x", "user_input": "Redis?"}, 400),
        ({"category": "OFFICIAL_DOCS", "title_no": True, "user_input": "Redis?"}, 400),
        ({"category": ["x"], "title_no": 7, "user_input": "Redis?"}, 400),
    ],
)
def test_a_question_that_is_none_is_refused(
    alice_api: Api, body: dict[str, object], status: int
) -> None:
    reply = alice_api.post("chatbot/", body)
    assert reply.status_code == status
    assert isinstance(reply.json()["error"], str)
    assert list(reply.json()) == ["error"]
    assert not Chat.objects.exists()


def test_a_number_may_be_written_as_text(alice_api: Api) -> None:
    assert first(alice_api, title_no="7").status_code == 200


def test_a_nul_in_the_address_is_refused_in_the_contracts_own_shape(alice_api: Api) -> None:
    reply = alice_api.get("chatbot/sessions/?cursor=a%00b")
    assert reply.status_code == 400
    assert list(reply.json()) == ["error"]
    assert isinstance(reply.json()["error"], str)


def test_a_body_that_is_no_json_is_refused(alice_api: Api) -> None:
    reply = alice_api.http.post(
        "chatbot/", content=b"{", headers={"Content-Type": "application/json"}
    )
    assert (reply.status_code, type(reply.json()["error"])) == (400, str)
    wrong = alice_api.http.put("chatbot/", json={})
    assert (wrong.status_code, type(wrong.json()["error"])) == (405, str)


def test_a_model_that_fails_keeps_the_question(alice_api: Api, model: ScriptedModel) -> None:
    model.fail(500)
    reply = first(alice_api)
    assert reply.status_code == 502
    assert isinstance(reply.json()["error"], str)
    (session,) = alice_api.get("chatbot/sessions/").json()["chatsession"]
    assert session["conversation"] == [
        OPENING,
        {"id_user": 1, "USER": QUESTION},
        {"id_ai": 1, "AI": ""},
    ]


def test_two_posts_at_once_lose_nothing(alice_api: Api, model: ScriptedModel) -> None:
    chat = first(alice_api).json()["id"]
    wait_for(lambda: not Turn.objects.filter(status="running").exists())
    model.reset()
    script(model, ANSWER, hold_after=2)
    with ThreadPoolExecutor(2) as pool:
        posts = [
            pool.submit(alice_api.post, f"chatbot/{chat}/", {"user_input": f"Redis {number}?"})
            for number in range(2)
        ]
        wait_for(lambda: any(post.done() for post in posts))
        model.release()
        replies = [post.result() for post in posts]
    assert sorted(reply.status_code for reply in replies) == [200, 409]
    (refused,) = [reply.json() for reply in replies if reply.status_code == 409]
    assert isinstance(refused["error"], str)
    log = alice_api.get(f"chatbot/{chat}/").json()["chatlog"]
    assert [next(iter(entry)) for entry in log] == [
        "SYSTEM",
        "id_user",
        "id_ai",
        "id_user",
        "id_ai",
    ]


def test_the_log_shows_current_versions_and_the_newest_thousand(
    alice_api: Api, users: dict[str, User], shelf: Collection
) -> None:
    chat = make_chat(users["alice"], shelf, *[f"text {number}" for number in range(1010)])
    Message.objects.create(
        chat=chat, position=1009, version=2, is_current=False, role="assistant", text="not shown"
    )
    log = alice_api.get(f"chatbot/{chat.pk}/").json()["chatlog"]
    assert len(log) == 1001
    assert log[:2] == [OPENING, {"id_user": 6, "USER": "text 10"}]
    assert log[-1] == {"id_ai": 505, "AI": "text 1009"}


def test_sessions_are_the_newest_fifty_and_older_ones_by_cursor(
    alice_api: Api, bob_api: Api, users: dict[str, User], shelf: Collection
) -> None:
    for number in range(60):
        make_chat(users["alice"], shelf, "Redis?", title=f"chat {number}", minutes_ago=number)
    page = alice_api.get("chatbot/sessions/").json()
    titles = [session["title"] for session in page["chatsession"]]
    assert len(titles) == 50
    rest = alice_api.get(f"chatbot/sessions/?cursor={page['next']}").json()
    titles += [session["title"] for session in rest["chatsession"]]
    assert titles == [f"chat {number}" for number in range(60)]
    assert rest["next"] is None
    assert bob_api.get("chatbot/sessions/").json()["chatsession"] == []
    assert alice_api.get("chatbot/sessions/?cursor=x").status_code == 400


def test_a_chat_whose_collection_is_gone_is_listed(
    alice_api: Api, users: dict[str, User], shelf: Collection
) -> None:
    make_chat(users["alice"], shelf, "Redis?", "Yes.")
    shelf.delete()
    (session,) = alice_api.get("chatbot/sessions/").json()["chatsession"]
    assert session["content_info"] == {"category": None, "title_no": None, "title": None}
