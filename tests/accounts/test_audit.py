"""The audit log: lines are added, and nothing else; it lets go of people, and of what is old."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now

from mundap.accounts import audit
from mundap.accounts.models import AuditEntry, User

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


def test_it_lets_go_of_who_is_deleted(line: AuditEntry, alice: User, bob: User) -> None:
    bob.delete()
    line.refresh_from_db()
    assert (line.actor, line.whom, line.about, line.details) == (alice, None, "", {"n": 1})
    alice.delete()
    line.refresh_from_db()
    assert (line.actor, line.address, line.action) == (None, None, "chat.read")


def test_who_does_something_without_a_request_is_named(db) -> None:
    audit.record("backup.made")
    assert AuditEntry.objects.get().via == AuditEntry.Via.WORKER
