"""How long a hybrid search takes in the database, without the embedding of the question, and what an index loses.

A PostgreSQL of this run's own; passages of random words with a natural distribution, vectors in clusters; the questions
are pieces of passages. Prints JSON: `python bench/run_search.py [--passages 6000 100000] [--questions 100]`. With
`--home FOLDER` the server's data stay there, and what a run before has filled in is taken as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from django.db import connection, transaction
from pgvector import HalfVector

import harness
from mundap.embedded import supervisor

if TYPE_CHECKING:
    from mundap.library.models import Collection
    from mundap.retrieval.fusion import Probe

DIMENSIONS = 896
MODEL = "bench"
VOCABULARY = 20_000
WORDS_A_PASSAGE = 80
PASSAGES_A_DOCUMENT = 2_000
WORDS_A_QUESTION = 8
CLUSTERS = 500
DEPTH = 10
SEED = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, nargs="+", default=[6_000])
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument(
        "--exact", type=int, default=100, help="questions that are searched exactly"
    )
    parser.add_argument("--home", type=Path)
    arguments = parser.parse_args()
    home = arguments.home or Path(tempfile.mkdtemp(prefix="mundap-bench-"))
    home.mkdir(exist_ok=True)
    home.chmod(0o711)
    with ExitStack() as stack:
        if not arguments.home:
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
        measured = []
        for size in arguments.passages:
            seconds = _filled(size, home / f"filled-{size}.json")
            measured.append(
                {"passages": size, "seconds": seconds}
                | _measured(size, arguments.questions, arguments.exact)
            )
            print(json.dumps(measured[-1]), file=sys.stderr)  # a long run has said something
            if not arguments.home:
                _collection(size).delete()
        connection.close()
    print(json.dumps(harness.report("run_search.py", ["pgvector"], search=measured), indent=1))


def _migrate() -> None:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def _collection(size: int) -> Collection:
    from mundap.library.models import Collection

    return Collection.objects.get(slug=f"bench-{size}")


# --- what is searched


def _filled(size: int, record: Path) -> dict[str, float]:
    """Fill the collection unless it is there; return the seconds that each part of the work took."""
    if record.exists():
        found: dict[str, float] = json.loads(record.read_text())
        return found
    from mundap.retrieval.indexes import make_search_indexes
    from mundap.retrieval.indexing import index_lexical

    rng = np.random.default_rng(SEED)
    _add_passages(size, rng)
    collection = _collection(size)
    seconds = {}
    begun = time.perf_counter()
    index_lexical(collection)
    seconds["bm25, with its index"] = round(time.perf_counter() - begun, 1)
    _add_vectors(collection, rng)
    begun = time.perf_counter()
    make_search_indexes(at_least=1)
    seconds["hnsw index"] = round(time.perf_counter() - begun, 1)
    record.write_text(json.dumps(seconds))
    return seconds


def _add_passages(size: int, rng: np.random.Generator) -> None:
    from mundap.library.models import Collection, Document, Passage

    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, size=rng.integers(4, 10))) for _ in range(VOCABULARY)]
    weights = np.array([1 / (rank + 10) for rank in range(VOCABULARY)])
    weights /= weights.sum()
    collection = Collection.objects.create(
        slug=f"bench-{size}", title="Bench", title_no=size, visibility="everyone"
    )
    for begin in range(0, size, PASSAGES_A_DOCUMENT):
        count = min(PASSAGES_A_DOCUMENT, size - begin)
        document = Document.objects.create(collection=collection, path=f"bench{begin}.txt")
        chosen = rng.choice(VOCABULARY, p=weights, size=(count, WORDS_A_PASSAGE))
        texts = (" ".join(words[number] for number in row) for row in chosen)
        rows = [
            Passage(
                collection=collection,
                document=document,
                position=position,
                headings=[f"Part {begin + position}"],
                text=text,
                start=0,
                end=len(text),
                content_hash=str(begin + position),
            )
            for position, text in enumerate(texts)
        ]
        Passage.objects.bulk_create(rows)


def _add_vectors(collection: Collection, rng: np.random.Generator) -> None:
    from mundap.library.models import Passage

    centres = rng.normal(size=(CLUSTERS, DIMENSIONS)).astype(np.float32)
    keys = list(Passage.objects.filter(collection=collection).values_list("pk", flat=True))
    statement = "COPY library_embedding (passage_id, collection_id, model, vector) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            copy.set_types(["uuid", "uuid", "varchar", "bytea"])
            for key in keys:
                near = centres[rng.integers(CLUSTERS)] + rng.normal(size=DIMENSIONS)
                vector = HalfVector(near / np.linalg.norm(near)).to_binary()
                copy.write_row((key, collection.pk, MODEL, vector))
        cursor.execute("ANALYZE library_embedding; ANALYZE library_passage; ANALYZE retrieval_term")


# --- the searches


def _measured(size: int, questions: int, exactly: int) -> dict[str, Any]:
    collection = _collection(size)
    random.seed(SEED)
    asked = _probes(collection, questions)
    by_words = [replace(probe, vector=None) for probe in asked]
    by_meaning = [replace(probe, weights={}, rare=()) for probe in asked]
    result: dict[str, Any] = {"sizes_mb": _sizes()}
    ways = {"hybrid": asked, "bm25 alone": by_words, "vectors alone": by_meaning}
    for name, probes in ways.items():
        exact, exact_ms = _run(collection, probes[:exactly], is_exact=True)
        indexed, index_ms = _run(collection, probes, is_exact=False)
        result[name] = {
            "exact_ms": exact_ms,
            "index_ms": index_ms,
            f"recall@{DEPTH} of the index": round(
                statistics.mean(
                    len(set(mine) & set(best)) / max(len(best), 1)
                    for mine, best in zip(indexed, exact, strict=False)
                ),
                4,
            ),
        }
    return result


def _sizes() -> dict[str, int]:
    """Return how large the tables and the two indexes are."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT regexp_replace(relname, '_[0-9a-f]{12}$', ''), pg_table_size(oid) / 1048576 FROM pg_class"
            " WHERE relname IN ('library_passage', 'library_embedding', 'passage_terms')"
            " OR relname LIKE 'embedding_hnsw_%'"
        )
        return dict(cursor.fetchall())


