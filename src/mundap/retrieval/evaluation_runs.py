"""What evaluations measured, kept and compared: a run with the one before it of the same questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.db.models import Count

from mundap.library.models import Collection, Embedding, Passage
from mundap.llm.client import has_model
from mundap.retrieval import fusion, lexical
from mundap.retrieval.embeddings import embedding_model, has_embeddings
from mundap.retrieval.evaluation import CUTS, Measured
from mundap.retrieval.evaluation_questions import digest_of
from mundap.retrieval.models import EvaluationRun
from mundap.retrieval.rerank import has_reranker

MEASURES = (*(f"recall@{cut}" for cut in CUTS), "mrr@10", "ndcg@10")


@dataclass(frozen=True, slots=True)
class Change:
    """How a group's measures differ from the run before, later minus earlier."""

    corpus: str
    lang: str
    measures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Difference:
    """A run against the one before it.

    `gained` and `lost` are ids of questions whose section is among the first five now and was not, or the reverse.
    """

    earlier: EvaluationRun
    changes: tuple[Change, ...]
    gained: tuple[str, ...]
    lost: tuple[str, ...]


def keep_run(
    measured: Measured, *, file: Path, seconds: float, version: str, commit: str
) -> EvaluationRun:
    """Store what was measured, with what it depends on, and return it."""
    return EvaluationRun.objects.create(
        file=file.name,
        digest=digest_of(file),
        version=version,
        commit=commit,
        embedding_model=embedding_model() if has_embeddings() else "",
        rerank_model=settings.RERANK_MODEL if has_reranker() else "",
        chat_model=settings.CHAT_MODEL if has_model() else "",
        settings=_settings(measured),
        results=measured,
        seconds=round(seconds, 1),
    )


def measured_of(run: EvaluationRun) -> Measured:
    """Return the run's results with their types."""
    return cast("Measured", run.results)


def compare(run: EvaluationRun) -> Difference | None:
    """Return how the run differs from the one before it of the same questions; None for the first."""
    earlier = EvaluationRun.objects.filter(digest=run.digest, pk__lt=run.pk).order_by("-pk").first()
    if earlier is None:
        return None
    before, now = measured_of(earlier), measured_of(run)
    groups = {(one["corpus"], one["lang"]): one for one in before["groups"]}
    changes = [
        Change(one["corpus"], one["lang"], _less(one, old))
        for one in now["groups"]
        if (old := groups.get((one["corpus"], one["lang"])))
    ]
    found_before, found_now = _found(before), _found(now)
    both = {one["id"] for one in before["questions"]} & {one["id"] for one in now["questions"]}
    return Difference(
        earlier,
        tuple(changes),
        gained=tuple(sorted((found_now - found_before) & both)),
        lost=tuple(sorted((found_before - found_now) & both)),
    )


def _less(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, float]:
    return {name: round(now[name] - before[name], 4) for name in MEASURES}


def _found(measured: Measured) -> set[str]:
    """Return the ids of the questions with a right passage among the first five."""
    return {one["id"] for one in measured["questions"] if (one.get("rank") or 99) <= 5}


def _settings(measured: Measured) -> dict[str, Any]:
    slugs = {one["corpus"] for one in measured["refusal_groups"]}
    collections = Collection.objects.filter(slug__in=slugs).in_bulk(field_name="slug")
    keys = [one.pk for one in collections.values()]
    passages = dict(
        Passage.objects.filter(collection__in=keys)
        .values_list("collection")
        .annotate(Count("pk"))
        .order_by()
    )
    vectors = dict(
        Embedding.objects.filter(collection__in=keys, model=embedding_model())
        .values_list("collection")
        .annotate(Count("pk"))
        .order_by()
    )
    return {
        "k": measured["k"],
        "analyser": lexical.ANALYSER_VERSION,
        "dense_weight": fusion.DENSE_WEIGHT,
        "lexical_weight": fusion.LEXICAL_WEIGHT,
        "collections": {
            slug: {
                "version": one.version,
                "passages": passages.get(one.pk, 0),
                "vectors": vectors.get(one.pk, 0),
            }
            for slug, one in sorted(collections.items())
        },
    }
