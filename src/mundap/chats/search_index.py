"""Fills in the terms that chats are searched by. The rows without them, which triggers make, are the work to do."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.db import connection, transaction

from mundap.chats.models import SEGMENT_POSITIONS
from mundap.chats.search_terms import stored_terms

BATCH_SEGMENTS = 20  # a post into a chat whose terms are being written waits for the batch
_INDEXING_LOCK = 20_003  # our advisory locks: one process fills in terms at a time

# A chat that is being answered changes again in a moment.
_WAITING = """
    SELECT s.chat_id, s.number, s.owner_id, s.changes,
        CASE WHEN s.number = 0 THEN c.title ELSE '' END,
        ARRAY(
            SELECT m.text FROM chats_message m
            WHERE m.chat_id = s.chat_id AND m.is_current
              AND m.position >= s.number * %(size)s AND m.position < (s.number + 1) * %(size)s
        )
    FROM (
        SELECT * FROM chats_searchsegment w
        WHERE w.terms IS NULL
          AND NOT EXISTS (SELECT 1 FROM chats_turn t WHERE t.chat_id = w.chat_id AND t.status = 'running')
        LIMIT %(batch)s
    ) s
    JOIN chats_chat c ON c.id = s.chat_id
"""
# What has changed since it was read is left for the next time; what a post is changing right now is not waited for.
_FILL = """
    WITH filled AS (
        SELECT s.chat_id, s.number, new.terms
        FROM unnest(%s::uuid[], %s::int[], %s::bigint[], %s::text[]) AS new (chat_id, number, changes, terms)
        JOIN chats_searchsegment s USING (chat_id, number)
        WHERE s.changes = new.changes AND s.terms IS NULL
        FOR UPDATE OF s SKIP LOCKED
    )
    UPDATE chats_searchsegment s SET terms = array_to_tsvector(string_to_array(filled.terms, ' '))
    FROM filled WHERE s.chat_id = filled.chat_id AND s.number = filled.number
"""


def index_waiting(should_stop: Callable[[], bool] = lambda: False) -> int:
    """Analyse what waits for it and return how many segments were; 0 while another process does.

    It can be stopped at any moment: each batch is stored by itself.
    """
    total = 0
    while not should_stop() and (filled := _fill_batch()):
        total += filled
    return total


@transaction.atomic
def _fill_batch() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, 0)", [_INDEXING_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        # Losing a batch in a crash costs doing it again, so the disk need not be waited for.
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(_WAITING, {"size": SEGMENT_POSITIONS, "batch": BATCH_SEGMENTS})
        rows = cursor.fetchall()
        if not rows:
            return 0
        chats, numbers, changes, terms = zip(*(_analysed(*row) for row in rows), strict=True)
        cursor.execute(_FILL, [list(chats), list(numbers), list(changes), list(terms)])
        return int(cursor.rowcount)


def _analysed(
    chat: UUID, number: int, owner: UUID, changes: int, title: str, texts: list[str]
) -> tuple[UUID, int, int, str]:
    return chat, number, changes, " ".join(stored_terms(owner, [title, *texts]))
