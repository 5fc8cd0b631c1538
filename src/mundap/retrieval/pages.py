"""The page for staff that shows what `mundap eval` measured, by collection and language over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Max
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language_info
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from mundap.retrieval.evaluation_runs import measured_of
from mundap.retrieval.models import EvaluationRun

RUNS = 30  # the newest of a file
WIDTH, HEIGHT, MARGIN = 320, 96, 8  # of a chart


@dataclass(frozen=True, slots=True)
class Row:
    """A group's measures in one run; `change` is of recall@5 against the run before it."""

    run: EvaluationRun
    n: int
    recall_1: float
    recall_5: float
    recall_10: float
    mrr: float
    ndcg: float
    change: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """A measure over time as a chart draws it: points of a polyline, and the last one."""

    name: str
    points: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Group:
    """A collection and language: its rows, newest first, and its lines."""

    corpus: str
    language: str
    rows: tuple[Row, ...]
    lines: tuple[Line, ...]


@login_required
@never_cache
@require_safe
def evaluations(request: HttpRequest) -> HttpResponse:
    """The runs of the questions that `?file=` names (their digest), or of those that ran last."""
    if not getattr(request.user, "is_staff", False):
        raise Http404
    files = list(
        EvaluationRun.objects.order_by()
        .values("digest")
        .annotate(last=Max("pk"), name=Max("file"), when=Max("created_at"))
        .order_by("-last")
    )
    chosen = request.GET.get("file", "") or (files[0]["digest"] if files else "")
    runs = list(EvaluationRun.objects.filter(digest=chosen)[:RUNS])
    if chosen and not runs:
        raise Http404
    context = {
        "files": files,
        "chosen": chosen,
        "runs": [(run, measured_of(run)) for run in runs],
        "groups": groups_of(runs),
        "width": WIDTH,
        "height": HEIGHT,
    }
    return render(request, "retrieval/evaluations.html", context)


def groups_of(runs: Sequence[EvaluationRun]) -> list[Group]:
    """Return what the runs, newest first, measured for each collection and language."""
    found: dict[tuple[str, str], list[tuple[EvaluationRun, dict[str, Any]]]] = {}
    for run in runs:
        for one in measured_of(run)["groups"]:
            found.setdefault((one["corpus"], one["lang"]), []).append((run, one))
    return [
        Group(corpus, _language(code), _rows(measured), _lines([one for _, one in measured]))
        for (corpus, code), measured in sorted(found.items())
    ]


def _rows(measured: Sequence[tuple[EvaluationRun, dict[str, Any]]]) -> tuple[Row, ...]:
    before = [one["recall@5"] for _, one in measured[1:]]
    return tuple(
        Row(
            run=run,
            n=one["n"],
            recall_1=one["recall@1"],
            recall_5=one["recall@5"],
            recall_10=one["recall@10"],
            mrr=one["mrr@10"],
            ndcg=one["ndcg@10"],
            change=one["recall@5"] - before[place] if place < len(before) else None,
        )
        for place, (run, one) in enumerate(measured)
    )


def _lines(newest_first: Sequence[dict[str, Any]]) -> tuple[Line, ...]:
    return tuple(
        _line(name, [one[measure] for one in reversed(newest_first)])
        for name, measure in (("recall", "recall@5"), ("mrr", "mrr@10"))
    )


def _line(name: str, values: Sequence[float]) -> Line:
    """Return the line over the chart's whole width; 0 is at the bottom and 1 at the top."""
    step = (WIDTH - 2 * MARGIN) / max(len(values) - 1, 1)
    across = [
        MARGIN + step * place if len(values) > 1 else WIDTH / 2 for place in range(len(values))
    ]
    down = [MARGIN + (HEIGHT - 2 * MARGIN) * (1 - value) for value in values]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
    return Line(name, points, round(across[-1], 1), round(down[-1], 1))


def _language(code: str) -> str:
    try:
        return str(get_language_info(code)["name_translated"])
    except KeyError:
        return code
