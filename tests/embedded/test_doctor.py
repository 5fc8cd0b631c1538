"""`mundap doctor`: what runs where, what is wrong, and that no secret is shown."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from tests.embedded.conftest import pids_of
from tests.serving import Quiet, in_thread

from mundap.cli.checks import masked
from mundap.cli.doctor import command
from mundap.embedded import supervisor
from mundap.embedded.home import make_home
from mundap.embedded.supervisor import Endpoints

PASSWORD = "wonderful-pa55word"
KEY = "sk-a-very-secret-key"


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path: Path, new_home: Path) -> None:
    """A new user's: nothing is set but the home."""
    for name in list(os.environ):
        if name.startswith(("MUNDAP_", "OPENAI_")) or name in {"DATABASE_URL", "REDIS_URL"}:
            monkeypatch.delenv(name)
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.setenv("MUNDAP_HOME", str(new_home))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture(scope="module")
def servers(open_folder: Path) -> Iterator[Endpoints]:
    """External servers, as far as doctor can tell."""
    home = open_folder / "external"
    with supervisor.running(home, postgres=True, valkey=True, embeddings=False) as endpoints:
        yield endpoints
    supervisor.discard(home)


@pytest.fixture
def endpoint() -> Iterator[str]:
    """A model endpoint that wants a key."""

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_let_in = self.headers["Authorization"] == f"Bearer {KEY}"
            self.send_response(200 if is_let_in and self.path == "/v1/models" else 401)
            self.end_headers()

    with in_thread(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}/v1"


def doctor() -> tuple[dict[str, Any], int]:
    result: Result = CliRunner().invoke(command, ["--json"])
    assert result.stderr == ""
    return json.loads(result.stdout), result.exit_code


def part(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in report["parts"] if each["name"] == name)


def problems(report: dict[str, Any]) -> str:
    return "\n".join(
        f"{each['part']}: {each['what']} {each['todo']}" for each in report["problems"]
    )


def test_a_new_user_is_well_and_nothing_was_made(new_home: Path) -> None:
    report, status = doctor()
    assert (report["ok"], report["problems"], status) == (True, [], 0)
    assert report["home"]["path"] == str(new_home)
    assert report["home"]["free_bytes"] > 0
    assert [each["kind"] for each in report["parts"]] == ["embedded"] * 3 + ["none"]
    assert part(report, "database")["versions"].keys() == {"PostgreSQL", "pgvector"}
    assert part(report, "cache")["versions"].keys() == {"Valkey"}
    assert not new_home.exists(), "doctor makes nothing"


def test_running_parts(new_home: Path) -> None:
    with supervisor.running(new_home, postgres=True, valkey=True, embeddings=False) as endpoints:
        before = pids_of(new_home)
        report, status = doctor()
        assert status == 0
        for name, url in (("database", endpoints.database_url), ("cache", endpoints.redis_url)):
            assert part(report, name)["running"] is True
            assert part(report, name)["in_use"] is True
            assert part(report, name)["address"] == url
            assert Path(part(report, name)["log"]).exists()
        assert part(report, "database")["folder"] == str((new_home / "postgres").resolve())
        assert part(report, "embeddings")["running"] is False
        assert pids_of(new_home) == before
    report, _ = doctor()
    assert part(report, "database")["running"] is False
    assert not any(pids_of(new_home).values()), "doctor starts nothing"


def test_parts_that_a_killed_process_left(new_home: Path, user) -> None:
    killed = user(new_home)
    killed.said()
    os.kill(pids_of(new_home)["watcher"] or 0, signal.SIGKILL)  # or it would be quicker than we
    killed.signal(signal.SIGKILL)
    report, status = doctor()
    assert status == 0
    assert part(report, "database")["in_use"] is False
    assert "stops by itself" in part(report, "database")["note"]
    user(new_home).said()


def test_for_people(new_home: Path) -> None:
    result = CliRunner().invoke(command)
    assert result.exit_code == 0
    for words in (
        "home ",
        str(new_home),
        "PostgreSQL 18",
        "not running",
        "quotations",
        "Nothing is wrong.",
    ):
        assert words in result.stdout


def test_external_servers_that_are_fine(servers: Endpoints, monkeypatch) -> None:
    monkeypatch.setenv("DATABASE_URL", str(servers.database_url))
    monkeypatch.setenv("REDIS_URL", str(servers.redis_url))
    report, status = doctor()
    assert status == 0
    for name in ("database", "cache"):
        assert part(report, name)["kind"] == "external"
        assert part(report, name)["running"] is True


