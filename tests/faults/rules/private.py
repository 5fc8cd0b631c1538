"""Nobody sees what belongs to others."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.history import Record, token_of
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
        turn = history.turns.get(op.get("turn") or "")
        if op.get("text") and turn and turn["owner"] != op["user"]:
            yield Violation("foreign", "another user's answer was told", op)
        if _author(token_of(op.get("text") or "")) not in ("", op["user"]):
            yield Violation("foreign", "a stream told another user's text", op)
        body = history.bodies.get(op.get("digest") or "")
        if body is not None and body["chat"] != op["chat"]:
            yield Violation("foreign", "another chat was shown", op)
        if authors.get(op.get("digest") or "", set()) - {op["user"]}:
            yield Violation("foreign", "another user's text was shown", op)
        if any(owners.get(chat, op["user"]) != op["user"] for chat, _rev in op.get("chats", ())):
            yield Violation("foreign", "another user's chat was listed", op)


def _authors(body: Record) -> set[str]:
    return {_author(message[TOKEN]) for message in body["messages"]} - {""}


def _author(token: str | None) -> str:
    return token.split("-")[1] if token else ""


RULES = (_nothing_foreign,)
