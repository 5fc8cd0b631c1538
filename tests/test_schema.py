"""The OpenAPI schema: whole, true, and what it says holds under random input."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
import uvicorn
from django.core.management import call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mundap.accounts.models import User
from mundap.accounts.tokens import make_token
from mundap.config.asgi import application
from mundap.library.models import Collection

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
PUBLIC = {"/api/schema/"}


def schema() -> dict[str, Any]:
    return SchemaGenerator().get_schema(request=None, public=True)


api = schemathesis.openapi.from_dict(schema())


@dataclass(frozen=True)
class Served:
    url: str
    token: str


@pytest.fixture(scope="module")
def served(django_db_setup, django_db_blocker) -> Iterator[Served]:
    """The application on a real server, with one user and one empty collection."""
    with django_db_blocker.unblock(), socket.create_server(("127.0.0.1", 0)) as listener:
        user = User.objects.create_user("fuzz@example.org")
        _token, secret = make_token(user, name="fuzz")
        Collection.objects.create(slug="0", title="Empty", title_no=0, visibility="everyone")
        server = uvicorn.Server(
            uvicorn.Config(application, log_level="critical", lifespan="on", ws="none")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", secret)
        server.should_exit = True
        thread.join(timeout=20)
        call_command("flush", verbosity=0, interactive=False)


@api.parametrize()
@settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_random_input(case: schemathesis.Case, served: Served) -> None:
    case.call_and_validate(
        base_url=served.url,
        headers={"Authorization": f"Bearer {served.token}"},
        checks=CHECKS,
        timeout=20,
    )


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in schema()["paths"].items()
        for method, operation in methods.items()
    ]


def test_it_is_valid_and_nothing_is_guessed(capsys) -> None:
    validate_schema(schema())
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", "/dev/null")


def test_every_operation_tells_its_errors_and_how_to_sign_in() -> None:
    for path, method, operation in operations():
        where = f"{method} {path}"
        assert operation["operationId"], where
        assert operation.get("description"), where
        if path in PUBLIC:
            continue
        assert {"400", "401", "429", "503"} <= operation["responses"].keys(), where
        assert {name for one in operation["security"] for name in one} == {
            "token",
            "sessionToken",
            "cookie",
        }, where


@pytest.mark.django_db
def test_nobody_gets_in_anywhere(client: Client) -> None:
    for path, method, _operation in operations():
        if path in PUBLIC:
            continue
        address = re.sub(r"\{\w+_id\}", "01890000-0000-7000-8000-000000000000", path)
        reply = client.generic(method.upper(), address.replace("{slug}", "django"))
        assert reply.status_code == 401, f"{method} {path}"
        assert reply["WWW-Authenticate"].startswith("Bearer")
        assert reply.json()["error"], f"{method} {path}"


def test_the_docs_page_needs_no_inline_script_and_no_other_host(client: Client) -> None:
    page = client.get("/api/docs/")
    assert page.status_code == 200
    html = page.content.decode()
    assert "http://" not in html.replace("http://testserver", "")
    assert "https://" not in html
    assert "<style" not in html
    assert html.count("<script") == html.count("<script src=")
    policy = page["Content-Security-Policy"]
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    script = client.get("/api/docs/?script=")
    assert script["Content-Type"] == "application/javascript"
    assert "/api/schema/" in script.content.decode()
