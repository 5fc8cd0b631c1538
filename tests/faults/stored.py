"""What is stored when a run has ended, and what it has left behind: read past the application."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import psycopg

from tests.faults.history import History, digest_of, token_of

QUIET_SECONDS = 30.0  # a lease, a reaper's round, and some more
_TURNS_RUNNING = "SELECT count(*) FROM chats_turn WHERE status = 'running'"
_AT_WORK = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
      AND state <> 'idle'
"""
_CONNECTED = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


def wait_until_quiet(url: str) -> None:
    """Return when no turn runs and no statement does, or when that takes too long; the checker sees which."""
    with psycopg.connect(url, autocommit=True) as database:
        end = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < end:
            if not _one(database, _TURNS_RUNNING) and not _one(database, _AT_WORK):
                return
            time.sleep(0.05)


def record_connections(url: str, history: History, *, bound: int) -> None:
    """Record what is connected to the database: no more than the pools hold, and nothing in a transaction."""
    with psycopg.connect(url, autocommit=True) as database:
        history.add(
            "left", what="database connections", count=_one(database, _CONNECTED), bound=bound
        )
        history.add("left", what="open transactions", count=_one(database, _AT_WORK), bound=0)


def record_stored(url: str, history: History, *, names: dict[str, str]) -> None:
    """Record all chats and turns; `names` are the users by id."""
    with psycopg.connect(url, autocommit=True) as database:
        current: dict[str, list[list[Any]]] = {}
        former: dict[str, list[list[Any]]] = {}
        for row in database.execute(
            """
            SELECT is_current, chat_id::text, position, id::text, role, state, text, comment FROM chats_message
            ORDER BY chat_id, position, version
            """
        ):
            is_current, chat, position, message, role, state, text, comment = row
            entry = [position, message, role, state, token_of(text), digest_of(text), comment]
            (current if is_current else former).setdefault(chat, []).append(entry)
        for row in database.execute(
            "SELECT id::text, owner_id::text, title, next_position, deleted_at IS NOT NULL FROM chats_chat"
        ):
            chat, owner, title, next_position, is_deleted = row
            history.add(
                "stored",
                chat=chat,
                owner=names.get(owner, owner),
                title=title,
                next_position=next_position,
                deleted=is_deleted,
                messages=current.get(chat, []),
                former=former.get(chat, []),
            )
        _record_turns(database, history, names=names)
    history.flush()


def _record_turns(
    database: psycopg.Connection[Any], history: History, *, names: dict[str, str]
) -> None:
    for row in database.execute(
        """
        SELECT t.id::text, t.chat_id::text, t.owner_id::text, t.idempotency_key, t.status, t.question_id::text,
               t.answer_id::text, m.state, m.text, t.runner, t.error->>'code',
               extract(epoch FROM t.finished_at - t.stop_requested_at)::float8
        FROM chats_turn t LEFT JOIN chats_message m ON m.id = t.answer_id
        """
    ):
        turn, chat, owner, key, status, question, answer, state, text, runner, error, stopped = row
        history.add(
            "turn",
            turn=turn,
            chat=chat,
            owner=names.get(owner, owner),
            key=key,
            status=status,
            question=question,
            answer=answer,
            state=state,
            text=text,
            pid=int(runner.split(":")[-2]),
            error=error,
            stop_seconds=stopped,
        )


def record_answers(answers: Mapping[str, int], history: History) -> None:
    """Record how many answers the model has begun to give to each question."""
    for token, count in answers.items():
        history.add("answers", token=token, count=count)


def _one(database: psycopg.Connection[Any], statement: str) -> int:
    row = database.execute(statement.encode()).fetchone()
    assert row is not None
    return int(row[0])
