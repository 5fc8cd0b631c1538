"""Production refuses what would be unsafe, with the variable's name and what to do; what is right passes all checks."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest
from django.core.checks import CheckMessage

from mundap.config.env import database
from mundap.config.production_checks import check_production

SECRETS = {  # the same in each test process: they are in the tests' names
    name: hashlib.sha256(name.encode()).hexdigest()
    for name in ("SECRET_KEY", "MUNDAP_TOKEN_KEY", "MUNDAP_CACHE_KEY")
}
RIGHT = SECRETS | {
    "MUNDAP_ENV": "production",
    "MUNDAP_ALLOWED_HOSTS": "ask.example.org",
    "MUNDAP_TRUSTED_ORIGINS": "https://ask.example.org",
    "MUNDAP_TRUSTED_PROXIES": "1",
}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mundap.cli.main", *arguments],
        env=os.environ | RIGHT | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_right_environment_passes_every_check() -> None:
    done = run("check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


def test_a_command_does_not_start_with_a_wrong_one() -> None:
    done = run("check", MUNDAP_TOKEN_KEY="change-me-change-me-change-me-change-me")
    assert done.returncode == 1
    assert "MUNDAP_TOKEN_KEY is an example's. Make one: openssl rand -hex 32" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def production(settings):
    """The settings of a right production."""
    settings.IS_PRODUCTION = settings.SECURE_SSL_REDIRECT = True
    settings.SECRET_KEY, settings.TOKEN_KEY, settings.CACHE_KEY = SECRETS.values()
    settings.ALLOWED_HOSTS = ["ask.example.org"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://ask.example.org"]
    settings.TRUSTED_PROXIES = 1
    return settings


def found() -> dict[str, CheckMessage]:
    return {str(message.id): message for message in check_production()}


def test_nothing_is_wrong_with_right_ones(production) -> None:
    assert found() == {}


@pytest.mark.parametrize(
    ("name", "value", "id_", "words"),
    [
        ("SECRET_KEY", "short", "mundap.E021", "SECRET_KEY"),
        ("TOKEN_KEY", "a" * 64, "mundap.E021", "MUNDAP_TOKEN_KEY"),
        ("CACHE_KEY", "django-insecure-0123456789abcdefghij", "mundap.E022", "MUNDAP_CACHE_KEY"),
        ("CACHE_KEY", SECRETS["SECRET_KEY"], "mundap.E023", "SECRET_KEY and MUNDAP_CACHE_KEY"),
        ("ALLOWED_HOSTS", [], "mundap.E024", "MUNDAP_ALLOWED_HOSTS"),
        ("ALLOWED_HOSTS", ["*"], "mundap.W013", "MUNDAP_ALLOWED_HOSTS"),
        ("TRUSTED_PROXIES", 0, "mundap.W014", "MUNDAP_TRUSTED_PROXIES"),
        ("CSRF_TRUSTED_ORIGINS", ["http://ask.example.org"], "mundap.E025", "http://ask"),
    ],
)
def test_what_is_wrong_is_named(production, name: str, value, id_: str, words: str) -> None:
    setattr(production, name, value)
    (message,) = found().values()
    assert message.id == id_
    assert words in message.msg
    assert message.hint
    assert message.is_serious() == id_.startswith("mundap.E")
    production.IS_PRODUCTION = False
    assert found() == {}


@pytest.mark.parametrize(
    ("url", "is_refused"),
    [
        ("postgresql://mundap@db.example.org/mundap", True),
        ("postgresql://mundap:pw@db.example.org/mundap", False),
        ("postgresql://mundap@db.example.org/mundap?sslcert=/run/cert", False),
        ("postgresql://mundap@localhost/mundap", False),
        ("postgresql://mundap@/mundap?host=%2Frun%2Fpostgresql", False),
    ],
)
def test_a_database_over_a_network_wants_a_password(
    production, monkeypatch: pytest.MonkeyPatch, url: str, is_refused: bool
) -> None:
    monkeypatch.setenv("TRIED_URL", url)
    for name, value in database("TRIED_URL").items():
        monkeypatch.setitem(production.DATABASES["default"], name, value)
    assert set(found()) == ({"mundap.E026"} if is_refused else set())
