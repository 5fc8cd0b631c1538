"""The keys are changed: nobody is signed out, and tokens, links and second steps go on to work, by HTTP."""

from __future__ import annotations

import json
import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    hotp_value,
)
from django.test import Client
from pytest_django import Settings

from mundap.accounts import second_step
from mundap.accounts.models import ApiToken, User
from mundap.accounts.rekeying import rekey_sessions
from mundap.accounts.tokens import count_under_former_keys, make_token
from mundap.chats import sharing
from mundap.chats.models import Chat, Message, Share
from mundap.config.keys import keyed_digest
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
NEW = "a-new-key-of-its-own-0123456789-abcdefghijklmnopqrstuvwxyz"


def change_keys(settings: Settings) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = f"s-{NEW}", [settings.SECRET_KEY]
    settings.TOKEN_KEY, settings.TOKEN_KEY_FALLBACKS = f"t-{NEW}", [settings.TOKEN_KEY]


def forget_former_keys(settings: Settings) -> None:
    settings.SECRET_KEY_FALLBACKS = settings.TOKEN_KEY_FALLBACKS = []


def log_in(user: User) -> Client:
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    return client


def app_log_in(user: User) -> dict[str, str]:
    """Log in as a program does; return the header that it sends from then on."""
    sent = json.dumps({"email": user.email, "password": PASSWORD})
    reply = Client().post("/_allauth/app/v1/auth/login", sent, content_type="application/json")
    return {"X-Session-Token": reply.json()["meta"]["session_token"]}


def status(client: Client, **headers: str) -> int:
    return client.get("/api/v1/tokens/", headers=headers).status_code


@pytest.mark.parametrize("is_used", [True, False], ids=["used", "rekeyed"])
def test_nobody_is_signed_out(alice: User, settings: Settings, is_used: bool) -> None:
    browser, program = log_in(alice), app_log_in(alice)
    name = browser.cookies["sessionid"].value
    change_keys(settings)
    if is_used:
        assert status(browser) == status(Client(), **program) == 200
    else:
        assert rekey_sessions() == 2
    forget_former_keys(settings)
    assert status(browser) == status(Client(), **program) == 200
    assert browser.cookies["sessionid"].value == name, "pages open elsewhere have the former name"


def test_without_its_former_key_a_session_ends(alice: User, settings: Settings) -> None:
    browser, program = log_in(alice), app_log_in(alice)
    change_keys(settings)
    forget_former_keys(settings)
    assert status(browser) == status(Client(), **program) == 401


def test_a_password_changed_elsewhere_still_ends_sessions(alice: User, settings: Settings) -> None:
    browser = log_in(alice)
    change_keys(settings)
    alice.set_password("another horse battery staple")
    alice.save()
    assert status(browser) == 401
    assert rekey_sessions() >= 0
    assert status(browser) == 401


def test_tokens_come_under_the_new_key_by_being_used(alice: User, settings: Settings) -> None:
    used, unused = (make_token(alice, name=name)[1] for name in ("used", "unused"))
    assert count_under_former_keys() == 0
    change_keys(settings)
    assert count_under_former_keys() == 2
    assert status(Client(), Authorization=f"Bearer {used}") == 200
    assert count_under_former_keys() == 1
    forget_former_keys(settings)
    assert status(Client(), Authorization=f"Bearer {used}") == 200
    assert status(Client(), Authorization=f"Bearer {unused}") == 401


def test_a_token_from_before_keys_were_noted_works(alice: User, settings: Settings) -> None:
    _token, secret = make_token(alice, name="old")
    ApiToken.objects.update(key_id="")
    assert count_under_former_keys() == 1
    assert status(Client(), Authorization=f"Bearer {secret}") == 200
    assert count_under_former_keys() == 0


@pytest.mark.parametrize("is_from_before", [True, False], ids=["from-before", "now"])
def test_links_go_on_to_work(alice: User, settings: Settings, is_from_before: bool) -> None:
    chat = Chat.objects.create(owner=alice, title="Caches")
    Message.objects.create(chat=chat, position=0, role="user", text="What is cached?")
    Message.objects.create(chat=chat, position=1, role="assistant", text="Pages are.")
    share, _is_new = sharing.share_chat(alice, chat.pk)
    if is_from_before:
        Share.objects.update(secret="")
        share.refresh_from_db()
        seal = keyed_digest(b"share" + share.pk.bytes, key=settings.TOKEN_KEY, size=16)
        assert sharing._secrets(share) == [seal]
    url = f"/shared/{sharing.token_of(share)}/"
    wrong = f"{url[:-8]}AAAAAAA/"

    def opened() -> list[int]:
        return [Client().get(each).status_code for each in (url, wrong)]

    assert opened() == [200, 404]
    change_keys(settings)
    assert opened() == [200, 404]
    assert sharing.rekey() == 1
    assert sharing.rekey() == 0
    forget_former_keys(settings)
    assert opened() == [200, 404]
    shared_again, is_new = sharing.share_chat(alice, chat.pk)
    assert (f"/shared/{sharing.token_of(shared_again)}/", is_new) == (url, False)
    # With its key it is lost, and another one can be made.
    settings.TOKEN_KEY = f"other-{NEW}"
    assert opened() == [404, 404]
    other, is_new = sharing.share_chat(alice, chat.pk)
    assert is_new
    assert Client().get(f"/shared/{sharing.token_of(other)}/").status_code == 200


def test_second_steps_go_on_to_work(alice: User, settings: Settings) -> None:
    secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    TOTP.activate(alice, secret)
    change_keys(settings)
    assert second_step.rekey() == 1
    assert second_step.rekey() == 0
    forget_former_keys(settings)
    assert secret not in json.dumps(Authenticator.objects.get(user=alice).data)
    client = log_in(alice)
    assert status(client) == 401, "the second step is asked for"
    code = format_hotp_value(hotp_value(secret, int(time.time()) // 30))
    client.post("/accounts/2fa/authenticate/", {"code": code})
    assert status(client) == 200


def test_a_second_step_whose_key_is_lost_is_refused(alice: User, settings: Settings) -> None:
    TOTP.activate(alice, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    RecoveryCodes.activate(alice)
    settings.TOKEN_KEY = f"other-{NEW}"
    client = log_in(alice)
    assert client.post("/accounts/2fa/authenticate/", {"code": "123456"}).status_code == 200
    assert status(client) == 401


def test_a_second_step_works_before_it_is_rekeyed(alice: User, settings: Settings) -> None:
    secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    TOTP.activate(alice, secret)
    change_keys(settings)
    client = log_in(alice)
    code = format_hotp_value(hotp_value(secret, int(time.time()) // 30))
    client.post("/accounts/2fa/authenticate/", {"code": code})
    assert status(client) == 200
