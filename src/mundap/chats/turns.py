"""A turn's life in the database: begun, held by a lease, stopped, finished or reaped. Each function is one transaction.

Whoever changes a running turn locks its chat first, so that posting, finishing and reaping cannot wait for each other
in a circle. Time is the database's own: servers' clocks need not agree. `runner.py` runs the answer in between.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils.translation import gettext as _
from uuid_utils.compat import uuid7

from mundap.accounts.models import User
from mundap.answers.answering import shorten
from mundap.answers.events import Earlier, HistoryMessage
from mundap.chats import limits, versions
from mundap.chats.leases import LEASE_SECONDS, interrupt
from mundap.chats.models import State
from mundap.chats.shapes import stream_url
from mundap.chats.usage import NOBODY, Payer
from mundap.chats.versions import Place, Revision
from mundap.config import metrics
from mundap.config.quotas import Quota
from mundap.errors import (
    Conflict,
    KeyReused,
    LimitReached,
    NotFound,
    NotSignedIn,
    TurnInProgress,
)
from mundap.library.models import Collection
from mundap.library.selectors import list_collections_for

HISTORY_MESSAGES = 12
LOCK_MILLISECONDS = 5000
# Shorter, so that who waits for what a frozen process has locked outlives it; between two statements there is no work.
IDLE_MILLISECONDS = 3000
_POSTING_LOCK = 20_002  # the class of our advisory locks: one post of a person at a time
# How many answers the user %(owner)s has running, in chats and outside.
RUNNING = """(
    (SELECT count(*) FROM chats_turn
     WHERE owner_id = %(owner)s AND status = 'running' AND lease_until > clock_timestamp())
    + (SELECT count(*) FROM chats_completion
       WHERE owner_id = %(owner)s AND lease_until > clock_timestamp())
)"""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question as posted: into a chat, or into a new one about `collection`."""

    text: str
    key: str
    chat: UUID | None = None
    collection: Collection | None = None

    @property
    def digest(self) -> bytes:
        """Return what makes two posts with one key the same request."""
        place = str(self.chat) if self.chat else f"new:{self.collection and self.collection.pk}"
        return hashlib.sha256(json.dumps([place, self.text]).encode()).digest()


