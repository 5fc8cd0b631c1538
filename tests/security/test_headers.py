"""What every reply tells a browser: every route, refusals and errors, static files, and what answers before Django."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from mundap.config.body_limit import with_body_limit
from tests.security.cast import log_in, on_stage
from tests.security.routes import Route, all_routes
from tests.security.test_other_users import address_of, ask

pytestmark = pytest.mark.django_db
# Swagger's own page draws itself with styles; its scripts are files like all others.
STYLED = {"api/docs/"}


@pytest.fixture(scope="module")
def replies(django_db_setup: None, django_db_blocker: Any) -> Iterator[list[tuple[Route, Any]]]:
    """Every route as an administrator who owns things sees it, and as nobody does."""
    with on_stage(django_db_blocker) as cast:
        cast.alice.is_staff = cast.alice.is_superuser = True
        cast.alice.save()
        people = (log_in(cast.alice), Client(raise_request_exception=False))
        yield [
            (route, ask(client, "GET", address_of(route, cast)))
            for route in all_routes()
            for client in people
        ]


def policy_of(reply: Any) -> dict[str, str]:
    directives = reply.headers["Content-Security-Policy"].split(";")
    return {name: rest for name, _space, rest in (one.strip().partition(" ") for one in directives)}


def check(reply: Any, *, name: str) -> None:
    """Assert what holds for every reply of the application."""
    policy = policy_of(reply)
    assert policy["default-src"] == "'none'", name
    assert policy["script-src"] == "'self'", name
    assert policy["form-action"] == "'self'", name
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'", name
    assert policy["img-src"] == "'self' data:", name
    assert policy["connect-src"] == "'self'", name
    assert "unsafe" not in policy["style-src"] or name in STYLED, name
    assert reply.headers["X-Content-Type-Options"] == "nosniff", name
    assert reply.headers["X-Frame-Options"] == "DENY", name
    assert reply.headers["Referrer-Policy"] == "same-origin", name
    assert reply.headers["Cross-Origin-Opener-Policy"] == "same-origin", name
    kept = reply.headers["Cache-Control"]
    assert {"private", "no-store", "no-cache"} & set(kept.replace(",", " ").split()), (name, kept)
    assert "Access-Control-Allow-Origin" not in reply.headers, name
    assert "Server" not in reply.headers, name


def test_every_route(replies: list[tuple[Route, Any]]) -> None:
    for route, reply in replies:
        check(reply, name=route.pattern)


def test_no_route_fails(replies: list[tuple[Route, Any]]) -> None:
    assert [route.pattern for route, reply in replies if reply.status_code >= 500] == []


def test_nothing_that_can_be_downloaded_is_shown_as_a_page(
    replies: list[tuple[Route, Any]],
) -> None:
    """A file that a browser opened as HTML here could do all that its reader may."""
    for route, reply in replies:
        if "attachment" in reply.headers.get("Content-Disposition", ""):
            assert "html" not in reply.headers["Content-Type"], route.pattern


def test_cookies_are_not_for_scripts_or_other_sites(replies: list[tuple[Route, Any]]) -> None:
    for route, reply in replies:
        for name, cookie in reply.cookies.items():
            if not cookie.value:
                continue  # taken back
            assert cookie["samesite"] == "Lax", (route.pattern, name)
            assert cookie["httponly"] or name in {"csrftoken", "theme", "django_language"}, name


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere/", 404),
        ("GET", "/api/v1/nowhere/", 404),
        ("GET", "/%00", 400),
        ("GET", "/?q=%ff", 400),
        ("PUT", "/healthz", 403),
        ("PUT", "/", 403),
        ("GET", "/static/nowhere.js", 404),
    ],
)
def test_errors(method: str, path: str, status: int) -> None:
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    reply = client.generic(method, path)
    assert reply.status_code == status
    check(reply, name=path)


def test_a_host_that_is_not_ours() -> None:
    reply = Client().get("/accounts/login/", headers={"Host": "evil.example"})
    assert reply.status_code == 400
    check(reply, name="host")


def test_a_defect(settings: Any) -> None:
    settings.LOGIN_URL = "no-such-route"
    reply = Client(raise_request_exception=False).get("/settings/")
    assert reply.status_code == 500
    assert b"no-such-route" not in reply.content
    check(reply, name="defect")


@pytest.mark.parametrize("path", ["/static/js/forms.js", "/static/css/frame.css"])
def test_static_files_are_what_they_are_called(path: str) -> None:
    reply = Client().get(path)
    reply.close()
    assert reply.status_code == 200
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


async def test_what_is_refused_in_front_of_django(settings: Any) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(b"content-length", b"9" * 18)]}
    await with_body_limit(None)(scope, None, send)
    headers = dict(sent[0]["headers"])
    assert sent[0]["status"] == 413
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"content-security-policy"].startswith(b"default-src 'none'")
