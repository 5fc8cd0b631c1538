"""Judges a history after the run: were the promises kept? Sorting aside, its time grows with the history's length.

What is found has one of these kinds; CONVERSATIONS' invariants stand in brackets.

stale      a read that is older than what was acknowledged or shown before it began (2, 3), two bodies under one name
           (4), a deleted chat that is still shown
lost       an acknowledged write that is not stored; a gap or a wrong order; text that was shown and is not stored (1)
duplicate  a question stored twice; two answers of one question; two running turns in a chat (1, 6)
foreign    another user's text, chat or turn (5)
stuck      a turn that never ended, a request that never returned (8); a stream that ended with another text (7)
failed     a 5xx that no dead node and no stopped PostgreSQL explains; a well-formed request that was refused
left       connections beyond what the pools may hold (10)

`python -m tests.faults.checker FILE` judges a file again.
"""

from __future__ import annotations

import json
import sys
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.faults.history import Record, read_history

FINAL_STATES = {"complete", "stopped", "failed", "interrupted"}
EXPECTED = {0, 200, 204, 304, 404, 409}  # statuses of well-formed requests
RECOVERY_SECONDS = 5.0  # that a pool may take to find a database again that was away
POSITION, ID, ROLE, STATE, TOKEN, DIGEST, COMMENT = range(7)


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept."""

    kind: str
    what: str
    record: Record


@dataclass
class Report:
    """What was found."""

    violations: list[Violation] = field(default_factory=list)
    operations: int = 0
    faults: int = 0
    seconds: float = 0.0
    seed: int = 0
    p99_calm_ms: float = 0.0
    p99_paused_ms: float = 0.0

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations

    @property
    def kinds(self) -> set[str]:
        """The kinds of what was found."""
        return {violation.kind for violation in self.violations}

    def summary(self) -> dict[str, float]:
        """Return the counts of CONVERSATIONS §6."""
        counts = Counter(violation.kind for violation in self.violations)
        named = ("stale", "lost", "duplicate", "foreign", "stuck")
        return {
            "seconds": self.seconds,
            "operations": self.operations,
            "faults": self.faults,
            **{kind: counts[kind] for kind in named},
            "seed": self.seed,
        }


def check(records: Iterable[Record]) -> Report:
    """Return what is wrong with a whole history, whose end says what is stored."""
    history = _Sorted(records)
    report = Report(
        operations=len(history.ops),
        faults=len(history.faults),
        seconds=history.run.get("seconds", 0.0),
        seed=history.run.get("seed", 0),
    )
    for rule in _RULES:
        report.violations += rule(history)
    report.p99_calm_ms, report.p99_paused_ms = _latencies(history)
    return report


class _Sorted:
    """A history by kinds."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.run: Record = {}
        self.ops: list[Record] = []
        self.faults: list[Record] = []
        self.bodies: dict[str, Record] = {}
        self.stored: dict[str, Record] = {}
        self.turns: dict[str, Record] = {}
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
                case "left":
                    self.left.append(record)
        # Nothing is known to be stored before the end of a run is recorded.
        self.is_whole = bool(self.stored)
        self.asks = [op for op in self.ops if op["op"] == "ask" and op.get("turn")]
        self.message_of = {
            message[ID]: (chat, message)
            for chat, record in self.stored.items()
            for message in record["messages"]
        }

    def acknowledged(self, *names: str) -> Iterator[Record]:
        """Yield the operations of these names that were answered with success."""
        return (op for op in self.ops if op["op"] in names and 200 <= op["status"] < 300)


# --- (2), (3): nothing older than what was shown or acknowledged before


def _revs_never_fall(history: _Sorted) -> Iterator[Violation]:
    """A read has at least the rev that any reply had before it began, whoever got that reply and wherever."""
    seen: dict[str, list[tuple[float, float, int, Record]]] = defaultdict(list)
    for op in history.ops:
        for chat, rev in _revs_of(op):
            seen[chat].append((op["start"], op["end"], rev, op))
    for chat, reads in seen.items():
        ended = sorted((end, rev) for _start, end, rev, _op in reads)
        floor, place = 0, 0
        for start, _end, rev, op in sorted(reads, key=lambda read: read[0]):
            while place < len(ended) and ended[place][0] < start:
                floor = max(floor, ended[place][1])
                place += 1
            if rev < floor:
                yield Violation("stale", f"rev {rev} of chat {chat} after rev {floor}", op)


def _revs_of(op: Record) -> list[tuple[str, int]]:
    revs = [(chat, rev) for chat, rev in op.get("chats", ())]
    if op.get("rev") is not None and op.get("chat"):
        revs.append((op["chat"], op["rev"]))
    return revs


