"""The approximate index (HNSW) that vectors of large collections need, made once there is such a collection.

Small collections are searched exactly: every neighbour is found, and nothing has to be kept up to date. The index of
terms is always there: a migration makes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import Max

from mundap.config.own_session import own_session
from mundap.library.models import Embedding
from mundap.retrieval.embeddings import embedding_model
from mundap.retrieval.models import LexicalIndex

EXACT_LIMIT = 20_000  # passages; docs/retrieval.md has the times
WIDE_FROM = 300_000  # passages; in more of them a scan loses more
GRAPH_BYTES = 1_000  # a vector, beside its numbers, while the graph is built
# Of the database's; with too little the graph is built on disk, many times slower.
MOST_BUILD_MEMORY_MB = 4_096

_PREFIX = "embedding_hnsw_"


def use_indexes(cursor: CursorWrapper, *, passages: int) -> None:
    """Set up the running transaction for a search by index in a collection of so many passages.

    An index covers all collections: the scan goes on until it has met enough passages of the one that is searched.
    """
    width = 400 if passages <= WIDE_FROM else 1_000
    cursor.execute(
        f"SET LOCAL hnsw.iterative_scan = relaxed_order; SET LOCAL hnsw.ef_search = {width}"
    )


def make_search_indexes(*, at_least: int = EXACT_LIMIT + 1) -> None:
    """Make the index that is missing once some collection has `at_least` so many passages; it may take minutes."""
    largest = LexicalIndex.objects.aggregate(Max("passages"))["passages__max"] or 0
    if largest < at_least:
        return
    # What is being made looks half made to another worker.
    with only_worker("search indexes") as is_ours:
        if is_ours:
            _make_of(embedding_model())


@contextmanager
def only_worker(task: str) -> Iterator[bool]:
    """Yield whether no other worker is at this task; a worker that dies lets go with its connection."""
    name = f"mundap {task}"
    with own_session() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name])
        (is_ours,) = cursor.fetchone() or (False,)
        try:
            yield is_ours
        finally:
            if is_ours:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])


def drop_left_indexes() -> None:
    """Drop the indexes of models that have no vectors any more."""
    models = {*LexicalIndex.objects.values_list("embedding_model", flat=True), embedding_model()}
    kept = {_name(model, dimensions) for model in models if (dimensions := _dimensions(model))}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'library_embedding'::regclass"
        )
        names = [name for (name,) in cursor.fetchall() if name.startswith(_PREFIX)]
        for name in set(names) - kept:
            concurrently = "" if connection.in_atomic_block else "CONCURRENTLY"
            cursor.execute(f"DROP INDEX {concurrently} IF EXISTS {name}")


def _make_of(model: str) -> None:
    dimensions = _dimensions(model)
    if not dimensions:
        return
    name = _name(model, dimensions)
    concurrently = "" if connection.in_atomic_block else "CONCURRENTLY"
    with own_session() as cursor:
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [name])
        if (row := cursor.fetchone()) and row[0]:
            return
        cursor.execute(f"DROP INDEX IF EXISTS {name}")  # half made by a run that died
        vectors = Embedding.objects.filter(model=model).count()
        needed = 64 + vectors * (2 * dimensions + GRAPH_BYTES) // 2**20
        cursor.execute(f"SET maintenance_work_mem = '{min(needed, MOST_BUILD_MEMORY_MB)}MB'")
        cursor.execute(
            f"CREATE INDEX {concurrently} {name} ON library_embedding"
            f" USING hnsw ((vector::halfvec({dimensions})) halfvec_ip_ops)"
            f" WHERE model = %s AND vector_dims(vector) = {dimensions}",
            [model],
        )
        cursor.execute("RESET maintenance_work_mem")


def _dimensions(model: str) -> int:
    """Return how many numbers the model's vectors have, 0 where there are none."""
    vector = Embedding.objects.filter(model=model).values_list("vector", flat=True).first()
    return len(vector) if vector is not None else 0


def _name(model: str, dimensions: int) -> str:
    digest = hashlib.blake2b(f"{model} {dimensions}".encode(), digest_size=6).hexdigest()
    return f"{_PREFIX}{digest}"
