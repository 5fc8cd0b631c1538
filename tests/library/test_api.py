"""The shelf and its passages over HTTP: who sees what, and how much of it is ready."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.test import Client

from mundap.accounts.models import User
from mundap.errors import NotFound
from mundap.library.models import Collection, Embedding, Passage
from mundap.library.selectors import (
    get_collection_by_number_for,
    get_collection_for,
    list_collections_for,
)
from mundap.retrieval.indexing import index_lexical
from tests.pages import add_cache_page

pytestmark = pytest.mark.django_db
TEXTS = [
    "Caching keeps rendered pages, so that they need not be made again.",
    "Use the Redis backend to keep the cache in memory on another machine.",
    "The cache can also live in the database.",
]


def make_collection(slug: str, **fields: object) -> Collection:
    number = Collection.objects.count() + 1
    defaults = {"title": slug.title(), "title_no": number, "visibility": "everyone"}
    collection = Collection.objects.create(slug=slug, **defaults | fields)
    add_cache_page(collection, TEXTS, url=f"https://docs.example.org/{slug}/cache/")
    return collection


@pytest.fixture
def django_docs(db) -> Collection:
    return make_collection("django", state="ready", documents_done=1, documents_total=1)


@pytest.fixture
def hers(alice: User) -> Collection:
    return make_collection("diary", owner=alice, visibility="private", category="notes", title_no=7)


def slugs(client: Client) -> list[str]:
    return [found["slug"] for found in client.get("/api/v1/collections/").json()["results"]]


def test_the_shelf_tells_how_far_each_is(alice_client: Client, django_docs: Collection) -> None:
    first = Passage.objects.first()
    Embedding.objects.create(passage=first, collection=django_docs, model="a", vector=[1, 0])
    reply = alice_client.get("/api/v1/collections/")
    assert reply.status_code == 200
    shown = reply.json()["results"][0]
    assert shown == alice_client.get("/api/v1/collections/django/").json()
    assert shown["state"] == "ready"
    assert (shown["documents"], shown["passages"]) == (1, 3)
    assert shown["reading"] == {"done": 1, "total": 1}
    assert shown["vectors"] == {"done": 1, "total": 3}
    assert shown["ingested_at"] is None


def test_everyone_their_own_and_their_groups(
    alice: User, bob: User, alice_client: Client, bob_client: Client, django_docs: Collection, hers
) -> None:
    group = Group.objects.create(name="class")
    make_collection("shared", visibility="group", group=group)
    make_collection("bobs", visibility="group", group=group, owner=bob)
    assert set(slugs(alice_client)) == {"django", "diary"}
    assert set(slugs(bob_client)) == {"django", "bobs"}
    alice.groups.add(group)
    assert set(slugs(alice_client)) == {"django", "diary", "shared", "bobs"}
    assert [one.slug for one in list_collections_for(AnonymousUser())] == ["django"]


def test_a_stranger_finds_nothing_anywhere(
    bob: User, alice_client: Client, bob_client: Client, hers: Collection
) -> None:
    passage = hers.passages.first()
    assert passage
    for path in (
        "collections/diary/",
        "collections/diary/search/?q=cache",
        f"passages/{passage.pk}/",
    ):
        assert alice_client.get(f"/api/v1/{path}").status_code == 200
        refused = bob_client.get(f"/api/v1/{path}")
        assert refused.status_code == 404
        assert refused.json()["error"]["code"] == "not_found"
    unknown = bob_client.get("/api/v1/collections/nothing/")
    assert unknown.json() == bob_client.get("/api/v1/collections/diary/").json()
    with pytest.raises(NotFound):
        get_collection_for(bob, "diary")


def test_by_number_in_its_category(alice: User, bob: User, hers: Collection) -> None:
    assert get_collection_by_number_for(alice, category="notes", title_no=7) == hers
    for user, category, number in [(bob, "notes", 7), (alice, "notes", 8), (alice, "other", 7)]:
        with pytest.raises(NotFound):
            get_collection_by_number_for(user, category=category, title_no=number)
    with pytest.raises(NotFound):
        get_collection_by_number_for(alice, category="notes", title_no=10**30)


def test_staff_read_no_diaries(bob: User, bob_client: Client, hers: Collection) -> None:
    bob.is_staff = bob.is_superuser = True
    bob.save()
    assert bob_client.get("/api/v1/collections/diary/").status_code == 404


def test_a_passage_in_its_place(alice_client: Client, django_docs: Collection) -> None:
    first, middle, last = Passage.objects.order_by("position")
    shown = alice_client.get(f"/api/v1/passages/{middle.pk}/").json()
    assert shown["text"] == TEXTS[1]
    assert shown["url"] == "https://docs.example.org/django/cache/#part-1"
    assert shown["document"] == {
        "title": "The cache",
        "path": "topics/cache.txt",
        "url": "https://docs.example.org/django/cache/",
    }
    assert shown["collection"] == "django"
    assert middle.document.text[shown["start"] : shown["end"]] == shown["text"]
    assert shown["previous"]["text"] == TEXTS[0]
    assert shown["next"]["id"] == str(last.pk)
    assert alice_client.get(f"/api/v1/passages/{first.pk}/").json()["previous"] is None
    assert alice_client.get(f"/api/v1/passages/{last.pk}/").json()["next"] is None


def test_search_finds_the_passage(alice_client: Client, django_docs: Collection) -> None:
    index_lexical(django_docs)
    reply = alice_client.get("/api/v1/collections/django/search/", {"q": "redis backend", "k": 2})
    assert reply.status_code == 200
    results = reply.json()["results"]
    assert results[0]["text"] == TEXTS[1]
    assert results[0]["url"] == "https://docs.example.org/django/cache/#part-1"
    assert results[0]["document"] == "The cache"
    assert len(results) <= 2
    passage = results[0]["passage"]
    assert alice_client.get(f"/api/v1/passages/{passage}/").status_code == 200


def test_search_stays_in_its_collection(alice_client: Client, django_docs, hers) -> None:
    index_lexical(django_docs)
    index_lexical(hers)
    results = alice_client.get("/api/v1/collections/diary/search/?q=redis").json()["results"]
    assert {result["url"].split("/")[3] for result in results} == {"diary"}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("?q=", 400),
        ("?q=%20%20", 400),
        ("?q=a%00b", 400),
        ("?q=x&k=0", 400),
        ("?q=x&k=51", 400),
        ("?q=x&k=many", 400),
        ("?q=x&k=" + "9" * 500, 400),
        ("?q=" + "x" * 20_000, 413),
        ("?q=%ff%fe", 400),
        ("?q=%3F%3F%3F", 200),
    ],
)
def test_search_with_bad_input(
    alice_client: Client, django_docs: Collection, query: str, status: int
) -> None:
    reply = alice_client.get(f"/api/v1/collections/django/search/{query}")
    assert reply.status_code == status, reply.content
    if status != 200:
        assert reply.json()["error"]["code"] in {"invalid_input", "too_large"}


@pytest.mark.parametrize("query", ["?limit=-1", "?limit=x", "?offset=x", "?limit=" + "9" * 400])
def test_odd_paging_is_forgiven(alice_client: Client, django_docs, query: str) -> None:
    assert alice_client.get(f"/api/v1/collections/{query}").status_code == 200


def test_an_offset_beyond_everything_is_empty(alice_client: Client, django_docs) -> None:
    reply = alice_client.get("/api/v1/collections/", {"offset": 10**30})
    assert reply.json() == {"results": [], "next": None}


def test_pages_of_the_shelf(alice_client: Client) -> None:
    for number in range(3):
        make_collection(f"c{number}")
    first = alice_client.get("/api/v1/collections/?limit=2").json()
    assert [found["slug"] for found in first["results"]] == ["c0", "c1"]
    second = alice_client.get(first["next"]).json()
    assert [found["slug"] for found in second["results"]] == ["c2"]
    assert second["next"] is None


def test_the_shelf_costs_the_same_however_long(
    alice_client: Client, django_assert_max_num_queries
) -> None:
    make_collection("one")
    slugs(alice_client)  # the first request of a session does more
    # session, user, count, page, documents, passages, vectors, versions, runs
    with django_assert_max_num_queries(10):
        assert len(slugs(alice_client)) == 1
    for number in range(5):
        make_collection(f"c{number}")
    with django_assert_max_num_queries(10):
        assert len(slugs(alice_client)) == 6


@pytest.mark.parametrize(
    "path",
    [
        "collections/",
        "collections/django/",
        "collections/django/search/?q=x",
        "passages/01a20000-0000-7000-8000-00000000000a/",
    ],
)
def test_nobody_is_refused(client: Client, django_docs: Collection, path: str) -> None:
    reply = client.get(f"/api/v1/{path}")
    assert reply.status_code == 401
    assert reply.json()["error"]["code"] == "not_signed_in"


@pytest.mark.parametrize(
    "path", ["collections/a%00b/", "passages/x/", "collections/%ff/", "nothing/"]
)
def test_odd_addresses(alice_client: Client, path: str) -> None:
    reply = alice_client.get(f"/api/v1/{path}")
    assert reply.status_code in {400, 404}
    assert reply.json()["error"]["message"]
