"""The address of PostgreSQL, as it is handed to psycopg."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from mundap.config import env


def options_of(url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("DATABASE_URL", url)
    options = env.database("DATABASE_URL")["OPTIONS"]
    assert isinstance(options, dict)
    return options


def test_a_server_that_vanishes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    options = options_of("postgresql://mundap@db.example.org/mundap", monkeypatch)
    assert 0 < int(options["connect_timeout"]) <= 10
    assert 0 < int(options["tcp_user_timeout"]) <= 30_000
    quiet = int(options["keepalives_interval"]) * int(options["keepalives_count"])
    assert int(options["keepalives_idle"]) + quiet <= 30
    make_conninfo(**options)  # raises at a name that libpq does not know


def test_the_address_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://mundap@db.example.org/mundap?connect_timeout=30&sslmode=verify-full"
    options = options_of(url, monkeypatch)
    assert (options["connect_timeout"], options["sslmode"]) == ("30", "verify-full")
