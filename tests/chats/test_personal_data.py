"""All of a person's data: taken home whole, and deleted so that nothing of it is anywhere."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Iterator
from zipfile import ZipFile

import pytest
from allauth.account.models import EmailAddress
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import connection, connections
from django.test import AsyncClient, Client
from django.utils import timezone
from django_redis import get_redis_connection

from mundap.accounts.models import User
from mundap.accounts.tokens import make_token
from mundap.chats import personal_data, sharing
from mundap.chats.models import Chat, Message
from mundap.chats.search_index import index_waiting
from mundap.library.models import Collection, Passage, StoredFile, Summary
from tests.chats.conftest import QUESTION, make_chat
from tests.chats.server import Api
from tests.conftest import PASSWORD
from tests.pages import add_cache_page

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "zebrafish"
DELETE = "/settings/data/delete/"


@pytest.fixture
async def _closed_connections() -> AsyncIterator[None]:
    yield
    await sync_to_async(connections.close_all)()


def reference(owner: User, slug: str, **columns: object) -> Collection:
    number = Collection.objects.count() + 1
    collection = Collection.objects.create(
        slug=slug, title=slug, category="NOTES", title_no=number, owner=owner, **columns
    )
    document = add_cache_page(collection, [f"{SECRET} in {slug}"], url="")
    StoredFile.objects.create(
        collection=collection, path=f"{slug}.txt", content=b"x", size_bytes=1, given_by=owner
    )
    Summary.objects.create(
        content_hash=slug,
        lead_hash=Passage.objects.get(document=document).content_hash,
        language="en",
        text=f"{SECRET} in short",
    )
    return collection


# --- taken home


async def test_everything_is_in_one_file(
    async_client: AsyncClient, alice: User, bob: User, _closed_connections: None
) -> None:
    @sync_to_async
    def prepare() -> None:
        shelf = Collection.objects.create(slug="s", title="S", title_no=1, visibility="everyone")
        chats = [make_chat(alice, shelf, "How?", "So.", title=f"캐시 {n}") for n in range(45)]
        Message.objects.filter(chat=chats[0], role="assistant").update(rating="up", comment="Good")
        make_chat(bob, shelf, SECRET)
        reference(bob, "bobs", visibility="private")
        reference(alice, "hers", visibility="private")
        gone = make_chat(alice, shelf, "And this?", "Gone.", title="Deleted")
        Chat.objects.filter(pk=gone.pk).update(deleted_at=timezone.now())
        make_token(alice, name="laptop")
        sharing.share_chat(alice, chats[0].pk)

    await prepare()
    await async_client.aforce_login(alice)
    reply = await async_client.get("/settings/data/export/")
    assert reply.status_code == 200
    assert reply.headers["Content-Disposition"].startswith('attachment; filename="mundap-')
    content = b"".join([piece async for piece in reply.streaming_content])
    archive = ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    names = archive.namelist()
    assert len(names) == len(set(names)) == 1 + 2 * 46
    *chats, deleted = [json.loads(archive.read(each)) for each in names[1:] if ".json" in each]
    assert deleted["deleted_at"]
    assert deleted["messages"][1]["text"] == "Gone."
    assert names[-1].startswith("deleted_chats/")
    assert "deleted on" in archive.read(names[-1]).decode()
    assert [chat["title"] for chat in chats] == [f"캐시 {n}" for n in range(45)]
    assert chats[0]["messages"][1]["feedback"] == {"rating": "up", "comment": "Good"}
    assert archive.read(names[2]).decode().startswith("# 캐시 0")
    account = json.loads(archive.read("account.json"))
    assert account["account"]["email"] == alice.email
    assert [token["name"] for token in account["tokens"]] == ["laptop"]
    assert [file["path"] for file in account["uploads"]] == ["hers.txt"]
    assert len(account["shared_chats"]) == 1
    assert "argon2" not in str(account)
    assert SECRET not in "".join(archive.read(name).decode() for name in names)


async def test_only_its_owner_takes_it_home(async_client: AsyncClient) -> None:
    reply = await async_client.get("/settings/data/export/")
    assert reply.headers["Location"].startswith("/accounts/login/")


# --- deleted


@pytest.fixture
def alice_online(alice_api: Api, users: dict[str, User]) -> Client:
    """Alice in a browser, with a chat that Redis has, too."""
    alice = users["alice"]
    alice.set_password(PASSWORD)
    alice.save()
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    client = Client()
    client.post("/accounts/login/", {"login": alice.email, "password": PASSWORD})
    return client


def traces(*marks: str) -> Iterator[str]:
    """Yield the tables, and the keys of Redis, in which any of these texts stand."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(
                f'SELECT count(*) FROM "{table}" t WHERE t::text ILIKE ANY(%s)',  # noqa: S608
                [[f"%{mark}%" for mark in marks]],
            )
            if cursor.fetchone()[0]:
                yield table
    redis = get_redis_connection("default")
    for key in redis.scan_iter("*"):
        if b":rate:" in key and redis.ttl(key) <= 61:
            continue  # how many requests there were in this minute
        value = redis.dump(key) or b""
        if any(mark.encode() in key + value for mark in marks):
            yield key.decode()


