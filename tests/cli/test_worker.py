"""`mundap worker` finds what is to do in Postgres, also when Redis has been emptied."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

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
        subprocess.Popen([*COMMAND, "worker"], env=command_environment) as worker,
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
