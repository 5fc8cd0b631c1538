"""Collections over HTTP: who may add, change and delete which, and what becomes of versions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from mundap.accounts.models import User
from mundap.chats.models import Chat
from mundap.library import services
from mundap.library.models import Collection, Run
from mundap.library.services import Label

pytestmark = pytest.mark.django_db
SOURCE = "git:https://example.org/docs.git"


@pytest.fixture
def staff_client(db) -> Client:
    client = Client()
    client.force_login(User.objects.create_user("staff@example.org", is_staff=True))
    return client


@pytest.fixture
def hers(alice: User) -> Collection:
    return services.make_reference(alice, Label(title="Her notes"))


def send(client: Client, method: str, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
    reply = getattr(client, method)(
        f"/api/v1/collections/{path}", json.dumps(body), content_type="application/json"
    )
    return reply.status_code, reply.json() if reply.content else {}


def add(client: Client, **body: Any) -> dict[str, Any]:
    status, made = send(client, "post", "", **body)
    assert status == 201, made
    return made


# --- adding


def test_staff_add_a_source_and_it_waits_to_be_read(staff_client: Client, alice_client) -> None:
    made = add(staff_client, source="pypi:django==5.2.19#docs", refresh_days=7)
    assert (made["slug"], made["title"], made["version"]) == ("django", "Django", "5.2.19")
    assert (made["category"], made["title_no"]) == ("OFFICIAL_DOCS", 1)
    assert made["run"]["state"] == "waiting"
    assert made["refresh"] == {"days": 7, "due_at": None}
    assert made["visibility"] == "everyone"
    shown = alice_client.get("/api/v1/collections/django/").json()
    assert (shown["source"], shown["can_change"]) == ("", False)
    assert made["source"] == "pypi:django==5.2.19#docs"


@pytest.mark.parametrize(
    ("source", "slug"),
    [
        ("git:https://example.org/team/Guide.git@main#docs", "main"),
        ("site:https://docs.example.org/", "docs-example-org"),
    ],
)
def test_a_source_without_a_name_gets_one(staff_client: Client, source: str, slug: str) -> None:
    assert add(staff_client, source=source)["slug"] == slug


@pytest.mark.parametrize(
    ("source", "slug"),
    [("dir:/srv/My Handbook.zip", "my-handbook"), ("dir:/srv/docs#en", "docs")],
)
def test_files_of_the_machine_are_its_administrators(
    staff_client: Client, client: Client, source: str, slug: str
) -> None:
    status, error = send(staff_client, "post", "", source=f" {source}")
    assert (status, error["error"]["code"]) == (403, "not_allowed")
    client.force_login(User.objects.create_superuser("root@example.org"))
    assert add(client, source=source)["slug"] == slug


def test_what_somebody_uploaded_is_no_source_for_others(
    client: Client, staff_client: Client, hers: Collection
) -> None:
    client.force_login(User.objects.create_superuser("root@example.org"))
    for anybody in (client, staff_client):
        status, error = send(anybody, "post", "", source=f"upload:{hers.pk}")
        assert (status, list(error["error"]["fields"])) == (400, ["source"])


def test_versions_stand_side_by_side(staff_client: Client, alice_client: Client) -> None:
    add(staff_client, source="pypi:django==5.2.19#docs")
    old = add(staff_client, source="pypi:django==4.2.16#docs", family="django")
    assert (old["slug"], old["is_current"]) == ("django-4-2-16", False)
    add(staff_client, source="pypi:django==10.0#docs", family="django", slug="django-next")
    seen = alice_client.get("/api/v1/collections/django/").json()
    assert [one["version"] for one in seen["versions"]] == ["5.2.19", "10.0", "4.2.16"]
    status, changed = send(staff_client, "patch", "django-4-2-16/", is_current=True)
    assert (status, changed["is_current"]) == (200, True)
    seen = alice_client.get("/api/v1/collections/django/").json()
    assert (seen["is_current"], seen["versions"][0]["slug"]) == (False, "django-4-2-16")
    status, error = send(staff_client, "patch", "django-4-2-16/", is_current=False)
    assert (status, list(error["error"]["fields"])) == (400, ["is_current"])
    # Where the current one goes, the newest that is left follows it.
    assert send(staff_client, "delete", "django-4-2-16/")[0] == 204
    assert alice_client.get("/api/v1/collections/django-next/").json()["is_current"]


def test_everybody_makes_a_private_collection(alice_client: Client, bob_client: Client) -> None:
    made = add(
        alice_client, title="팀 안내서", category="TEAM", language="ko", content="# 휴가\n\n26일"
    )
    assert (made["visibility"], made["can_change"], made["takes_files"]) == ("private", True, True)
    assert (made["category"], made["title_no"], made["language"]) == ("TEAM", 1, "ko")
    run = Run.objects.get(pk=made["run"]["id"])
    assert run.trigger == Run.Trigger.UPLOAD
    assert list(run.collection.files.values_list("path", flat=True)) == ["팀 안내서.md"]
    assert bob_client.get(f"/api/v1/collections/{made['slug']}/").status_code == 404
    empty = add(alice_client, title="팀 안내서", category="TEAM")
    assert (empty["title_no"], empty["run"], empty["state"]) == (2, None, "empty")
    assert empty["slug"] != made["slug"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "title"),
        ({"title": ""}, 400, "title"),
        ({"title": "x" * 201}, 400, "title"),
        ({"title": "A\0"}, 400, None),
        ({"title": "A", "title_no": 0}, 400, "title_no"),
        ({"title": "A", "title_no": 10**30}, 400, "title_no"),
        ({"title": "A", "language": "english!"}, 400, "language"),
        ({"title": "A", "refresh_days": 7}, 400, "refresh_days"),
        ({"title": "A", "family": "django"}, 400, "family"),
        ({"title": "A", "visibility": "secret"}, 400, "visibility"),
        ({"title": "A", "content": "x" * 300_000}, 413, None),
        ({"title": "A", "category": "OFFICIAL_DOCS"}, 403, None),
        ({"title": "A", "visibility": "everyone"}, 403, None),
        ({"title": "A", "slug": "mine"}, 403, None),
        ({"source": SOURCE}, 403, None),
    ],
)
def test_what_cannot_be_made(
    alice_client: Client, body: dict[str, Any], status: int, field: str | None
) -> None:
    got, error = send(alice_client, "post", "", **body)
    assert got == status, error
    assert field is None or list(error["error"]["fields"]) == [field]
    assert not Collection.objects.exists()


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"source": "ftp:somewhere"}, 400, "source"),
        ({"source": "docs"}, 400, "source"),
        ({"source": "x" * 1001}, 400, "source"),
        ({"source": SOURCE, "content": "text"}, 400, "content"),
        ({"source": SOURCE, "base_url": "javascript:alert(1)"}, 400, "base_url"),
        ({"source": SOURCE, "slug": "a b"}, 400, "slug"),
        ({"source": SOURCE, "refresh_days": 366}, 400, "refresh_days"),
        ({"source": SOURCE, "visibility": "group"}, 400, "group"),
        ({"source": SOURCE, "visibility": "group", "group": "nobody"}, 400, "group"),
        ({"source": SOURCE, "slug": "there"}, 409, "slug"),
        ({"source": SOURCE, "title_no": 1}, 409, None),
    ],
)
def test_what_staff_cannot_add(
    staff_client: Client, body: dict[str, Any], status: int, field: str | None
) -> None:
    Collection.objects.create(slug="there", title="There", title_no=1, visibility="everyone")
    got, error = send(staff_client, "post", "", **body)
    assert got == status, error
    assert field is None or list(error["error"]["fields"]) == [field]
    assert Collection.objects.count() == 1


def test_nobody_has_too_many(alice: User, alice_client: Client, monkeypatch) -> None:
    monkeypatch.setattr(services, "MAX_OWN_COLLECTIONS", 1)
    add(alice_client, title="One")
    status, error = send(alice_client, "post", "", title="Two")
    assert (status, error["error"]["code"]) == (409, "conflict")


# --- changing


def test_an_owner_changes_a_label(alice_client: Client, hers: Collection) -> None:
    status, shown = send(
        alice_client, "patch", f"{hers.slug}/", title="Notes", category="CLASS", title_no=7
    )
    assert status == 200
    assert (shown["title"], shown["category"], shown["title_no"]) == ("Notes", "CLASS", 7)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"visibility": "everyone"}, 403),
        ({"visibility": "group"}, 403),
        ({"category": "OFFICIAL_DOCS"}, 403),
        ({"refresh_days": 1}, 403),
        ({"title": " "}, 400),
        ({"title_no": -1}, 400),
        ({"title_no": 5}, 409),
    ],
)
def test_what_an_owner_may_not(
    alice: User, alice_client: Client, hers: Collection, body: dict[str, Any], status: int
) -> None:
    services.make_reference(alice, Label(title="Five", title_no=5))
    assert send(alice_client, "patch", f"{hers.slug}/", **body)[0] == status
    again = Collection.objects.get(pk=hers.pk)
    assert (again.title, again.visibility, again.title_no) == (
        "Her notes",
        "private",
        hers.title_no,
    )


def test_staff_show_a_collection_to_a_group(
    staff_client: Client, alice: User, bob: User, bob_client: Client
) -> None:
    made = add(staff_client, source=SOURCE, slug="guide", refresh_days=3)
    group = Group.objects.create(name="class")
    status, _shown = send(staff_client, "patch", "guide/", visibility="group", group="class")
    assert status == 200
    assert made["slug"] == "guide"
    assert bob_client.get("/api/v1/collections/guide/").status_code == 404
    bob.groups.add(group)
    assert bob_client.get("/api/v1/collections/guide/").status_code == 200
    status, error = send(staff_client, "patch", "guide/", visibility="private")
    assert (status, list(error["error"]["fields"])) == (400, ["visibility"])


def test_only_staff_say_which_group_sees_a_collection(
    staff_client: Client, alice_client: Client, hers: Collection
) -> None:
    for name in ("class", "others"):
        Group.objects.create(name=name)
    path = f"{hers.slug}/"
    assert send(alice_client, "patch", path, group="others")[0] == 403
    Collection.objects.filter(pk=hers.pk).update(
        visibility="group", group=Group.objects.get(name="class")
    )
    assert send(alice_client, "patch", path, group="others")[0] == 403
    assert send(alice_client, "post", "", title="More", group="others")[0] == 403
    hers.refresh_from_db()
    assert str(hers.group) == "class"


# --- deleting


def test_chats_outlive_their_collection(alice: User, alice_client: Client, hers) -> None:
    chat = Chat.objects.create(owner=alice, collection=hers, title="About it")
    assert send(alice_client, "delete", f"{hers.slug}/")[0] == 204
    assert alice_client.get(f"/api/v1/collections/{hers.slug}/").status_code == 404
    chat.refresh_from_db()
    assert (chat.title, chat.collection) == ("About it", None)


# --- who


@pytest.mark.parametrize("method", ["patch", "delete"])
def test_changing_is_for_the_owner_and_staff(
    bob_client: Client, staff_client: Client, hers: Collection, method: str
) -> None:
    assert send(bob_client, method, f"{hers.slug}/", title="Mine")[0] == 404
    assert send(staff_client, method, f"{hers.slug}/", title="Mine")[0] == 404  # not theirs to see
    Collection.objects.filter(pk=hers.pk).update(visibility="everyone")
    assert send(bob_client, method, f"{hers.slug}/", title="Mine")[0] == 403
    assert Collection.objects.get(pk=hers.pk).title == "Her notes"
    assert send(staff_client, method, f"{hers.slug}/", title="Ours")[0] in {200, 204}


@pytest.mark.parametrize(("method", "path"), [("post", ""), ("patch", "x/"), ("delete", "x/")])
def test_nobody_changes_the_shelf(client: Client, method: str, path: str) -> None:
    assert send(client, method, path, title="A")[0] == 401


def test_over_the_limit(alice_client: Client, hers: Collection, settings) -> None:
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {
        "DEFAULT_THROTTLE_RATES": {"user": "1/h", "address": "1/h", "turns": "1/h"}
    }
    assert send(alice_client, "patch", f"{hers.slug}/", title="A")[0] == 200
    for method, path in [("post", ""), ("patch", f"{hers.slug}/"), ("delete", f"{hers.slug}/")]:
        assert send(alice_client, method, path, title="B")[0] == 429
