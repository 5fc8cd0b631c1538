"""One rule, two doors: a chat read in front of Django and through it is the same in status, headers and body."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone
from prometheus_client import REGISTRY

from mundap.accounts.models import ApiToken, User
from mundap.chats.models import Chat, Message, Turn
from mundap.library.models import Collection
from tests.chats.conftest import make_chat
from tests.chats.server import Api, wait_for

pytestmark = pytest.mark.django_db(transaction=True)
FRONT = {"User-Agent": "test"}
DJANGO = {"User-Agent": "test", "Cookie": "anything=1"}  # a cookie is Django's to judge


@pytest.fixture
def chat(users: dict[str, User], shelf: Collection, alice_api: Api) -> Chat:
    chat = make_chat(users["alice"], shelf, "Redis?", "Yes <&> \u2028 그래요.")
    alice_api.get("tokens/")  # the use of the token is noted, which is Django's
    return chat


def reads_in_django() -> float:
    return REGISTRY.get_sample_value("mundap_chat_read_seconds_count", {"door": "django"}) or 0.0


def both(api: Api, path: str, *, method: str = "GET", **headers: str) -> list[httpx2.Response]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return [api.http.request(method, path, headers=named | door) for door in (FRONT, DJANGO)]


def assert_same(front: httpx2.Response, django: httpx2.Response) -> None:
    assert front.status_code == django.status_code
    assert front.content == django.content
    seen = [
        {
            name: sorted(value.split(", ")) if name in ("vary", "allow") else value
            for name, value in reply.headers.items()
            if name not in ("date", "retry-after", "x-request-id")
        }
        for reply in (front, django)
    ]
    for each in seen:  # a cookie that is looked at adds itself; the list has it anyway
        each["vary"] = sorted(set(each.get("vary", ())))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("language", ["", "ko", "ko-KR,ko;q=0.9,en;q=0.8", "xx", "*"])
def test_a_chat(alice_api: Api, chat: Chat, language: str) -> None:
    headers = {"Accept_Language": language} if language else {}
    before = reads_in_django()
    front, django = both(alice_api, f"chats/{chat.pk}/", **headers)
    assert front.status_code == 200
    assert_same(front, django)
    assert reads_in_django() == before + 1  # so the first came in at the front


@pytest.mark.parametrize("known", ["{}", "W/{}", '"x", {}', '"x"', "x", "*", "", '"', "{},{}" * 50])
def test_conditional_reads(alice_api: Api, chat: Chat, known: str) -> None:
    etag = alice_api.get(f"chats/{chat.pk}/").headers["etag"]
    front, django = both(alice_api, f"chats/{chat.pk}/", If_None_Match=known.replace("{}", etag))
    assert_same(front, django)
    assert front.status_code in (200, 304)


def running_turn(chat: Chat) -> Turn:
    question, answer = Message.objects.filter(chat=chat).order_by("position")
    return Turn.objects.create(
        chat=chat,
        owner=chat.owner,
        idempotency_key="k",
        request_hash=b"x" * 32,
        runner="another",
        lease_until=timezone.now() + timedelta(seconds=60),
        question=question,
        answer=answer,
    )


def change_title(chat: Chat) -> None:
    Chat.objects.filter(pk=chat.pk).update(title="캐시")


def delete(chat: Chat) -> None:
    Chat.objects.filter(pk=chat.pk).update(deleted_at=timezone.now())


def give_away(chat: Chat) -> None:
    Chat.objects.filter(pk=chat.pk).update(owner=User.objects.get(email="bob@example.org"))


def expire_a_turn(chat: Chat) -> None:
    running_turn(chat)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE chats_turn SET lease_until = now() - interval '1 s'")


def rename_collection(chat: Chat) -> None:
    Collection.objects.filter(pk=chat.collection_id).update(slug="renamed")


def deactivate(chat: Chat) -> None:
    User.objects.filter(pk=chat.owner_id).update(is_active=False)


def revoke(chat: Chat) -> None:
    ApiToken.objects.all().delete()


@pytest.mark.parametrize(
    ("change", "status"),
    [(change_title, 200), (running_turn, 200), (rename_collection, 200), (expire_a_turn, 200),
     (delete, 404), (give_away, 404), (deactivate, 401), (revoke, 401)],
)  # fmt: skip
def test_what_changed_is_seen_at_once(
    alice_api: Api, chat: Chat, change: Callable[[Chat], Any], status: int
) -> None:
    """The body is in Redis when the row changes by whatever means."""
    old = alice_api.get(f"chats/{chat.pk}/")
    assert old.status_code == 200
    change(chat)
    front, django = both(alice_api, f"chats/{chat.pk}/", If_None_Match=old.headers["etag"])
    assert front.status_code == status
    assert front.content != old.content
    assert_same(front, django)


def test_strangers_and_nonsense(
    alice_api: Api, bob_api: Api, nobody: Api, chat: Chat, users: dict[str, User]
) -> None:
    path = f"chats/{chat.pk}/"
    assert alice_api.get(path).status_code == 200
    wrong = Api(alice_api.url, "mundap_wrong")
    long = Api(alice_api.url, "mundap_" + "x" * 3000)
    other = Api(alice_api.url, "sk-1")
    with wrong.http, long.http, other.http:
        for api, status in (
            (bob_api, 404), (nobody, 401), (wrong, 401), (long, 401), (other, 401),
        ):  # fmt: skip
            front, django = both(api, path)
            assert front.status_code == status
            assert_same(front, django)
    for odd in (
        f"chats/{users['alice'].pk}/", "chats/00000000-0000-0000-0000-000000000000/", f"{path}?x=1",
        f"{path}?before=x", f"chats/{str(chat.pk).upper()}/", f"chats/{chat.pk}", "chats/x/",
    ):  # fmt: skip
        assert_same(*both(alice_api, odd))


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "POST"])
def test_other_methods(alice_api: Api, chat: Chat, method: str) -> None:
    assert_same(*both(alice_api, f"chats/{chat.pk}/", method=method))


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "bearer {}"}, {"Authorization": "Bearer   {}"}, {"Authorization": "Basic {}"},
     {"Authorization": "Bearer"}, {"Authorization": ""}, {"Host": "elsewhere.example"},
     {"Host": "LOCALHOST"}, {"Host": "localhost:1"}, {"Accept": "text/html"},
     {"X-Session-Token": "abc"}, {"X-Forwarded-Proto": "https"}, {"X-Forwarded-Host": "evil.example"},
     {"Transfer-Encoding": "chunked"}, {"Range": "bytes=0-1"}],
)  # fmt: skip
def test_odd_headers(alice_api: Api, chat: Chat, headers: dict[str, str]) -> None:
    sent = {name: value.replace("{}", alice_api.token) for name, value in headers.items()}
    assert_same(*both(alice_api, f"chats/{chat.pk}/", **sent))


def test_over_the_limit(alice_api: Api, bob_api: Api, chat: Chat, settings) -> None:
    """Both doors count under one key; what is over the limit is refused by Django whichever way it came."""
    rates = django_settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] | {"user": "20/day"}
    settings.REST_FRAMEWORK = django_settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": rates}

    def is_refused() -> bool:
        return all(reply.status_code == 429 for reply in both(alice_api, f"chats/{chat.pk}/"))

    wait_for(is_refused)
    assert_same(*both(alice_api, f"chats/{chat.pk}/"))
    assert bob_api.get("chats/").status_code == 200
