"""The command line's edges: help, unknown commands, databases that cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from zoneinfo import TZPATH

import psycopg
import pytest
from click.testing import CliRunner

from mundap.cli.main import cli
from mundap.errors import ConfigurationError
from tests.cli.conftest import Run


def test_help_lists_the_commands(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    for name in ("up", "ask", "ingest", "eval", "create-admin", "doctor"):
        assert f"  {name}" in done.stdout


def test_a_django_command_works(run: Run) -> None:
    done = run("shell", "-v", "0", "-c", "print(6 * 7)")
    assert done.stdout.strip() == "42"


def test_an_unknown_command_is_a_usage_error(run: Run) -> None:
    done = run("sing")
    assert done.returncode == 2
    assert "no command 'sing'" in done.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MUNDAP_OPEN_SIGNUP", "perhaps"),
        ("MUNDAP_TURN_SECONDS", "long"),
        ("MUNDAP_THROTTLE_USER", "lots"),
        ("MUNDAP_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_setting_that_cannot_be_understood_is_named(run: Run, variable: str, value: str) -> None:
    for command in (["ask", "What?", "--collection", "x"], ["doctor"]):
        done = run(*command, **{variable: value})
        assert done.returncode == 1
        assert f"{variable}={value!r}" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_a_time_zone_that_the_database_does_not_know_is_named(run: Run, tmp_path: Path) -> None:
    known = next(path for folder in TZPATH if (path := Path(folder, "Asia/Seoul")).exists())
    (tmp_path / "localtime").write_bytes(known.read_bytes())
    zones = os.pathsep.join([str(tmp_path), *TZPATH])
    done = run("shell", "-c", "", MUNDAP_TIME_ZONE="localtime", PYTHONTZPATH=zones)
    assert done.returncode == 1
    assert "MUNDAP_TIME_ZONE='localtime'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_env_file_that_cannot_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_bytes("DEFAULT_FROM_EMAIL=Café".encode("latin-1"))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["doctor"])
    assert isinstance(done.exception, ConfigurationError)
    assert ".env of this folder cannot be read" in done.exception.message


def test_a_database_that_is_not_there_is_said(run: Run) -> None:
    done = run("ask", "What?", "--collection", "x", DATABASE_URL="postgresql://x@127.0.0.1:9/none")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_production_wants_everything_from_the_environment(run: Run) -> None:
    done = run("ask", "What?", "--collection", "x", MUNDAP_ENV="production", REDIS_URL="")
    assert done.returncode == 1
    assert "MUNDAP_TOKEN_KEY" in done.stderr
    assert "REDIS_URL" in done.stderr


def test_a_database_of_a_newer_version_is_refused(
    run: Run, new_database: Callable[[str], str]
) -> None:
    newer = new_database("newer")
    assert run("check", DATABASE_URL=newer).returncode == 0
    with psycopg.connect(newer, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('chats', '9999_later', now())"
        )
    done = run("check", DATABASE_URL=newer)
    assert done.returncode == 1
    assert "newer Mundap" in done.stderr


def test_a_database_without_pgvector_names_the_statement(
    run: Run, new_database: Callable[..., str]
) -> None:
    done = run("check", DATABASE_URL=new_database("bare", template="template0"))
    assert done.returncode == 1
    assert "CREATE EXTENSION vector;" in done.stderr


def test_a_database_with_an_old_pgvector_is_refused(
    run: Run, new_database: Callable[..., str]
) -> None:
    url = new_database("old")
    with psycopg.connect(url.replace("//mundap@", "//postgres@")) as connection:
        connection.execute("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
    done = run("check", DATABASE_URL=url)
    assert done.returncode == 1
    assert "ALTER EXTENSION vector UPDATE;" in done.stderr


def test_the_local_model_answers_until_another_one_has_read_everything(
    run: Run, handbook: Path
) -> None:
    say = "from django.conf import settings as s; print(s.EMBEDDING_PREVIOUS_MODEL, s.EMBEDDING_PREVIOUS_BASE_URL)"
    another = {
        "MUNDAP_EMBEDDING_BASE_URL": "http://127.0.0.1:9/v1",
        "MUNDAP_EMBEDDING_MODEL": "another",
    }
    assert run("shell", "-v", "0", "-c", say).stdout.strip() == ""
    name, address = run("shell", "-v", "0", "-c", say, **another).stdout.split()
    assert name == "mundap-1"
    assert address.startswith("http://127.0.0.1:")
    kept = another | {"MUNDAP_EMBEDDING_PREVIOUS_BASE_URL": "http://127.0.0.1:8/v1"}
    assert run("shell", "-v", "0", "-c", say, **kept).stdout.split() == ["http://127.0.0.1:8/v1"]
    asked = run("ask", "How many days of holiday?", "--collection", "handbook", **another)
    assert "thirty days" in asked.stdout
    assert "Searching by words alone" not in asked.stderr
