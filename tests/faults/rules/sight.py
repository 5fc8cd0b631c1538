"""A deleted chat is gone until it is restored, and one that nobody deletes is there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.faults.history import Record
from tests.faults.judged import Highest, Judged, Violation, latest_effect


def _deletions_hold(history: Judged) -> Iterator[Violation]:
    """A deleted chat is gone until it is restored, and one that nobody deletes is there."""
    lives = {chat: _Life(ops) for chat, ops in _changes_of_sight(history).items()}
    for op in history.ops:
        for chat, is_shown in _sightings(op, lives):
            life = lives[chat]
            if is_shown and life.is_surely_gone(op["start"], op["end"]):
                yield Violation("stale", f"chat {chat} was deleted before", op)
            elif not is_shown and life.is_surely_there(op["start"], op["end"]):
                yield Violation("lost", f"chat {chat} is there and was not shown", op)
    for chat, life in lives.items():
        stored, end = history.stored.get(chat), float("inf")
        if stored and stored["deleted"] and life.is_surely_there(end, end):
            yield Violation("lost", f"chat {chat} is deleted, which nobody has asked for", stored)
        if stored and not stored["deleted"] and life.is_surely_gone(end, end):
            yield Violation("lost", f"the deletion of chat {chat} is not stored", stored)


def _changes_of_sight(history: Judged) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = defaultdict(list)
    for op in history.ops:
        is_creation = op["op"] == "ask" and op.get("is_first") and op.get("turn")
        if is_creation or op["op"] in ("delete", "restore"):
            found[op["chat"]].append(op)
    return found


def _sightings(op: Record, lives: dict[str, _Life]) -> Iterator[tuple[str, bool]]:
    """Yield the chats that an operation has shown, or has not shown although it asked for them."""
    if op["op"] in ("read", "classic") and op["status"] in (200, 304, 404) and op["chat"] in lives:
        yield op["chat"], op["status"] != 404
    elif op["op"] == "list" and op["status"] == 200:
        shown = {chat for chat, _rev in op["chats"]}
        yield from ((chat, True) for chat in shown if chat in lives)
        if op["is_whole"]:
            mine = (chat for chat, life in lives.items() if life.user == op["user"])
            yield from ((chat, False) for chat in mine if chat not in shown)


class _Life:
    """When a chat was deleted and restored. A change whose reply was lost may happen at any later time."""

    def __init__(self, ops: list[Record]) -> None:
        gone = [op for op in ops if op["op"] == "delete"]
        back = [op for op in ops if op["op"] != "delete"]
        self.user = ops[0]["user"]
        self._gone_acked = Highest(self._acked(gone))
        self._back_acked = Highest(self._acked(back))
        self._gone_ends = Highest(self._possible(gone))
        self._back_ends = Highest(self._possible(back))

    @staticmethod
    def _acked(ops: list[Record]) -> list[tuple[float, float]]:
        return [
            (op.get("acked") or op["end"], op["start"])
            for op in ops
            if op.get("turn") or 200 <= op["status"] < 300
        ]

    @staticmethod
    def _possible(ops: list[Record]) -> list[tuple[float, float]]:
        return [(op["start"], latest_effect(op)) for op in ops]

    def is_surely_gone(self, start: float, end: float) -> bool:
        return self._gone_acked.before(start) > self._back_ends.up_to(end)

    def is_surely_there(self, start: float, end: float) -> bool:
        return self._back_acked.before(start) > self._gone_ends.up_to(end)


RULES = (_deletions_hold,)
