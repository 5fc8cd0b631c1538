"""Answers that belong to no chat, as programs ask for them by OpenAI's protocol: who has how many of them running.

Nothing of what was asked or answered is stored. While an answer is being written it has a row, so that a user's limit
holds over all processes and together with the turns of chats; its process extends the lease, as that of a turn.
"""

from __future__ import annotations

from collections.abc import Collection as Many
from uuid import UUID

from django.db import connection, transaction
from uuid_utils.compat import uuid7

from mundap.accounts.models import User
from mundap.answers.events import HistoryMessage
from mundap.chats import limits
from mundap.chats.leases import LEASE_SECONDS
from mundap.chats.turns import RUNNING, Begun, lock_posts, require_room
from mundap.chats.usage import Payer, Purpose


def begin(
    user: User,
    question: str,
    history: tuple[HistoryMessage, ...],
    *,
    has_room: bool,
    token: UUID | None = None,
) -> Begun:
    """Return a completion that may run now, as a turn whose one id stands for all of them.

    Those that dead processes left are forgotten. Raises LimitReached and QuotaReached, as posting into a chat does.
    """
    completion: UUID = uuid7()
    with transaction.atomic(), connection.cursor() as cursor:
        lock_posts(cursor, user)
        cursor.execute(f"SELECT {RUNNING}", {"owner": user.pk})
        require_room(cursor.fetchone()[0], has_room=has_room)
        payer = Payer(user.pk, token)
        quotas = limits.admit_answer(
            cursor, completion, payer, question, history, purpose=Purpose.COMPLETION
        )
        cursor.execute(
            """
            WITH dead AS (
                DELETE FROM chats_completion WHERE id IN (
                    SELECT id FROM chats_completion WHERE lease_until < clock_timestamp()
                    FOR UPDATE SKIP LOCKED
                )
            )
            INSERT INTO chats_completion (id, owner_id, lease_until)
            VALUES (%(id)s, %(owner)s, clock_timestamp() + make_interval(secs => %(lease)s))
            """,
            {"id": completion, "owner": user.pk, "lease": LEASE_SECONDS},
        )
    return Begun(completion, completion, completion, history=history, payer=payer, quotas=quotas)


def keep(completions: Many[UUID]) -> None:
    """Extend the leases of these completions."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE chats_completion SET lease_until = clock_timestamp() + make_interval(secs => %s)
            WHERE id = ANY(%s)
            """,
            [LEASE_SECONDS, list(completions)],
        )


def end(completion: UUID) -> None:
    """Forget a completion."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM chats_completion WHERE id = %s", [completion])
