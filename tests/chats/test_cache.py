"""What lies in Redis under a chat: used when it is the chat's present state, worth nothing otherwise."""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from django.conf import settings as django_settings
from prometheus_client import REGISTRY

from mundap.accounts.models import User
from mundap.chats.body_cache import key_of
from mundap.chats.models import Chat, Message
from mundap.chats.sealed_body import MOST_BYTES, Identity, NotThis, seal, unseal
from mundap.config import redis_client
from mundap.library.models import Collection
from tests.chats.conftest import make_chat
from tests.chats.server import Api, wait_for
from tests.faults.redis_server import RedisServer

IDENTITY = Identity(uuid4(), uuid4(), 7, uuid4())


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"mundap_{name}_total", labels) or 0.0


# --- the value


@pytest.mark.parametrize(
    "body", [b"", b"{}", "캐시".encode() * 10, b"x" * 70_000, b"ab" * 2_000_000]
)
def test_a_body_comes_back_as_it_was(body: bytes) -> None:
    value = seal(IDENTITY, body)
    assert value is not None
    assert unseal(value, expected=IDENTITY) == body
    assert len(value) < 70_000 + 200  # long ones are compressed


def test_a_body_that_is_too_large_is_not_kept() -> None:
    assert seal(IDENTITY, b"x" * (MOST_BYTES + 1)) is None


def test_a_changed_byte_is_noticed_wherever_it_is() -> None:
    value = seal(IDENTITY, b'{"text": "x"}')
    assert value is not None
    for place in range(len(value)):
        changed = value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]
        with pytest.raises(NotThis, match="tag"):
            unseal(changed, expected=IDENTITY)
    for length in range(len(value)):
        with pytest.raises(NotThis, match="tag"):
            unseal(value[:length], expected=IDENTITY)


@pytest.mark.parametrize(
    ("other", "reason"),
    [(Identity(uuid4(), IDENTITY.owner, 7, IDENTITY.etag), "owner"),
     (Identity(IDENTITY.chat, uuid4(), 7, IDENTITY.etag), "owner"),
     (Identity(IDENTITY.chat, IDENTITY.owner, 6, IDENTITY.etag), "rev"),
     (Identity(IDENTITY.chat, IDENTITY.owner, 8, IDENTITY.etag), "rev"),
     (Identity(IDENTITY.chat, IDENTITY.owner, 7, uuid4()), "etag")],
)  # fmt: skip
def test_another_state_is_not_this(other: Identity, reason: str) -> None:
    value = seal(other, b"{}")
    assert value is not None
    with pytest.raises(NotThis, match=reason):
        unseal(value, expected=IDENTITY)


def test_a_value_sealed_with_another_key_is_refused(settings) -> None:
    settings.CACHE_KEY = "another"
    value = seal(IDENTITY, b"{}")
    settings.CACHE_KEY = "this"
    assert value is not None
    with pytest.raises(NotThis, match="tag"):
        unseal(value, expected=IDENTITY)


# --- reading


@pytest.fixture
def raw() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(django_settings.REDIS_URL) as client:
        yield client


@pytest.fixture
def chat(users: dict[str, User], shelf: Collection, alice_api: Api) -> Chat:
    alice_api.get("tokens/")
    return make_chat(users["alice"], shelf, "Redis?", "Yes.")


def filled(api: Api, chat: Chat, raw: redis.Redis) -> bytes:
    """Read the chat, and return the value when it lies in Redis."""
    assert api.get(f"chats/{chat.pk}/").status_code == 200
    value = wait_for(lambda: raw.get(key_of(chat.pk)))
    assert isinstance(value, bytes)
    return value


@pytest.mark.django_db(transaction=True)
def test_the_second_read_comes_from_redis_and_expires(
    alice_api: Api, chat: Chat, raw: redis.Redis
) -> None:
    filled(alice_api, chat, raw)
    before = count("cache_hits")
    first, second = (alice_api.get(f"chats/{chat.pk}/") for _ in range(2))
    assert first.content == second.content
    assert count("cache_hits") == before + 2
    assert 0.9 * 3600 - 60 < raw.ttl(key_of(chat.pk)) <= 1.1 * 3600
    assert re.fullmatch(r"mundap1:\{[0-9a-f-]{36}\}:body", key_of(chat.pk))


def old_format(value: bytes) -> bytes:
    return b"MDB0" + value[4:]


