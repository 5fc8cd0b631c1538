"""Summaries as rows: one maker at a time for one content and language, whatever the number of readers and servers.

What they say, and how they are made, is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from uuid_utils.compat import uuid7

from mundap.accounts.models import User
from mundap.config import metrics
from mundap.errors import LimitReached
from mundap.library.models import Passage, Summary

LEASE = timedelta(seconds=15)
_UNUSED = timedelta(days=1)  # that a summary outlives its content: what is read anew is soon back


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make a summary, as long as it is kept."""

    summary: UUID
    maker: UUID


def find_summary(content_hash: str, *, language: str) -> Summary | None:
    """Return the summary of this content as it stands."""
    return Summary.objects.filter(content_hash=content_hash, language=language).first()


def claim(
    content_hash: str, *, language: str, lead_hash: str, calls: int, user: User
) -> Claim | None:
    """Return the right to make this summary; None where it is there already, or somebody is making it.

    Raises LimitReached where the user is having as many made as they may.
    """
    same = Summary.objects.filter(content_hash=content_hash, language=language)
    Summary.objects.bulk_create(
        [Summary(content_hash=content_hash, language=language, lead_hash=lead_hash)],
        ignore_conflicts=True,
    )
    making = Q(state=Summary.State.MAKING)
    is_free = ~making & ~Q(state=Summary.State.READY) | making & Q(lease_until__lt=Now())
    running = Summary.objects.filter(making, requested_by=user, lease_until__gte=Now())
    if same.filter(is_free).exists() and running.count() >= settings.TURNS_PER_USER:
        metrics.refusals.labels("summaries_running").inc()
        raise LimitReached(
            _("You have %(limit)d summaries being made. Wait until one of them is ready.")
            % {"limit": settings.TURNS_PER_USER}
        )
    maker: UUID = uuid7()
    claimed = same.filter(is_free).update(
        state=Summary.State.MAKING,
        maker=maker,
        lease_until=Now() + LEASE,
        requested_by=user,
        error=None,
        calls=calls,
    )
    return Claim(same.get().pk, maker) if claimed else None


def keep(held: Claim) -> None:
    """Extend the lease."""
    _held(held).update(lease_until=Now() + LEASE)


def let_go(held: Claim) -> None:
    """End the lease: another maker may go on at once."""
    _held(held).update(lease_until=Now())


def replies_of(held: Claim) -> Mapping[str, str]:
    """Return what the model has replied to earlier makers, by the digest of what was asked."""
    return dict(Summary.objects.values_list("replies", flat=True).get(pk=held.summary))


def add_reply(held: Claim, digest: str, reply: str) -> None:
    """Keep a reply, so that another maker need not ask for it again."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE library_summary SET replies = replies || %s::jsonb WHERE id = %s AND maker = %s
            """,
            [json.dumps({digest: reply}), held.summary, held.maker],
        )


def finish(held: Claim, text: str, citations: Sequence[Mapping[str, Any]], *, model: str) -> None:
    """Store the summary."""
    _held(held).update(
        state=Summary.State.READY,
        text=text,
        citations=list(citations),
        model=model,
        replies={},
        made_at=Now(),
    )


def fail(held: Claim, error: Mapping[str, Any]) -> None:
    """Store why it could not be made; it may be tried again."""
    _held(held).update(state=Summary.State.FAILED, error=dict(error))


def purge() -> None:
    """Remove the summaries of what is nowhere on the shelf any more."""
    there = Passage.objects.filter(content_hash=OuterRef("lead_hash"))
    Summary.objects.filter(~Exists(there), created_at__lt=Now() - _UNUSED).delete()


def _held(held: Claim) -> Any:
    return Summary.objects.filter(pk=held.summary, maker=held.maker, state=Summary.State.MAKING)
