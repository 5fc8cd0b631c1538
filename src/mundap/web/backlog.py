"""How much background work waits, for all processes together, as PostgreSQL has it; and the state of this one's pools.

The database is asked when Prometheus asks, but never more than a hundredth of the time: counting a million passages
takes a while. Without it these numbers are missing, and the others are there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from django.conf import settings
from django.db import connection
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from mundap.config import async_database
from mundap.library.workers import SILENT_AFTER
from mundap.retrieval.embeddings import embedding_model
from mundap.retrieval.lexical import ANALYSER_VERSION

KEPT_SECONDS = 15.0
SHARE = 0.01  # of the time that may be spent on counting
CONNECT_SECONDS = 2  # the least that libpq takes
COUNT_SECONDS = 5
_POOL = {
    "pool_size": "Connections that a pool has.",
    "pool_available": "Connections of a pool that are not in use.",
    "pool_max": "Connections that a pool may have.",
    "requests_waiting": "Requests that wait for a connection of a pool.",
}

# One row: what waits, and since when.
_COUNT = """
    SELECT
        (SELECT count(*) FROM library_run WHERE state = 'waiting'),
        (SELECT count(*) FROM library_run WHERE state = 'opening'),
        (SELECT count(*) FROM library_run WHERE state = 'reading'),
        (SELECT count(*) FROM library_runpage WHERE state = 'waiting'),
        (SELECT count(*) FROM library_runpage WHERE state = 'reading'),
        (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0) FROM library_run
         WHERE state IN ('waiting', 'opening', 'reading')),
        (SELECT count(*) FROM library_worker
         WHERE NOT is_command AND seen_at > clock_timestamp() - %(silent_after)s),
        (SELECT count(*) FROM chats_searchsegment WHERE terms IS NULL),
        (SELECT count(*) FROM library_passage),
        (SELECT count(*) FROM library_passage WHERE lexical_version IS DISTINCT FROM %(analyser)s),
        (SELECT count(*) FROM library_embedding WHERE model = %(model)s)
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits to be done, as it was counted."""

    runs: dict[str, int]
    pages: dict[str, int]
    oldest_run_seconds: float
    workers: int
    messages: int
    passages: int
    without_words: int
    without_vectors: int


def count_backlog() -> Backlog:
    """Return what waits now, in seconds or not at all. Raises psycopg.Error."""
    # A connection of its own: one from the pool would keep the asker waiting for as long as the pool hopes.
    parameters = connection.get_connection_params() | {"connect_timeout": CONNECT_SECONDS}
    values = {
        "silent_after": SILENT_AFTER,
        "analyser": ANALYSER_VERSION,
        "model": embedding_model(),
    }
    with psycopg.connect(**parameters) as asked:
        asked.execute(f"SET LOCAL statement_timeout = '{COUNT_SECONDS}s'")
        (row,) = asked.execute(_COUNT, values).fetchall()
    *_, oldest, workers, messages, passages, without_words, with_vectors = row
    return Backlog(
        runs=dict(zip(("waiting", "opening", "reading"), row[:3], strict=True)),
        pages=dict(zip(("waiting", "reading"), row[3:5], strict=True)),
        oldest_run_seconds=float(oldest),
        workers=workers,
        messages=messages,
        passages=passages,
        without_words=without_words,
        without_vectors=max(0, passages - with_vectors) if settings.EMBEDDING_BASE_URL else 0,
    )


class BacklogCollector(Collector):
    """Shows the backlog to Prometheus, counted anew when it is some seconds old."""

    def __init__(self) -> None:
        self._counted: Backlog | None = None
        self._next_at = 0.0

    def describe(self) -> list[GaugeMetricFamily]:
        """Return nothing: the names need not be known before somebody asks."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges; none while the database does not answer."""
        begun = time.monotonic()
        if begun >= self._next_at:
            try:
                self._counted = count_backlog()
            except psycopg.Error:  # which others tell of
                self._counted = None
            ended = time.monotonic()
            self._next_at = ended + max(KEPT_SECONDS, (ended - begun) / SHARE)
        if self._counted is not None:
            yield from _families(self._counted)


def _families(found: Backlog) -> Iterator[GaugeMetricFamily]:
    yield _by("mundap_runs", "Runs that are not over.", "state", found.runs)
    yield _by("mundap_run_pages", "Pages of runs to be read.", "state", found.pages)
    waiting = {"words": found.without_words, "vectors": found.without_vectors}
    yield _by("mundap_passages_without", "Passages that are not indexed yet.", "what", waiting)
    for name, text, value in (
        ("oldest_run_seconds", "Age of the oldest run that is not over.", found.oldest_run_seconds),
        ("workers", "Background workers that were heard of lately.", found.workers),
        ("passages", "Passages on the shelf.", found.passages),
        ("messages_waiting", "Pieces of chats whose words wait for the index.", found.messages),
    ):
        yield GaugeMetricFamily(f"mundap_{name}", text, value=value)


def _by(name: str, text: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


class PoolCollector(Collector):
    """Shows how this process's pools of database connections stand: `django` for most, `reads` for cached reads."""

    def describe(self) -> list[GaugeMetricFamily]:
        """Return nothing, as above."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        pools = {
            "django": [cast("Any", connection).pool.get_stats()],
            "reads": async_database.pool_stats(),
        }
        for key, text in _POOL.items():
            numbers = {
                name: sum(each.get(key, 0) for each in stats) for name, stats in pools.items()
            }
            yield _by(f"mundap_database_{key}", text, "pool", numbers)
