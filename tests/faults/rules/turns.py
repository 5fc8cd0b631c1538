"""Each turn ends, once; its streams tell what is stored; what was shown is kept, and never generated again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.faults.history import Record
from tests.faults.judged import FINAL_STATES, TOKEN, Judged, Violation, latest_effect
from tests.faults.paced_model import LAST_WORD, manner_of
from tests.faults.rules.health import RECOVERY_SECONDS, p99

DRAFT_SECONDS = 4.0  # before a process died: its drafts are two seconds apart, and take a moment
STOP_SECONDS = 5.0  # two are promised; this allows for a machine with other work
DEADLY = ("node killed", "node stopped")


def _streams_tell_the_text(history: Judged) -> Iterator[Violation]:
    """What a stream told is where the stored text begins, and all of it when the stream came to its end.

    Only what a killed process told last may be missing in what is stored. Whose chat is deleted meanwhile keeps what
    was told: there is no stored text for that reader any more.
    """
    deleted: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for op in history.ops:
        if op["op"] == "delete":
            deleted[op["chat"]].append((op["start"], latest_effect(op)))
    for op in history.ops:
        turn = history.turns.get(op.get("turn") or "")
        if op.get("text") is None or turn is None or turn.get("text") is None:
            continue
        shown, told, final = op["text"], op.get("told", ""), turn["text"]
        is_there = not any(
            start <= op["end"] and op["start"] <= end for start, end in deleted[op["chat"]]
        )
        if op["is_ended"] and is_there and shown != final:
            yield Violation("stuck", f"a stream ended with another text: {shown!r}, {final!r}", op)
        elif op["is_ended"] and is_there and op.get("state", turn["status"]) != turn["status"]:
            yield Violation("stuck", f"a stream ended as {op['state']}, not {turn['status']}", op)
        elif not (final.startswith(told) or told.startswith(final)):
            yield Violation("stuck", f"a stream told another text: {told!r}, {final!r}", op)
        elif turn["status"] != "interrupted" and not final.startswith(told):
            yield Violation("lost", f"told and not stored: {told!r}, {final!r}", op)


def _readers_are_told_the_same(history: Judged) -> Iterator[Violation]:
    """Of two readers of one turn, whoever came back from wherever, one was told where the other's text begins."""
    longest: dict[str, str] = {}
    for op in history.ops:
        told, turn = op.get("told"), op.get("turn")
        if not told or not turn:
            continue
        known = longest.get(turn, "")
        if not (told.startswith(known) or known.startswith(told)):
            yield Violation("stuck", f"readers were told {told!r} and {known!r}", op)
        elif len(told) > len(known):
            longest[turn] = told


def _everything_ends(history: Judged) -> Iterator[Violation]:
    for op in history.ops:
        if op.get("error") == "timeout":
            yield Violation("stuck", f"{op['op']}: a request was never answered", op)
    for turn in history.turns.values():
        if turn["status"] not in FINAL_STATES:
            yield Violation("stuck", f"the turn is still {turn['status']}", turn)
        elif turn.get("state", turn["status"]) != turn["status"]:
            what = f"the turn is {turn['status']}, its answer {turn['state']}"
            yield Violation("stuck", what, turn)


def _whole_answers_are_whole(history: Judged) -> Iterator[Violation]:
    """An answer that the model did not end is not stored as complete; and one fails only for a reason."""
    lives = _lives(history)
    for turn in history.turns.values():
        text = turn.get("text") or ""
        if turn["status"] == "complete" and not text.endswith(LAST_WORD):
            yield Violation("lost", f"a part is stored as the whole answer: {text!r}", turn)
        if turn["status"] == "failed" and not _may_fail(turn, history, lives):
            yield Violation("failed", f"the answer failed for no reason: {turn['error']}", turn)
        if turn["status"] == "interrupted" and not _faults_of(turn, history):
            yield Violation("failed", "interrupted, and nothing happened to its process", turn)


def _may_fail(turn: Record, history: Judged, lives: dict[str, tuple[float, float]]) -> bool:
    manner = manner_of(_token_of(turn, history))
    if manner and manner.fault:
        return True
    start, end = lives.get(turn["turn"], (0.0, float("inf")))
    causes = [*history.faults_named("postgres"), *_faults_of(turn, history)]
    return any(
        start <= fault["end"] + RECOVERY_SECONDS and fault["start"] <= end for fault in causes
    )


def _nothing_is_generated_twice(history: Judged) -> Iterator[Violation]:
    """The model has begun at most one answer a turn."""
    turns = Counter(_token_of(turn, history) for turn in history.turns.values())
    for token, count in history.answers.items():
        if token in turns and count > turns[token]:
            what = f"{count} answers to {token} for {turns[token]} turns"
            yield Violation("duplicate", what, {"token": token})


