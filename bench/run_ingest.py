"""How fast documentation gets on the shelf, and what bringing it up to date costs. Prints one JSON document.

Django's documentation from its unpacked source; Python's HTML documentation (Debian's python3.11-doc, or --python-html)
by folder, and crawled from a local web server by its inventory and by a sitemap, with equal results; one worker against
two, each with one process that reads, with another worker's turn in between.

    python bench/run_ingest.py [--repetitions 3] [--python-html FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import psycopg

from harness import Parts, middle, report, rounded, settings_environment
from mundap.embedded import supervisor
from mundap.library.sources import open_source

COMMAND = [sys.executable, "-m", "mundap.cli.main"]
DJANGO = "pypi:django==5.2.19#docs"
PYTHON_HTML = Path("/usr/share/doc/python3.11/html")
CHANGED = "topics/cache.txt"
CONTENT = """
    SELECT count(*), count(DISTINCT document.path), md5(string_agg(
        document.path || document.title || passage.anchor || passage.text, '|'
        ORDER BY document.path, passage.position))
    FROM library_passage AS passage
        JOIN library_document AS document ON document.id = passage.document_id
        JOIN library_collection AS collection ON collection.id = passage.collection_id
    WHERE collection.slug = %s
"""
FINISHED = """
    SELECT collection.state = 'ready' AND run.state = 'done'
    FROM library_collection AS collection JOIN library_run AS run ON run.collection_id = collection.id
    WHERE slug = %s
