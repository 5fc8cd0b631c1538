"""Nothing is shown that is older than what was shown or acknowledged before, and one name stands for one body."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.faults.history import Record
from tests.faults.judged import (
    COMMENT,
    ID,
    POSITION,
    ROLE,
    TOKEN,
    Highest,
    Judged,
    Violation,
    latest_effect,
    versions_in,
)


def _revs_never_fall(history: Judged) -> Iterator[Violation]:
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


def _acknowledged_questions_are_shown(history: Judged) -> Iterator[Violation]:
    """A read reaches as far as the last question that was acknowledged before it began."""
    positions = {
        message[TOKEN]: message[POSITION]
        for stored in history.stored.values()
        for message in versions_in(stored)
        if message[ROLE] == "user"
    }
    known: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for ask in (*history.asks, *history.revisions):
        if ask["token"] in positions:
            known[ask["chat"]].append((ask["acked"], positions[ask["token"]] + 1))
    floors = {chat: Highest(pairs) for chat, pairs in known.items()}
    for op in history.ops:
        body = history.bodies.get(op.get("digest") or "")
        if body is None or op["chat"] not in floors:
            continue
        wanted = floors[op["chat"]].before(op["start"])
        last = body["messages"][-1][POSITION] if body["messages"] else -1
        if last < wanted:
            what = f"position {wanted} was acknowledged, the read ends with {last}"
            yield Violation("stale", what, op)


def _named_values_are_current(history: Judged) -> Iterator[Violation]:
    """A title or a rating's comment is the one set last before the read, or one set later or at the same time."""
    writes: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for op in history.ops:
        if op.get("register"):
            writes[op["chat"], op["register"]].append(op)
    acked = {
        key: Highest([(op["end"], op["start"]) for op in ops if 200 <= op["status"] < 300])
        for key, ops in writes.items()
    }
    # A write whose reply was lost may still arrive, and one that is retried has several tries.
    ends = {
        (*key, value): max(latest_effect(op) for op in tries)
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


def _by_value(ops: list[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = defaultdict(list)
    for op in ops:
        found[op["value"]].append(op)
    return found


def _shown_values(history: Judged) -> Iterator[tuple[str, str, str, float, Record]]:
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


def _one_body_a_name(history: Judged) -> Iterator[Violation]:
    names: dict[tuple[str, str], str] = {}
    for op in history.ops:
        if op["op"] == "classic" or not op.get("etag") or not op.get("digest"):
            continue
        if names.setdefault((op["chat"], op["etag"]), op["digest"]) != op["digest"]:
            yield Violation("stale", f"another body was shown under {op['etag']}", op)
    for op in history.ops:
        if op["status"] == 304 and op.get("etag") not in op.get("known", ()):
            yield Violation("stale", "a 304 for a state that the client does not have", op)


RULES = (
    _revs_never_fall,
    _acknowledged_questions_are_shown,
    _named_values_are_current,
    _one_body_a_name,
)