def said_to_be_huge(value: bytes) -> bytes:
    place = struct.calcsize(">4s16s16sQ16sB")
    return value[:place] + b"\xff\xff\xff\xff" + value[place + 4 :]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "spoil",
    [lambda value: b"", lambda value: b"rubbish", lambda value: value[:-1], lambda value: value[:40],
     lambda value: value + b"x", lambda value: b"\x80\x04N.", lambda value: b"x" * 20_000_000,
     lambda value: value.replace(b"Yes.", b"No!!"), old_format, said_to_be_huge],
)  # fmt: skip
def test_what_is_not_ours_is_a_miss_and_is_replaced(
    alice_api: Api, chat: Chat, raw: redis.Redis, spoil: Callable[[bytes], bytes]
) -> None:
    value = filled(alice_api, chat, raw)
    good = alice_api.get(f"chats/{chat.pk}/")
    before = count("cache_misses", reason="tag")
    raw.set(key_of(chat.pk), spoil(value))
    again = alice_api.get(f"chats/{chat.pk}/")
    assert (again.status_code, again.content) == (200, good.content)
    assert count("cache_misses", reason="tag") == before + 1
    wait_for(lambda: raw.get(key_of(chat.pk)) == value)


@pytest.mark.django_db(transaction=True)
def test_a_wrong_type_is_a_miss_and_is_replaced(
    alice_api: Api, chat: Chat, raw: redis.Redis
) -> None:
    value = filled(alice_api, chat, raw)
    before = count("cache_misses", reason="error")
    raw.delete(key_of(chat.pk))
    raw.rpush(key_of(chat.pk), "a list")
    assert alice_api.get(f"chats/{chat.pk}/").json()["messages"][1]["text"] == "Yes."
    assert count("cache_misses", reason="error") == before + 1
    wait_for(lambda: raw.type(key_of(chat.pk)) == b"string" and raw.get(key_of(chat.pk)) == value)


@pytest.mark.django_db(transaction=True)
def test_swapped_and_old_values_are_never_shown(
    alice_api: Api, bob_api: Api, chat: Chat, raw: redis.Redis, users: dict[str, User]
) -> None:
    bob_api.get("tokens/")
    other = make_chat(users["bob"], chat.collection, "Secret?", "Bob's secret.")
    mine, theirs = filled(alice_api, chat, raw), filled(bob_api, other, raw)
    raw.set(key_of(chat.pk), theirs)
    raw.set(key_of(other.pk), mine)
    reasons = ("owner", "rev")
    before = [count("cache_misses", reason=reason) for reason in reasons]
    for api, place in ((alice_api, chat), (bob_api, other)):
        texts = api.get(f"chats/{place.pk}/").text
        assert ("Bob's secret" in texts) == (place is other)
    wait_for(lambda: raw.get(key_of(chat.pk)) == mine)
    Message.objects.filter(chat=chat, position=1).update(text="No.")
    assert alice_api.get(f"chats/{chat.pk}/").json()["messages"][1]["text"] == "No."
    after = [count("cache_misses", reason=reason) for reason in reasons]
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 1]


@pytest.mark.django_db(transaction=True)
def test_a_deleted_chat_leaves_redis(alice_api: Api, chat: Chat, raw: redis.Redis) -> None:
    filled(alice_api, chat, raw)
    assert alice_api.http.delete(f"chats/{chat.pk}/").status_code == 204
    wait_for(lambda: raw.get(key_of(chat.pk)) is None)
    assert alice_api.get(f"chats/{chat.pk}/").status_code == 404
    assert alice_api.post(f"chats/{chat.pk}/restore/").json()["messages"][1]["text"] == "Yes."


@pytest.mark.django_db(transaction=True)
def test_the_self_check_compares_hits_with_postgres(
    alice_api: Api, chat: Chat, raw: redis.Redis, settings
) -> None:
    settings.CACHE_CHECK_EVERY = 1
    filled(alice_api, chat, raw)
    before = count("cache_self_checks", result="same")
    alice_api.get(f"chats/{chat.pk}/")
    wait_for(lambda: count("cache_self_checks", result="same") == before + 1)
    # A body that validates and is another one can only be made with our own key: that must be noticed.
    state = Chat.objects.get(pk=chat.pk)
    noticed = count("cache_self_checks", result="different")
    forged = seal(Identity(chat.pk, chat.owner_id, state.rev, state.etag), b'{"forged": 1}')
    raw.set(key_of(chat.pk), forged)
    assert alice_api.get(f"chats/{chat.pk}/").json() == {"forged": 1}
    wait_for(lambda: count("cache_self_checks", result="different") == noticed + 1)
    wait_for(lambda: raw.get(key_of(chat.pk)) != forged)


async def test_a_redis_that_is_back_is_noticed_without_requests(settings, tmp_path: Path) -> None:
    def is_left_alone() -> float | None:
        return REGISTRY.get_sample_value("mundap_redis_breaker_open", {"client": "quick"})

    with RedisServer(tmp_path) as server:
        settings.REDIS_URL = server.url
        redis_client.open_clients()
        client = redis_client.find_client()
        assert client is not None
        server.pause()
        while not is_left_alone():
            await client.attempt("test", lambda redis: redis.ping())
        await redis_client.probe()
        assert is_left_alone()
        server.resume()
        async with asyncio.timeout(20):
            while is_left_alone():  # it is tried every two seconds
                await redis_client.probe()
                await asyncio.sleep(0.05)
        await redis_client.close_clients()
