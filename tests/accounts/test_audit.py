"""The audit log: lines are added, and nothing else; it lets go of people, and of what is old."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now
from django.test import Client

from mundap.accounts import audit
from mundap.accounts.models import AuditEntry, User
from mundap.accounts.services import make_admin
from mundap.accounts.tokens import make_token
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture
def line(alice: User, bob: User) -> AuditEntry:
    audit.record(
        "chat.read", actor=alice, whom=bob, about="chat:1", details={"reason": "Bob asked.", "n": 1}
    )
    return AuditEntry.objects.get()


@pytest.mark.parametrize(
    "change",
    [
        {"action": "user.changed"},
        {"at": Now() - timedelta(days=40)},
        {"details": {"is_staff": True}},
        {"about": ""},
        {"address": "192.0.2.1"},
        {"request_id": "x"},
    ],
)
def test_nothing_in_a_line_changes(line: AuditEntry, change: dict[str, object]) -> None:
    with pytest.raises(DatabaseError, match="not changed"), transaction.atomic():
        AuditEntry.objects.filter(pk=line.pk).update(**change)


def test_a_line_is_not_put_on_somebody_else(line: AuditEntry, bob: User) -> None:
    with pytest.raises(DatabaseError, match="not changed"), transaction.atomic():
        AuditEntry.objects.update(actor=bob)


def test_only_what_is_old_is_deleted(line: AuditEntry, settings) -> None:
    with pytest.raises(DatabaseError, match="30 days"), transaction.atomic():
        AuditEntry.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_auditentry (at, via, action, about, details, request_id) "
            "SELECT now() - age * interval '1 day', 'worker', 'old', '', '{}', '' FROM unnest(ARRAY[31, 50]) age"
        )
    settings.AUDIT_DAYS = 40
    assert audit.forget_old() == 1
    settings.AUDIT_DAYS = 30
    assert audit.forget_old() == 1
    assert list(AuditEntry.objects.all()) == [line]


def delete_as_the_version_before(user: User) -> None:
    """Delete the account without knowing of the log."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM account_emailaddress WHERE user_id = %s", [user.pk])
        cursor.execute("DELETE FROM accounts_user WHERE id = %s", [user.pk])


@pytest.mark.parametrize("delete", [User.delete, delete_as_the_version_before])
def test_it_lets_go_of_who_is_deleted(
    line: AuditEntry, alice: User, bob: User, delete: Callable[[User], object]
) -> None:
    delete(bob)
    line.refresh_from_db()
    assert (line.actor, line.whom, line.about, line.details) == (alice, None, "", {"n": 1})
    delete(alice)
    line.refresh_from_db()
    assert (line.actor, line.address, line.action) == (None, None, "chat.read")


def test_who_does_something_without_a_request_is_named(db) -> None:
    audit.record("backup.made")
    assert AuditEntry.objects.get().via == AuditEntry.Via.WORKER


def actions(user: User) -> list[str]:
    lines = AuditEntry.objects.filter(whom=user).order_by("id")
    assert {line.actor for line in lines} == {user}
    return [line.action for line in lines]


def test_what_people_do_with_their_own_accounts(alice: User, alice_client: Client) -> None:
    form = {"oldpassword": PASSWORD, "password1": "another good phrase"}
    form["password2"] = form["password1"]
    assert alice_client.post("/accounts/password/change/", form).status_code == 302
    made = alice_client.post("/api/v1/tokens/", {"name": "x"}, "application/json")
    token = made.json()["id"]
    assert alice_client.delete(f"/api/v1/tokens/{token}/").status_code == 204
    form = {"email": "alice@new.example", "password": "another good phrase"}
    alice_client.post("/settings/address/", form)
    done = actions(alice)
    assert done == ["password.changed", "token.made", "token.taken_back", "address.changed"]
    first = AuditEntry.objects.earliest("id")
    assert (first.via, first.address) == ("person", "127.0.0.1")
    assert "alice" not in str([line.details for line in AuditEntry.objects.all()])


def test_what_the_command_line_does_is_its_own(alice: User) -> None:
    context = copy_context()
    context.run(audit.speak_as_command)
    context.run(make_token, alice, name="x")
    context.run(make_admin, "alice@example.org", password=None)
    assert [line.via for line in AuditEntry.objects.all()] == ["command", "command"]


def test_collections_are_followed(alice: User, alice_client: Client) -> None:
    made = alice_client.post(
        "/api/v1/collections/", {"title": "Secret plans"}, "application/json"
    ).json()
    alice.is_staff = True
    alice.save()
    url = f"/api/v1/collections/{made['slug']}/"
    alice_client.patch(url, {"visibility": "everyone"}, "application/json")
    alice_client.patch(url, {"title": "Other plans"}, "application/json")
    alice_client.delete(url)
    lines = list(AuditEntry.objects.order_by("id"))
    assert [line.action for line in lines] == [
        "collection.added",
        "collection.changed",
        "collection.deleted",
    ]
    assert lines[1].details == {"visibility": ["private", "everyone"]}
    assert "plans" not in str([(line.details, line.about) for line in lines])
