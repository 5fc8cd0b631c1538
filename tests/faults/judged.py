"""A history sorted for the rules that judge it, and what they have in common."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.faults.history import Record

FINAL_STATES = {"complete", "stopped", "failed", "interrupted"}
POSITION, ID, ROLE, STATE, TOKEN, DIGEST, COMMENT = range(7)  # of a message


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept."""

    kind: str
    what: str
    record: Record


class Judged:
    """A history by kinds."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.run: Record = {}
        self.ops: list[Record] = []
        self.faults: list[Record] = []
        self.bodies: dict[str, Record] = {}
        self.stored: dict[str, Record] = {}
        self.turns: dict[str, Record] = {}
        self.answers: dict[str, int] = {}
        self.left: list[Record] = []
        for record in records:
            match record["kind"]:
                case "run":
                    self.run = record
                case "op":
                    self.ops.append(record)
                case "fault":
                    self.faults.append(record)
                case "body":
                    self.bodies[record["digest"]] = record
                case "stored":
                    self.stored[record["chat"]] = record
                case "turn":
                    self.turns[record["turn"]] = record
                case "answers":
                    self.answers[record["token"]] = record["count"]
                case "left":
                    self.left.append(record)
        # Nothing is known to be stored before the end of a run is recorded.
        self.is_whole = bool(self.stored)
        self.asks = [op for op in self.ops if op["op"] == "ask" and op.get("turn")]
        self.revisions = [op for op in self.ops if op["op"] == "revise" and op.get("turn")]
        self.message_of = {
            message[ID]: (chat, message)
            for chat, record in self.stored.items()
            for message in versions_in(record)
        }

    def acknowledged(self, *names: str) -> Iterator[Record]:
        """Yield the operations of these names that were answered with success."""
        return (op for op in self.ops if op["op"] in names and 200 <= op["status"] < 300)

    def faults_named(self, *names: str) -> list[Record]:
        """Return the faults of these names."""
        return [fault for fault in self.faults if fault["name"] in names]


def versions_in(stored: Record) -> list[list[Any]]:
    """Return all messages of a stored chat, those that are not current as well."""
    return [*stored["messages"], *stored.get("former", ())]


class Highest:
    """The highest of some values up to a moment."""

    def __init__(self, pairs: Iterable[tuple[float, float]], *, default: float = -1) -> None:
        self._times: list[float] = []
        self._values: list[float] = []
        self._default = default
        for time, value in sorted(pairs):
            self._times.append(time)
            self._values.append(max(value, self._values[-1]) if self._values else value)

    def before(self, moment: float) -> float:
        """Return the highest value of what came before the moment."""
        place = bisect_left(self._times, moment)
        return self._values[place - 1] if place else self._default

    def up_to(self, moment: float) -> float:
        """Return the highest value of what came before the moment or at it."""
        place = bisect_right(self._times, moment)
        return self._values[place - 1] if place else self._default


def latest_effect(op: Record) -> float:
    """Return until when a write may take effect: for ever, if nobody knows whether it did."""
    if op.get("acked"):
        return float(op["acked"])
    return op["end"] if 0 < op["status"] < 500 else float("inf")
