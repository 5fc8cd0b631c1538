"""What the mails say: a link that every reader of mail takes as it is, and nothing that leads nowhere."""

from __future__ import annotations

import re

import pytest
from django.core.mail import EmailMessage
from django.test import Client

from mundap.accounts.models import User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
LINK = re.compile(r"https?://\S+")


@pytest.fixture(autouse=True)
def _with_mail(settings) -> None:
    settings.HAS_MAIL = settings.ACCOUNT_EMAIL_NOTIFICATIONS = True
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"


@pytest.mark.parametrize("language", ["en", "ko"])
def test_links_stand_alone_and_lead_somewhere(
    client: Client, alice: User, mailoutbox: list[EmailMessage], language: str, settings
) -> None:
    client.cookies["django_language"] = language
    account = {"password1": PASSWORD, "password2": PASSWORD}
    for address in ("new@example.org", alice.email):
        client.post("/accounts/signup/", {"email": address, **account})
    for address in ("new@example.org", "nobody@example.org"):
        client.post("/accounts/password/reset/", {"email": address})
    assert len(mailoutbox) == 4
    for mail in mailoutbox:
        (line,) = (line for line in str(mail.body).splitlines() if "://" in line)
        assert LINK.fullmatch(line)
        assert Client().get(line, follow=True).status_code == 200
    settings.SIGNUP_IS_OPEN = False
    client.post("/accounts/password/reset/", {"email": "nobody@example.org"})
    assert not LINK.search(str(mailoutbox[-1].body))


def test_a_changed_password_is_told_with_the_time_where_one_is(
    alice: User, alice_client: Client, mailoutbox: list[EmailMessage]
) -> None:
    alice_client.cookies["timezone"] = "Asia/Seoul"
    form = {"oldpassword": PASSWORD, "password1": f"{PASSWORD}!", "password2": f"{PASSWORD}!"}
    alice_client.post("/accounts/password/change/", form)
    (mail,) = mailoutbox
    assert mail.to == [alice.email]
    assert "(KST)" in str(mail.body)
    assert "127.0.0.1" in str(mail.body)
