"""Changes to conversations that are not turns. Each takes the user; another user's object is not found."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from mundap.accounts.models import User
from mundap.chats import body_cache, turns
from mundap.chats.models import TITLE_MAX_CHARACTERS, Chat, DealtWith, Message, State, Turn
from mundap.chats.selectors import no_chat
from mundap.errors import Conflict, NotFound

RESTORABLE = timedelta(days=30)
_REMOVED_AT_ONCE = 200


def change_chat(user: User, chat_id: UUID, **columns: Any) -> None:
    """Set the chat's `title` or `pinned`. Raises NotFound."""
    if not _own_chats(user).filter(pk=chat_id).update(**columns):
        raise no_chat()


def delete_chat(user: User, chat_id: UUID) -> None:
    """Take the chat out of sight and stop what runs in it; it can be restored for a while. Raises NotFound."""
    if not _own_chats(user).filter(pk=chat_id).update(deleted_at=timezone.now()):
        raise no_chat()
    transaction.on_commit(lambda: body_cache.forget(chat_id))
    Turn.objects.filter(chat=chat_id, status=State.RUNNING, stop_requested_at=None).update(
        stop_requested_at=timezone.now()
    )


def restore_chat(user: User, chat_id: UUID) -> None:
    """Bring a deleted chat back; nothing happens to one that is there. Raises NotFound, also when it is too late."""
    chats = Chat.objects.filter(pk=chat_id, owner=user)
    deleted = chats.filter(deleted_at__gt=timezone.now() - RESTORABLE)
    if not deleted.update(deleted_at=None) and not chats.filter(deleted_at=None).exists():
        raise no_chat()


def purge() -> None:
    """Remove for good what was deleted longer ago than it can be restored, and what is kept no longer."""
    now = timezone.now()
    _remove(Q(deleted_at__lt=now - RESTORABLE))
    if settings.KEEP_CHATS_DAYS:
        _remove(Q(updated_at__lt=now - timedelta(days=settings.KEEP_CHATS_DAYS)))


def _remove(which: Q) -> None:
    """Remove these chats, some at a time; one that somebody is asking in stays until the next time."""
    # In no order: all that is to go would be sorted for each of its parts.
    chats = Chat.objects.filter(which).exclude(turns__status=State.RUNNING).order_by()
    while True:
        with transaction.atomic():
            some = list(
                chats.only("pk").select_for_update(skip_locked=True, of=("self",))[
                    :_REMOVED_AT_ONCE
                ]
            )
            Chat.objects.filter(pk__in=[chat.pk for chat in some]).delete()
        for chat in some:
            body_cache.forget(chat.pk)
        if len(some) < _REMOVED_AT_ONCE:
            return


def retitle(chat_id: UUID, *, title: str, instead_of: str) -> None:
    """Set the chat's title if it still is `instead_of`: nobody has named it meanwhile."""
    Chat.objects.filter(pk=chat_id, title=instead_of).update(title=title[:TITLE_MAX_CHARACTERS])


def rate_message(user: User, message_id: UUID, *, rating: str, comment: str) -> None:
    """Store what the user thinks of an answer; an empty rating takes it back. Raises NotFound, Conflict."""
    with transaction.atomic():
        # The chat first, as everybody who changes its messages does; its trigger locks it anyway.
        _lock_chat(user, _get_message(user, message_id).chat_id)
        _rate(Message.objects.get(pk=message_id), rating=rating, comment=comment)


def _rate(message: Message, *, rating: str, comment: str) -> None:
    if message.role != Message.Role.ASSISTANT:
        raise Conflict(_("Only answers can be rated."))
    if message.state == State.RUNNING:
        raise Conflict(_("This answer is still being written."))
    opinion = {"rating": rating, "comment": comment if rating else ""}
    # The same once more is no new state of the chat.
    if Message.objects.filter(pk=message.pk).exclude(**opinion).update(**opinion):
        DealtWith.objects.filter(message=message.pk).delete()


def select_version(user: User, message_id: UUID) -> UUID:
    """Make this version of the last question or answer the current one, with what belongs to it; return the chat.

    A question brings its newest answer along, an answer its question; one that is current already stays as it is.
    Raises NotFound, TurnInProgress, Conflict.
    """
    with transaction.atomic():
        chat_id = _get_message(user, message_id).chat_id
        chat = _lock_chat(user, chat_id)
        with connection.cursor() as cursor:
            turns.free_chat(cursor, chat_id)
        message = Message.objects.get(pk=message_id)
        if message.position < chat.next_position - 2:
            raise Conflict(_("Only the last question and its answer have versions to choose from."))
        if not message.is_current:
            for each in (message, _counterpart(message)):
                if each is not None and not each.is_current:
                    _make_current(each)
    return chat_id


def _counterpart(message: Message) -> Message | None:
    """Return the question of an answer, or the newest answer to a question."""
    if message.role == Message.Role.ASSISTANT:
        turn = Turn.objects.select_related("question").filter(answer=message).first()
        return turn.question if turn else None
    turn = Turn.objects.select_related("answer").filter(question=message).order_by("-id").first()
    return turn.answer if turn else None


def _make_current(message: Message) -> None:
    """Clear the flag before setting it: the unique index allows one at any moment."""
    versions = Message.objects.filter(chat=message.chat_id, position=message.position)
    versions.filter(is_current=True).update(is_current=False)
    versions.filter(pk=message.pk).update(is_current=True)


def _own_chats(user: User) -> Any:
    return Chat.objects.filter(owner=user, deleted_at=None)


def _lock_chat(user: User, chat_id: UUID) -> Chat:
    chat: Chat | None = _own_chats(user).select_for_update(no_key=True).filter(pk=chat_id).first()
    if chat is None:
        raise no_chat()
    return chat


def _get_message(user: User, message_id: UUID) -> Message:
    message = Message.objects.filter(pk=message_id, chat__owner=user, chat__deleted_at=None).first()
    if message is None:
        raise NotFound(_("This message does not exist."))
    return message
