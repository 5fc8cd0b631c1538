"""Nobody sees what belongs to others."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.history import Record
from tests.faults.judged import TOKEN, Judged, Violation


def _nothing_foreign(history: Judged) -> Iterator[Violation]:
    owners = {chat: stored["owner"] for chat, stored in history.stored.items()}
    owners |= {ask["chat"]: ask["user"] for ask in history.asks}
    authors = {digest: _authors(body) for digest, body in history.bodies.items()}
    for op in history.ops:
        if op["op"] == "stranger":
            if op["status"] not in (0, 404, 503):
                yield Violation("foreign", f"a stranger got {op['status']}", op)
            continue
        body = history.bodies.get(op.get("digest") or "")
        if body is not None and body["chat"] != op["chat"]:
            yield Violation("foreign", "another chat was shown", op)
        if authors.get(op.get("digest") or "", set()) - {op["user"]}:
            yield Violation("foreign", "another user's text was shown", op)
        if any(owners.get(chat, op["user"]) != op["user"] for chat, _rev in op.get("chats", ())):
            yield Violation("foreign", "another user's chat was listed", op)


def _authors(body: Record) -> set[str]:
    tokens = [message[TOKEN] for message in body["messages"] if message[TOKEN]]
    return {token.split("-")[1] for token in tokens}


RULES = (_nothing_foreign,)
