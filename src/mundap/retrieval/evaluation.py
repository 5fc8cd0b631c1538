"""Measures retrieval with a file of questions whose answering sections are known; the arithmetic is trec_eval's.

A passage is right when its document's path is the gold section's and its own heading, or one that it lies under, is the
section's heading. `docs/retrieval.md` says what the numbers mean.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import numpy as np

from mundap.errors import ConfigurationError, ModelError, QuotaReached
from mundap.library.models import Collection
from mundap.retrieval.evaluation_questions import Place, Question
from mundap.retrieval.followups import with_history
from mundap.retrieval.search import ScoredPassage, SearchResult, search

try:
    import pytrec_eval
except ImportError:  # there is no wheel for Linux on ARM; all but `mundap eval` works without
    pytrec_eval = None  # type: ignore[assignment,unused-ignore]

DEPTH = 10  # passages judged, unless an answer may use more
CUTS = (1, 5, 10)
# What trec_eval calls them: the share of questions with a right passage among the first k is its "success".
_NAMES = {f"recall@{cut}": f"success_{cut}" for cut in CUTS} | {
    "mrr@10": "recip_rank",
    "ndcg@10": "ndcg_cut_10",
}
_MEASURES = {f"success.{','.join(map(str, CUTS))}", "recip_rank", f"ndcg_cut.{DEPTH}"}

logger = logging.getLogger(__name__)


class Refusals(TypedDict):
    """How many questions without and with an answer there were, and of how many no support was found."""

    unanswerable: int
    refused: int
    answerable: int
    falsely_refused: int


class Citations(TypedDict):
    """Of the answers to the answerable questions: those that cite, those that cite a gold section, and statements.

    `precision` is supported / (supported + unsupported) over pairs of a statement and a passage that it cites;
    `unjudged` are pairs of which words cannot tell. At `failed` questions the chat model failed, or nothing
    more may be spent on it.
    """

    answers: int
    cite_gold: int
    statements: int
    supported: int
    unsupported: int
    unjudged: int
    precision: float | None
    failed: int


class Measured(TypedDict):
    """What `mundap eval --json` prints and an EvaluationRun keeps.

    `groups` are by collection and language: corpus, lang, n and the measures; `refusal_groups` likewise. `questions`
    has for each question its `id`, the `rank` of the first right passage, and whether it was `refused`.
    """

    k: int
    groups: list[dict[str, Any]]
    refusal: Refusals
    latency_ms: dict[str, float]
    skipped: list[str]
    refusal_groups: list[dict[str, Any]]
    questions: list[dict[str, Any]]
    citations: NotRequired[Citations]


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """Where an answer's citations lead, and whether each passage carries each statement that cites it."""

    places: frozenset[Place]
    verdicts: tuple[bool | None, ...]


Answerer = Callable[[Question, Collection], CheckedAnswer | None]
"""Answers a question and checks its citations; None where it was refused."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found for a question: for each gold section the rank of its first passage, 1 for the best."""

    question: Question
    ranks: tuple[int | None, ...]
    result: SearchResult