def test_nothing_is_left(
    alice_online: Client, alice_api: Api, users: dict[str, User], shelf: Collection
) -> None:
    alice, bob = users["alice"], users["bob"]
    done = alice_api.ask(f"{QUESTION} {SECRET}").json()
    alice_api.get(f"chats/{done['chat']}/")
    make_chat(alice, shelf, SECRET, SECRET, title=SECRET)
    index_waiting()
    sharing.share_chat(alice, Chat.objects.filter(owner=alice).first().pk)
    reference(alice, "private", visibility="private")
    hers = reference(alice, "team", visibility="group", group=Group.objects.create(name="team"))
    kept = make_chat(bob, shelf, "Mine?", "Yours.")
    session = str(alice_online.session.session_key)
    marks = [str(alice.pk), alice.email, str(done["chat"]), str(done["turn"]), session]
    assert {"chats_searchsegment", "chats_share", "django_session"} <= set(traces(*marks, SECRET))
    gone = alice_online.post(DELETE, {"password": PASSWORD, "sure": "1"}, follow=True)
    assert gone.request["PATH_INFO"] == "/settings/data/gone/"
    assert "deleted" in gone.content.decode()
    assert list(traces(*marks)) == []
    # What she shares with others has stayed, without her name.
    hers.refresh_from_db()
    assert hers.owner is None
    with_text = {"library_collection", "library_document", "library_passage"}
    assert set(traces(SECRET)) <= with_text
    assert Collection.objects.filter(slug="private").count() == 0
    assert list(Chat.objects.all()) == [kept]
    assert alice_online.get("/settings/").status_code == 302
    assert alice_api.get("chats/").status_code == 401


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"password": PASSWORD},
        {"password": "wrong", "sure": "1"},
        {"email": "alice@example.org", "sure": "1"},
    ],
)
def test_it_takes_the_password_and_being_sure(
    alice_client: Client, alice: User, form: dict[str, str]
) -> None:
    reply = alice_client.post(DELETE, form)
    assert reply.status_code == 400
    assert 'role="alert"' in reply.content.decode()
    assert User.objects.exists()
    assert alice_client.get("/settings/").status_code == 200


def test_guessing_the_password_ends(alice_client: Client, alice: User) -> None:
    for _ in range(5):
        alice_client.post(DELETE, {"password": "wrong", "sure": "1"})
    assert alice_client.post(DELETE, {"password": PASSWORD, "sure": "1"}).status_code == 429
    assert User.objects.exists()


def test_who_has_no_password_types_the_address(alice_client: Client, alice: User) -> None:
    alice.set_unusable_password()
    alice.save()
    alice_client.force_login(alice)
    assert alice_client.post(DELETE, {"email": "bob@x.org", "sure": "1"}).status_code == 400
    alice_client.post(DELETE, {"email": "ALICE@example.org", "sure": "1"})
    assert not User.objects.exists()


def test_all_or_nothing(alice: User, shelf: Collection, monkeypatch) -> None:
    make_chat(alice, shelf, "Redis?", "Yes.")

    def fail(_user: User) -> None:
        raise RuntimeError("the database went away")

    monkeypatch.setattr(personal_data, "_leave_references", fail)
    with pytest.raises(RuntimeError):
        personal_data.delete_account(alice)
    assert Chat.objects.count() == 1


def test_without_redis_it_works_all_the_same(alice: User, shelf: Collection, settings) -> None:
    make_chat(alice, shelf, "Redis?", "Yes.")
    settings.CACHES = {
        "default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}
    }
    personal_data.delete_account(alice)
    assert not Chat.objects.exists()
