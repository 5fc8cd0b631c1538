"""The application with one part of the protocol broken on purpose, named by BROKEN: what the checker must notice.

Only the tests serve it: `uvicorn tests.faults.broken:application`.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from mundap.config.asgi import application  # first: it sets Django up

# isort: split
from django.db import connection

from mundap.accounts.models import User
from mundap.chats import body_cache, leases, sealed_body, services, store, streaming, turns, upkeep
from mundap.chats.sealed_body import Identity
from mundap.chats.turns import Ask, Begun, Ending

__all__ = ["application"]
WRITTEN_BACK_SECONDS = 1.5
LEASE_SECONDS = 2  # of what is tried with dead processes: nobody wants to wait
_HEAD = struct.Struct(">4s16s16sQ16s")  # the beginning of sealed_body's format


def believe_any_state() -> None:
    """A cached body is taken without looking at the chat's state: cache-aside with nothing else."""
    _unseal_as(lambda wanted, found: replace(wanted, rev=found.rev, etag=found.etag))


def compare_rev_only() -> None:
    """A cached body is taken when its counter fits; a failover has used that for other content."""
    _unseal_as(lambda wanted, found: replace(wanted, etag=found.etag))


def believe_any_owner() -> None:
    """Whatever body lies under a key is taken, whoever's it is."""
    _unseal_as(lambda _wanted, found: found)


def ask_no_owner() -> None:
    """The head is looked up without its owner: who knows a chat's id may read it."""
    before = "c.owner_id =\n ("
    assert before in store.HEAD_FOR_TOKEN
    store.HEAD_FOR_TOKEN = store.HEAD_FOR_TOKEN.replace(before, "EXISTS (")


def ignore_keys() -> None:
    """A retried question is a new question."""
    begin = turns.begin

    def begin_anew(user: User, ask: Ask, **options: Any) -> Begun:
        return begin(user, replace(ask, key=uuid4().hex), **options)

    turns.begin = begin_anew


def write_back_later() -> None:
    """A change is acknowledged before it is committed, and lost with the process."""
    change = services.change_chat

    def change_later(user: User, chat_id: UUID, **columns: Any) -> None:
        timer = threading.Timer(WRITTEN_BACK_SECONDS, change, [user, chat_id], columns)
        timer.daemon = True
        timer.start()

    services.change_chat = change_later


def expire_soon() -> None:
    """Nothing is broken: leases are short, so that others soon end what a stopped process has left."""
    leases.LEASE_SECONDS = turns.LEASE_SECONDS = LEASE_SECONDS
    upkeep.REAP_SECONDS = 1.0


def finish_unfenced() -> None:
    """A process stores how its answer ended, whoever has ended it before."""
    expire_soon()
    finish = turns.finish

    def finish_anyway(turn: UUID, ending: Ending, *, runner: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE chats_turn SET status = 'running', finished_at = NULL, runner = %s WHERE id = %s",
                [runner, turn],
            )
        return finish(turn, ending, runner=runner)

    turns.finish = finish_anyway


def forget_the_text() -> None:
    """An answer whose process died is ended without the text that it had."""
    expire_soon()
    interrupt = leases.interrupt

    def interrupt_without(turn: UUID, *, streamed: str = "") -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM chats_turndraft WHERE turn_id = %s", [turn])
        interrupt(turn)

    leases.interrupt = interrupt_without


def skip_a_character() -> None:
    """A stream that is taken up again goes on one character too far."""
    resume_at = streaming.Encoder._resume_at

    def resume_behind(encoder: streaming.Encoder, last_event_id: str) -> int:
        place = resume_at(encoder, last_event_id)
        return place + 1 if place else 0

    streaming.Encoder._resume_at = resume_behind


def _unseal_as(believed: Callable[[Identity, Identity], Identity]) -> None:
    def unseal(value: bytes, *, expected: Identity) -> bytes:
        found = expected
        if len(value) >= _HEAD.size:
            _format, chat, owner, rev, etag = _HEAD.unpack_from(value)
            found = Identity(UUID(bytes=chat), UUID(bytes=owner), rev, UUID(bytes=etag))
        return sealed_body.unseal(value, expected=believed(expected, found))

    body_cache.unseal = unseal


VARIANTS = (
    believe_any_state,
    compare_rev_only,
    believe_any_owner,
    ask_no_owner,
    ignore_keys,
    write_back_later,
    expire_soon,
    finish_unfenced,
    forget_the_text,
    skip_a_character,
)

{variant.__name__: variant for variant in VARIANTS}[os.environ["BROKEN"]]()