@dataclass(frozen=True, slots=True)
class Begun:
    """A turn that `begin` stored; or one found by its key, without a collection: there is nothing to run.

    `is_first` where the chat is still named by the question as it was typed; `earlier` where an answer is gone on with;
    `quotas` say what is left after it.
    """

    turn: UUID
    chat: UUID
    answer: UUID
    question: str = ""
    title: str = ""
    is_first: bool = False
    collection: Collection | None = None
    history: tuple[HistoryMessage, ...] = ()
    earlier: Earlier | None = None
    payer: Payer = NOBODY
    quotas: tuple[Quota, ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended, as it is stored."""

    status: State
    text: str
    citations: Sequence[Mapping[str, Any]] = ()
    usage: Mapping[str, int] = field(default_factory=dict)
    retrieval: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Opened:
    """A chat that is locked for a turn; or one to be made, at its first position."""

    chat: UUID
    next_position: int
    collection: Collection
    title: str
    is_new: bool = False


def begin(
    user: User, ask: Ask | Revision, *, runner: str, has_room: bool, token: UUID | None = None
) -> Begun:
    """Store a running turn with what it asks, or return the turn that this key already made.

    `token` is the API token that asks, if one does. Raises KeyReused, NotFound, TurnInProgress, LimitReached,
    QuotaReached, and Conflict when the chat's collection is gone, or what a revision is of is not there to be revised.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        lock_posts(cursor, user)
        known, running = _look_up(cursor, user, ask)
        if known:
            return known
        opened = _open(cursor, user, ask)
        require_room(running, has_room=has_room)
        chat, place = opened.chat, _place(cursor, ask, opened)
        if opened.is_new:
            _insert_chat(cursor, chat, user=user, collection=opened.collection, title=opened.title)
        # The first question's title, unless somebody or the model has given another.
        is_titled_by = shorten(place.text if place.former is None else place.former)
        is_asked = place.question is None
        is_first = is_asked and place.position == 0 and opened.title == is_titled_by
        begun = Begun(
            uuid7(),
            chat,
            uuid7(),
            question=place.text,
            title=shorten(place.text) if is_first else opened.title,
            is_first=is_first,
            collection=opened.collection,
            history=_history(cursor, chat, before=place.position) if place.position else (),
            earlier=place.earlier,
            payer=Payer(user.pk, token),
        )
        quotas = limits.admit_answer(
            cursor,
            begun.turn,
            begun.payer,
            begun.question,
            begun.history,
            earlier=begun.earlier,
        )
        if isinstance(ask, Revision):
            versions.make_way(cursor, chat, place)
        _insert_turn(cursor, begun, ask, user=user, runner=runner, place=place)
        if place.earlier:
            _insert_draft(cursor, begun.turn, place.earlier.text)
    return replace(begun, quotas=quotas)


def _open(cursor: CursorWrapper, user: User, ask: Ask | Revision) -> _Opened:
    """Lock the chat that is asked in, free of any running turn. Raises NotFound, TurnInProgress, Conflict."""
    if isinstance(ask, Ask) and ask.chat is None and ask.collection is not None:
        return _Opened(uuid7(), 0, ask.collection, shorten(ask.text), is_new=True)
    chat = ask.chat if isinstance(ask, Ask) else versions.find_chat(cursor, user, ask.message)
    if chat is None:
        raise NotFound(_("This conversation does not exist."))
    next_position, collection_id, title = _lock_chat(cursor, user, chat)
    free_chat(cursor, chat)
    collection = _find_collection(user, collection_id)
    if collection is None:
        raise Conflict(_("What this conversation was about is no longer available to you."))
    return _Opened(chat, next_position, collection, title)


def _place(cursor: CursorWrapper, ask: Ask | Revision, opened: _Opened) -> Place:
    """Return where the turn goes. Raises Conflict."""
    if isinstance(ask, Ask):
        return Place(opened.next_position, ask.text)
    return versions.place_of(
        cursor, ask, next_position=opened.next_position, collection=opened.collection
    )


def lock_posts(cursor: CursorWrapper, user: User) -> None:
    """Let no other post of this user begin before the transaction ends. Raises NotSignedIn where they are gone.

    No lock is waited for longer than LOCK_MILLISECONDS, this one included: whoever waits holds one of a few threads.
    A process that stops in the middle loses the transaction after IDLE_MILLISECONDS, and with it what it has locked.
    """
    cursor.execute(
        """
        SELECT set_config('lock_timeout', %s, true),
               set_config('idle_in_transaction_session_timeout', %s, true),
               pg_advisory_xact_lock(%s, hashtext(%s))
        FROM accounts_user WHERE id = %s FOR KEY SHARE
        """,
        [str(LOCK_MILLISECONDS), str(IDLE_MILLISECONDS), _POSTING_LOCK, str(user.pk), user.pk],
    )
    if cursor.fetchone() is None:  # an account that is being deleted is waited for
        raise NotSignedIn(_("This account has been deleted."))


def require_room(running: int, *, has_room: bool) -> None:
    """Raise LimitReached where the user has so many answers running, or the process has no room for one more."""
    if running >= settings.TURNS_PER_USER:
        metrics.refusals.labels("turns_running").inc()
        raise LimitReached(_("Too many answers are being written for you. Wait for one to end."))
    if not has_room:
        metrics.refusals.labels("server_busy").inc()
        raise LimitReached(_("The server is busy. Try again in a moment."))


def _look_up(cursor: CursorWrapper, user: User, ask: Ask | Revision) -> tuple[Begun | None, int]:
    """Return the turn that the key made, and how many turns of the user are running."""
    cursor.execute(
        f"""
        SELECT t.id, t.chat_id, t.answer_id, t.request_hash, {RUNNING}
        FROM (SELECT 1) one
        LEFT JOIN chats_turn t ON t.owner_id = %(owner)s AND t.idempotency_key = %(key)s
        """,  # noqa: S608 - a constant
        {"owner": user.pk, "key": ask.key},
    )
    turn, chat, answer, digest, running = cursor.fetchone()
    if turn is None:
        return None, running
    if bytes(digest) != ask.digest:
        raise KeyReused(
            _(
                "This Idempotency-Key was used for another request. Use a new key for a new question."
            )
        )
    return Begun(turn, chat, answer), running


def _lock_chat(cursor: CursorWrapper, user: User, chat: UUID) -> tuple[int, UUID | None, str]:
    cursor.execute(
        """
        SELECT next_position, collection_id, title FROM chats_chat
        WHERE id = %s AND owner_id = %s AND deleted_at IS NULL
        FOR NO KEY UPDATE
        """,
        [chat, user.pk],
    )
    row: tuple[int, UUID | None, str] | None = cursor.fetchone()
    if row is None:
        raise NotFound(_("This conversation does not exist."))
    return row


def free_chat(cursor: CursorWrapper, chat: UUID) -> None:
    """Finish a turn in the locked chat whose runner is dead. Raises TurnInProgress for a living one."""
    cursor.execute(
        "SELECT id, lease_until > clock_timestamp() FROM chats_turn WHERE chat_id = %s AND status = 'running'",
        [chat],
    )
    row = cursor.fetchone()
    if row and row[1]:
        raise TurnInProgress(
            _("The last question is still being answered."),
            extra={"turn": str(row[0]), "stream": stream_url(row[0])},
        )
    if row:
        interrupt(row[0])


def _find_collection(user: User, collection_id: UUID | None) -> Collection | None:
    if collection_id is None:
        return None
    return list_collections_for(user).filter(pk=collection_id).first()


def _history(cursor: CursorWrapper, chat: UUID, *, before: int) -> tuple[HistoryMessage, ...]:
    """Return the last messages before the position that say something, oldest first."""
    cursor.execute(
        """
        SELECT role, text FROM chats_message
        WHERE chat_id = %s AND is_current AND position < %s AND text <> '' ORDER BY position DESC LIMIT %s
        """,
        [chat, before, HISTORY_MESSAGES],
    )
    return tuple(HistoryMessage(role, text) for role, text in reversed(cursor.fetchall()))


def _insert_chat(
    cursor: CursorWrapper, chat: UUID, *, user: User, collection: Collection, title: str
) -> None:
    cursor.execute(
        """
        INSERT INTO chats_chat (id, owner_id, collection_id, title, pinned, next_position)
        VALUES (%s, %s, %s, %s, false, 0)
        """,
        [chat, user.pk, collection.pk, title],
    )


def _insert_turn(
    cursor: CursorWrapper,
    begun: Begun,
    ask: Ask | Revision,
    *,
    user: User,
    runner: str,
    place: Place,
) -> None:
    """Insert the turn, its question where it has a new one, and the answer's placeholder.

    Foreign keys are checked at the end.
    """
    cursor.execute(
        """
        WITH chat AS (
            UPDATE chats_chat SET next_position = %(position)s + 2, updated_at = statement_timestamp(),
                                  title = %(title)s
            WHERE id = %(chat)s
        ), turn AS (
            INSERT INTO chats_turn (id, chat_id, owner_id, idempotency_key, request_hash, status, runner,
                                    lease_until, question_id, answer_id, usage, retrieval)
            VALUES (%(turn)s, %(chat)s, %(owner)s, %(key)s, %(digest)s, 'running', %(runner)s,
                    clock_timestamp() + make_interval(secs => %(lease)s), %(question)s, %(answer)s, '{}',
                    %(retrieval)s)
        )
        INSERT INTO chats_message (id, chat_id, turn_id, position, version, is_current, role, text, state,
                                   citations, rating, comment)
        SELECT id, %(chat)s, %(turn)s, position, version, true, role, text, state, '[]', '', ''
        FROM (VALUES (%(question)s::uuid, %(position)s, %(question_version)s, 'user', %(text)s, 'complete'),
                     (%(answer)s, %(position)s + 1, %(answer_version)s, 'assistant', '', 'running')
        ) new (id, position, version, role, text, state)
        WHERE %(is_asked)s OR role = 'assistant'
        """,
        {
            "turn": begun.turn,
            "chat": begun.chat,
            "title": begun.title,
            "owner": user.pk,
            "key": ask.key,
            "digest": ask.digest,
            "runner": runner,
            "lease": LEASE_SECONDS,
            "question": place.question or uuid7(),
            "is_asked": place.question is None,
            "answer": begun.answer,
            "position": place.position,
            "question_version": place.question_version,
            "answer_version": place.answer_version,
            "text": place.text,
            "retrieval": json.dumps(place.retrieval),
        },
    )


def _insert_draft(cursor: CursorWrapper, turn: UUID, text: str) -> None:
    """Store the text that an answer begins with, which its readers have seen already."""
    cursor.execute(
        "INSERT INTO chats_turndraft (turn_id, text, updated_at) VALUES (%s, %s, clock_timestamp())",
        [turn, text],
    )


def finish(turn: UUID, ending: Ending, *, runner: str) -> bool:
    """Store how the answer ended; False when the turn is no longer this runner's, and nothing was stored."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH chat AS (
                SELECT c.id FROM chats_chat c JOIN chats_turn t ON t.chat_id = c.id
                WHERE t.id = %(turn)s FOR NO KEY UPDATE OF c
            ), turn AS (
                UPDATE chats_turn t
                SET status = %(status)s, usage = %(usage)s, retrieval = %(retrieval)s, error = %(error)s,
                    finished_at = clock_timestamp()
                FROM chat
                WHERE t.id = %(turn)s AND t.chat_id = chat.id AND t.status = 'running' AND t.runner = %(runner)s
                RETURNING t.id, t.answer_id
            ), draft AS (
                DELETE FROM chats_turndraft d USING turn WHERE d.turn_id = turn.id
            ), message AS (
                UPDATE chats_message m SET text = %(text)s, citations = %(citations)s, state = %(status)s
                FROM turn WHERE m.id = turn.answer_id
            )
            SELECT id FROM turn
            """,
            {
                "turn": turn,
                "runner": runner,
                "status": ending.status.value,
                "text": ending.text,
                "citations": json.dumps(list(ending.citations)),
                "usage": json.dumps(ending.usage),
                "retrieval": json.dumps(ending.retrieval),
                "error": None if ending.error is None else json.dumps(ending.error),
            },
        )
        return cursor.fetchone() is not None


def request_stop(user: User, turn: UUID) -> None:
    """Ask whoever runs the turn to stop; nothing happens to one that has ended. Raises NotFound."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE chats_turn SET stop_requested_at = clock_timestamp()
            WHERE id = %s AND owner_id = %s AND status = 'running' AND stop_requested_at IS NULL
            """,
            [turn, user.pk],
        )
        if cursor.rowcount:
            return
        cursor.execute("SELECT 1 FROM chats_turn WHERE id = %s AND owner_id = %s", [turn, user.pk])
        if cursor.fetchone() is None:
            raise NotFound(_("This answer does not exist."))