def _stops_take_effect(history: Judged) -> Iterator[Violation]:
    for turn, seconds in _stops(history):
        if seconds > STOP_SECONDS:
            yield Violation("stuck", f"{seconds:.1f} s from being stopped to its end", turn)


def _stops(history: Judged) -> Iterator[tuple[Record, float]]:
    """Yield the turns that were stopped, and how long after it, by the database's clock, their end was stored.

    Without those whose process was dead, or whose database was.
    """
    lives, outages = _lives(history), history.faults_named("postgres")
    for turn in history.turns.values():
        seconds = turn.get("stop_seconds")
        if seconds is None or any(fault["name"] in DEADLY for fault in _faults_of(turn, history)):
            continue
        start, end = lives.get(turn["turn"], (0.0, float("inf")))
        if not any(
            fault["start"] <= end and fault["end"] + RECOVERY_SECONDS >= start for fault in outages
        ):
            yield turn, seconds


def _stops_with_and_without_redis(history: Judged) -> tuple[list[float], list[float]]:
    """Return how long stops took, apart those during which something happened to Redis."""
    calm: list[float] = []
    disturbed: list[float] = []
    faults = [each for each in history.faults if "pid" not in each and each["name"] != "postgres"]
    lives, asked = _lives(history), {}
    for op in history.acknowledged("stop"):
        asked[op["turn"]] = min(op["start"], asked.get(op["turn"], op["start"]))
    for turn, seconds in _stops(history):
        start = asked.get(turn["turn"], lives[turn["turn"]][0])
        is_calm = not any(f["start"] <= start + seconds and start <= f["end"] for f in faults)
        (calm if is_calm else disturbed).append(seconds)
    return calm, disturbed


def _what_was_shown_is_kept(history: Judged) -> Iterator[Violation]:
    """Of an interrupted answer all is stored that was told; of a killed process all but the last seconds."""
    lives = _lives(history)
    outages = history.faults_named("postgres")
    for op in history.ops:
        turn = history.turns.get(op.get("turn") or "")
        if turn is None or turn["status"] != "interrupted" or not op.get("marks"):
            continue
        start, end = lives[turn["turn"]]
        if any(fault["start"] <= end and start <= fault["end"] for fault in outages):
            continue
        deaths = [fault["start"] for fault in _faults_of(turn, history) if fault["name"] in DEADLY]
        until = min(deaths) - DRAFT_SECONDS if deaths else float("inf")
        told = max((length for moment, length in op["marks"] if moment <= until), default=0)
        told = told if deaths else len(op["told"])
        if told > len(turn["text"] or ""):
            what = f"{told} characters were shown, {len(turn['text'] or '')} are stored"
            yield Violation("lost", what, op | {"stored": turn})


def _token_of(turn: Record, history: Judged) -> str:
    _chat, question = history.message_of.get(turn.get("question") or "", ("", None))
    return (question and question[TOKEN]) or ""


def _faults_of(turn: Record, history: Judged) -> list[Record]:
    """Return what happened to the process that ran the turn."""
    pid = turn.get("pid")
    return [fault for fault in history.faults if pid is not None and fault.get("pid") == pid]


def _lives(history: Judged) -> dict[str, tuple[float, float]]:
    """Return from when until when each turn was seen to run, from the first request for it to its first known end."""
    starts: dict[str, float] = {}
    last: dict[str, float] = {}
    ends: dict[str, float] = {}
    for op in history.ops:
        if turn := op.get("turn"):
            starts[turn] = min(op["start"], starts.get(turn, op["start"]))
            last[turn] = max(op["end"], last.get(turn, op["end"]))
            if op.get("is_ended"):
                ends[turn] = min(op["end"], ends.get(turn, op["end"]))
    return {turn: (start, ends.get(turn, last[turn])) for turn, start in starts.items()}


def states_of(history: Judged) -> Counter[str]:
    """Return how many turns ended in which state."""
    return Counter(turn["status"] for turn in history.turns.values())


def told_of(history: Judged) -> list[str]:
    """Return for people how the turns ended, how they were followed and how long stops took."""
    states = states_of(history)
    streams = [op for op in history.ops if op.get("told") is not None]
    resumed = [op for op in streams if op.get("after")]
    ended = [op for op in streams if op["is_ended"]]
    calm, disturbed = _stops_with_and_without_redis(history)
    return [
        "turns: " + ", ".join(f"{count} {state}" for state, count in states.most_common()),
        f"streams: {len(streams)}, {len(resumed)} of them taken up again, {len(ended)} read to the end",
        f"stops: {len(calm)}, 99 % stored within {p99(calm)} ms",
        f"stops while Redis was disturbed: {len(disturbed)}, 99 % within {p99(disturbed)} ms",
    ]


RULES = (
    _streams_tell_the_text,
    _readers_are_told_the_same,
    _everything_ends,
    _whole_answers_are_whole,
    _nothing_is_generated_twice,
    _stops_take_effect,
    _what_was_shown_is_kept,
)
