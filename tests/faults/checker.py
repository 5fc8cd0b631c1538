"""Judges a history after the run: were the promises kept? Sorting aside, its time grows with the history's length.

What is found has one of these kinds; CONVERSATIONS' invariants stand in brackets.

stale      a read that is older than what was acknowledged or shown before it began (2, 3), two bodies under one name
           (4), a deleted chat that is still shown
lost       an acknowledged write that is not stored; a gap or a wrong order; text that was shown and is not stored (1)
duplicate  a question stored twice; two answers of one question; two running turns in a chat; an answer that the model
           was asked for twice (1, 6)
foreign    another user's text, chat or turn (5)
stuck      a turn that never ended, a request that never returned, a stop that took long (8); a stream that told or
           ended with another text than is stored, or than another reader was told (7)
failed     a 5xx that no dead node and no stopped PostgreSQL explains; a well-formed request that was refused; an answer
           that failed or was interrupted although nothing had happened to its model and its process
left       connections beyond what the pools may hold (10)

The rules stand in `rules/`, by what they judge.

`python -m tests.faults.checker FILE` judges a file again.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.history import Record, read_history
from tests.faults.judged import Judged, Violation
from tests.faults.rules import fresh, health, kept, private, sight, turns

_RULES = [rule for each in (fresh, sight, kept, private, turns, health) for rule in each.RULES]


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
    told: list[str] = field(default_factory=list)  # for people
    states: Counter[str] = field(default_factory=Counter)  # of turns

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
    history = Judged(records)
    report = Report(
        operations=len(history.ops),
        faults=len(history.faults),
        seconds=history.run.get("seconds", 0.0),
        seed=history.run.get("seed", 0),
    )
    for rule in _RULES:
        report.violations += rule(history)
    report.p99_calm_ms, report.p99_paused_ms = health.latencies(history)
    report.told, report.states = turns.told_of(history), turns.states_of(history)
    return report


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
