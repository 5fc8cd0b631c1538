"""Measures retrieval with a file of questions whose answering sections are known.

A passage is right when its document's path is the gold section's and its own heading, or one that it lies under, is the
section's heading. `docs/retrieval.md` says what the numbers mean.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mundap.errors import InvalidInput
from mundap.library.models import Collection
from mundap.retrieval.followups import with_history
from mundap.retrieval.search import ScoredPassage, SearchResult, search

DEPTH = 10  # passages judged, unless an answer may use more
CUTS = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class Question:
    """One line of the file; `gold` has (path, heading) of each section that answers, none where nothing does."""

    id: str
    corpus: str
    lang: str
    text: str
    said: tuple[str, ...]
    gold: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found for a question: for each gold section the rank of its first passage, 1 for the best."""

    question: Question
    ranks: tuple[int | None, ...]
    result: SearchResult


def read_questions(path: Path) -> list[Question]:
    """Return the file's questions. Raises InvalidInput, naming the line that is wrong."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        raise InvalidInput(f"{path} cannot be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"{path} is not UTF-8 text.") from exc
    questions = [
        _question(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not questions:
        raise InvalidInput(f"{path} has no questions.")
    return questions


def evaluate(
    questions: Sequence[Question], *, k: int, progress: Callable[[], object] = lambda: None
) -> dict[str, Any]:
    """Return the measurements as `mundap eval --json` prints them; `k` is how many passages an answer may use."""
    collections = {
        one.slug: one for one in Collection.objects.filter(slug__in={q.corpus for q in questions})
    }
    outcomes = []
    for question in questions:
        if collection := collections.get(question.corpus):
            queries = with_history(question.text, question.said)
            result = search(collection, queries, limit=max(k, DEPTH))
            outcomes.append(Outcome(question, ranks_of(question.gold, result.passages), result))
        progress()
    latencies = [outcome.result.milliseconds for outcome in outcomes] or [0.0]
    return {
        "k": k,
        "groups": _groups(outcomes),
        "refusal": _refusal(outcomes),
        "latency_ms": {
            name: round(float(np.percentile(latencies, share)), 1)
            for name, share in (("p50", 50), ("p95", 95))
        },
        "skipped": sorted({question.corpus for question in questions} - set(collections)),
    }


def ranks_of(
    gold: Iterable[tuple[str, str]], passages: Sequence[ScoredPassage]
) -> tuple[int | None, ...]:
    """Return the rank of each gold section's first passage, None where it was not found."""
    places = [{(one.path, _plain(heading)) for heading in one.headings} for one in passages]
    return tuple(
        next(
            (rank for rank, place in enumerate(places, 1) if (path, _plain(heading)) in place), None
        )
        for path, heading in gold
    )


def reciprocal_rank(ranks: Sequence[int | None], *, depth: int = DEPTH) -> float:
    """Return 1 / the rank of the first gold section, 0 beyond `depth`."""
    best = min((rank for rank in ranks if rank), default=math.inf)
    return 1 / best if best <= depth else 0.0


def discounted_gain(ranks: Sequence[int | None], *, depth: int = DEPTH) -> float:
    """Return the nDCG with binary gains, each gold section counted once at its first passage (Järvelin 2002)."""
    gain = sum(1 / math.log2(rank + 1) for rank in ranks if rank and rank <= depth)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(ranks), depth) + 1))
    return min(
        gain / ideal, 1.0
    )  # two sections that share a first passage would count above the ideal


def _groups(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    groups: defaultdict[tuple[str, str], list[tuple[int | None, ...]]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.question.gold:
            groups[outcome.question.corpus, outcome.question.lang].append(outcome.ranks)
    return [
        {"corpus": corpus, "lang": lang, "n": len(ranks)}
        | {
            f"recall@{cut}": _mean(any(r and r <= cut for r in one) for one in ranks)
            for cut in CUTS
        }
        | {
            "mrr@10": _mean(reciprocal_rank(one) for one in ranks),
            "ndcg@10": _mean(discounted_gain(one) for one in ranks),
        }
        for (corpus, lang), ranks in sorted(groups.items())
    ]


def _refusal(outcomes: Sequence[Outcome]) -> dict[str, int]:
    unanswerable = [one.result for one in outcomes if not one.question.gold]
    answerable = [one.result for one in outcomes if one.question.gold]
    return {
        "unanswerable": len(unanswerable),
        "refused": sum(not result.is_supported for result in unanswerable),
        "answerable": len(answerable),
        "falsely_refused": sum(not result.is_supported for result in answerable),
    }


def _mean(values: Iterable[float]) -> float:
    return round(float(np.mean(list(values))), 4)


def _plain(heading: str) -> str:
    return " ".join(heading.replace("¶", "").split())


def _question(line: str, place: str) -> Question:
    try:
        fields: Mapping[str, Any] = json.loads(line)
        question = Question(
            id=str(fields["id"]),
            corpus=str(fields["corpus"]),
            lang=str(fields["lang"]),
            text=str(fields["question"]),
            said=tuple(
                str(one["content"]) for one in fields.get("history") or () if one["role"] == "user"
            ),
            gold=tuple((str(one["path"]), str(one["heading"])) for one in fields.get("gold") or ()),
        )
    except KeyError as exc:
        raise InvalidInput(f"{place}: the field {exc} is missing.") from exc
    except (ValueError, TypeError, AttributeError) as exc:
        raise InvalidInput(f"{place}: this is not a question as eval files have it: {exc}") from exc
    if not question.text.strip():
        raise InvalidInput(f"{place}: the question is empty.")
    return question
