"""Requests that another site has a browser send: without the form's token nothing is done, on any route."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from tests.security.cast import everything, log_in, on_stage
from tests.security.routes import METHODS, Route, all_routes
from tests.security.test_other_users import RIGHT, address_of

pytestmark = pytest.mark.django_db
# What asks for no cookie: whoever sends these speaks for themselves.
WITHOUT_COOKIES = ("_allauth/app/", "metrics")
# How an unsafe request is refused; 401 is for who is known by a cookie and sends no token.
REFUSED = {401, 403, 404, 405}


@dataclass
class Forged:
    """What alice's browser, and somebody's without an account, were answered to requests of another site."""

    alice: Client
    replies: list[tuple[str, Route, Any]]
    is_unchanged: bool


@pytest.fixture(scope="module")
def forged(django_db_setup: None, django_db_blocker: Any) -> Iterator[Forged]:
    """Every route, asked once with each unsafe method that it may have."""
    with on_stage(django_db_blocker) as cast:
        cast.alice.is_staff = cast.alice.is_superuser = True  # so that nothing else refuses her
        cast.alice.save()
        alice, nobody = log_in(cast.alice), Client(raise_request_exception=False)
        for client in (alice, nobody):
            client.handler.enforce_csrf_checks = True
        before, replies = everything(), []
        for route in all_routes():
            address = address_of(route, cast)
            methods = METHODS[1:] if route.is_api else ("POST",)
            replies += [(method, route, send(alice, method, address)) for method in methods]
            if not route.names:
                replies.append(("POST", route, send(nobody, "POST", address)))
        yield Forged(alice, replies, everything() == before)


def send(client: Client, method: str, address: str) -> Any:
    """Send what a form of another site can: its fields, or JSON that says it is plain text."""
    headers = {"Origin": "https://evil.example"}
    if method == "POST" and not address.startswith(("/_allauth/", "/api/", "/v1/")):
        return client.post(address, RIGHT, headers=headers)
    body = json.dumps(RIGHT)
    return client.generic(method, address, body, content_type="text/plain", headers=headers)


def test_no_route_takes_them(forged: Forged) -> None:
    taken = [
        (method, route.pattern, reply.status_code)
        for method, route, reply in forged.replies
        if reply.status_code not in REFUSED and not route.pattern.startswith(WITHOUT_COOKIES)
    ]
    assert not taken


def test_routes_for_programs_do_not_know_the_cookie(forged: Forged) -> None:
    for _method, route, reply in forged.replies:
        if route.pattern.startswith(WITHOUT_COOKIES):
            assert reply.status_code in {400, 401, 403, 404, 405, 409, 429}, route.pattern


def test_nothing_was_changed(forged: Forged) -> None:
    assert forged.is_unchanged


@pytest.mark.parametrize("path", ["/api/v1/chats/", "/v1/chat/completions", "/ask/"])
def test_a_page_of_ours_is_recognised_by_its_token_alone(forged: Forged, path: str) -> None:
    """A type of content that forms can send, and a token that belongs to nobody."""
    for token in ("", "x" * 64):
        reply = forged.alice.post(
            path, '{"text": "x"}', content_type="text/plain", headers={"X-CSRFToken": token}
        )
        assert reply.status_code == 403
