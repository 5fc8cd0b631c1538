"""The cast of the tests: alice owns things, bob is a stranger; and the parts they meet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.cache import cache
from django.db import OperationalError, connection
from django.test import Client, testcases

from mundap.accounts.models import User
from tests.scripted_model import ScriptedModel

PASSWORD = "correct horse battery staple"
FLUSHES = 5
FILLED_BY_MIGRATIONS = {"django_content_type", "auth_permission"}


@pytest.fixture(scope="session")
def _model_server() -> Iterator[ScriptedModel]:
    with ScriptedModel() as server:
        yield server


@pytest.fixture
def model(_model_server: ScriptedModel, settings) -> Iterator[ScriptedModel]:
    """The scripted model, set up as the chat model."""
    _model_server.reset()
    settings.CHAT_BASE_URL = _model_server.url
    settings.CHAT_API_KEY = "test"
    settings.CHAT_MODEL = "scripted"
    yield _model_server
    _model_server.reset()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> None:
    """The tests' database, which the direct address leads to as well where PgBouncer stands before it."""
    if direct := os.environ.get("MUNDAP_DIRECT_DATABASE_URL"):
        name = connection.settings_dict["NAME"]
        os.environ["MUNDAP_DIRECT_DATABASE_URL"] = direct.replace("/mundap?", f"/{name}?")


@pytest.fixture(scope="session", autouse=True)
def _empty_quickly() -> Iterator[None]:
    """Empty the database after a transactional test with one statement, where Django's flush makes seventy more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testcases, "call_command", _flush)
        yield


def _flush(command: str, **_options: Any) -> None:
    """Empty all tables but those that only migrations fill.

    Again where a server that goes on (with a title, its clock) deadlocks with that.
    """
    assert command == "flush"
    tables = set(connection.introspection.django_table_names(only_existing=True))
    names = ", ".join(map(connection.ops.quote_name, sorted(tables - FILLED_BY_MIGRATIONS)))
    for left in reversed(range(FLUSHES)):
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"TRUNCATE {names}")
            return
        except OperationalError as exc:
            if not left or not isinstance(exc.__cause__, psycopg.errors.DeadlockDetected):
                raise


class QuickArgon2(Argon2PasswordHasher):
    """Argon2 at its least cost: what is tested is that it is used, not how long it takes."""

    time_cost = 1
    memory_cost = 64
    parallelism = 1


@pytest.fixture(autouse=True)
def _quick_passwords(settings) -> None:
    settings.PASSWORD_HASHERS = [f"{__name__}.QuickArgon2"]


@pytest.fixture(autouse=True)
def _settings_stay_in_the_environment() -> Iterator[None]:
    """A command that runs in this process leaves none of the secrets it makes to the servers of later tests."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        if name.endswith("_KEY") or name.startswith("MUNDAP_"):
            del os.environ[name]


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    yield
    cache.clear()


@pytest.fixture
def alice(db) -> User:
    return User.objects.create_user("alice@example.org", PASSWORD)


@pytest.fixture
def bob(db) -> User:
    return User.objects.create_user("bob@example.org", PASSWORD)


@pytest.fixture
def alice_client(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


@pytest.fixture
def bob_client(bob: User) -> Client:
    client = Client()
    client.force_login(bob)
    return client
