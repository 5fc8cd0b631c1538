"""Chats and messages over HTTP: reading, changing, deleting, rating, choosing a version."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mundap.accounts.models import User
from mundap.chats import services, store
from mundap.chats.models import Chat, Message, Turn
from mundap.library.models import Collection
from tests.chats.conftest import CHAT_KEYS, QUESTION, make_chat
from tests.chats.server import Api

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_chat_is_read_with_its_messages(alice_api: Api, chat: Chat) -> None:
    reply = alice_api.get(f"chats/{chat.pk}/")
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "private, no-cache"
    assert {"Authorization", "Cookie", "X-Session-Token"} <= set(
        reply.headers["vary"].replace(" ", "").split(",")
    )
    body = reply.json()
    assert set(body) == CHAT_KEYS | {"messages", "before"}
    assert (body["collection"], body["title"], body["before"]) == ("shelf", "A chat", None)
    assert [message["text"] for message in body["messages"]] == ["Redis?", "Yes."]


def test_what_the_reader_has_is_not_sent_again(alice_api: Api, chat: Chat) -> None:
    path = f"chats/{chat.pk}/"
    etag = alice_api.get(path).headers["etag"]
    assert etag.startswith(f'"{Chat.objects.get().rev}-')
    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        same = alice_api.get(path, If_None_Match=known)
        assert (same.status_code, same.content) == (304, b"")
        assert same.headers["etag"] == etag
    assert alice_api.get(path, If_None_Match='"other"').status_code == 200
    Message.objects.filter(position=1).update(text="No.")
    changed = alice_api.get(path, If_None_Match=etag)
    assert changed.status_code == 200
    assert changed.json()["messages"][1]["text"] == "No."


def test_a_304_costs_one_small_query(users: dict[str, User], chat: Chat) -> None:
    read = async_to_sync(store.read)
    etag = read(users["alice"], chat.pk).etag
    with CaptureQueriesContext(connection) as queries:
        assert read(users["alice"], chat.pk, known_etags=[etag]).content is None
    assert len(queries) == 1
    with CaptureQueriesContext(connection) as queries:
        read(users["alice"], chat.pk)
    assert len(queries) == 2


def test_a_long_chat_is_read_in_pages(
    alice_api: Api, users: dict[str, User], shelf: Collection
) -> None:
    chat = make_chat(users["alice"], shelf, *[f"text {number}" for number in range(120)])
    last = alice_api.get(f"chats/{chat.pk}/").json()
    assert [message["position"] for message in last["messages"]] == list(range(70, 120))
    middle = alice_api.get(f"chats/{chat.pk}/?before={last['before']}").json()
    assert [message["position"] for message in middle["messages"]] == list(range(20, 70))
    first = alice_api.get(f"chats/{chat.pk}/?before={middle['before']}").json()
    assert [message["position"] for message in first["messages"]] == list(range(20))
    assert first["before"] is None
    for wrong in ("x", "-1", "9" * 40, "%00", "²"):
        assert alice_api.get(f"chats/{chat.pk}/?before={wrong}").status_code == 400


def test_title_and_pin_are_changed(alice_api: Api, chat: Chat) -> None:
    path = f"chats/{chat.pk}/"
    before = alice_api.get(path)
    changed = alice_api.http.patch(path, json={"title": " 캐시 ", "pinned": True})
    assert changed.status_code == 200
    assert (changed.json()["title"], changed.json()["pinned"]) == ("캐시", True)
    assert changed.json()["rev"] > before.json()["rev"]
    assert changed.json()["updated_at"] == before.json()["updated_at"]
    assert alice_api.http.patch(path, json={}).json() == changed.json()


@pytest.mark.parametrize(
    "change",
    [{"title": ""}, {"title": " "}, {"title": "x" * 201}, {"title": None}, {"pinned": "perhaps"},
     {"pinned": None}, {"title": "a\0b"}, {"title": ["x"]}],
)  # fmt: skip
def test_a_change_that_is_none_is_refused(
    alice_api: Api, chat: Chat, change: dict[str, Any]
) -> None:
    reply = alice_api.http.patch(f"chats/{chat.pk}/", json=change)
    assert reply.status_code == 400
    assert Chat.objects.get().title == "A chat"


def test_a_deleted_chat_comes_back(alice_api: Api, bob_api: Api, chat: Chat) -> None:
    path = f"chats/{chat.pk}/"
    assert alice_api.http.delete(path).status_code == 204
    assert alice_api.get(path).status_code == 404
    assert alice_api.get("chats/").json()["results"] == []
    assert alice_api.http.delete(path).status_code == 404
    assert alice_api.ask("Redis?", chat=str(chat.pk)).status_code == 404
    assert bob_api.post(f"{path}restore/").status_code == 404
    restored = alice_api.post(f"{path}restore/")
    assert restored.status_code == 200
    assert len(restored.json()["messages"]) == 2
    assert alice_api.post(f"{path}restore/").status_code == 200
    assert alice_api.get(path).json() == restored.json()


def test_what_was_deleted_long_ago_is_gone(alice_api: Api, chat: Chat) -> None:
    recent = make_chat(chat.owner, chat.collection, "Kept?", title="Recent")
    Chat.objects.filter(pk=chat.pk).update(deleted_at=timezone.now() - timedelta(days=31))
    Chat.objects.filter(pk=recent.pk).update(deleted_at=timezone.now() - timedelta(days=29))
    assert alice_api.post(f"chats/{chat.pk}/restore/").status_code == 404
    services.purge()
    assert [each.title for each in Chat.objects.all()] == ["Recent"]
    assert alice_api.post(f"chats/{recent.pk}/restore/").status_code == 200


def test_chats_are_kept_for_as_long_as_the_operator_says(chat: Chat, settings) -> None:
    asked = {"now": 0, "lately": 29, "long ago": 31, "running": 31}
    for title, days in asked.items():
        each = make_chat(chat.owner, chat.collection, "Kept?", title=title)
        at = timezone.now() - timedelta(days=days)
        Chat.objects.filter(pk=each.pk).update(updated_at=at, pinned=True)
    Turn.objects.create(
        chat=each,
        owner=chat.owner,
        idempotency_key="k",
        request_hash=b"",
        lease_until=timezone.now(),
    )
    services.purge()
    assert Chat.objects.count() == 5
    settings.KEEP_CHATS_DAYS = 30
    services.purge()
    left = set(Chat.objects.values_list("title", flat=True))
    assert left == {"A chat", "now", "lately", "running"}


def test_others_see_nothing_and_change_nothing(
    bob_api: Api, nobody: Api, alice_api: Api, chat: Chat
) -> None:
    answer = Message.objects.get(position=1)

    def tries(api: Api, chat_id: str, message_id: str) -> set[int]:
        replies: list[httpx2.Response] = [
            api.get(f"chats/{chat_id}/"),
            api.http.patch(f"chats/{chat_id}/", json={"title": "Mine"}),
            api.http.delete(f"chats/{chat_id}/"),
            api.http.put(f"messages/{message_id}/feedback/", json={"rating": "up"}),
            api.post(f"messages/{message_id}/select/"),
        ]
        assert all(reply.json()["error"]["message"] for reply in replies)
        return {reply.status_code for reply in replies}

    before = alice_api.get(f"chats/{chat.pk}/").json()
    assert tries(bob_api, str(chat.pk), str(answer.pk)) == {404}
    assert tries(nobody, str(chat.pk), str(answer.pk)) == {401}
    assert tries(alice_api, str(uuid4()), str(uuid4())) == {404}
    assert bob_api.get("chats/").json()["results"] == []
    assert nobody.get("chats/").status_code == 401
    assert alice_api.get(f"chats/{chat.pk}/").json() == before


def test_an_answer_is_rated(alice_api: Api, chat: Chat) -> None:
    answer = Message.objects.get(position=1)
    path = f"messages/{answer.pk}/feedback/"
    rated = alice_api.http.put(path, json={"rating": "down", "comment": "Wrong page."})
    assert rated.json()["feedback"] == {"rating": "down", "comment": "Wrong page."}
    shown = alice_api.get(f"chats/{chat.pk}/").json()["messages"][1]
    assert shown == rated.json()
    assert alice_api.http.put(path, json={"rating": None}).json()["feedback"] is None
    for wrong in ({"rating": "great"}, {"rating": "up", "comment": "x" * 2001}, {"rating": 1}):
        assert alice_api.http.put(path, json=wrong).status_code == 400
    question = Message.objects.get(position=0)
    refused = alice_api.http.put(f"messages/{question.pk}/feedback/", json={"rating": "up"})
    assert refused.status_code == 409


def test_a_version_brings_along_what_belongs_to_it(alice_api: Api) -> None:
    done = alice_api.ask(QUESTION).json()
    turn = Turn.objects.get()
    other = Turn.objects.get()
    other.pk, other.idempotency_key = uuid4(), "other"
    question = Message(chat_id=turn.chat_id, position=0, version=2, is_current=False, role="user")
    answer = Message(
        chat_id=turn.chat_id, position=1, version=2, is_current=False, role="assistant"
    )
    question.text, answer.text = "Edited?", "Edited."
    other.question, other.answer = None, None
    other.save(force_insert=True)
    question.save()
    answer.save()
    other.question, other.answer = question, answer
    other.save()

    def shown(reply: httpx2.Response) -> list[str]:
        return [message["text"] for message in reply.json()["messages"]]

    chosen = alice_api.post(f"messages/{answer.pk}/select/")
    assert chosen.status_code == 200
    assert shown(chosen) == ["Edited?", "Edited."]
    first = str(turn.question_id)
    back = alice_api.post(f"messages/{first}/select/")
    assert shown(back) == [QUESTION, done["message"]["text"]]
    assert back.json()["messages"][1]["versions"] == [done["message"]["id"], str(answer.pk)]
    alice_api.ask("Redis?", chat=done["chat"])
    assert alice_api.post(f"messages/{answer.pk}/select/").status_code == 409
