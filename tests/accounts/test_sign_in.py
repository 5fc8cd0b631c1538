"""Sign-up, log-in, log-out and passwords, as a program and as a browser do it."""

from __future__ import annotations

import re

import pytest
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.cache import cache
from django.test import Client

from mundap.accounts.models import User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
AUTH = "/_allauth/app/v1/auth"
NEW = {"email": "carol@example.org", "password": PASSWORD}


def post(client: Client, path: str, data: object, **headers: str):
    return client.post(path, data, content_type="application/json", headers=headers)


def session_token(client: Client, email: str) -> str:
    reply = post(client, f"{AUTH}/login", {"email": email, "password": PASSWORD})
    assert reply.status_code == 200, reply.content
    return reply.json()["meta"]["session_token"]


def works(client: Client, token: str) -> bool:
    return client.get("/api/v1/tokens/", headers={"X-Session-Token": token}).status_code == 200


def test_signing_up_signs_in_at_once(client: Client) -> None:
    reply = post(client, f"{AUTH}/signup", NEW)
    assert reply.status_code == 200
    assert reply.json()["data"]["user"]["email"] == "carol@example.org"
    assert works(client, reply.json()["meta"]["session_token"])
    assert User.objects.get().password.startswith("argon2")


def test_an_address_is_one_account_in_any_case(client: Client, alice: User) -> None:
    reply = post(client, f"{AUTH}/signup", {"email": "ALICE@Example.org", "password": PASSWORD})
    assert reply.status_code == 400
    assert reply.json()["errors"][0]["param"] == "email"
    assert User.objects.count() == 1
    assert works(client, session_token(client, "Alice@EXAMPLE.org"))


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"email": "carol@example.org"}, "password"),
        ({"email": "carol@example.org", "password": "short"}, "password"),
        ({"email": "carol@example.org", "password": "password"}, "password"),
        ({"email": "nobody", "password": PASSWORD}, "email"),
        ({"email": "x" * 300 + "@example.org", "password": PASSWORD}, "email"),
        ({"email": "ca\0rol@example.org", "password": PASSWORD}, None),
        ({"email": "carol@example.org", "password": "\ud800" * 12}, None),
    ],
)
def test_sign_up_refuses_bad_input(client: Client, data: dict[str, str], field: str | None) -> None:
    reply = post(client, f"{AUTH}/signup", data)
    assert reply.status_code == 400
    assert reply.json()["errors"][0].get("param") == field
    assert not User.objects.exists()


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'"text"', b"[" * 50_000])
def test_log_in_refuses_rubbish(client: Client, body: bytes) -> None:
    reply = client.post(f"{AUTH}/login", body, content_type="application/json")
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "invalid_input"


def test_closed_sign_up_says_so_and_nothing_about_accounts(
    client: Client, alice: User, settings
) -> None:
    settings.SIGNUP_IS_OPEN = False
    for email in ("alice@example.org", "carol@example.org"):
        reply = post(client, f"{AUTH}/signup", {"email": email, "password": PASSWORD})
        assert reply.status_code == 403
        assert "closed" in reply.json()["errors"][0]["message"]
        page = client.post("/accounts/signup/", {"email": email, "password1": PASSWORD})
        assert "closed" in page.content.decode().lower()
    assert User.objects.count() == 1


def test_log_in_answers_the_same_for_unknown_accounts(client: Client, alice: User) -> None:
    known, unknown = (
        post(client, f"{AUTH}/login", {"email": email, "password": "wrong"})
        for email in ("alice@example.org", "nobody@example.org")
    )
    assert known.status_code == unknown.status_code == 400
    assert known.json() == unknown.json()


def test_log_out_ends_the_session(client: Client, alice: User) -> None:
    token = session_token(client, alice.email)
    reply = client.delete(f"{AUTH}/session", headers={"X-Session-Token": token})
    assert reply.status_code == 401  # allauth's way to say that nobody is signed in now
    assert not works(client, token)
    assert not Session.objects.exists()


def test_sessions_outlive_an_emptied_redis(
    client: Client, alice: User, alice_client: Client
) -> None:
    token = session_token(client, alice.email)
    cache.clear()
    assert works(client, token)
    assert alice_client.get("/api/v1/tokens/").status_code == 200


def test_a_changed_password_ends_other_sessions(client: Client, alice: User) -> None:
    other, mine = session_token(client, alice.email), session_token(client, alice.email)
    reply = post(
        client,
        "/_allauth/app/v1/account/password/change",
        {"current_password": PASSWORD, "new_password": "another good phrase"},
        **{"X-Session-Token": mine},
    )
    assert reply.status_code == 200
    assert not works(client, other)
    assert works(client, reply.json()["meta"]["session_token"])


def test_password_reset_through_the_api(client: Client, alice: User) -> None:
    assert post(client, f"{AUTH}/password/request", {"email": alice.email}).status_code == 200
    key = re.search(r"/reset/key/([^/\s]+)/", mail.outbox[0].body)
    assert key
    new = {"key": key[1], "password": "another good phrase"}
    assert post(client, f"{AUTH}/password/reset", new).status_code == 401
    login = {"email": alice.email, "password": "another good phrase"}
    assert post(client, f"{AUTH}/login", login).status_code == 200
    assert post(client, f"{AUTH}/password/reset", new).status_code == 400  # once only


def test_password_reset_answers_the_same_for_unknown_accounts(client: Client, alice: User) -> None:
    replies = [
        post(client, f"{AUTH}/password/request", {"email": email})
        for email in ("alice@example.org", "nobody@example.org")
    ]
    assert replies[0].status_code == replies[1].status_code == 200
    assert replies[0].json() == replies[1].json()


def test_the_pages_do_the_same(client: Client) -> None:
    signed_up = client.post("/accounts/signup/", {"email": NEW["email"], "password1": PASSWORD})
    assert signed_up.status_code == 302
    assert client.get("/api/v1/tokens/").status_code == 200
    assert client.post("/accounts/logout/").status_code == 302
    assert client.get("/api/v1/tokens/").status_code == 401
    wrong = client.post("/accounts/login/", {"login": NEW["email"], "password": "wrong"})
    assert wrong.status_code == 200
    assert client.get("/api/v1/tokens/").status_code == 401
    right = client.post("/accounts/login/", {"login": NEW["email"], "password": PASSWORD})
    assert right.status_code == 302
    assert client.get("/api/v1/tokens/").status_code == 200


def test_password_reset_through_the_pages(client: Client, alice: User) -> None:
    assert client.post("/accounts/password/reset/", {"email": alice.email}).status_code == 302
    link = re.search(r"http://testserver(/accounts/\S+)", mail.outbox[0].body)
    assert link
    form = client.get(link[1], follow=True)
    assert form.status_code == 200
    new = {"password1": "another good phrase", "password2": "another good phrase"}
    assert client.post(form.request["PATH_INFO"], new).status_code == 302
    assert client.login(email=alice.email, password="another good phrase")


def test_inactive_people_are_refused_everywhere(alice: User, alice_client: Client) -> None:
    client = Client()
    token = session_token(client, alice.email)
    User.objects.update(is_active=False)
    assert not works(client, token)
    assert alice_client.get("/api/v1/tokens/").status_code == 401
    again = post(client, f"{AUTH}/login", {"email": alice.email, "password": PASSWORD})
    assert again.status_code in {400, 401}
    assert "session_token" not in again.json().get("meta", {})
