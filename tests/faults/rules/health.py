"""Errors that nothing explains, what is left behind, and how long reads took."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from tests.faults.judged import Judged, Violation

EXPECTED = {0, 200, 204, 304, 404, 409}  # statuses of well-formed requests
RECOVERY_SECONDS = 5.0  # that a pool may take to find a database again that was away
OUTAGES = ("postgres", "node killed", "node restarted", "node stopped")


def _no_errors(history: Judged) -> Iterator[Violation]:
    """Redis causes none; a database that was away may cost a 503, and what happened to a node one of that node's."""
    outages = history.faults_named(*OUTAGES)
    # Whether a turn may have ended so is judged elsewhere; whoever asked is told with the error's status.
    ended_early = {
        t for t, turn in history.turns.items() if turn["status"] in ("interrupted", "failed")
    }
    for op in history.ops:
        if op["status"] in EXPECTED or op.get("turn") in ended_early:
            continue
        is_explained = any(
            fault["start"] <= op["end"]
            and op["start"] <= fault["end"] + RECOVERY_SECONDS
            and fault.get("node", op["node"]) == op["node"]
            for fault in outages
        )
        if op["status"] != 503 or not is_explained:
            yield Violation("failed", f"status {op['status']}", op)


def _nothing_left(history: Judged) -> Iterator[Violation]:
    for left in history.left:
        if left["count"] > left["bound"]:
            yield Violation("left", f"{left['count']} {left['what']}", left)


def latencies(history: Judged) -> tuple[float, float]:
    """Return the 99th percentile of reads in ms: without any fault, and while Redis was stopped."""
    calm, paused = [], []
    faults = sorted((fault["start"], fault["end"], fault["name"]) for fault in history.faults)
    starts = [start for start, _end, _name in faults]
    for op in history.ops:
        if op["op"] != "read" or op["status"] not in (200, 304):
            continue
        last = bisect_right(starts, op["end"])
        near = faults[max(0, last - 8) : last]
        names = {name for _start, end, name in near if end >= op["start"]}
        if {name for name in names if not name.startswith("node")} == {"redis paused"}:
            paused.append(op["end"] - op["start"])
        elif not names:
            calm.append(op["end"] - op["start"])
    return p99(calm), p99(paused)


def p99(values: list[float]) -> float:
    return round(sorted(values)[int(len(values) * 0.99)] * 1000, 1) if values else 0.0


RULES = (_no_errors, _nothing_left)
