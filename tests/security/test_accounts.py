"""Accounts under attack: guessing, replaying, finding out who is here, and what one may make of a session or token."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.core import mail
from django.db import connections
from django.test import Client

from mundap.accounts.models import ApiToken, User
from mundap.accounts.tokens import make_token
from tests import conftest
from tests.accounts.test_second_step import AUTHENTICATE, code_of, log_in, secret
from tests.conftest import PASSWORD

__all__ = ["secret"]
AUTH = "/_allauth/app/v1/auth"
CHANGE = "/accounts/password/change/"
NEW = {"password1": "another good phrase", "password2": "another good phrase"}


def send(path: str, data: dict[str, Any], **headers: str) -> Any:
    return Client().post(path, data, content_type="application/json", headers=headers)


@pytest.mark.django_db
def test_a_used_code_is_used_however_it_is_written(alice: User, secret: str) -> None:
    code = code_of(secret)
    forms = [code, f"{code[:3]} {code[3:]}", f"{code[:3]}-{code[3:]}", f"{code}."]
    statuses = []
    for form in forms:
        client, _where = log_in(alice)
        statuses.append(client.post(AUTHENTICATE, {"code": form}).status_code)
    assert statuses == [302, 200, 200, 200]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["recovery_codes", "totp"])
def test_a_code_sent_many_times_at_once_lets_one_in(alice: User, secret: str, kind: str) -> None:
    code = code_of(secret)
    if kind == "recovery_codes":
        codes = Authenticator.objects.get(type=kind).wrap()
        assert isinstance(codes, RecoveryCodes)
        code = codes.get_unused_codes()[0]
    waiting = [log_in(alice)[0] for _ in range(6)]

    def try_code(client: Client) -> int:
        try:
            return client.post(AUTHENTICATE, {"code": code}).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(try_code, waiting)) == [200] * 5 + [302]


@pytest.mark.django_db
@pytest.mark.parametrize("way", ["page", "program"])
def test_an_open_browser_does_not_tell_the_password(alice: User, way: str) -> None:
    """Wherever its guesses come from, and whatever header is sent along to count them as somebody else's."""
    client = Client()
    client.force_login(alice)
    token = send(f"{AUTH}/login", {"email": alice.email, "password": PASSWORD})
    session = {"X-Session-Token": token.json()["meta"]["session_token"]}
    bob = User.objects.create_user("bob@example.org", PASSWORD)
    of_bob = send(f"{AUTH}/login", {"email": bob.email, "password": PASSWORD}).json()["meta"]

    def guess(number: int) -> int:
        address = f"192.0.2.{number}"
        if way == "page":
            headers = {"X-Session-Token": of_bob["session_token"]}
            form = NEW | {"oldpassword": f"guess {number}"}
            return client.post(CHANGE, form, headers=headers, REMOTE_ADDR=address).status_code
        tried = {"current_password": f"guess {number}", "new_password": NEW["password1"]}
        path = "/_allauth/app/v1/account/password/change"
        return (
            Client(REMOTE_ADDR=address)
            .post(path, tried, content_type="application/json", headers=session)
            .status_code
        )

    statuses = [guess(number) for number in range(1, 13)]
    assert set(statuses[:10]) <= {200, 400}
    assert statuses[10:] == [429, 429]


@pytest.mark.django_db
@pytest.mark.parametrize("path", [f"{AUTH}/signup", f"{AUTH}/password/request", f"{AUTH}/login"])
def test_nothing_tells_who_is_here(alice: User, settings: Any, path: str) -> None:
    """With mail, that is: without it an account that is taken has to be refused."""
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    known, unknown = (
        send(path, {"email": email, "password": "another good phrase"})
        for email in (alice.email, "new@example.org")
    )
    assert known.status_code == unknown.status_code

    def told(reply: Any) -> Any:
        answer = reply.json()
        answer.get("meta", {}).pop("session_token", None)
        return answer

    assert told(known) == told(unknown)


