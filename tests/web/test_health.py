"""Whether the process is up, and whether it can work; in words that name the missing part."""

from __future__ import annotations

import pytest
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

pytestmark = pytest.mark.django_db


def test_healthy_and_ready(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    reply = client.get("/readyz")
    assert reply.status_code == 200
    assert reply.json() == {
        "status": "ready",
        "parts": {"database": "ok", "migrations": "ok", "redis": "ok"},
        "missing": [],
    }


def test_without_redis_it_is_ready_but_degraded(client: Client, settings) -> None:
    settings.CACHES = {
        "default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}
    }
    reply = client.get("/readyz")
    assert reply.status_code == 200
    assert reply.json()["status"] == "degraded"
    assert reply.json()["missing"] == ["redis"]


def test_with_migrations_to_do_it_is_not_ready(client: Client) -> None:
    MigrationRecorder.Migration.objects.filter(app="accounts").latest("name").delete()
    reply = client.get("/readyz")
    assert reply.status_code == 503
    assert reply.json()["missing"] == ["migrations"]


def test_without_a_database_it_says_so(client: Client, monkeypatch) -> None:
    address = connections["default"].settings_dict
    monkeypatch.setitem(address, "HOST", "127.0.0.1")
    monkeypatch.setitem(address, "PORT", "1")
    assert client.get("/healthz").status_code == 200
    reply = client.get("/readyz")
    assert reply.status_code == 503
    assert reply.json()["missing"] == ["database", "migrations"]
