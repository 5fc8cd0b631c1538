"""`mundap worker` finds what is to do in Postgres, also when Redis has been emptied."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import redis

from tests.cli.conftest import COMMAND, HANDBOOK, Run

NEW = (
    "from mundap.library.models import Collection; Collection.objects.create(slug='queued', "
    "title='Queued', category='QUEUE', title_no=1, visibility='everyone', source={source!r})"
)
STATE = """
    SELECT state, count(DISTINCT passage.id), count(DISTINCT embedding.id)
    FROM library_collection AS collection
        LEFT JOIN library_passage AS passage ON passage.collection_id = collection.id AND lexical IS NOT NULL
        LEFT JOIN library_embedding AS embedding ON embedding.passage_id = passage.id
    WHERE slug = 'queued' GROUP BY state
"""


def test_a_waiting_collection_is_read_indexed_and_embedded(
    run: Run, command_environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "page.md").write_text(HANDBOOK, encoding="utf-8")
    assert run("shell", "-v", "0", "-c", NEW.format(source=f"dir:{tmp_path}")).returncode == 0
    redis.Redis.from_url(os.environ["REDIS_URL"]).flushall()
    with (
        _worker(command_environment) as worker,
        psycopg.connect(command_environment["DATABASE_URL"], autocommit=True) as connection,
    ):
        deadline = time.monotonic() + 90
        row = None
        while time.monotonic() < deadline:
            row = connection.execute(STATE).fetchone()
            if row and row[0] == "ready" and row[1] and row[1] == row[2]:
                break
            time.sleep(0.2)
        worker.terminate()
        assert worker.wait(timeout=30) == 0
    assert row is not None
    assert row[0] == "ready"
    assert row[1] == row[2] > 0


PAGES = 160
PAGE = "# Page {number}\n\n" + "".join(
    f"## Part {part}\n\n"
    + "Some *words* about `things`, and [more](https://example.org/).\n\n" * 40
    for part in range(8)
)
READING = """
    SELECT count(*) FILTER (WHERE page.state = 'added'), count(DISTINCT page.worker_id),
        count(*) FILTER (WHERE page.state IN ('waiting', 'reading'))
    FROM library_runpage AS page JOIN library_run AS run ON run.id = page.run_id
        JOIN library_collection AS collection ON collection.id = run.collection_id
    WHERE slug = 'many'
"""
DONE = """
    SELECT run.state, run.counts,
        (SELECT count(*) FROM library_document WHERE collection_id = collection.id AND state = 'ready'),
        (SELECT count(DISTINCT (document_id, position)) FROM library_passage WHERE collection_id = collection.id),
        (SELECT count(*) FROM library_passage WHERE collection_id = collection.id)
    FROM library_run AS run JOIN library_collection AS collection ON collection.id = run.collection_id
    WHERE slug = 'many'
"""


def test_pages_of_a_killed_worker_are_read_by_another(
    run: Run, command_environment: dict[str, str], tmp_path: Path
) -> None:
    for number in range(PAGES):
        (tmp_path / f"{number}.md").write_text(PAGE.format(number=number), encoding="utf-8")
    new = NEW.replace("queued", "many").replace("title_no=1", "title_no=2")
    assert run("shell", "-v", "0", "-c", "pass").returncode == 0  # brings the database up to date
    with (
        _worker(command_environment) as killed,
        _worker(command_environment) as other,
        psycopg.connect(command_environment["DATABASE_URL"], autocommit=True) as connection,
    ):
        _wait(lambda: connection.execute("SELECT count(*) FROM library_worker").fetchone() == (2,))
        made = run("shell", "-v", "0", "-c", new.format(source=f"dir:{tmp_path}"))
        assert made.returncode == 0, made.stderr
        begun = _wait(
            lambda: (
                (row := connection.execute(READING).fetchone()) and row[0] and row[1] == 2 and row
            )
        )
        killed.kill()
        killed.wait()
        redis.Redis.from_url(os.environ["REDIS_URL"]).flushall()
        # What its silence of some time would show.
        connection.execute(
            "UPDATE library_worker SET seen_at = seen_at - interval '1 minute' WHERE name LIKE %s",
            [f"%process {killed.pid}"],
        )
        row = _wait(
            lambda: (row := connection.execute(DONE).fetchone()) and row[0] == "done" and row
        )
        other.terminate()
        assert other.wait(timeout=30) == 0
        # Neither its clock nor those that read for it.
        _wait(lambda: not _is_anybody_left(killed.pid))
    assert begun[2], "the run was over before the worker was killed"
    assert row[1]["added"] == row[2] == PAGES
    assert row[3] == row[4] == PAGES * 16


def test_a_worker_stops_while_its_clock_waits_for_redis(
    command_environment: dict[str, str],
) -> None:
    environment = command_environment | {"REDIS_URL": "redis://127.0.0.1:1/0"}
    with _worker(environment, stderr=subprocess.PIPE) as worker:
        assert worker.stderr is not None
        assert any(b"beat: Connection error" in line for line in worker.stderr)
        worker.terminate()
        worker.communicate(timeout=30)
        assert worker.returncode == 0


@contextmanager
def _worker(
    environment: dict[str, str], *, stderr: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    command = [*COMMAND, "worker"]
    with subprocess.Popen(
        command, env=environment, start_new_session=True, stderr=stderr
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and those that read pages for it


def _is_anybody_left(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _wait(condition: Callable[[], Any]) -> Any:
    """Return what the condition gives once that is something."""
    deadline = time.monotonic() + 90
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found
