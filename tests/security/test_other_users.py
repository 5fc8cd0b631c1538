"""Every route of the site with ids of alice's things, asked by a stranger, by nobody and by staff without permissions.

The routes are read from the URLconf: one that is added is walked by itself, and fails here until somebody has said
what its names stand for (`cast.py`) or why it is open to others (the tables below).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from mundap.accounts.models import User
from mundap.accounts.tokens import make_token
from mundap.chats.models import Chat
from tests.security.cast import SECRET, Cast, everything, log_in, on_stage
from tests.security.routes import METHODS, Route, all_routes

pytestmark = pytest.mark.django_db

# Open to whoever has what cannot be guessed.
BY_SECRET = {"shared/<str:token>/", "settings/address/<str:asked>/"}
# allauth's, which take secrets and names of providers, and no ids.
OF_ALLAUTH = {"accounts": {"key", "uidb36", "provider_id"}}
# What every member of staff may open, whatever their permissions.
FOR_ALL_STAFF = {
    "admin/^(?P<app_label>accounts|chats|retrieval|auth|library)/$",
    *("admin/", "admin/unanswered/", "admin/feedback/", "admin/usage/", "admin/jsi18n/"),
    # They lead to the site's own pages for it.
    *("admin/login/", "admin/logout/", "admin/password_change/", "admin/password_change/done/"),
}
# What a request says of itself, in its address or its body, that names something of somebody's ...
NAMING = {
    "collection",
    "category",
    "title_no",
    "model",
    "cursor",
    "before",
    "group",
    "family",
    "slug",
}
# ... and all else, which names nothing.
WORDS = {
    "q", "k", "limit", "offset", "format", "explain", "language", "section", "state", "text", "user_input", "content",
    "title", "pinned", "rating", "comment", "name", "questions_per_day", "visibility", "refresh_days", "is_current",
    "source", "base_url", "files", "messages", "stream", "stream_options",
}  # fmt: skip
RIGHT = {"text": "Who?", "user_input": "Who?", "rating": "up", "title": "Mine", "sure": "1"}


@dataclass
class Visits:
    """What was answered to whom, and the tables before and after."""

    cast: Cast
    bob: Client
    strangers: list[tuple[str, str, Route, Any]] = field(default_factory=list)
    staff: list[tuple[str, Route, Any]] = field(default_factory=list)
    owner: list[tuple[Route, int]] = field(default_factory=list)
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def visits(django_db_setup: None, django_db_blocker: Any) -> Iterator[Visits]:
    """Everybody's visits, made once: nothing of them may have changed anything."""
    with on_stage(django_db_blocker) as cast:
        bob = User.objects.create_user("bob@example.org")
        made = Visits(cast, log_in(bob))
        _token, secret = make_token(bob, name="program")
        program = Client(
            raise_request_exception=False, headers={"Authorization": f"Bearer {secret}"}
        )
        staff = log_in(User.objects.create_user("staff@example.org", is_staff=True))
        nobody = Client(raise_request_exception=False)
        made.before = everything()
        for route in named_routes():
            address = address_of(route, cast)
            for method in METHODS if route.is_api else ("GET", "POST"):
                people = {"bob": made.bob, "nobody": nobody}
                if route.is_api and method in ("GET", "POST"):
                    people["bob's program"] = program
                for name, client in people.items():
                    made.strangers.append((name, method, route, ask(client, method, address)))
        for route in all_routes():
            if route.is_admin:
                for method in ("GET", "POST"):
                    reply = ask(staff, method, address_of(route, cast))
                    made.staff.append((method, route, reply))
        made.after = everything()
        owner = log_in(cast.alice)
        made.owner = [
            (route, see(owner, route, cast)) for route in named_routes() if not route.is_admin
        ]
        yield made


def named_routes() -> list[Route]:
    return [
        route
        for route in all_routes()
        if set(route.names) - OF_ALLAUTH.get(route.pattern.partition("/")[0], set())
        and route.pattern not in BY_SECRET
    ]


def address_of(route: Route, cast: Cast) -> str:
    """Return the address with alice's ids; in the administration, those of the model in it."""
    values = dict(cast.values)
    for model, pk in cast.ids.items():
        if route.pattern.startswith(f"admin/{model}/"):
            values |= {"object_id": pk, "pk": pk}
    values |= {"app_label": "chats", "content_type_id": 1}
    values.setdefault("object_id", cast.values["chat_id"])
    return route.filled(values)


def ask(client: Client, method: str, address: str) -> Any:
    """Return the reply to a request with nothing wrong in it, so that it can be refused for its ids alone."""
    if address.startswith(("/api/", "/v1/")):
        if method == "GET" and "?" not in address:
            address += "?q=redis"
        return client.generic(method, address, json.dumps(RIGHT), content_type="application/json")
    headers = {"Accept": "text/html"}
    if method == "POST":
        return client.post(address, RIGHT, headers=headers)
    return client.generic(method, address, headers=headers)