def evaluate(
    questions: Sequence[Question],
    *,
    k: int,
    answer: Answerer | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Measured:
    """Return the measurements; `k` is how many passages an answer may use.

    With `answer` the answerable questions are answered, too, and their citations checked. Raises ConfigurationError
    where trec_eval is missing.
    """
    if pytrec_eval is None:
        raise ConfigurationError(
            "mundap eval needs pytrec-eval-terrier, of which this machine has no wheel. With a C compiler: "
            "pip install pytrec-eval-terrier"
        )
    collections = {
        one.slug: one for one in Collection.objects.filter(slug__in={q.corpus for q in questions})
    }
    outcomes: list[Outcome] = []
    answers: list[tuple[Question, CheckedAnswer]] = []
    failed = 0
    for question in questions:
        if collection := collections.get(question.corpus):
            queries = with_history(question.text, question.said)
            result = search(collection, queries, limit=max(k, DEPTH))
            outcomes.append(Outcome(question, ranks_of(question.gold, result.passages), result))
            if answer and question.gold:
                try:
                    checked = answer(question, collection)
                except (ModelError, QuotaReached) as error:
                    logger.warning("No answer to question %s: %s", question.id, error.code)
                    failed += 1
                else:
                    answers += [(question, checked)] if checked else []
        progress()
    skipped = sorted({question.corpus for question in questions} - set(collections))
    measured = _measured(outcomes, k=k, skipped=skipped)
    if answer:
        measured["citations"] = _citations(answers, failed=failed)
    return measured


def _measured(outcomes: Sequence[Outcome], *, k: int, skipped: list[str]) -> Measured:
    latencies = [outcome.result.milliseconds for outcome in outcomes] or [0.0]
    return {
        "k": k,
        "groups": _groups(outcomes),
        "refusal": _refusal(outcomes),
        "latency_ms": {
            name: round(float(np.percentile(latencies, share)), 1)
            for name, share in (("p50", 50), ("p95", 95))
        },
        "skipped": skipped,
        "refusal_groups": [
            {"corpus": corpus, "lang": lang, **_refusal(some)}
            for (corpus, lang), some in _by_group(outcomes)
        ],
        "questions": [_as_row(outcome) for outcome in outcomes],
    }


def ranks_of(gold: Iterable[Place], passages: Sequence[ScoredPassage]) -> tuple[int | None, ...]:
    """Return the rank of each gold section's first passage, None where it was not found."""
    places = [{(one.path, plain_heading(heading)) for heading in one.headings} for one in passages]
    return tuple(
        next(
            (
                rank
                for rank, place in enumerate(places, 1)
                if (path, plain_heading(heading)) in place
            ),
            None,
        )
        for path, heading in gold
    )


def measures_of(ranks: Sequence[Sequence[int | None]]) -> list[dict[str, float]]:
    """Return trec_eval's measures for each question from the ranks of its gold sections.

    Each gold section is one relevant document, at its first passage; two that share one stand one after the other.
    """
    relevant, runs = {}, {}
    for number, golds in enumerate(ranks):
        order: list[str] = []
        for rank in range(1, DEPTH + 1):
            here = [f"gold{place}" for place, found in enumerate(golds) if found == rank]
            order += here or [f"other{rank}"]
        relevant[str(number)] = {f"gold{place}": 1 for place in range(len(golds))}
        runs[str(number)] = {name: -float(place) for place, name in enumerate(order[:DEPTH])}
    judged = pytrec_eval.RelevanceEvaluator(relevant, _MEASURES).evaluate(runs)
    return [
        {name: judged[str(number)][theirs] for name, theirs in _NAMES.items()}
        for number in range(len(ranks))
    ]


def _by_group(outcomes: Iterable[Outcome]) -> list[tuple[tuple[str, str], list[Outcome]]]:
    groups: defaultdict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.question.corpus, outcome.question.lang].append(outcome)
    return sorted(groups.items())


def _groups(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    found = []
    for (corpus, lang), some in _by_group(one for one in outcomes if one.question.gold):
        measures = measures_of([outcome.ranks for outcome in some])
        means = {name: _mean(each[name] for each in measures) for name in _NAMES}
        found.append({"corpus": corpus, "lang": lang, "n": len(some), **means})
    return found


def _as_row(outcome: Outcome) -> dict[str, Any]:
    row: dict[str, Any] = {"id": outcome.question.id, "refused": not outcome.result.is_supported}
    if outcome.question.gold:
        row["rank"] = min((rank for rank in outcome.ranks if rank), default=None)
    return row


def _citations(answers: Sequence[tuple[Question, CheckedAnswer]], *, failed: int) -> Citations:
    verdicts = [verdict for _, checked in answers for verdict in checked.verdicts]
    supported, unsupported = verdicts.count(True), verdicts.count(False)
    golds = [{(path, plain_heading(heading)) for path, heading in one.gold} for one, _ in answers]
    cited = [{(path, plain_heading(heading)) for path, heading in one.places} for _, one in answers]
    judged = supported + unsupported
    return {
        "answers": len(answers),
        "cite_gold": sum(bool(a & b) for a, b in zip(golds, cited, strict=True)),
        "statements": len(verdicts),
        "supported": supported,
        "unsupported": unsupported,
        "unjudged": verdicts.count(None),
        "precision": round(supported / judged, 4) if judged else None,
        "failed": failed,
    }


def _refusal(outcomes: Sequence[Outcome]) -> Refusals:
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


def plain_heading(heading: str) -> str:
    """Return the heading as it is compared: without a pilcrow and with single spaces."""
    return " ".join(heading.replace("¶", "").split())
