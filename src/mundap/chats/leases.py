"""A running turn's hold in the database: a lease that its process extends, drafts, and the end of those that are dead.

Whoever changes a running turn locks its chat first, as in `turns.py`. Time is the database's own: servers' clocks need
not agree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext as _

from mundap.chats.shapes import error_json
from mundap.config import metrics
from mundap.errors import MundapError, ServiceUnavailable

LEASE_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Heard:
    """What a heartbeat learnt: the turns still ours, and those among them that were asked to stop."""

    held: frozenset[UUID]
    to_stop: frozenset[UUID]


def keep(
    turns: Sequence[UUID],
    drafts: Mapping[UUID, str],
    *,
    runner: str,
    retrievals: Mapping[UUID, Mapping[str, Any]] = MappingProxyType({}),
) -> Heard:
    """Extend the leases of this runner's turns, save what was found for them and the drafts that changed.

    Returns what was heard. One after the other, never at once: all lock several turns.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE chats_turn SET lease_until = clock_timestamp() + make_interval(secs => %s)
            WHERE id = ANY(%s) AND status = 'running' AND runner = %s
            RETURNING id, stop_requested_at IS NOT NULL
            """,
            [LEASE_SECONDS, list(turns), runner],
        )
        rows = cursor.fetchall()
        if retrievals:  # once a turn; what a killed process leaves can then be gone on with
            cursor.execute(
                """
                UPDATE chats_turn t SET retrieval = new.retrieval
                FROM unnest(%s::uuid[], %s::jsonb[]) AS new (id, retrieval)
                WHERE t.id = new.id AND t.status = 'running' AND t.runner = %s
                """,
                [list(retrievals), [json.dumps(each) for each in retrievals.values()], runner],
            )
        if drafts:
            # FOR SHARE waits for a finish under way, and then leaves its turn out.
            cursor.execute(
                """
                WITH held AS (
                    SELECT t.id FROM chats_turn t
                    WHERE t.id = ANY(%(ids)s) AND t.status = 'running' AND t.runner = %(runner)s FOR SHARE
                )
                INSERT INTO chats_turndraft (turn_id, text, updated_at)
                SELECT new.id, new.text, clock_timestamp()
                FROM unnest(%(ids)s::uuid[], %(texts)s::text[]) AS new (id, text) JOIN held USING (id)
                ON CONFLICT (turn_id) DO UPDATE SET text = EXCLUDED.text, updated_at = EXCLUDED.updated_at
                """,
                {"ids": list(drafts), "texts": list(drafts.values()), "runner": runner},
            )
    return Heard(
        held=frozenset(turn for turn, _stop in rows),
        to_stop=frozenset(turn for turn, stop in rows if stop),
    )


def list_expired() -> list[UUID]:
    """Return the turns whose process is dead, oldest first, a hundred at most."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT id FROM chats_turn WHERE status = 'running' AND lease_until < clock_timestamp()
            ORDER BY id LIMIT 100
            """
        )
        return [row[0] for row in cursor.fetchall()]


def interrupt(turn: UUID, *, streamed: str = "") -> None:
    """Finish the turn as interrupted, if its lease has run out, with the longer of its draft and what was streamed."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH chat AS (
                SELECT c.id FROM chats_chat c JOIN chats_turn t ON t.chat_id = c.id
                WHERE t.id = %(turn)s FOR NO KEY UPDATE OF c
            ), turn AS (
                UPDATE chats_turn t
                SET status = 'interrupted', error = %(error)s, finished_at = clock_timestamp()
                FROM chat
                WHERE t.id = %(turn)s AND t.chat_id = chat.id AND t.status = 'running'
                  AND t.lease_until < clock_timestamp()
                RETURNING t.id, t.answer_id
            ), draft AS (
                DELETE FROM chats_turndraft d USING turn WHERE d.turn_id = turn.id RETURNING d.turn_id, d.text
            ), message AS (
                UPDATE chats_message m
                SET text = CASE WHEN length(%(streamed)s) > coalesce(length(draft.text), 0)
                                THEN %(streamed)s ELSE coalesce(draft.text, '') END,
                    state = 'interrupted'
                FROM turn LEFT JOIN draft ON draft.turn_id = turn.id
                WHERE m.id = turn.answer_id
            )
            SELECT id FROM turn
            """,
            {"turn": turn, "streamed": streamed, "error": json.dumps(error_json(interruption()))},
        )
        metrics.turns_ended.labels("interrupted").inc(len(cursor.fetchall()))


def interruption() -> MundapError:
    """Return the error of an answer whose process went away."""
    return ServiceUnavailable(_("The answer was interrupted. Ask again."))
