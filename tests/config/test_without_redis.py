"""Without Redis, or with one that is of no use: request rates are open, everything else is as it was. Over real HTTP.

Rates are so low here that with Redis the second request of a user would be refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from redis import Redis

from mundap.accounts.models import Allowance, User
from mundap.library.models import Collection
from tests.chats.conftest import QUESTION, api_of
from tests.chats.server import Api, serving_process, wait_for
from tests.config.redis_faults import FAULTS, valkey
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)
RATES = {f"MUNDAP_THROTTLE_{name}": "1/day" for name in ("USER", "ADDRESS", "TURNS")}
TOKENS = "/api/v1/tokens/"
AUTH = "/_allauth/app/v1/auth"


@pytest.fixture(scope="module", params=FAULTS)
def server(request, django_db_setup, tmp_path_factory) -> Iterator[str]:
    """The address of a server process with such a Redis."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    with (
        FAULTS[request.param](folder) as url,
        serving_process(REDIS_URL=url, **RATES) as process,
    ):
        yield process.url


@pytest.fixture
def alice_api(server: str, alice: User) -> Iterator[Api]:
    api = api_of(alice, server)
    with api.http:
        yield api


@pytest.fixture
def http(server: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server, timeout=20) as client:
        yield client


def test_conversations_go_on(shelf: Collection, alice: User, alice_api: Api) -> None:
    Allowance.objects.create(user=alice, questions_per_day=2)
    asked = alice_api.ask(QUESTION)
    assert asked.status_code == 200
    chat, answer = asked.json()["chat"], asked.json()["message"]
    assert answer["state"] == "complete"
    assert answer["citations"]
    reads = [alice_api.get(f"chats/{chat}/") for _ in range(6)]
    assert [reply.status_code for reply in reads] == [200] * 6
    assert reads[-1].json()["messages"][-1]["text"] == answer["text"]
    etag = reads[-1].headers["ETag"]
    assert alice_api.get(f"chats/{chat}/", If_None_Match=etag).status_code == 304
    with alice_api.asking("And in the database?", chat=chat) as stream:
        assert stream.to_end()[-1]["type"] == "finish"
    assert len(alice_api.get(f"chats/{chat}/").json()["messages"]) == 4
    assert [each["id"] for each in alice_api.get("chats/").json()["results"]] == [chat]
    assert alice_api.get(f"chatbot/{chat}/").status_code == 200
    refused = alice_api.ask(QUESTION, chat=chat)  # this limit is kept in Postgres
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_reached")
    assert alice_api.http.delete(f"chats/{chat}/").status_code == 204
    assert alice_api.get(f"chats/{chat}/").status_code == 404


def test_signing_in_and_out(alice: User, http: httpx2.Client) -> None:
    new = {"email": "carol@example.org", "password": PASSWORD}
    assert http.post(f"{AUTH}/signup", json=new).status_code == 200
    first, second = sign_in(http, alice), sign_in(http, alice)
    for _ in range(3):
        assert http.get(TOKENS, headers=first).status_code == 200
    assert http.delete(f"{AUTH}/session", headers=first).status_code == 401  # signed out
    assert http.get(TOKENS, headers=first).status_code == 401
    assert http.get(TOKENS, headers=second).status_code == 200
    assert http.get("/accounts/login/", headers={"Accept": "text/html"}).status_code == 200
    wrong = {"email": alice.email, "password": "a wrong guess"}
    guesses = [http.post(f"{AUTH}/login", json=wrong).status_code for _ in range(6)]
    assert guesses == [400] * 5 + [429]  # this limit is kept in Postgres


def sign_in(http: httpx2.Client, user: User) -> dict[str, str]:
    reply = http.post(f"{AUTH}/login", json={"email": user.email, "password": PASSWORD})
    return {"X-Session-Token": reply.json()["meta"]["session_token"]}


def test_it_says_so(shelf: Collection, alice_api: Api, http: httpx2.Client) -> None:
    chat = alice_api.ask(QUESTION).json()["chat"]
    alice_api.get(f"chats/{chat}/")
    assert http.get("/healthz").json() == {"status": "ok"}
    ready = http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["status"] == "degraded"
    assert "redis" in ready.json()["missing"]
    wait_for(lambda: "mundap_redis_failures_total{" in http.get("/metrics").text)


def test_limits_pause_with_redis_and_come_back_with_it(alice: User, tmp_path: Path) -> None:
    """And sessions outlive it, stopped or emptied."""
    with (
        valkey(tmp_path) as redis,
        serving_process(REDIS_URL=redis.url, MUNDAP_THROTTLE_USER="3/day") as process,
        httpx2.Client(base_url=process.url, timeout=20) as http,
    ):
        session = sign_in(http, alice)

        def ask(times: int) -> list[int]:
            return [http.get(TOKENS, headers=session).status_code for _ in range(times)]

        assert ask(4) == [200] * 3 + [429]
        redis.pause()
        assert ask(4) == [200] * 4
        redis.resume()
        wait_for(lambda: ask(1) == [429])
        with Redis.from_url(redis.url) as client:
            client.flushall()
        assert ask(4) == [200] * 3 + [429]
        assert http.get("/readyz").json()["parts"]["redis"] == "ok"
