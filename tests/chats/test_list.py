"""The list of chats: newest first, in pages, by its index alone, and not sent twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mundap.accounts.models import User
from mundap.chats.chat_list import list_chats
from mundap.chats.models import Chat, Message
from mundap.library.models import Collection
from tests.chats.conftest import CHAT_KEYS, QUESTION, make_chat
from tests.chats.server import Api

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_list_is_newest_first_and_paged(
    alice_api: Api, users: dict[str, User], shelf: Collection
) -> None:
    for number in range(65):
        make_chat(users["alice"], shelf, title=f"chat {number}", minutes_ago=number)
    make_chat(users["bob"], shelf, title="not alice's")
    page = alice_api.get("chats/").json()
    assert set(page["results"][0]) == CHAT_KEYS
    titles = [chat["title"] for chat in page["results"]]
    while page["next"]:
        page = alice_api.http.get(page["next"]).json()
        titles += [chat["title"] for chat in page["results"]]
    assert titles == [f"chat {number}" for number in range(65)]
    for wrong in ("x", "bm9uc2Vuc2U", "²", "MSAx"):
        assert alice_api.get(f"chats/?cursor={wrong}").status_code == 400


def test_a_question_moves_its_chat_to_the_top(
    alice_api: Api, users: dict[str, User], shelf: Collection
) -> None:
    old = make_chat(users["alice"], shelf, "Redis?", "Yes.", title="old", minutes_ago=60)
    make_chat(users["alice"], shelf, title="new")
    alice_api.ask(QUESTION, chat=str(old.pk))
    assert [chat["title"] for chat in alice_api.get("chats/").json()["results"]] == ["old", "new"]


def test_an_unchanged_list_is_not_sent_again(
    alice_api: Api, users: dict[str, User], chat: Chat, shelf: Collection
) -> None:
    def title() -> None:
        Chat.objects.update(title="Other")

    def answer() -> None:
        Message.objects.filter(position=1).update(text="No.")

    def rename() -> None:
        Collection.objects.update(slug="other")

    def add() -> None:
        make_chat(users["alice"], shelf)

    for change in (title, answer, rename, add):
        etag = alice_api.get("chats/").headers["etag"]
        same = alice_api.get("chats/", If_None_Match=etag)
        assert (same.status_code, same.content) == (304, b"")
        change()
        assert alice_api.get("chats/", If_None_Match=etag).status_code == 200


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The plan's node and all below it."""
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


@pytest.mark.parametrize("pinned", [None, True])
@pytest.mark.parametrize("is_first", [True, False])
def test_the_list_is_read_by_its_index_alone(
    users: dict[str, User], shelf: Collection, pinned: bool | None, is_first: bool
) -> None:
    Chat.objects.bulk_create(
        Chat(owner=owner, collection=shelf, title=f"{number}", pinned=number % 20 == 0)
        for number in range(2_000)
        for owner in users.values()
    )
    make_chat(users["alice"], shelf, "Redis?", "Yes.", minutes_ago=60)
    with connection.cursor() as db:
        db.execute("ANALYZE chats_chat")  # or what earlier tests left there decides
    cursor = "" if is_first else list_chats(users["alice"], pinned=pinned).cursor or ""
    with CaptureQueriesContext(connection) as queries:
        page = list_chats(users["alice"], pinned=pinned, cursor=cursor)
    assert len(page.chats) == 30
    (query,) = queries
    with connection.cursor() as db:
        db.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query['sql']}")
        read = list(nodes(db.fetchone()[0][0]["Plan"]))
    assert "chats_message" not in {node.get("Relation Name") for node in read}
    (chats,) = (node for node in read if node.get("Relation Name") == "chats_chat")
    assert chats["Index Name"] == ("chat_list_pinned" if pinned else "chat_list")
    assert chats["Actual Rows"] == 31


def test_only_pinned_chats(alice_api: Api, users: dict[str, User], shelf: Collection) -> None:
    make_chat(users["alice"], shelf, title="plain")
    Chat.objects.filter(pk=make_chat(users["alice"], shelf, title="pin").pk).update(pinned=True)

    def titles(query: str) -> list[str]:
        return [chat["title"] for chat in alice_api.get(f"chats/?{query}").json()["results"]]

    assert titles("pinned=true") == ["pin"]
    assert titles("pinned=false") == ["plain"]
    assert alice_api.get("chats/?pinned=perhaps").status_code == 400
