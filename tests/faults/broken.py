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
from mundap.accounts.models import User
from mundap.chats import body_cache, sealed_body, services, store, turns
from mundap.chats.sealed_body import Identity
from mundap.chats.turns import Ask, Begun

__all__ = ["application"]
WRITTEN_BACK_SECONDS = 1.5
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
)

{variant.__name__: variant for variant in VARIANTS}[os.environ["BROKEN"]]()