@pytest.fixture
def bare_database(servers: Endpoints) -> Iterator[str]:
    """A database without pgvector, as a user who is no superuser sees it."""
    admin = str(servers.database_url).replace("mundap@/mundap", "postgres@/postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'")
        connection.execute("CREATE DATABASE bare OWNER guest TEMPLATE template0")
        yield admin.replace("postgres@/postgres", f"guest:{PASSWORD}@/bare")
        connection.execute("DROP DATABASE bare")
        connection.execute("DROP ROLE guest")


def test_a_database_without_pgvector(bare_database: str, monkeypatch) -> None:
    monkeypatch.setenv("DATABASE_URL", bare_database)
    report, status = doctor()
    assert (report["ok"], status) == (False, 1)
    assert 'The database "bare" does not have pgvector.' in problems(report)
    assert 'As a superuser, in the database "bare": CREATE EXTENSION vector;' in problems(report)
    assert PASSWORD not in json.dumps(report)
    assert "guest:***@" in part(report, "database")["address"]


def test_the_statement_helps(servers: Endpoints, bare_database: str, monkeypatch) -> None:
    monkeypatch.setenv("DATABASE_URL", bare_database)
    report, _ = doctor()
    statement = report["problems"][0]["todo"].split(": ", 1)[1]
    admin = str(servers.database_url).replace("mundap@/mundap", "postgres@/bare")
    with psycopg.connect(admin) as connection:
        connection.execute(statement)
    report, status = doctor()
    assert status == 0
    assert part(report, "database")["versions"]["pgvector"]


def test_an_older_pgvector_in_the_database(servers: Endpoints, monkeypatch) -> None:
    admin = str(servers.database_url).replace("mundap@/mundap", "postgres@/mundap")
    change = "UPDATE pg_extension SET extversion = %s WHERE extname = 'vector'"
    with psycopg.connect(admin, autocommit=True) as connection:
        (version,) = connection.execute(
            "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
        ).fetchone()
        connection.execute(change, ["0.7.4"])
        try:
            monkeypatch.setenv("DATABASE_URL", str(servers.database_url))
            report, status = doctor()
        finally:
            connection.execute(change, [version])
    assert status == 1
    assert "uses pgvector 0.7.4" in problems(report)
    assert "ALTER EXTENSION vector UPDATE;" in problems(report)


def test_a_user_who_may_not_make_tables(servers: Endpoints, monkeypatch) -> None:
    admin = str(servers.database_url).replace("mundap@/mundap", "postgres@/postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("CREATE ROLE reader LOGIN")
        try:
            url = str(servers.database_url).replace("mundap@", "reader@")
            monkeypatch.setenv("DATABASE_URL", url)
            report, status = doctor()
        finally:
            connection.execute("DROP ROLE reader")
    assert status == 1
    assert "may not make tables" in problems(report)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://someone:{PASSWORD}@127.0.0.1:1/mundap",
        f"postgresql://someone:{PASSWORD}@127.0.0.1:not-a-port/mundap",
        f"postgresql://someone:{PASSWORD}@127.0.0.1/mundap?no_such_option=1",
        f"postgresql://someone@127.0.0.1:1/mundap?password={PASSWORD}",
        f"mysql://someone:{PASSWORD}@127.0.0.1/mundap",
        f"someone:{PASSWORD}",
        f"host=127.0.0.1 port=1 password={PASSWORD}",
    ],
)
def test_a_database_that_cannot_be_reached(url: str, monkeypatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    report, status = doctor()
    assert status == 1
    assert [each["part"] for each in report["problems"]] == ["database"]
    assert report["problems"][0]["todo"]
    assert PASSWORD not in json.dumps(report)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{PASSWORD}@127.0.0.1:1/0",
        f"redis://:{PASSWORD}@127.0.0.1:not-a-port/0",
        f"unix:///nowhere/valkey.sock?password={PASSWORD}",
        f"http://:{PASSWORD}@127.0.0.1/",
        PASSWORD,
    ],
)
def test_a_cache_that_cannot_be_reached(url: str, monkeypatch) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    report, status = doctor()
    assert status == 1
    assert [each["part"] for each in report["problems"]] == ["cache"]
    assert PASSWORD not in json.dumps(report)


