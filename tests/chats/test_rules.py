"""What the database itself keeps: a new state for each change, one running turn, one current version."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction

from mundap.accounts.models import User
from mundap.chats.models import Chat, Message, Turn
from mundap.library.models import Collection
from tests.chats.conftest import make_chat

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def chat(users: dict[str, User], shelf: Collection) -> Chat:
    return make_chat(users["alice"], shelf, "Redis?", "Yes.")


def state(chat: Chat) -> tuple[int, UUID]:
    return Chat.objects.values_list("rev", "etag").get(pk=chat.pk)


def run(sql: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE chats_message SET text = 'No.' WHERE chat_id = %s",
        "UPDATE chats_message SET rating = 'up' WHERE chat_id = %s AND position = 1",
        "DELETE FROM chats_message WHERE chat_id = %s AND position = 1",
        "UPDATE chats_chat SET title = 'Other' WHERE id = %s",
        "UPDATE chats_chat SET pinned = true WHERE id = %s",
        "UPDATE chats_chat SET updated_at = now() WHERE id = %s",
        "UPDATE chats_chat SET collection_id = NULL WHERE id = %s",
        "UPDATE chats_chat SET deleted_at = now() WHERE id = %s",
        # Nobody can set a state back, also not by saving an old copy.
        "UPDATE chats_chat SET rev = 0 WHERE id = %s",
        "UPDATE chats_chat SET etag = '01890000-0000-7000-8000-000000000000' WHERE id = %s",
    ],
)
def test_each_change_gives_a_new_state(chat: Chat, change: str) -> None:
    rev, etag = state(chat)
    run(change, chat.pk)
    assert state(chat)[0] == rev + 1
    assert state(chat)[1] not in (etag, UUID("01890000-0000-7000-8000-000000000000"))


def test_one_statement_over_many_messages_is_one_state(chat: Chat) -> None:
    rev, _etag = state(chat)
    Message.objects.bulk_create(
        Message(chat=chat, position=position, role="user") for position in range(2, 12)
    )
    assert state(chat)[0] == rev + 1


def test_a_message_that_moves_changes_both_chats(chat: Chat, users: dict[str, User]) -> None:
    other = make_chat(users["alice"], chat.collection)
    revs = state(chat)[0], state(other)[0]
    run("UPDATE chats_message SET chat_id = %s WHERE chat_id = %s", other.pk, chat.pk)
    assert (state(chat)[0], state(other)[0]) == (revs[0] + 1, revs[1] + 1)


def test_what_nobody_sees_gives_no_new_state(chat: Chat) -> None:
    before = state(chat)
    run("UPDATE chats_chat SET next_position = 9 WHERE id = %s", chat.pk)
    run("UPDATE chats_chat SET title = title WHERE id = %s", chat.pk)
    assert state(chat) == before


def test_saving_an_old_copy_does_not_set_the_state_back(chat: Chat) -> None:
    old = Chat.objects.get(pk=chat.pk)
    Message.objects.filter(position=1).update(text="No.")
    rev, etag = state(chat)
    old.title = "From an old copy"
    old.save()
    assert state(chat)[0] == rev + 1
    assert state(chat)[1] not in (etag, old.etag)


def new_turn(chat: Chat, key: str, **columns: object) -> Turn:
    defaults = {
        "request_hash": b"",
        "runner": "test",
        "lease_until": "2100-01-01T00:00:00Z",
        "status": "running",
    }
    return Turn.objects.create(
        chat=chat, owner=chat.owner, idempotency_key=key, **defaults | columns
    )


@pytest.mark.parametrize(
    "breaking",
    [
        lambda chat: (new_turn(chat, "a"), new_turn(chat, "b")),
        lambda chat: (
            new_turn(chat, "a", status="failed", finished_at="2020-01-01T00:00:00Z"),
            new_turn(chat, "a"),
        ),
        lambda chat: new_turn(chat, "a", status="done", finished_at="2020-01-01T00:00:00Z"),
        lambda chat: new_turn(chat, "a", status="failed"),
        lambda chat: Message.objects.create(chat=chat, position=0, role="user", is_current=False),
        lambda chat: Message.objects.create(chat=chat, position=0, role="user", version=2),
        lambda chat: Message.objects.create(chat=chat, position=2, role="system"),
        lambda chat: Message.objects.create(chat=chat, position=2, role="user", state="done"),
        lambda chat: Message.objects.create(chat=chat, position=2, role="user", rating="hm"),
    ],
    ids=[
        "two running turns", "key twice", "unknown status", "final without end",
        "version twice", "two current", "unknown role", "unknown state", "unknown rating",
    ],
)  # fmt: skip
def test_the_database_refuses(chat: Chat, breaking: Callable[[Chat], object]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        breaking(chat)
