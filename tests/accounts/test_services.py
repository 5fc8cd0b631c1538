"""Accounts made by the command line: users, administrators, the demo account."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection
from django.test import Client

from mundap.accounts.models import User
from mundap.accounts.services import (
    DEMO_EMAIL,
    DemoAccount,
    make_admin,
    make_demo_account,
    make_user,
)
from mundap.errors import ConfigurationError, InvalidInput
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def can_log_in(email: str, password: str) -> bool:
    reply = Client().post(
        "/_allauth/app/v1/auth/login",
        {"email": email, "password": password},
        content_type="application/json",
    )
    return reply.status_code == 200


def test_an_empty_installation_gets_a_demo_account_that_can_be_shown_again() -> None:
    made = make_demo_account()
    assert made
    assert made.email == DEMO_EMAIL
    assert can_log_in(made.email, made.password)
    assert make_demo_account() == made
    assert User.objects.count() == 1
    assert not User.objects.get().is_staff


@pytest.mark.django_db(transaction=True)
def test_two_that_start_at_once_show_the_same_one() -> None:
    together = Barrier(2)

    def start(_number: int) -> DemoAccount | None:
        together.wait()
        try:
            return make_demo_account()
        finally:
            connection.close()

    with ThreadPoolExecutor() as starting:
        first, second = starting.map(start, range(2))
    assert first == second is not None


def test_its_password_is_each_installations_own(settings) -> None:
    made = make_demo_account()
    User.objects.all().delete()
    settings.SECRET_KEY = "another installation"
    other = make_demo_account()
    assert made and other
    assert made.password != other.password


def test_where_people_are_there_is_no_demo_account(alice: User) -> None:
    assert make_demo_account() is None
    assert User.objects.count() == 1


def test_a_changed_demo_account_is_left_alone() -> None:
    make_demo_account()
    demo = User.objects.get()
    demo.set_password("my own now")
    demo.save()
    assert make_demo_account() is None
    demo.refresh_from_db()
    assert demo.check_password("my own now")


def test_never_in_production(settings) -> None:
    settings.IS_PRODUCTION = True
    with pytest.raises(ConfigurationError):
        make_demo_account()
    assert not User.objects.exists()


def test_made_accounts_need_no_mail(settings) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    make_user("Carol@Example.org", password=PASSWORD)
    assert can_log_in("carol@example.org", PASSWORD)


@pytest.mark.parametrize(
    ("email", "password"), [("nobody", PASSWORD), ("a@b.example", "short"), ("a@b.example", "")]
)
def test_bad_addresses_and_passwords(email: str, password: str) -> None:
    with pytest.raises(InvalidInput):
        make_user(email, password=password)
    assert not User.objects.exists()


def test_somebody_with_an_account_is_promoted_and_keeps_their_password(alice: User) -> None:
    user, is_new = make_admin("ALICE@example.org", password=None)
    assert (user, is_new) == (alice, False)
    assert user.is_superuser and user.is_staff
    assert can_log_in("alice@example.org", PASSWORD)
    make_admin("alice@example.org", password="another good phrase")
    assert can_log_in("alice@example.org", "another good phrase")


def test_an_address_that_only_looks_alike_is_somebody_else_s() -> None:
    """Who signed up first with a letter that PostgreSQL writes as the same capital is not promoted in its place."""
    other = make_user("m\u0131\u017fs@example.org", password=PASSWORD)
    user, is_new = make_admin("miss@example.org", password=PASSWORD)
    assert is_new
    assert user != other
    assert make_admin("MISS@example.org", password=None) == (user, False)


def test_a_new_administrator() -> None:
    user, is_new = make_admin("root@example.org", password=PASSWORD)
    assert is_new
    assert user.is_superuser
    assert can_log_in("root@example.org", PASSWORD)