def _acknowledged_questions_are_shown(history: _Sorted) -> Iterator[Violation]:
    """A read reaches as far as the last question that was acknowledged before it began."""
    positions = {
        message[TOKEN]: message[POSITION]
        for stored in history.stored.values()
        for message in stored["messages"]
        if message[ROLE] == "user"
    }
    known: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for ask in history.asks:
        if ask["token"] in positions:
            known[ask["chat"]].append((ask["acked"], positions[ask["token"]] + 1))
    floors = {chat: _Highest(pairs) for chat, pairs in known.items()}
    for op in history.ops:
        body = history.bodies.get(op.get("digest") or "")
        if body is None or op["chat"] not in floors:
            continue
        wanted = floors[op["chat"]].before(op["start"])
        last = body["messages"][-1][POSITION] if body["messages"] else -1
        if last < wanted:
            what = f"position {wanted} was acknowledged, the read ends with {last}"
            yield Violation("stale", what, op)


class _Highest:
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


def _named_values_are_current(history: _Sorted) -> Iterator[Violation]:
    """A title or a rating's comment is the one set last before the read, or one set later or at the same time."""
    writes: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for op in history.ops:
        if op.get("register"):
            writes[op["chat"], op["register"]].append(op)
    acked = {
        key: _Highest([(op["end"], op["start"]) for op in ops if 200 <= op["status"] < 300])
        for key, ops in writes.items()
    }
    # A write whose reply was lost may still arrive, and one that is retried has several tries.
    ends = {
        (*key, value): max(_latest_effect(op) for op in tries)
        for key, ops in writes.items()
        for value, tries in _by_value(ops).items()
    }
    for kind, name, shown, moment, record in _shown_values(history):
        chat = record["chat"]
        if (chat, name) not in acked:
            continue
        newest = acked[chat, name].before(moment)
        if newest > 0 and ends.get((chat, name, shown), 0.0) < newest:
            yield Violation(kind, f"{name} of chat {chat} is still {shown!r}", record)


def _latest_effect(op: Record) -> float:
    """Return until when a write may take effect: for ever, if nobody knows whether it did."""
    if op.get("acked"):
        return float(op["acked"])
    return op["end"] if 0 < op["status"] < 500 else float("inf")