def _probes(collection: Collection, questions: int) -> list[Probe]:
    from mundap.library.models import Embedding
    from mundap.retrieval import lexical, terms
    from mundap.retrieval.fusion import Probe
    from mundap.retrieval.models import LexicalIndex

    index = LexicalIndex.objects.get(pk=collection.pk)
    rng = np.random.default_rng(SEED + 1)
    asked = []
    rows = Embedding.objects.filter(collection=collection).select_related("passage")
    for row in rows[:questions]:
        text = " ".join(random.sample(row.passage.text.split(), WORDS_A_QUESTION))
        counts = lexical.query_terms(text)
        vector = np.array(row.vector) + rng.normal(size=DIMENSIONS) / 40
        vector /= np.linalg.norm(vector)
        lookup = terms.look_up(index, list(counts))
        asked.append(Probe(lookup.weights(counts), lookup.rare(counts), vector.tolist()))
    return asked


def _run(
    collection: Collection, asked: Sequence[Probe], *, is_exact: bool
) -> tuple[list[list[Any]], dict[str, float]]:
    """Return the best passages of each question, and the milliseconds: p50 and p95 by the clock, of CPU the mean.

    The CPU time is that of the connection's process in PostgreSQL: other work on the machine hardly changes it.
    """
    from mundap.retrieval.fusion import statement
    from mundap.retrieval.indexes import use_indexes
    from mundap.retrieval.models import LexicalIndex

    def once(probe: Probe) -> tuple[float, list[Any]]:
        sql, parameters = statement(
            collection.pk, [probe], model=MODEL, limit=DEPTH, is_exact=is_exact
        )
        begun = time.perf_counter()
        with transaction.atomic(), connection.cursor() as cursor:
            if not is_exact:
                use_indexes(cursor, passages=passages)
            cursor.execute(sql, parameters)
            keys = [row[0] for row in cursor.fetchall()]
        return (time.perf_counter() - begun) * 1000, keys

    passages = LexicalIndex.objects.get(pk=collection.pk).passages
    for probe in asked[:10]:
        once(probe)
    server = psutil.Process(connection.connection.info.backend_pid)
    before = server.cpu_times()
    runs = [once(probe) for probe in asked]
    after = server.cpu_times()
    times = [milliseconds for milliseconds, _ in runs]
    cpu = after.user + after.system - before.user - before.system
    return [keys for _, keys in runs], {
        "p50": round(float(np.percentile(times, 50)), 1),
        "p95": round(float(np.percentile(times, 95)), 1),
        "cpu": round(cpu * 1000 / len(runs), 1),
    }


if __name__ == "__main__":
    main()