def test_model_endpoints_with_and_without_the_right_key(endpoint: str, monkeypatch) -> None:
    for prefix, model in (("OPENAI_", "MUNDAP_CHAT_MODEL"), ("MUNDAP_EMBEDDING_",) * 2):
        monkeypatch.setenv(f"{prefix}BASE_URL", endpoint)
        monkeypatch.setenv(f"{prefix}API_KEY", KEY)
        monkeypatch.setenv(f"{prefix}MODEL" if prefix == model else model, "small")
    report, status = doctor()
    assert status == 0, problems(report)
    for name in ("embeddings", "chat model"):
        assert part(report, name)["note"] == "model small, key ***"
        assert part(report, name)["running"] is True
    assert KEY not in json.dumps(report)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-wrong-one")
    report, status = doctor()
    assert status == 1
    assert "chat model: The endpoint refuses the key (401)." in problems(report)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"MUNDAP_CHAT_MODEL": "x"}, "OPENAI_BASE_URL is not"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, "MUNDAP_CHAT_MODEL is not"),
        ({"MUNDAP_EMBEDDING_BASE_URL": "http://127.0.0.1:1"}, "MUNDAP_EMBEDDING_MODEL is not set"),
        ({"MUNDAP_RERANK_MODEL": "x"}, "MUNDAP_RERANK_BASE_URL is not set"),
        ({"MUNDAP_RERANK_BASE_URL": "http://127.0.0.1:1"}, "MUNDAP_RERANK_MODEL is not set"),
        (
            {"MUNDAP_RERANK_BASE_URL": "http://127.0.0.1:1"},
            "rerank: The endpoint cannot be reached",
        ),
        ({"OPENAI_BASE_URL": f"ftp://x:{KEY}@h", "MUNDAP_CHAT_MODEL": "x"}, "begin with http://"),
        ({"MUNDAP_ENV": "prod"}, "MUNDAP_ENV='prod'"),
        ({"MUNDAP_HOME": "/dev/null"}, "cannot be written"),
        ({"MUNDAP_HOME": "~no-such-user-here/x"}, "cannot be used"),
    ],
)
def test_settings_that_do_not_fit(given: dict[str, str], says: str, monkeypatch) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    report, status = doctor()
    assert status == 1
    assert says in problems(report)
    assert KEY not in json.dumps(report)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_home_that_only_somebody_else_can_reach(tmp_path: Path) -> None:
    (tmp_path / "home" / "postgres").mkdir(parents=True)
    become_nobody = """
import encodings.ascii, encodings.idna, os, sys
import http.cookies, psycopg, redis
from mundap.cli.doctor import command
from mundap.cli.main import cli
from mundap.config import logs
os.setgroups([]); os.setgid(65534); os.setuid(65534)
command(["--json"])
"""
    done = subprocess.run(
        [sys.executable, "-c", become_nobody],
        cwd="/",
        env={"MUNDAP_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    assert "cannot be written" in problems(json.loads(done.stdout))


def test_production_needs_everything_set(monkeypatch, servers: Endpoints) -> None:
    monkeypatch.setenv("MUNDAP_ENV", "production")
    report, status = doctor()
    assert status == 1
    for name in ("SECRET_KEY", "DATABASE_URL", "REDIS_URL", "MUNDAP_EMBEDDING_BASE_URL"):
        assert name in problems(report)
    monkeypatch.setenv("MUNDAP_EMBEDDED", "1")
    assert doctor()[1] == 0


def test_a_data_folder_of_another_version(new_home: Path) -> None:
    make_home(new_home)
    for path in ("PG_VERSION", "global/pg_control"):
        file = new_home / "postgres" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("15\n")
    report, status = doctor()
    assert status == 1
    assert "made by PostgreSQL 15" in problems(report)
    assert "pg_dump" in problems(report)


def test_the_env_file_of_the_folder_counts(tmp_path: Path) -> None:
    """As the installed command, whose standard output holds one document and nothing else."""
    (tmp_path / "here" / ".env").write_text("MUNDAP_CHAT_MODEL=from-the-file\n")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "mundap.cli.main", "doctor", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1, "")
    assert part(report, "chat model")["note"] == "model from-the-file, key not set"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:p@h:5/d?sslmode=require", "postgresql://u:***@h:5/d?sslmode=require"),
        ("postgresql://u:p%40w@[::1]:5/d", "postgresql://u:***@[::1]:5/d"),
        ("postgresql:///mundap?host=/run/x", "postgresql:///mundap?host=/run/x"),
        ("redis://:p@h/0", "redis://:***@h/0"),
        ("redis+sentinel://u:p@h:1,[::1]/m/0", "redis+sentinel://u:***@h:1,[::1]/m/0"),
        ("unix:///a/b.sock?db=0&password=p", "unix:///a/b.sock?db=0&password=***"),
        ("unix://:p@/a/b.sock?db=0", "unix://:***@/a/b.sock?db=0"),
        ("https://h/v1?api_key=p", "https://h/v1?api_key=***"),
        ("postgresql://u:p@h:x/d", "(not readable as an address)"),
        ("host=h password=p", "(not readable as an address)"),
    ],
)
def test_addresses_are_shown_without_secrets(address: str, shown: str) -> None:
    assert masked(address) == shown