def _by_value(ops: list[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = defaultdict(list)
    for op in ops:
        found[op["value"]].append(op)
    return found


def _shown_values(history: _Sorted) -> Iterator[tuple[str, str, str, float, Record]]:
    """Yield (kind of violation, name, value, when its reading began, record)."""
    for op in history.ops:
        body = history.bodies.get(op.get("digest") or "")
        if body is not None:
            for name, value in _registers(body):
                yield "stale", name, value, op["start"], op
    for stored in history.stored.values():
        for name, value in _registers(stored):
            yield "lost", name, value, float("inf"), stored


def _registers(body: Record) -> Iterator[tuple[str, str]]:
    yield "title", body["title"]
    for message in body["messages"]:
        if message[COMMENT] is not None and message[ID]:
            yield message[ID], message[COMMENT]


def _deletions_hold(history: _Sorted) -> Iterator[Violation]:
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


def _changes_of_sight(history: _Sorted) -> dict[str, list[Record]]:
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
        self._gone_acked = _Highest(self._acked(gone))
        self._back_acked = _Highest(self._acked(back))
        self._gone_ends = _Highest(self._possible(gone))
        self._back_ends = _Highest(self._possible(back))

    @staticmethod
    def _acked(ops: list[Record]) -> list[tuple[float, float]]:
        return [
            (op.get("acked") or op["end"], op["start"])
            for op in ops
            if op.get("turn") or 200 <= op["status"] < 300
        ]

    @staticmethod
    def _possible(ops: list[Record]) -> list[tuple[float, float]]:
        return [(op["start"], _latest_effect(op)) for op in ops]

    def is_surely_gone(self, start: float, end: float) -> bool:
        return self._gone_acked.before(start) > self._back_ends.up_to(end)

    def is_surely_there(self, start: float, end: float) -> bool:
        return self._back_acked.before(start) > self._gone_ends.up_to(end)


# --- (4): one name, one content


def _one_body_a_name(history: _Sorted) -> Iterator[Violation]:
    names: dict[tuple[str, str], str] = {}
    for op in history.ops:
        if op["op"] == "classic" or not op.get("etag") or not op.get("digest"):
            continue
        if names.setdefault((op["chat"], op["etag"]), op["digest"]) != op["digest"]:
            yield Violation("stale", f"another body was shown under {op['etag']}", op)
    for op in history.ops:
        if op["status"] == 304 and op.get("etag") not in op.get("known", ()):
            yield Violation("stale", "a 304 for a state that the client does not have", op)


# --- (1), (6): every body, and what is stored


def _bodies_are_stored(history: _Sorted) -> Iterator[Violation]:
    """What was shown has no gap and is what is stored, except for an answer that was still being written."""
    for body in history.bodies.values():
        yield from _in_order(body)
        if not history.is_whole:
            continue
        stored = history.stored.get(body["chat"])
        if stored is None:
            yield Violation("lost", "a chat was shown that is not stored", body)
            continue
        at = {message[POSITION]: message for message in stored["messages"]}
        for message in body["messages"]:
            if problem := _differs(message, at.get(message[POSITION])):
                yield Violation("lost", problem, body)


def _in_order(record: Record) -> Iterator[Violation]:
    messages = record["messages"]
    for before, message in pairwise(messages):
        if message[POSITION] == before[POSITION]:
            yield Violation("duplicate", f"position {message[POSITION]} comes twice", record)
        elif message[POSITION] != before[POSITION] + 1:
            yield Violation("lost", f"position {message[POSITION]} follows a gap", record)
    for message in messages:
        if message[ROLE] != ("assistant" if message[POSITION] % 2 else "user"):
            yield Violation("lost", f"position {message[POSITION]} is of the other side", record)
    running = [message for message in messages if message[STATE] == "running"]
    if len(running) > 1 or (running and running[0] is not messages[-1]):
        yield Violation("duplicate", "several answers are being written", record)


def _differs(shown: list[Any], stored: list[Any] | None) -> str:
    if stored is None:
        return f"position {shown[POSITION]} was shown and is not stored"
    if shown[ID] and shown[ID] != stored[ID]:
        return f"another message is stored at position {shown[POSITION]}"
    is_final = shown[ROLE] == "user" or shown[STATE] in FINAL_STATES
    if is_final and shown[DIGEST] != stored[DIGEST]:
        return f"another text is stored at position {shown[POSITION]}"
    return ""


def _acknowledged_is_stored(history: _Sorted) -> Iterator[Violation]:
    if not history.is_whole:
        return
    for ask in history.asks:
        turn = history.turns.get(ask["turn"])
        chat, message = history.message_of.get(ask.get("message") or "", (None, None))
        if turn is None or turn["key"] != ask["key"] or turn["chat"] != ask["chat"]:
            yield Violation("lost", "an acknowledged turn is not stored", ask)
        elif chat != ask["chat"] or turn["answer"] != ask["message"]:
            yield Violation("lost", "an acknowledged answer is not stored", ask)
        elif message is not None and message[TOKEN] not in (None, ask["token"]):
            yield Violation("lost", "the answer belongs to another question", ask)
    for stored in history.stored.values():
        yield from _in_order(stored)
        messages = stored["messages"]
        if stored["next_position"] != len(messages) or (messages and messages[0][POSITION]):
            yield Violation("lost", f"{stored['next_position']} messages expected", stored)


def _nothing_twice(history: _Sorted) -> Iterator[Violation]:
    tokens: dict[str, str] = {}
    for stored in history.stored.values():
        for message in stored["messages"]:
            if message[ROLE] == "user" and message[TOKEN]:
                if message[TOKEN] in tokens:
                    what = f"{message[TOKEN]} is stored in {tokens[message[TOKEN]]} and again"
                    yield Violation("duplicate", what, stored)
                tokens[message[TOKEN]] = stored["chat"]
    keys: dict[str, str] = {}
    for ask in history.asks:
        if keys.setdefault(ask["key"], ask["turn"]) != ask["turn"]:
            yield Violation("duplicate", f"key {ask['key']} made two turns", ask)
    answers = Counter(turn["answer"] for turn in history.turns.values())
    for turn in history.turns.values():
        if turn["answer"] and answers[turn["answer"]] > 1:
            yield Violation("duplicate", "two turns have one answer", turn)


def _order_is_kept(history: _Sorted) -> Iterator[Violation]:
    """A question asked after another was acknowledged stands behind it."""
    positions = {message: entry[POSITION] for message, (_, entry) in history.message_of.items()}
    by_chat: dict[str, list[Record]] = defaultdict(list)
    for ask in _first_tries(history):
        if ask.get("message") in positions:
            by_chat[ask["chat"]].append(ask)
    for asks in by_chat.values():
        before = _Highest([(ask["acked"], positions[ask["message"]]) for ask in asks])
        for ask in asks:
            if positions[ask["message"]] < before.before(ask["start"]):
                yield Violation("lost", "a later question stands before an earlier one", ask)


def _first_tries(history: _Sorted) -> Iterator[Record]:
    """Yield each acknowledged question once, as begun with its first try."""
    first: dict[str, float] = {}
    for op in history.ops:
        if op["op"] == "ask":
            first[op["key"]] = min(op["start"], first.get(op["key"], op["start"]))
    done: set[str] = set()
    for ask in sorted(history.asks, key=lambda ask: ask["acked"]):
        if ask["key"] not in done:
            done.add(ask["key"])
            yield ask | {"start": first[ask["key"]]}


# --- (5): nothing of others


def _nothing_foreign(history: _Sorted) -> Iterator[Violation]:
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


# --- (7), (8), (10), and errors


def _streams_tell_the_text(history: _Sorted) -> Iterator[Violation]:
    """What a stream told is where the stored text begins, and all of it when the stream came to its end.

    Whose chat is deleted meanwhile keeps what was told: there is no stored text for that reader any more.
    """
    deleted: dict[str, float] = {}
    for op in history.ops:
        if op["op"] == "delete":
            deleted[op["chat"]] = min(op["start"], deleted.get(op["chat"], op["start"]))
    for op in history.ops:
        found = history.turns.get(op.get("turn") or "")
        if op.get("text") is None or found is None or found.get("text") is None:
            continue
        told, final = op["text"], found["text"]
        is_there = deleted.get(op["chat"], op["end"]) >= op["end"]
        if op["is_ended"] and is_there and told != final:
            yield Violation("stuck", f"a stream ended with another text: {told!r}, {final!r}", op)
        elif not (final.startswith(told) or told.startswith(final)):
            yield Violation("stuck", f"a stream told another text: {told!r}, {final!r}", op)


def _everything_ends(history: _Sorted) -> Iterator[Violation]:
    for op in history.ops:
        if op.get("error") == "timeout":
            yield Violation("stuck", "a request was never answered", op)
    for turn in history.turns.values():
        if turn["status"] not in FINAL_STATES:
            yield Violation("stuck", f"the turn is still {turn['status']}", turn)


def _no_errors(history: _Sorted) -> Iterator[Violation]:
    """Redis causes none; a node that died or a database that was away may cost a 503."""
    outages = [
        (fault["start"], fault["end"] + RECOVERY_SECONDS)
        for fault in history.faults
        if fault["name"] in ("postgres", "node killed")
    ]
    interrupted = {t for t, turn in history.turns.items() if turn["status"] == "interrupted"}
    for op in history.ops:
        if op["status"] in EXPECTED or op.get("turn") in interrupted:
            continue
        is_explained = any(start <= op["end"] and op["start"] <= end for start, end in outages)
        if op["status"] != 503 or not is_explained:
            yield Violation("failed", f"status {op['status']}", op)


def _nothing_left(history: _Sorted) -> Iterator[Violation]:
    for left in history.left:
        if left["count"] > left["bound"]:
            yield Violation("left", f"{left['count']} {left['what']}", left)


_RULES = (
    _revs_never_fall,
    _acknowledged_questions_are_shown,
    _named_values_are_current,
    _deletions_hold,
    _one_body_a_name,
    _bodies_are_stored,
    _acknowledged_is_stored,
    _nothing_twice,
    _order_is_kept,
    _nothing_foreign,
    _streams_tell_the_text,
    _everything_ends,
    _no_errors,
    _nothing_left,
)


# --- (9): reported, not judged


def _latencies(history: _Sorted) -> tuple[float, float]:
    """Return the 99th percentile of reads in ms: without any fault, and while Redis was stopped."""
    calm, paused = [], []
    faults = sorted((fault["start"], fault["end"], fault["name"]) for fault in history.faults)
    starts = [start for start, _end, _name in faults]
    for op in history.ops:
        if op["op"] != "read" or op["status"] not in (200, 304):
            continue
        near = faults[max(0, bisect_right(starts, op["end"]) - 4) : bisect_right(starts, op["end"])]
        names = {name for _start, end, name in near if end >= op["start"]}
        if names == {"redis paused"}:
            paused.append(op["end"] - op["start"])
        elif not names:
            calm.append(op["end"] - op["start"])
    return _p99(calm), _p99(paused)


def _p99(values: list[float]) -> float:
    return round(sorted(values)[int(len(values) * 0.99)] * 1000, 1) if values else 0.0


def explain(report: Report, *, limit: int = 20) -> str:
    """Return what was found, for people."""
    lines = [
        f"{violation.kind}: {violation.what}\n    {json.dumps(violation.record)[:600]}"
        for violation in report.violations[:limit]
    ]
    return "\n".join([f"{len(report.violations)} violations", *lines])


if __name__ == "__main__":
    judged = check(read_history(Path(sys.argv[1])))
    sys.stderr.write(explain(judged) + "\n")
    sys.stdout.write(json.dumps(judged.summary()) + "\n")
    sys.exit(0 if judged.is_clean else 1)