def see(owner: Client, route: Route, cast: Cast) -> int:
    """Return what the owner is answered where nothing is changed by looking."""
    reply = ask(owner, "GET", address_of(route, cast))
    if reply.status_code == 405:  # a form alone: what is asked for is refused before it is done
        reply = ask(owner, "OPTIONS", address_of(route, cast))
    return int(reply.status_code)


def body(reply: Any) -> str:
    return "" if reply.streaming else reply.content.decode(errors="replace")


def test_a_stranger_is_told_that_there_is_nothing(visits: Visits) -> None:
    wrong = [
        (name, method, route.pattern, reply.status_code)
        for name, method, route, reply in visits.strangers
        if name != "nobody" and reply.status_code not in {404, 405}
    ]
    assert not wrong


def test_nobody_is_asked_to_sign_in(visits: Visits) -> None:
    wrong = [
        (method, route.pattern, reply.status_code)
        for name, method, route, reply in visits.strangers
        if name == "nobody"
        and reply.status_code not in {401, 405}
        and not reply.headers.get("Location", "").startswith("/accounts/login/")
        and not (route.is_admin and reply.status_code == 404)
    ]
    assert not wrong


def test_no_refusal_says_what_it_refuses(visits: Visits) -> None:
    told = [
        (name, method, route.pattern)
        for name, method, route, reply in visits.strangers
        if name != "nobody" and SECRET in body(reply).replace(address_of(route, visits.cast), "")
    ]
    assert not told


def test_a_stranger_does_not_learn_that_nothing_is_written(visits: Visits) -> None:
    quiet = visits.cast.values["quiet_chat_id"]
    for path in (f"/api/v1/chats/{quiet}/stream", f"/chats/{quiet}/stream/"):
        assert ask(visits.bob, "GET", path).status_code == 404


def test_nothing_was_changed(visits: Visits) -> None:
    changed = [name for name in visits.before if visits.before[name] != visits.after[name]]
    assert changed in ([], ["accounts.ApiToken"])  # bob's own token was used


def test_the_owner_finds_all_of_it(visits: Visits) -> None:
    """Or the refusals above were for the wrong reason."""
    assert [
        (route.pattern, status) for route, status in visits.owner if status in {401, 403, 404}
    ] == []


def test_staff_without_permissions_see_no_more_than_is_for_all_of_them(visits: Visits) -> None:
    open_to_all = {
        route.pattern
        for _method, route, reply in visits.staff
        if reply.status_code not in {403, 404, 405}
        and not reply.headers.get("Location", "").startswith("/admin/")  # where they are refused
    }
    assert open_to_all - FOR_ALL_STAFF == set()


def test_what_is_for_all_staff_does_not_name_people_or_chats(visits: Visits) -> None:
    told = [
        (method, route.pattern) for method, route, reply in visits.staff if SECRET in body(reply)
    ]
    assert not told


def test_every_parameter_is_known_to_name_something_or_nothing() -> None:
    """A new one has to be thought about: `test_names_in_requests` tries those that name something."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    names = {
        parameter["name"]
        for methods in schema["paths"].values()
        for operation in methods.values()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    }
    bodies = {
        reference["$ref"].rpartition("/")[2]
        for methods in schema["paths"].values()
        for operation in methods.values()
        for content in operation.get("requestBody", {}).get("content", {}).values()
        for reference in [content["schema"]]
        if "$ref" in reference
    }
    for name in bodies:
        names |= schema["components"]["schemas"][name].get("properties", {}).keys()
    assert names == NAMING | WORDS


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/api/v1/chats/", {"collection": SECRET, "text": "Who?"}),
        ("/api/v1/chatbot/", {"category": "REFERENCES", "title_no": 7, "user_input": "Who?"}),
        (
            "/v1/chat/completions",
            {"model": SECRET, "messages": [{"role": "user", "content": "Who?"}]},
        ),
        ("/ask/", {"collection": SECRET, "text": "Who?"}),
    ],
)
def test_names_in_requests(visits: Visits, path: str, sent: dict[str, Any]) -> None:
    kind = {} if path == "/ask/" else {"content_type": "application/json"}
    reply = visits.bob.post(path, sent, **kind)
    assert reply.status_code == 404
    assert not Chat.objects.exclude(owner=visits.cast.alice).exists()


@pytest.mark.parametrize(
    "address",
    [
        "/?deleted={chat_id}",
        "/chats/?deleted={chat_id}",
        "/chats/?q=secret",
        "/chats/?cursor={chat_id}",
        "/shelf/",
        "/ask/shelf/",
        "/api/v1/chats/?q=4711",
        "/api/v1/chatbot/sessions/",
        "/api/v1/collections/?q=4711",
        "/api/v1/tokens/",
        "/api/v1/usage/",
        "/v1/models",
        "/settings/tokens/",
        "/settings/security/",
        "/settings/usage/",
        "/settings/data/",
    ],
)
def test_lists_hold_what_is_one_s_own(visits: Visits, address: str) -> None:
    page = ask(visits.bob, "GET", address.format(**visits.cast.values))
    assert page.status_code in {200, 400}
    assert SECRET not in body(page)
