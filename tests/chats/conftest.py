"""A small shelf, and alice and bob as programs on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from mundap.accounts.models import User
from mundap.accounts.tokens import make_token
from mundap.chats import runner
from mundap.chats.models import Chat, Message
from mundap.library.models import Collection
from mundap.retrieval.indexing import index_lexical
from tests.chats.server import Api, served, wait_for
from tests.pages import add_cache_page
from tests.scripted_model import ScriptedModel

TEXTS = [
    "Caching keeps rendered pages, so that they need not be made again. Set CACHES to choose a backend.",
    "Use the Redis backend to keep the cache in memory on another machine, as in RedisCache.",
    "The cache can also live in the database. Run createcachetable to make its table.",
]
QUESTION = "How do I use Redis as the cache backend?"
ANSWER = "Use the Redis backend to keep the cache in memory [1]."
CHAT_KEYS = {
    "id", "title", "pinned", "collection", "created_at", "updated_at", "rev", "active_turn",
}  # fmt: skip


@pytest.fixture(scope="session")
def _server(django_db_setup: None) -> Iterator[str]:
    with served() as url:
        yield url


@pytest.fixture
def server(_server: str, transactional_db) -> Iterator[str]:
    """The server's address; what a test has left running there ends before the next one begins."""
    yield _server
    wait_for(lambda: all(each.is_idle for each in list(runner._runners.values())))


@pytest.fixture
def shelf(transactional_db) -> Collection:
    """Three passages on caching, searchable by BM25."""
    collection = Collection.objects.create(
        slug="shelf", title="Shelf", title_no=7, visibility="everyone", state="ready"
    )
    add_cache_page(collection, TEXTS, url="https://docs.example.org/cache/")
    index_lexical(collection)
    return collection


@pytest.fixture
def users(transactional_db) -> dict[str, User]:
    return {name: User.objects.create_user(f"{name}@example.org") for name in ("alice", "bob")}


def api_of(user: User, url: str) -> Api:
    _token, secret = make_token(user, name="test")
    return Api(url, secret)


@pytest.fixture
def alice_api(shelf: Collection, users: dict[str, User], server: str) -> Iterator[Api]:
    api = api_of(users["alice"], server)
    with api.http:
        yield api


@pytest.fixture
def bob_api(shelf: Collection, users: dict[str, User], server: str) -> Iterator[Api]:
    api = api_of(users["bob"], server)
    with api.http:
        yield api


@pytest.fixture
def nobody(server: str) -> Iterator[Api]:
    api = Api(server, "")
    with api.http:
        yield api


def script(model: ScriptedModel, text: str, **how: int) -> None:
    """Write down one turn: the queries, the answer, and a title for the chat."""
    model.say("redis cache backend")
    model.say(text, **how)
    model.say("Redis as a cache")


def make_chat(
    owner: User, collection: Collection, *texts: str, title: str = "A chat", minutes_ago: int = 0
) -> Chat:
    """A chat with these messages, question and answer in turn."""
    chat = Chat.objects.create(
        owner=owner,
        collection=collection,
        title=title,
        next_position=len(texts),
        updated_at=timezone.now() - timedelta(minutes=minutes_ago),
    )
    Message.objects.bulk_create(
        Message(
            chat=chat, position=position, role="assistant" if position % 2 else "user", text=text
        )
        for position, text in enumerate(texts)
    )
    return chat


@pytest.fixture
def chat(users: dict[str, User], shelf: Collection) -> Chat:
    return make_chat(users["alice"], shelf, "Redis?", "Yes.")
