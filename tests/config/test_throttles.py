"""Limits on requests: they refuse with a time to wait, and are open and quick without Redis."""

from __future__ import annotations

import pickle
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, RequestFactory
from django_redis import get_redis_connection

from mundap.accounts.models import User
from mundap.accounts.tokens import make_token
from mundap.config.addresses import client_address
from mundap.config.throttles import parse_rate, require_rate
from mundap.errors import LimitReached

pytestmark = pytest.mark.django_db
URL = "/api/v1/tokens/"


@pytest.fixture
def rates(settings):
    def put(**given: str) -> None:
        rates = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] | given
        settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": rates}

    return put


@pytest.fixture
def deaf_redis(settings) -> Iterator[None]:
    """A Redis that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": url}}
        yield


def test_a_user_over_the_limit_is_told_when_to_come_back(
    alice_client: Client, bob_client: Client, rates
) -> None:
    rates(user="3/day")
    assert [alice_client.get(URL).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = alice_client.get(URL)
    assert refused.json()["error"]["code"] == "limit_reached"
    assert 0 < int(refused["Retry-After"]) <= 86400
    assert bob_client.get(URL).status_code == 200


def test_an_address_over_the_limit(client: Client, alice_client: Client, rates) -> None:
    rates(address="2/day")
    assert [client.get("/api/schema/").status_code for _ in range(3)] == [200, 200, 429]
    assert client.get("/api/schema/", REMOTE_ADDR="192.0.2.9").status_code == 200
    assert alice_client.get(URL).status_code == 200


@pytest.mark.parametrize("name", ["Authorization", "X-Session-Token"])
def test_wrong_tokens_count_as_requests_of_their_address(
    client: Client, alice: User, rates, name: str
) -> None:
    rates(address="2/day")
    wrong = {name: "Bearer mundap_guess" if name == "Authorization" else "guess"}
    assert [client.get(URL, headers=wrong).status_code for _ in range(3)] == [401, 401, 429]
    _token, secret = make_token(alice, name="right")
    right = {"Authorization": f"Bearer {secret}"}
    assert client.get(URL, headers=right).status_code == 200  # others at the address go on
    assert client.get(URL, REMOTE_ADDR="192.0.2.9", headers=wrong).status_code == 401


def test_turns_outside_rest_framework(rates) -> None:
    rates(turns="1/day")
    require_rate("turns", "somebody")
    with pytest.raises(LimitReached) as refused:
        require_rate("turns", "somebody")
    assert refused.value.extra["retry_after_seconds"] > 0
    require_rate("turns", "somebody else")


def test_requests_at_once_are_all_counted(rates) -> None:
    rates(turns="20/day")

    def is_let_in(_number: int) -> bool:
        try:
            require_rate("turns", "somebody")
        except LimitReached:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(is_let_in, range(64))) == 20


def test_without_redis_everybody_is_let_in(alice_client: Client, rates, settings) -> None:
    rates(user="1/day")
    settings.CACHES = {
        "default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}
    }
    assert [alice_client.get(URL).status_code for _ in range(3)] == [200] * 3


def test_a_redis_that_never_answers_costs_one_timeout(
    alice_client: Client, rates, deaf_redis: None
) -> None:
    rates(user="1/day")
    begun = time.perf_counter()
    assert [alice_client.get(URL).status_code for _ in range(10)] == [200] * 10
    assert time.perf_counter() - begun < 1.5


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\x00",
        pickle.dumps(10**6),
        b'"text"',
        b"null",
        b"[" * 100_000,
        b"1" * 400,
        [b"a", b"list"],
    ],
    ids=["bytes", "pickle", "text", "null", "nested", "huge", "list"],
)
def test_rubbish_under_its_key_opens_a_limit_and_no_more(
    alice_client: Client, bob_client: Client, rates, value: bytes | list[bytes]
) -> None:
    rates(user="1/day")
    assert [alice_client.get(URL).status_code for _ in range(2)] == [200, 429]
    redis = get_redis_connection("default")
    (key,) = redis.keys("*rate:user:*")
    redis.delete(key)
    redis.rpush(key, *value) if isinstance(value, list) else redis.set(key, value)
    assert [alice_client.get(URL).status_code for _ in range(2)] == [200, 200]
    assert [bob_client.get(URL).status_code for _ in range(2)] == [200, 429]


def test_every_count_expires(alice_client: Client, rates) -> None:
    rates(user="5/min")
    alice_client.get(URL)
    redis = get_redis_connection("default")
    (key,) = redis.keys("*rate:user:*")
    assert 0 < redis.ttl(key) <= 61


@pytest.mark.parametrize("rate", ["", "x/min", "5", "5/y", "-1/min"])
def test_a_wrong_rate_is_said_to_be_wrong(rate: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        parse_rate(rate)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "203.0.113.5", "192.0.2.1"),
        (1, "203.0.113.5", "203.0.113.5"),
        (1, "6.6.6.6, 203.0.113.5", "203.0.113.5"),
        (2, "6.6.6.6, 203.0.113.5, 10.0.0.1", "203.0.113.5"),
        (2, "203.0.113.5", "203.0.113.5"),
        (2, "6.6.6.6, 7.7.7.7, 203.0.113.5, 10.0.0.1", "203.0.113.5"),
        (2, "6.6.6.6,2001:db8:1:2:ffff::1,10.0.0.1", "2001:db8:1:2::"),
        (2, "6.6.6.6, ::ffff:203.0.113.5, fd00::1", "203.0.113.5"),
        (1, "203.0.113.5:4711", "203.0.113.5"),
        (1, "[2001:db8:1:2:3::4]:443", "2001:db8:1:2::"),
        (1, "::ffff:203.0.113.5", "203.0.113.5"),
        (1, "", "192.0.2.1"),
        (1, "unknown", "192.0.2.1"),
        (1, "203.0.113.5, rubbish", "192.0.2.1"),
    ],
)
def test_whose_address_counts(settings, proxies: int, forwarded: str, expected: str) -> None:
    settings.TRUSTED_PROXIES = proxies
    request = RequestFactory().get(
        "/", REMOTE_ADDR="192.0.2.1", headers={"X-Forwarded-For": forwarded}
    )
    assert client_address(request) == expected


def test_a_request_through_a_socket_has_no_address(settings) -> None:
    assert client_address(RequestFactory().get("/", REMOTE_ADDR="")) == "unknown"


def test_the_limit_is_the_users_whatever_they_sign_in_with(alice: User, rates) -> None:
    rates(user="1/day")
    first, second = Client(), Client()
    first.force_login(alice)
    second.force_login(alice)
    assert first.get(URL).status_code == 200
    assert second.get(URL).status_code == 429