"""
WAITING = (
    "from mundap.library.models import Collection; Collection.objects.create(slug='{slug}', title='{slug}', "
    "category='BENCH', title_no={number}, visibility='everyone', source='dir:{folder}')"
)


def main() -> None:
    """Run everything and print the report."""
    arguments = parsed_arguments()
    with parts() as running, tempfile.TemporaryDirectory(prefix="mundap-bench-") as scratch:
        environment = os.environ | settings_environment(
            running,
            MUNDAP_EMBEDDING_BASE_URL="http://127.0.0.1:9/v1",
            MUNDAP_EMBEDDING_MODEL="none",
            MUNDAP_CRAWL_DELAY_SECONDS="0",
        )
        bench = Bench(running, environment)
        bench.run("shell", "-v", "0", "-c", "pass")
        results = {
            "django": bench.django(Path(scratch)),
            "python": bench.python(arguments.python_html, Path(scratch)),
            "workers": bench.workers(arguments.python_html, arguments.repetitions),
        }
    print(json.dumps(report("run_ingest.py", ["docutils", "lxml", "pebble"], **results), indent=2))


def parsed_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--python-html", type=Path, default=PYTHON_HTML)
    arguments = parser.parse_args()
    if not (arguments.python_html / "objects.inv").exists():
        parser.error(f"{arguments.python_html} has no objects.inv; apt-get install python3.11-doc")
    return arguments


@contextmanager
def parts() -> Iterator[Parts]:
    """Run PostgreSQL and Valkey, on whichever cores are free: here everything works together."""
    home = Path(tempfile.mkdtemp(prefix="mundap-bench-"))
    home.chmod(0o711)
    try:
        with supervisor.running(home, postgres=True, valkey=True, embeddings=False) as endpoints:
            yield Parts(home, endpoints.database_url or "", endpoints.redis_url or "")
    finally:
        shutil.rmtree(home, ignore_errors=True)


class Bench:
    """Runs commands against the parts, and measures them."""

    def __init__(self, running: Parts, environment: dict[str, str]) -> None:
        self._parts = running
        self._environment = environment

    def run(self, *arguments: str, **variables: str) -> str:
        """Return a command's standard output. Raises CalledProcessError."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            env=self._environment | variables,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    def ingest(self, *arguments: str, **variables: str) -> dict[str, Any]:
        """Return what `mundap ingest` says, with its whole time and the memory of its processes at most."""
        begun = time.perf_counter()
        with (
            subprocess.Popen(
                [*COMMAND, "ingest", *arguments, "--json"],
                env=self._environment | variables,
                stdout=subprocess.PIPE,
                text=True,
            ) as process,
            memory_watched(process.pid) as most,
        ):
            output, _ = process.communicate()
        seconds = time.perf_counter() - begun
        if process.returncode:
            raise SystemExit(f"mundap ingest {arguments} ended with {process.returncode}")
        document = json.loads(output)
        names = ("documents", "passages", "added", "changed", "deleted", "unchanged", "left_out")
        return {name: document[name] for name in names} | {
            "failed": len(document["failed"]),
            "seconds": rounded(seconds),
            "pages_per_second": rounded(document["documents"] / seconds),
            "memory_mb": round(max(most) / 1e6),
        }

    def django(self, scratch: Path) -> dict[str, Any]:
        """Measure Django's documentation from its unpacked source: first, unchanged, with one changed page."""
        folder = scratch / "django"
        with open_source(DJANGO) as source:
            shutil.copytree(source.root, folder)
        arguments = (f"dir:{folder}", "--slug", "django")
        first = self.ingest(*arguments)
        unchanged = self.ingest(*arguments)
        page = folder / CHANGED
        page.write_text(page.read_text() + "\n\nOne more paragraph, for the benchmark.\n")
        return {"first": first, "unchanged": unchanged, "one_changed": self.ingest(*arguments)}

    def python(self, html: Path, scratch: Path) -> dict[str, Any]:
        """Measure Python's documentation by folder, inventory and sitemap, and whether the results are equal."""
        found: dict[str, Any] = {"folder": self.ingest(f"dir:{html}", "--slug", "folder")}
        with web_server(html, scratch) as (base, host):
            for slug, source in (
                ("sphinx", f"sphinx:{base}"),
                ("sitemap", f"sitemap:{base}sitemap.xml"),
            ):
                for name in (slug, f"{slug}_again"):
                    found[name] = self.ingest(source, "--slug", slug, MUNDAP_CRAWL_OWN_HOSTS=host)
        contents = {slug: self._content(slug) for slug in ("folder", "sphinx", "sitemap")}
        found["passages_documents_digest"] = contents
        found["are_equal"] = len(set(contents.values())) == 1
        return found

    def workers(self, html: Path, repetitions: int) -> dict[str, Any]:
        """Measure one worker against two, each with one reading process."""
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for repetition in range(repetitions):
            for count in (1, 2):
                seconds[count].append(self._by_workers(count, html, f"w{count}-{repetition}"))
        ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
        return {
            "one_seconds": middle(seconds[1]),
            "two_seconds": middle(seconds[2]),
            "speed_up": middle(ratios),
        }

    def _content(self, slug: str) -> tuple[Any, ...]:
        with psycopg.connect(self._parts.database_url) as connection:
            return tuple(connection.execute(CONTENT, [slug]).fetchone() or ())

    def _by_workers(self, count: int, html: Path, slug: str) -> float:
        with (
            ExitStack() as stack,
            psycopg.connect(self._parts.database_url, autocommit=True) as connection,
        ):
            for _ in range(count):
                stack.enter_context(self._worker())
            _wait(lambda: _one(connection, "SELECT count(*) FROM library_worker") == count)
            number = _one(connection, "SELECT count(*) + 1 FROM library_collection")
            self.run(
                "shell", "-v", "0", "-c", WAITING.format(slug=slug, number=number, folder=html)
            )
            begun = time.perf_counter()
            _wait(lambda: _one(connection, FINISHED, slug))
            return time.perf_counter() - begun

    @contextmanager
    def _worker(self) -> Iterator[None]:
        command = [*COMMAND, "worker", "--processes", "1"]
        with subprocess.Popen(command, env=self._environment, stdout=sys.stderr) as process:
            try:
                yield
            finally:
                process.terminate()


@contextmanager
def memory_watched(pid: int) -> Iterator[list[int]]:
    """Give a list that the resident bytes of the process and its children are added to."""
    seen = [0]
    is_over = threading.Event()

    def watch() -> None:
        process = psutil.Process(pid)
        while not is_over.wait(0.05):
            try:
                family = [process, *process.children(recursive=True)]
                seen.append(sum(one.memory_info().rss for one in family))
            except psutil.NoSuchProcess:
                continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        is_over.set()
        watcher.join()


@contextmanager
def web_server(html: Path, scratch: Path) -> Iterator[tuple[str, str]]:
    """Serve the pages with a sitemap of them; gives the address and what MUNDAP_CRAWL_OWN_HOSTS is to name."""
    root = scratch / "site"
    shutil.copytree(html, root)
    handler = partial(_QuietHandler, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        host = f"127.0.0.1:{server.server_port}"
        base = f"http://{host}/"
        with open_source(f"dir:{html}") as source:
            urls = "".join(f"<url><loc>{base}{page.path}</loc></url>" for page in source.pages)
        (root / "sitemap.xml").write_text(
            f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>'
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield base, host
        finally:
            server.shutdown()


class _QuietHandler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def _one(connection: psycopg.Connection[Any], query: str, *values: object) -> Any:
    row = connection.execute(query, values).fetchone()  # type: ignore[arg-type]
    return row[0] if row else None


def _wait(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("the workers did not come to an end")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
