"""How long a hybrid search takes in the database, without the embedding of the question, and what an index loses.

A PostgreSQL of this run's own; passages of random words with a natural distribution, vectors in clusters; the questions
are pieces of passages. Prints JSON: `python bench/run_search.py [--passages 6000 100000] [--questions 100]`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db import connection, transaction

from mundap.embedded import supervisor

if TYPE_CHECKING:
    from mundap.library.models import Collection

DIMENSIONS = 896
MODEL = "bench"
VOCABULARY = 20_000
WORDS_A_PASSAGE = 80
WORDS_A_QUESTION = 8
CLUSTERS = 500
DEPTH = 10
SEED = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, nargs="+", default=[6_000])
    parser.add_argument("--questions", type=int, default=100)
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="mundap-bench-"))
    home.chmod(0o711)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        parts = supervisor.running(home, postgres=True, valkey=False, embeddings=False)
        url = stack.enter_context(parts).database_url
        os.environ |= {
            "DATABASE_URL": url or "",
            "MUNDAP_EMBEDDING_MODEL": MODEL,
            "SECRET_KEY": "only-for-the-benchmark-0123456789-abcdefghijklmnopqrstuvwxyz",
            "DJANGO_SETTINGS_MODULE": "mundap.config.settings",
        }
        _migrate()
        measured = [_measure(size, arguments.questions) for size in arguments.passages]
        connection.close()
    machine = {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load": os.getloadavg()[0],
        "psycopg": version("psycopg"),
    }
    print(json.dumps({"machine": machine, "search": measured}, indent=1))


def _migrate() -> None:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def _measure(size: int, questions: int) -> dict[str, Any]:
    from mundap.retrieval.indexes import make_search_indexes
    from mundap.retrieval.indexing import index_lexical

    rng = np.random.default_rng(SEED)
    random.seed(SEED)
    collection = _fill(size, rng)
    begun = time.perf_counter()
    index_lexical(collection)
    seconds = {"bm25 index": time.perf_counter() - begun}
    _add_vectors(collection, rng)
    asked = _probes(collection, questions)
    result: dict[str, Any] = {"passages": size}
    exact = _run(collection, asked, is_exact=True)
    result["exact_ms"] = _times(exact)
    words = [([type(probes[0])(probes[0].weights)], text) for probes, text in asked]
    result["bm25_alone_ms"] = _times(_run(collection, words, is_exact=True))
    begun = time.perf_counter()
    make_search_indexes(at_least=1)
    seconds["hnsw index"] = time.perf_counter() - begun
    indexed = _run(collection, asked, is_exact=False)
    result["index_ms"] = _times(indexed)
    result[f"recall@{DEPTH} of the index"] = round(
        statistics.mean(
            len(set(mine) & set(best)) / max(len(best), 1)
            for (_, mine), (_, best) in zip(indexed, exact, strict=True)
        ),
        4,
    )
    result["seconds"] = {name: round(value, 1) for name, value in seconds.items()}
    collection.delete()
    print(json.dumps(result), file=sys.stderr)  # a long run that is stopped has said something
    return result


def _fill(size: int, rng: np.random.Generator) -> Collection:
    from mundap.library.models import Collection, Document, Passage

    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, size=rng.integers(4, 10))) for _ in range(VOCABULARY)]
    weights = np.array([1 / (rank + 10) for rank in range(VOCABULARY)])
    chosen = rng.choice(VOCABULARY, p=weights / weights.sum(), size=(size, WORDS_A_PASSAGE))
    collection = Collection.objects.create(
        slug=f"bench-{size}", title="Bench", title_no=size, visibility="everyone"
    )
    document = Document.objects.create(collection=collection, path="bench.txt", title="Bench")
    texts = (" ".join(words[number] for number in row) for row in chosen)
    rows = [
        Passage(
            collection=collection,
            document=document,
            position=position,
            headings=[f"Part {position}"],
            text=text,
            start=0,
            end=len(text),
            content_hash=str(position),
        )
        for position, text in enumerate(texts)
    ]
    Passage.objects.bulk_create(rows, batch_size=2_000)
    return collection


def _add_vectors(collection: Collection, rng: np.random.Generator) -> None:
    from mundap.library.models import Passage
    from mundap.retrieval.fusion import as_text

    centres = rng.normal(size=(CLUSTERS, DIMENSIONS))
    keys = list(Passage.objects.filter(collection=collection).values_list("pk", flat=True))
    with connection.cursor() as cursor:
        statement = "COPY library_embedding (passage_id, collection_id, model, vector) FROM STDIN"
        with cursor.copy(statement) as copy:
            for key in keys:
                near = centres[rng.integers(CLUSTERS)] + rng.normal(size=DIMENSIONS)
                copy.write_row((key, collection.pk, MODEL, as_text(near / np.linalg.norm(near))))
        cursor.execute("ANALYZE library_embedding; ANALYZE library_passage; ANALYZE retrieval_term")


def _probes(collection: Collection, questions: int) -> list[tuple[list[Any], str]]:
    from mundap.library.models import Embedding
    from mundap.retrieval import lexical, terms
    from mundap.retrieval.fusion import Probe
    from mundap.retrieval.models import LexicalIndex

    index = LexicalIndex.objects.get(pk=collection.pk)
    rng = np.random.default_rng(SEED + 1)
    asked = []
    for row in Embedding.objects.filter(collection=collection).select_related("passage")[
        :questions
    ]:
        text = " ".join(random.sample(row.passage.text.split(), WORDS_A_QUESTION))
        counts = lexical.query_terms(text)
        vector = np.array(row.vector) + rng.normal(size=DIMENSIONS) / 40
        vector /= np.linalg.norm(vector)
        weights = terms.look_up(index, list(counts)).weights(counts)
        asked.append(([Probe(weights, vector.tolist())], text))
    return asked


def _run(
    collection: Collection, asked: Sequence[tuple[list[Any], str]], *, is_exact: bool
) -> list[tuple[float, list[Any]]]:
    """Return the milliseconds and the best passages of each question."""
    from mundap.retrieval.fusion import statement
    from mundap.retrieval.indexes import use_indexes

    def once(probes: list[Any]) -> tuple[float, list[Any]]:
        sql, parameters = statement(
            collection.pk, probes, model=MODEL, limit=DEPTH, is_exact=is_exact
        )
        begun = time.perf_counter()
        with transaction.atomic(), connection.cursor() as cursor:
            if not is_exact:
                use_indexes(cursor)
            cursor.execute(sql, parameters)
            keys = [row[0] for row in cursor.fetchall()]
        return (time.perf_counter() - begun) * 1000, keys

    _warm(once, asked)
    return [once(probes) for probes, _ in asked]


def _warm(once: Callable[[list[Any]], object], asked: Sequence[tuple[list[Any], str]]) -> None:
    for probes, _ in asked[:10]:
        once(probes)


def _times(runs: Sequence[tuple[float, list[Any]]]) -> dict[str, float]:
    times = [milliseconds for milliseconds, _ in runs]
    return {
        "p50": round(float(np.percentile(times, 50)), 1),
        "p95": round(float(np.percentile(times, 95)), 1),
    }


if __name__ == "__main__":
    main()
