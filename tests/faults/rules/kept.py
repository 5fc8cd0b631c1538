"""What was acknowledged or shown is stored, once and in its order; question and answer belong together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tests.faults.history import Record
from tests.faults.judged import (
    DIGEST,
    FINAL_STATES,
    ID,
    POSITION,
    ROLE,
    STATE,
    TOKEN,
    Highest,
    Judged,
    Violation,
    versions_in,
)


def _bodies_are_stored(history: Judged) -> Iterator[Violation]:
    """What was shown has no gap and is what is stored, except for an answer that was still being written."""
    for body in history.bodies.values():
        yield from _in_order(body)
        if not history.is_whole:
            continue
        stored = history.stored.get(body["chat"])
        if stored is None:
            yield Violation("lost", "a chat was shown that is not stored", body)
            continue
        versions: dict[int, list[list[Any]]] = defaultdict(list)
        for message in versions_in(stored):
            versions[message[POSITION]].append(message)
        for message in body["messages"]:
            if problem := _differs(message, versions[message[POSITION]]):
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
    for question, answer in pairwise(messages):
        is_pair = question[ROLE] == "user" and answer[TOKEN] is not None
        if is_pair and answer[TOKEN] != question[TOKEN]:
            yield Violation("lost", f"position {answer[POSITION]} answers another question", record)
    running = [message for message in messages if message[STATE] == "running"]
    if len(running) > 1 or (running and running[0] is not messages[-1]):
        yield Violation("duplicate", "several answers are being written", record)


def _differs(shown: list[Any], versions: list[list[Any]]) -> str:
    """Return how what was shown differs from all versions that are stored, or nothing."""
    if not versions:
        return f"position {shown[POSITION]} was shown and is not stored"
    same = [each for each in versions if shown[ID] in (None, each[ID])]
    if not same:
        return f"another message is stored at position {shown[POSITION]}"
    is_final = shown[ROLE] == "user" or shown[STATE] in FINAL_STATES
    if is_final and all(shown[DIGEST] != each[DIGEST] for each in same):
        return f"another text is stored at position {shown[POSITION]}"
    if shown[STATE] in FINAL_STATES and all(shown[STATE] != each[STATE] for each in same):
        return f"another state is stored at position {shown[POSITION]}"
    return ""


def _acknowledged_is_stored(history: Judged) -> Iterator[Violation]:
    if not history.is_whole:
        return
    for ask in (*history.asks, *history.revisions):
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


def _nothing_twice(history: Judged) -> Iterator[Violation]:
    tokens: dict[str, str] = {}
    for stored in history.stored.values():
        for message in versions_in(stored):
            if message[ROLE] == "user" and message[TOKEN]:
                if message[TOKEN] in tokens:
                    what = f"{message[TOKEN]} is stored in {tokens[message[TOKEN]]} and again"
                    yield Violation("duplicate", what, stored)
                tokens[message[TOKEN]] = stored["chat"]
    keys: dict[str, str] = {}
    for ask in (*history.asks, *history.revisions):
        if keys.setdefault(ask["key"], ask["turn"]) != ask["turn"]:
            yield Violation("duplicate", f"key {ask['key']} made two turns", ask)
    answers = Counter(turn["answer"] for turn in history.turns.values())
    for turn in history.turns.values():
        if turn["answer"] and answers[turn["answer"]] > 1:
            yield Violation("duplicate", "two turns have one answer", turn)


def _order_is_kept(history: Judged) -> Iterator[Violation]:
    """A question asked after another was acknowledged stands behind it."""
    positions = {message: entry[POSITION] for message, (_, entry) in history.message_of.items()}
    by_chat: dict[str, list[Record]] = defaultdict(list)
    for ask in _first_tries(history):
        if ask.get("message") in positions:
            by_chat[ask["chat"]].append(ask)
    for asks in by_chat.values():
        before = Highest([(ask["acked"], positions[ask["message"]]) for ask in asks])
        for ask in asks:
            if positions[ask["message"]] < before.before(ask["start"]):
                yield Violation("lost", "a later question stands before an earlier one", ask)


def _first_tries(history: Judged) -> Iterator[Record]:
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


def _current_versions_belong_together(history: Judged) -> Iterator[Violation]:
    """The current answer was given to the current question: its turn says so."""
    question_of = {turn["answer"]: turn.get("question") for turn in history.turns.values()}
    for stored in history.stored.values():
        for question, answer in pairwise(stored["messages"]):
            asked = question_of.get(answer[ID])
            if answer[ROLE] == "assistant" and asked and asked != question[ID]:
                yield Violation("lost", "the current answer is another question's", stored)


RULES = (
    _bodies_are_stored,
    _acknowledged_is_stored,
    _nothing_twice,
    _order_is_kept,
    _current_versions_belong_together,
)
