"""A worker on another machine: it has the network, PgBouncer and Redis in common with us, and no loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from mundap.embedded.valkey import program
from tests.chats.server import wait_for
from tests.cli.conftest import COMMAND, HANDBOOK
from tests.database import new_database
from tests.nodes.machine import Machine, another_machine
from tests.pgbouncer import pgbouncer

pytestmark = pytest.mark.nodes
WAIT_SECONDS = 60.0
PASSWORD = "between-two-machines"
NEW = (
    "from mundap.library.models import Collection; Collection.objects.create(slug='elsewhere', "
    "title='Elsewhere', category='QUEUE', title_no=1, visibility='everyone', source={source!r})"
)
STATE = """
    SELECT state, (SELECT count(*) FROM library_passage WHERE collection_id = c.id AND lexical IS NOT NULL)
    FROM library_collection AS c WHERE slug = 'elsewhere'
"""
WORKERS = "SELECT name FROM library_worker"


def test_it_migrates_reads_and_indexes_also_when_redis_was_away(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(HANDBOOK, encoding="utf-8")
    direct = new_database("elsewhere")
    with (
        another_machine() as machine,
        _Valkey(tmp_path, machine) as valkey,
        pgbouncer(direct, address=machine.our_address) as database,
    ):
        environment = os.environ | {
            "DATABASE_URL": database,
            # The server itself is reached by its socket: a namespace divides the network alone.
            "MUNDAP_DIRECT_DATABASE_URL": direct,
            "REDIS_URL": valkey.url,
            "MUNDAP_HOME": str(tmp_path / "its home"),
            "MUNDAP_EMBEDDING_BASE_URL": f"http://{machine.our_address}:1/v1",
            "MUNDAP_EMBEDDING_MODEL": "away",
        }
        with _worker(machine, environment), psycopg.connect(direct, autocommit=True) as connection:
            # Beside it, and while it brings the database up to date: one of them does.
            at_home = environment | {"MUNDAP_HOME": str(tmp_path / "our home")}
            subprocess.run([*COMMAND, "shell", "-v", "0", "-c", "pass"], env=at_home, check=True)
            wait_for(lambda: _is_waited_for(valkey.url), seconds=WAIT_SECONDS)
            valkey.kill()
            wait_for(lambda: not _is_waited_for(valkey.url))
            valkey.start()
            new = NEW.format(source=f"dir:{tmp_path}")
            subprocess.run([*COMMAND, "shell", "-v", "0", "-c", new], env=at_home, check=True)
            wait_for(lambda: _is_ready(connection), seconds=WAIT_SECONDS)


def _is_ready(connection: psycopg.Connection) -> bool:
    row = connection.execute(STATE).fetchone()
    return bool(row and row[0] == "ready" and row[1])


@contextmanager
def _worker(machine: Machine, environment: dict[str, str]) -> Iterator[None]:
    command = [*machine.prefix, *COMMAND, "worker", "--concurrency", "2", "--processes", "1"]
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


class _Valkey:
    """One that listens to the other machine, with a password."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        with socket.create_server((machine.our_address, 0)) as listener:
            port = listener.getsockname()[1]
        self.url = f"redis://:{PASSWORD}@{machine.our_address}:{port}/0"
        options = {"bind": machine.our_address, "port": str(port), "requirepass": PASSWORD}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._command = [str(program()), *words, "--save", "", "--dir", str(folder)]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def _is_waited_for(url: str) -> bool:
    """Tell whether a worker waits for hints there."""
    try:
        with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as client:
            return any(each["cmd"] == "brpop" for each in client.client_list())
    except redis.RedisError:
        return False
