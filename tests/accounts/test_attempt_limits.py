"""Limits on attempts: they hold in Postgres, with Redis or without."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connections
from django.test import Client
from django.utils import timezone

from mundap.accounts.attempts import LOGIN_BY_ADDRESS, Attempt, AttemptLimit, count_attempt
from mundap.accounts.models import AttemptCount, User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
AUTH = "/_allauth/app/v1/auth"


def log_in(client: Client, email: str, password: str, *, address: str = "192.0.2.1"):
    return client.post(
        f"{AUTH}/login",
        {"email": email, "password": password},
        content_type="application/json",
        REMOTE_ADDR=address,
    )


@pytest.fixture
def no_redis(settings) -> None:
    """A Redis address at which nobody listens."""
    settings.CACHES = {
        "default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}
    }


@pytest.mark.parametrize("email", ["alice@example.org", "nobody@example.org"])
def test_guessing_ends_after_five_failures(client: Client, alice: User, email: str) -> None:
    assert [log_in(client, email, "wrong").status_code for _ in range(5)] == [400] * 5
    refused = log_in(client, email, PASSWORD)
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0
    assert refused.json()["errors"][0]["code"] == "limit_reached"
    page = client.post(
        "/accounts/login/", {"login": email, "password": PASSWORD}, REMOTE_ADDR="192.0.2.1"
    )
    assert "Too many failed login attempts" in page.content.decode()


def test_the_limit_holds_without_redis(client: Client, alice: User, no_redis: None) -> None:
    assert log_in(client, alice.email, PASSWORD).status_code == 200
    for _ in range(5):
        log_in(Client(), alice.email, "wrong")
    assert log_in(Client(), alice.email, PASSWORD).status_code == 429


def test_a_stranger_cannot_lock_somebody_out(client: Client, alice: User) -> None:
    for _ in range(8):
        log_in(client, alice.email, "wrong", address="198.51.100.7")
    assert log_in(client, alice.email, PASSWORD, address="192.0.2.1").status_code == 200


def test_successes_are_not_counted_and_do_not_forgive(client: Client, alice: User) -> None:
    for _ in range(4):
        assert log_in(Client(), alice.email, "wrong").status_code == 400
    for _ in range(3):
        assert log_in(Client(), alice.email, PASSWORD).status_code == 200
    assert log_in(Client(), alice.email, "wrong").status_code == 400
    assert log_in(Client(), alice.email, PASSWORD).status_code == 429


def test_one_address_cannot_try_many_accounts(client: Client, alice: User) -> None:
    address = "198.51.100.7"
    for _ in range(LOGIN_BY_ADDRESS.amount):
        assert count_attempt(Attempt(LOGIN_BY_ADDRESS, (address,)))
    assert log_in(client, alice.email, PASSWORD, address=address).status_code == 429
    assert log_in(client, alice.email, PASSWORD, address="192.0.2.1").status_code == 200


def test_the_limit_ends_by_itself_and_old_counts_are_forgotten(client: Client, alice: User) -> None:
    for _ in range(6):
        log_in(client, alice.email, "wrong")
    AttemptCount.objects.update(resets_at=timezone.now() - timedelta(hours=1))
    assert log_in(client, alice.email, PASSWORD).status_code == 200
    assert not AttemptCount.objects.filter(
        resets_at__lt=timezone.now() - timedelta(minutes=1)
    ).exists()


def test_no_address_stands_in_the_table(client: Client, alice: User) -> None:
    log_in(client, alice.email, "wrong")
    assert all(len(bytes(row.digest)) == 32 for row in AttemptCount.objects.all())


def test_sign_up_is_limited_by_address(client: Client) -> None:
    statuses = [
        client.post(f"{AUTH}/signup", {"email": "x"}, content_type="application/json").status_code
        for _ in range(31)
    ]
    assert statuses == [400] * 30 + [429]


def test_a_mailbox_is_not_flooded(client: Client, alice: User) -> None:
    for _ in range(8):
        reply = client.post(
            f"{AUTH}/password/request", {"email": alice.email}, content_type="application/json"
        )
        assert reply.status_code == 200
    assert len(mail.outbox) == 5


def test_a_reset_password_can_be_used_at_once(client: Client, alice: User) -> None:
    for _ in range(6):
        log_in(client, alice.email, "wrong", address="127.0.0.1")
    client.post("/accounts/password/reset/", {"email": alice.email})
    link = mail.outbox[-1].body.split("http://testserver")[1].split()[0]
    form = client.get(link, follow=True).request["PATH_INFO"]
    client.post(form, {"password1": "another good phrase", "password2": "another good phrase"})
    reply = log_in(Client(), alice.email, "another good phrase", address="127.0.0.1")
    assert reply.status_code == 200


@pytest.mark.django_db(transaction=True)
def test_attempts_at_the_same_moment_are_all_counted() -> None:
    attempt = Attempt(AttemptLimit("test", 10, 60), ("somebody",))

    def count(_number: int) -> bool:
        try:
            return count_attempt(attempt)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(count, range(40))) == 10


def test_a_forged_forwarding_header_does_not_help(client: Client, alice: User, settings) -> None:
    def fail(forwarded: str) -> int:
        return client.post(
            f"{AUTH}/login",
            {"email": alice.email, "password": "wrong"},
            content_type="application/json",
            headers={"X-Forwarded-For": forwarded},
        ).status_code

    assert [fail(f"203.0.113.{n}") for n in range(6)] == [400] * 5 + [429]
    settings.TRUSTED_PROXIES = 1
    assert fail("192.0.2.77") == 400
    assert [fail(f"203.0.113.{n}, 192.0.2.77") for n in range(5)] == [400] * 4 + [429]
