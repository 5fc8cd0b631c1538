"""Two-step log-in: turned on with a code, asked for at each log-in, and its limits, with Redis or without."""

from __future__ import annotations

import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from bs4 import BeautifulSoup
from django.test import Client

from mundap.accounts.models import User
from mundap.accounts.second_step import CODES_BY_ACCOUNT
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
ACTIVATE = "/accounts/2fa/totp/activate/"
AUTHENTICATE = "/accounts/2fa/authenticate/"


def code_of(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


def wrong_code(secret: str) -> str:
    """A code that is none of those around now."""
    now = int(time.time()) // 30
    near = {format_hotp_value(hotp_value(secret, now + by)) for by in range(-3, 4)}
    return next(
        code for code in ("000000", "111111", *map(str, range(10**5, 10**6))) if code not in near
    )


def log_in(alice: User) -> tuple[Client, str]:
    client = Client()
    reply = client.post("/accounts/login/", {"login": alice.email, "password": PASSWORD})
    return client, reply.headers["Location"]


@pytest.fixture
def secret(alice: User, settings) -> str:
    """Alice's, who has turned it on."""
    settings.MFA_ALLOW_UNVERIFIED_EMAIL = True
    client, where = log_in(alice)
    assert where == "/"
    asked = client.get(ACTIVATE)
    assert asked.headers["Location"].startswith("/accounts/reauthenticate/")
    client.post(asked.headers["Location"], {"password": PASSWORD})
    page = BeautifulSoup(client.get(ACTIVATE).content, "html.parser")
    assert page.select_one("img.qr")["src"].startswith("data:image/svg+xml")
    secret = page.select_one("#authenticator_secret")["value"]
    done = client.post(ACTIVATE, {"code": code_of(secret)}, follow=True)
    codes = BeautifulSoup(done.content, "html.parser").select(".codes code")
    assert len(codes) == 10
    return secret


def test_a_log_in_takes_two_steps(alice: User, secret: str) -> None:
    assert secret not in str(list(Authenticator.objects.values_list("data")))
    client, where = log_in(alice)
    assert where == AUTHENTICATE
    assert client.get("/settings/").status_code == 302
    assert b"Incorrect code" in client.post(AUTHENTICATE, {"code": wrong_code(secret)}).content
    assert client.get("/settings/").status_code == 302
    assert client.post(AUTHENTICATE, {"code": code_of(secret)}).headers["Location"] == "/"
    assert client.get("/settings/").status_code == 200
    assert "on:" in client.get("/settings/security/").content.decode()


def test_a_code_works_once_and_without_redis(alice: User, secret: str, settings) -> None:
    settings.CACHES = {
        "default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}
    }
    code = code_of(secret)
    (first, _), (second, _) = log_in(alice), log_in(alice)
    assert first.post(AUTHENTICATE, {"code": code}).status_code == 302
    assert second.post(AUTHENTICATE, {"code": code}).status_code == 200


def test_guessing_codes_ends(alice: User, secret: str) -> None:
    wrong = wrong_code(secret)
    for _ in range(CODES_BY_ACCOUNT.amount):
        client, _where = log_in(alice)
        assert b"Incorrect code" in client.post(AUTHENTICATE, {"code": wrong}).content
    client, _where = log_in(alice)
    assert b"Too many" in client.post(AUTHENTICATE, {"code": code_of(secret)}).content
    assert client.get("/settings/").status_code == 302


def test_programs_cannot_go_around_the_limit(alice: User, secret: str) -> None:
    reply = Client().post(
        "/_allauth/app/v1/auth/login",
        {"email": alice.email, "password": PASSWORD},
        content_type="application/json",
    )
    assert reply.status_code == 401
    token = reply.json()["meta"]["session_token"]
    tried = Client().post(
        "/_allauth/app/v1/auth/2fa/authenticate",
        {"code": code_of(secret)},
        content_type="application/json",
        headers={"X-Session-Token": token},
    )
    assert tried.status_code == 403
    assert "API token" in tried.json()["error"]["message"]
    used = Client().get("/api/v1/tokens/", headers={"X-Session-Token": token})
    assert used.status_code == 401


def test_a_recovery_code_lets_in_once(alice: User, secret: str) -> None:
    codes = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()
    client, _where = log_in(alice)
    assert client.post(AUTHENTICATE, {"code": codes[0]}).status_code == 302
    again, _where = log_in(alice)
    assert again.post(AUTHENTICATE, {"code": codes[0]}).status_code == 200


def test_turning_it_off_asks_again(alice: User, secret: str) -> None:
    client, _where = log_in(alice)
    client.post(AUTHENTICATE, {"code": code_of(secret)})
    asked = client.post("/accounts/2fa/totp/deactivate/")
    assert "reauthenticate" in asked.headers["Location"]
    client.post("/accounts/reauthenticate/?next=/settings/", {"password": PASSWORD})
    assert client.post("/accounts/2fa/totp/deactivate/").status_code == 302
    assert not Authenticator.objects.exists()
    for page in ("/accounts/2fa/", "/accounts/3rdparty/", "/accounts/password/change/"):
        soup = BeautifulSoup(client.get(page).content, "html.parser")
        assert soup.select_one(".sections nav")
        assert not soup.select("[style], style, script:not([src])")
