"""One shape for every error, as JSON for programs and as a page for people."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import DataError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import include, path
from rest_framework import exceptions as drf

from mundap import errors
from mundap.config.exceptions import describe

RAISED: list[Exception] = []


def fail(request: HttpRequest) -> HttpResponse:
    raise RAISED[-1]


urlpatterns = [
    path("api/fail", fail),
    path("page/fail", fail),
    path("", include(settings.ROOT_URLCONF)),
]
handler500 = "mundap.web.errors.server_error"


def every_error(
    root: type[errors.MundapError] = errors.MundapError,
) -> list[type[errors.MundapError]]:
    return [root, *(found for child in root.__subclasses__() for found in every_error(child))]


@pytest.mark.parametrize("kind", every_error())
def test_each_of_our_errors_keeps_its_code_and_status(kind: type[errors.MundapError]) -> None:
    reply = describe(kind("what to do", fields={"text": "too long"}, extra={"turn": "1"}))
    assert reply
    assert reply.status == kind.status
    assert reply.body == {
        "error": {
            "code": kind.code,
            "message": "what to do",
            "fields": {"text": "too long"},
            "turn": "1",
        }
    }


@pytest.mark.parametrize(
    ("exception", "status"),
    [
        (errors.TurnInProgress("wait"), 409),
        (errors.LimitReached("wait", extra={"retry_after_seconds": 7}), 429),
        (PermissionDenied(), 403),
        (OperationalError("secret host"), 503),
        (DataError("secret value"), 400),
        (drf.ValidationError({"a": ["x"], "b": [{"c": ["y"]}]}), 400),
        (drf.Throttled(wait=3.2), 429),
        (drf.NotFound(), 404),
        (drf.MethodNotAllowed("PUT"), 405),
        (drf.UnsupportedMediaType("a/b"), 415),
        (RuntimeError("secret bug"), 500),
    ],
)
@pytest.mark.urls("tests.config.test_errors")
@pytest.mark.django_db
def test_plain_views_answer_the_same_way(exception: Exception, status: int) -> None:
    RAISED.append(exception)
    client = Client(raise_request_exception=False)
    reply = client.get("/api/fail")
    assert reply.status_code == status
    assert reply.json()["error"].keys() >= {"code", "message"}
    page = client.get("/page/fail", headers={"Accept": "text/html"})
    assert page.status_code == status
    assert page["Content-Type"].startswith("text/html")
    assert "secret" not in reply.content.decode() + page.content.decode()
    if status == 429:
        assert int(reply["Retry-After"]) in {4, 7}


def test_nested_messages_are_named_by_their_path() -> None:
    reply = describe(drf.ValidationError({"a": ["x", "y"], "b": [{}, {"c": ["z"]}]}))
    assert reply
    assert reply.fields == {"a": "x y", "b.1.c": "z"}


@pytest.mark.parametrize(
    "address", ["/api/v1/nothing/", "/api/nothing", "/_allauth/app/v1/nothing"]
)
def test_unknown_addresses_of_the_api(client: Client, address: str) -> None:
    reply = client.get(address)
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "not_found"


@pytest.mark.django_db
def test_unknown_addresses_of_the_site_are_a_page(client: Client, alice_client: Client) -> None:
    for one in (client, alice_client):
        reply = one.get("/nothing-here", headers={"Accept": "text/html"})
        assert reply.status_code == 404
        assert b"<h1>" in reply.content


@pytest.mark.django_db
def test_a_form_without_its_token_is_refused_in_words(alice) -> None:
    client = Client(enforce_csrf_checks=True)
    reply = client.post("/accounts/login/", {"login": "x"}, headers={"Accept": "text/html"})
    assert reply.status_code == 403
    assert b"Load the page again" in reply.content


@pytest.mark.parametrize(
    "address", ["/%00", "/?a=%00", "/api/v1/tokens/?x=%00", "/accounts/login/?next=%00"]
)
def test_nul_bytes_in_addresses(client: Client, address: str) -> None:
    assert client.get(address).status_code == 400


@pytest.mark.parametrize("query", ["q=%ED%A0%80", "q=a%FFb", "%C3=1"])
def test_addresses_that_are_not_text(client: Client, query: str) -> None:
    reply = client.get(f"/api/v1/chats/?{query}")
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "invalid_input"


@pytest.mark.django_db
def test_nul_bytes_in_cookies(client: Client) -> None:
    reply = client.get("/api/v1/tokens/", headers={"Cookie": r'sessionid="\000abcdefghij"'})
    assert reply.status_code == 400


def test_what_is_not_ours_to_explain_is_a_defect() -> None:
    assert describe(KeyError("x")) is None
    assert RequestFactory().get("/").path == "/"
