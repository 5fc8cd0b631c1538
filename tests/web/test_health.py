"""Whether the process is up, and whether it can work; in words that name the missing part."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone

from mundap.library.models import Worker
from mundap.web import health

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _worker(transactional_db) -> None:
    Worker.objects.create(name="w", is_command=False, seen_at=timezone.now())


@pytest.fixture
def nobody() -> Iterator[str]:
    """The address of an endpoint where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listened at
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def states(client: Client, *, status: str, code: int = 200) -> dict[str, str]:
    """What is not as it should be, and how."""
    reply = client.get("/readyz")
    assert reply.status_code == code
    document = reply.json()
    assert document["status"] == status
    assert set(document["missing"]) <= set(document["parts"])
    return {name: document["parts"][name] for name in document["missing"]}


def test_healthy_and_ready(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    reply = client.get("/readyz")
    assert reply.status_code == 200
    assert reply.json() == {
        "status": "ready",
        "parts": {
            "database": "ok",
            "migrations": "ok",
            "workers": "ok",
            "redis": "ok",
            "embeddings": "ok",
            "chat_model": "unset",
            "reranker": "unset",
            "disk": "ok",
        },
        "missing": [],
    }


def test_without_redis_it_is_ready_but_degraded(client: Client, settings) -> None:
    settings.CACHES = {
        "default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}
    }
    assert states(client, status="degraded") == {"redis": "unusable"}


@pytest.mark.parametrize("part", ["chat_model", "embeddings", "reranker"])
def test_an_endpoint_where_nothing_listens(
    client: Client, settings, nobody: str, part: str
) -> None:
    name = {"chat_model": "CHAT", "embeddings": "EMBEDDING", "reranker": "RERANK"}[part]
    setattr(settings, f"{name}_BASE_URL", nobody)
    setattr(settings, f"{name}_MODEL", "a-model")
    assert states(client, status="degraded") == {part: "unreachable"}


def test_an_endpoint_that_never_answers_is_not_called(client: Client, settings) -> None:
    """Something listens there: that is all that is asked, and not more often than it must."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.CHAT_BASE_URL = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        settings.CHAT_MODEL = "a-model"
        for _ in range(3):
            assert states(client, status="ready") == {}
        silent.settimeout(5)
        asked, _address = silent.accept()
        with asked:
            assert asked.recv(1) == b""
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_names_that_nobody_finds_keep_no_other_part_from_being_looked_at(
    client: Client, settings, monkeypatch
) -> None:
    """A resolver that is silent holds a thread for each of three endpoints, however often one asks."""
    settings.EMBEDDING_BASE_URL = "http://one.invalid/v1"
    settings.CHAT_BASE_URL, settings.CHAT_MODEL = "http://two.invalid/v1", "m"
    settings.RERANK_BASE_URL, settings.RERANK_MODEL = "http://three.invalid/v1", "m"
    is_over, find = threading.Event(), socket.getaddrinfo

    def find_nothing(host: str, *rest: object) -> object:
        if str(host).endswith(".invalid"):
            is_over.wait(60)
            raise socket.gaierror
        return find(host, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", find_nothing)
    monkeypatch.setattr(health, "LOOK_SECONDS", 1.0)
    try:
        for _ in range(4):
            slow = states(client, status="degraded")
            assert slow == dict.fromkeys(("embeddings", "chat_model", "reranker"), "slow")
    finally:
        is_over.set()


def test_without_a_worker(client: Client) -> None:
    Worker.objects.update(is_command=True)
    assert states(client, status="degraded") == {"workers": "none"}


def test_without_room_for_a_file(client: Client, settings) -> None:
    settings.UPLOAD_MAX_MB = 1 << 40
    assert states(client, status="degraded") == {"disk": "full"}


def test_with_migrations_to_do_it_is_not_ready(client: Client) -> None:
    done = MigrationRecorder.Migration.objects.filter(app="accounts").latest("name")
    done.delete()
    try:
        assert states(client, status="not_ready", code=503) == {"migrations": "behind"}
    finally:
        done.save()


def test_without_a_database_it_says_so(client: Client, monkeypatch) -> None:
    address = connections["default"].settings_dict
    monkeypatch.setitem(address, "HOST", "127.0.0.1")
    monkeypatch.setitem(address, "PORT", "1")
    assert client.get("/healthz").status_code == 200
    assert states(client, status="not_ready", code=503) == {"database": "unreachable"}


def test_a_database_that_never_answers_keeps_nobody_waiting(client: Client, monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = connections["default"].settings_dict
        monkeypatch.setitem(address, "HOST", "127.0.0.1")
        monkeypatch.setitem(address, "PORT", str(silent.getsockname()[1]))
        assert states(client, status="not_ready", code=503) == {"database": "unreachable"}
