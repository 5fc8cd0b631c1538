"""What staff have looked after: questions that were not answered, and answers that did not help."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils import timezone

from mundap.accounts.models import User
from mundap.chats.models import DealtWith, Message


def deal_with(messages: QuerySet[Message], *, by: User) -> None:
    """Mark these as dealt with, by whoever said so last."""
    now = timezone.now()
    DealtWith.objects.bulk_create(
        [DealtWith(message_id=pk, by=by, at=now) for pk in messages.values_list("pk", flat=True)],
        update_conflicts=True,
        unique_fields=["message"],
        update_fields=["by", "at"],
    )


def open_again(messages: QuerySet[Message]) -> None:
    """Take the mark away."""
    DealtWith.objects.filter(message__in=messages.order_by()).delete()
