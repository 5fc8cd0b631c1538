"""API tokens: made, listed, used and deleted."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from mundap.accounts.models import ApiToken, User
from mundap.accounts.tokens import TOKENS_PER_USER, make_token

pytestmark = pytest.mark.django_db
URL = "/api/v1/tokens/"


def make(client: Client, data: object):
    return client.post(URL, data, content_type="application/json")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_token_is_shown_once_and_works(alice: User, alice_client: Client, client: Client) -> None:
    reply = make(alice_client, {"name": "laptop"})
    assert reply.status_code == 201
    made = reply.json()
    assert made.keys() == {"id", "name", "token"}
    assert made["token"].startswith("mundap_")
    listed = client.get(URL, headers=bearer(made["token"])).json()["results"]
    assert [token["id"] for token in listed] == [made["id"]]
    assert listed[0]["last_used_at"]
    assert made["token"] not in str(listed)
    assert made["token"].encode() not in bytes(ApiToken.objects.get().digest)


def test_a_deleted_token_stops_working(alice: User, client: Client) -> None:
    token, secret = make_token(alice, name="old")
    assert client.delete(f"{URL}{token.pk}/", headers=bearer(secret)).status_code == 204
    assert client.get(URL, headers=bearer(secret)).status_code == 401


def test_its_use_is_written_at_most_once_a_minute(
    alice: User, client: Client, django_assert_num_queries
) -> None:
    _token, secret = make_token(alice, name="busy")
    client.get(URL, headers=bearer(secret))
    first = ApiToken.objects.get().last_used_at
    with django_assert_num_queries(2):  # the token with its user, and the list
        client.get(URL, headers=bearer(secret))
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
    client.get(URL, headers=bearer(secret))
    assert ApiToken.objects.get().last_used_at > first


def test_another_users_token_is_not_there(alice: User, bob: User, bob_client: Client) -> None:
    token, _secret = make_token(alice, name="hers")
    assert bob_client.get(URL).json() == {"results": []}
    reply = bob_client.delete(f"{URL}{token.pk}/")
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "not_found"
    assert bob_client.delete(f"{URL}{uuid4()}/").json() == reply.json()
    assert ApiToken.objects.exists()


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", URL), ("post", URL), ("delete", f"{URL}01a20000-0000-7000-8000-00000000000a/")],
)
def test_nobody_is_refused(client: Client, method: str, path: str) -> None:
    reply = getattr(client, method)(path)
    assert reply.status_code == 401
    assert reply["WWW-Authenticate"].startswith("Bearer")
    assert reply.json()["error"]["code"] == "not_signed_in"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer mundap_wrong"},
        {"Authorization": "Bearer mundap_" + "x" * 5000},
        {"Authorization": "Bearer a b c"},
        {"Authorization": "bearer \xff\xfe"},
        {"X-Session-Token": "wrong"},
        {"X-Session-Token": "'; DROP TABLE"},
        {"X-Session-Token": "ü" * 40},
        {"X-Session-Token": "a" * 100_000},
    ],
)
def test_wrong_credentials_are_refused_even_beside_a_good_cookie(
    alice_client: Client, headers: dict[str, str]
) -> None:
    reply = alice_client.get(URL, headers=headers)
    assert reply.status_code == 401
    assert reply.json()["error"]["code"] == "not_signed_in"


def test_a_proxys_own_credentials_are_passed_over(alice_client: Client) -> None:
    assert alice_client.get(URL, headers={"Authorization": "Basic eDp5"}).status_code == 200


def test_a_cookie_needs_its_csrf_token_and_a_token_does_not(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    refused = make(client, {"name": "x"})
    assert refused.status_code == 403
    assert "CSRF" in refused.json()["error"]["message"]
    client.get("/accounts/password/change/")
    token = client.cookies["csrftoken"].value
    sent = client.post(
        URL, {"name": "x"}, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert sent.status_code == 201
    bare = Client(enforce_csrf_checks=True)
    made = bare.post(
        URL, {"name": "y"}, content_type="application/json", headers=bearer(sent.json()["token"])
    )
    assert made.status_code == 201


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{}", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'"name"', 400),
        (b"\xff\xfe", 400),
        (b'{"name": NaN}', 400),
        (b'{"name": 1e999}', 400),
        (b'{"name": ' + b"1" * 5000 + b"}", 400),
        (b'{"name": ""}', 400),
        (b'{"name": "   "}', 400),
        (b'{"name": null}', 400),
        (b'{"name": {"a": 1}}', 400),
        (b'{"name": "a\\u0000b"}', 400),
        (b'{"name": "\\ud800"}', 400),
        (b'{"\\udfff": 1, "name": "x"}', 400),
        (b'{"name": "' + b"x" * 101 + b'"}', 400),
        (b"[" * 100_000, 400),
        (b'{"a": ' * 100_000, 413),
        (b'{"name": "' + b"x" * 300_000 + b'"}', 413),
    ],
)
def test_bad_input(alice_client: Client, body: bytes, status: int) -> None:
    reply = alice_client.post(URL, body, content_type="application/json")
    assert reply.status_code == status
    error = reply.json()["error"]
    assert error["code"] in {"invalid_input", "too_large"}
    assert error["message"]
    assert not ApiToken.objects.exists()


def test_the_error_names_the_field(alice_client: Client) -> None:
    error = make(alice_client, {"name": ""}).json()["error"]
    assert error["fields"].keys() == {"name"}


def test_other_formats_and_methods(alice_client: Client) -> None:
    wrong_type = alice_client.post(URL, "name=x", content_type="text/plain")
    assert wrong_type.status_code == 415
    assert alice_client.put(URL).status_code == 405
    assert alice_client.get(URL, headers={"Accept": "text/csv"}).status_code == 406
    for reply in (wrong_type, alice_client.put(URL)):
        assert reply.json()["error"].keys() >= {"code", "message"}


def test_korean_names_stay_whole(alice_client: Client) -> None:
    assert make(alice_client, {"name": "노트북 🙂"}).json()["name"] == "노트북 🙂"


def test_there_are_only_so_many(alice: User, alice_client: Client) -> None:
    for number in range(TOKENS_PER_USER):
        make_token(alice, name=str(number))
    reply = make(alice_client, {"name": "one more"})
    assert reply.status_code == 409
    assert str(TOKENS_PER_USER) in reply.json()["error"]["message"]
    assert ApiToken.objects.count() == TOKENS_PER_USER
