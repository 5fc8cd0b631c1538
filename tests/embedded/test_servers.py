"""The started servers are set up as the application and a small machine need them."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from psycopg import sql

from mundap.embedded import supervisor
from mundap.embedded.supervisor import Endpoints


@pytest.fixture(scope="module")
def servers(open_folder: Path) -> Iterator[tuple[Path, Endpoints]]:
    home = open_folder / "servers"
    with supervisor.running(home, postgres=True, valkey=True, embeddings=False) as endpoints:
        yield home, endpoints
    supervisor.discard(home)


@pytest.fixture
def connection(servers) -> Iterator[psycopg.Connection]:
    with psycopg.connect(servers[1].database_url, autocommit=True) as opened:
        yield opened


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("listen_addresses", ""),
        ("jit", "off"),
        ("max_connections", "100"),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
    ],
)
def test_settings(connection: psycopg.Connection, name: str, value: str) -> None:
    assert connection.execute("SELECT current_setting(%s)", [name]).fetchone() == (value,)


def test_text_sorts_by_code_point_and_has_full_case_rules(connection: psycopg.Connection) -> None:
    rows = connection.execute(
        "SELECT w FROM unnest(%s::text[]) w ORDER BY w", [["é", "나", "가", "a", "Z"]]
    )
    assert [word for (word,) in rows] == ["Z", "a", "é", "가", "나"]
    assert connection.execute("SELECT upper('é')").fetchone() == ("É",)


def test_the_role_is_no_superuser_but_can_make_a_test_database(connection) -> None:
    role = connection.execute(
        "SELECT rolname, rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    assert role == ("mundap", False, True)
    connection.execute("CREATE DATABASE test_mundap")
    try:
        with psycopg.connect(connection.info.dsn, dbname="test_mundap") as other:
            other.execute("CREATE EXTENSION IF NOT EXISTS vector")
            other.execute("CREATE TABLE t (v halfvec(3), s sparsevec(5))")
            other.execute("CREATE INDEX ON t USING hnsw (v halfvec_cosine_ops)")
    finally:
        connection.execute("DROP DATABASE test_mundap WITH (FORCE)")


def test_pgvector_is_there(connection: psycopg.Connection) -> None:
    (version,) = connection.execute(
        "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    ).fetchone()
    assert tuple(int(part) for part in version.split(".")) >= (0, 8)


def test_what_people_write_is_not_in_the_log(servers, connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE once (word text PRIMARY KEY)")
    statement = sql.SQL("INSERT INTO once VALUES ({})").format("a very private question")
    connection.execute(statement)
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(statement)
    log = (servers[0] / "log" / "postgres.log").read_text()
    assert "once_pkey" in log
    assert "private" not in log


def test_valkey_evicts_only_what_expires_and_writes_nothing(servers) -> None:
    with redis.from_url(servers[1].redis_url) as cache:
        settings = cache.config_get("*")
    assert settings["maxmemory-policy"] == "volatile-lru"
    assert settings["maxmemory"] == str(256 * 1024 * 1024)
    assert settings["save"] == ""
    assert settings["appendonly"] == "no"
    assert settings["port"] == "0"


def test_everything_is_private(servers) -> None:
    home = servers[0]
    for path in [*(home / "run").iterdir(), *(home / "log").iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert stat.S_IMODE((home / "postgres").stat().st_mode) == 0o700
