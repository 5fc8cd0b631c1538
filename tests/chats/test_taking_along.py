"""Chats taken elsewhere over HTTP: as files, and as links that others may read."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from mundap.accounts.models import User
from mundap.chats.models import Chat, Message, Share
from mundap.library.models import Collection
from tests.chats.conftest import CHAT_KEYS, make_chat
from tests.chats.server import Api

pytestmark = pytest.mark.django_db(transaction=True)
CITATION = {
    "number": 1,
    "passage": "01a20000-0000-7000-8000-00000000000a",
    "document": "The cache",
    "path": "secret/path.txt",
    "headings": ["Redis [sic]"],
    "url": "https://docs.example.org/cache/#redis",
    "quote": "Use the\nRedis backend.",
    "supported": None,
}


def test_json_has_everything(alice_api: Api, chat: Chat) -> None:
    Message.objects.filter(position=1).update(is_current=False)
    Message.objects.create(
        chat=chat, position=1, version=2, role="assistant", text="Yes [1].", citations=[CITATION]
    )
    reply = alice_api.get(f"chats/{chat.pk}/export/")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["content-disposition"].startswith("attachment; filename=")
    exported = reply.json()
    assert set(exported) == CHAT_KEYS | {"messages"}
    versions = [(one["text"], one["version"], one["is_current"]) for one in exported["messages"]]
    assert versions == [("Redis?", 1, True), ("Yes.", 1, False), ("Yes [1].", 2, True)]
    assert exported["messages"][2]["citations"] == [CITATION]


def test_markdown_reads_well(alice_api: Api, users: dict[str, User], shelf: Collection) -> None:
    texts = ["How?\nIn two lines.", "Like *this* [1].", "And?", "Half an"]
    chat = make_chat(users["alice"], shelf, *texts, title="캐시 / a\\b:c")
    Message.objects.filter(position=1).update(citations=[CITATION])
    Message.objects.filter(position=3).update(state="stopped")
    reply = alice_api.get(f"chats/{chat.pk}/export/?format=md")
    assert reply.headers["content-type"] == "text/markdown; charset=utf-8"
    body = reply.text.split("\n\n")
    assert body[0] == "# 캐시 / a\\b:c"
    assert body[1].startswith("shelf · ")
    assert body[2:5] == ["## How?", "In two lines.", "Like *this* [1]."]
    assert body[5] == (
        "- \\[1\\] [The cache › Redis \\[sic\\]](<https://docs.example.org/cache/#redis>): "
        "“Use the Redis backend.”"
    )
    assert body[6:] == ["## And?", "Half an", "*(stopped)*\n"]
    assert "/" not in reply.headers["content-disposition"].partition("''")[2]


def test_a_link_is_made_shown_again_and_taken_back(
    alice_api: Api, nobody: Api, server: str, chat: Chat
) -> None:
    path = f"chats/{chat.pk}/share/"
    made = alice_api.post(path)
    assert made.status_code == 201
    assert made.json().keys() == {"url", "created_at", "updated_at"}
    again = alice_api.post(path)
    assert again.status_code == 200
    assert again.json()["url"] == made.json()["url"]
    assert again.json()["updated_at"] > made.json()["updated_at"]
    url = made.json()["url"]
    assert url.startswith(server)
    assert "Redis?" in nobody.http.get(url).text
    assert "secret/path.txt" not in json.dumps(Share.objects.get().content)
    assert [alice_api.http.delete(path).status_code for _ in range(2)] == [204, 204]
    assert nobody.http.get(url).status_code == 404


def test_there_must_be_an_answer(alice_api: Api, users: dict[str, User], shelf: Collection) -> None:
    empty = make_chat(users["alice"], shelf, "Redis?")
    assert alice_api.post(f"chats/{empty.pk}/share/").status_code == 409
    running = make_chat(users["alice"], shelf, "Redis?", "Yes.", "And?", "")
    Message.objects.filter(chat=running, position=3).update(state="running")
    alice_api.post(f"chats/{running.pk}/share/")
    assert [one["text"] for one in Share.objects.get().content["messages"]] == ["Redis?", "Yes."]


def test_only_the_owner_takes_a_chat_along(
    alice_api: Api, bob_api: Api, nobody: Api, chat: Chat, settings
) -> None:
    def tries(api: Api, chat_id: object) -> set[int]:
        return {
            api.get(f"chats/{chat_id}/export/").status_code,
            api.post(f"chats/{chat_id}/share/").status_code,
            api.http.delete(f"chats/{chat_id}/share/").status_code,
        }

    assert tries(nobody, chat.pk) == {401}
    assert tries(bob_api, chat.pk) == {404}
    assert tries(alice_api, uuid4()) == {404}
    assert tries(alice_api, "rubbish") == {404}
    assert alice_api.get(f"chats/{chat.pk}/export/?format=pdf").status_code == 400
    assert not Share.objects.exists()
    rates = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] | {"user": "0/day"}
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": rates}
    assert tries(alice_api, chat.pk) == {429}
    settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]["user"] = "100000/min"
    assert alice_api.http.delete(f"chats/{chat.pk}/").status_code == 204
    assert tries(alice_api, chat.pk) == {404}