@pytest.mark.django_db
@pytest.mark.parametrize("path", [f"{AUTH}/login", f"{AUTH}/signup"])
def test_the_same_work_is_done_for_who_is_not_here(
    alice: User, settings: Any, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes long is hashing a password: as often for an account as for none, also for one that is closed."""
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    closed = User.objects.create_user("closed@example.org", PASSWORD, is_active=False)
    hashed: list[str] = []
    encode = conftest.QuickArgon2.encode

    def counted(self: Any, password: str, salt: str) -> str:
        hashed.append(password)
        return encode(self, password, salt)

    verify = conftest.QuickArgon2.verify

    def verified(self: Any, password: str, encoded: str) -> bool:
        hashed.append(password)
        return verify(self, password, encoded)

    monkeypatch.setattr(conftest.QuickArgon2, "encode", counted)
    monkeypatch.setattr(conftest.QuickArgon2, "verify", verified)
    counts = []
    for email in (alice.email, "new@example.org", closed.email):
        hashed.clear()
        send(path, {"email": email, "password": "another good phrase"})
        counts.append(len(hashed))
    assert counts[0] > 0
    assert len(set(counts)) == 1


@pytest.mark.django_db
def test_a_limited_token_makes_no_unlimited_one(alice: User) -> None:
    _token, limited = make_token(alice, name="limited", questions_per_day=1)
    _token, free = make_token(alice, name="free")
    for secret_of, status in ((limited, 403), (free, 201)):
        reply = send("/api/v1/tokens/", {"name": "x"}, Authorization=f"Bearer {secret_of}")
        assert reply.status_code == status
    assert ApiToken.objects.count() == 3


@pytest.mark.django_db
def test_a_token_opens_the_api_and_no_page(alice: User) -> None:
    """So that one that leaks does not change a password, an address or the second step."""
    _token, secret_of = make_token(alice, name="program")
    for path in ("/settings/", "/settings/tokens/", "/settings/data/export/", CHANGE, "/admin/"):
        reply = Client().get(path, headers={"Authorization": f"Bearer {secret_of}"})
        assert reply.headers["Location"].startswith("/accounts/login/"), path
    for path in ("account/password/change", "account/authenticators", "auth/sessions"):
        reply = Client().get(
            f"/_allauth/app/v1/{path}", headers={"Authorization": f"Bearer {secret_of}"}
        )
        assert reply.status_code in {401, 405}, path


@pytest.mark.django_db
@pytest.mark.parametrize(
    "field", ["is_staff", "is_superuser", "is_active", "owner", "id", "groups"]
)
def test_no_form_takes_more_than_it_shows(alice: User, alice_client: Client, field: str) -> None:
    value = {"owner": "1", "id": "01890000-0000-7000-8000-000000000000"}.get(field, "1")
    before = User.objects.filter(pk=alice.pk).values().get()
    signup = {"email": "new@example.org", "password": PASSWORD, "password1": PASSWORD, field: value}
    send(f"{AUTH}/signup", signup)
    Client().post("/accounts/signup/", signup | {"email": "newer@example.org"})
    alice_client.post("/settings/", {"language": "", "theme": "", field: value})
    alice_client.post("/settings/tokens/", {"name": "x", "user": value, field: value})
    alice_client.patch("/api/v1/chats/", {field: value}, content_type="application/json")
    assert User.objects.filter(pk=alice.pk).values().get() == before
    assert User.objects.filter(email__startswith="new").count() == 2
    assert not User.objects.filter(is_staff=True).exists()
    assert not User.objects.filter(pk="01890000-0000-7000-8000-000000000000").exists()
    assert set(ApiToken.objects.values_list("user_id", flat=True)) == {alice.pk}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "///evil.example",
        "http:evil.example", "javascript:alert(1)", "/%09/evil.example", "https:evil.example", " //evil.example",
        "http://testserver@evil.example/", "https://testserver.evil.example/",
    ],
)  # fmt: skip
def test_nothing_leads_elsewhere(alice: User, alice_client: Client, target: str) -> None:
    replies = [
        Client().post(f"/accounts/login/?next={target}", {"login": alice.email, "password": PASSWORD, "next": target}),
        Client().post("/accounts/signup/", {"email": "new@example.org", "password1": PASSWORD, "next": target}),
        alice_client.post("/language/", {"language": "ko", "next": target}, headers={"Referer": target}),
        alice_client.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": target}),
        alice_client.get("/admin/login/", {"next": target}),
        alice_client.post("/accounts/logout/", {"next": target}),
    ]  # fmt: skip
    for reply in replies:
        where = reply.headers.get("Location", "/")
        assert where.startswith("/"), where
        assert not where.startswith(("//", "/\\")), where
        assert "evil" not in where.split("?")[0].replace("/%09/evil.example", ""), where


@pytest.mark.django_db
@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "Forwarded"])
def test_a_mail_s_link_leads_to_us(alice: User, header: str) -> None:
    """Or whoever asks for somebody's reset would be sent its secret."""
    value = "host=evil.example" if header == "Forwarded" else "evil.example"
    send(f"{AUTH}/password/request", {"email": alice.email}, **{header: value})
    assert all("evil.example" not in each.body for each in mail.outbox)
    assert len(mail.outbox) == (0 if header == "Host" else 1)
