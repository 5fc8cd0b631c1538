"""All of a person's data: taken home whole, and deleted so that nothing of it is anywhere."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from zipfile import ZipFile

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP
from allauth.socialaccount.models import SocialAccount
from asgiref.sync import sync_to_async
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.db import connection, connections, transaction
from django.test import AsyncClient, Client
from django.utils import timezone
from django_redis import get_redis_connection

from mundap.accounts import audit
from mundap.accounts.models import Allowance, AuditEntry, User
from mundap.accounts.tokens import make_token
from mundap.chats import personal_data, sharing, turns
from mundap.chats.models import Chat, Completion, Message, Turn, TurnDraft
from mundap.chats.search_index import index_waiting
from mundap.chats.turns import Ask
from mundap.config.throttles import require_rate
from mundap.errors import NotSignedIn
from mundap.library.models import Collection, Passage, Run, StoredFile, Summary
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
        collection=collection,
        path=f"{slug}.txt",
        content=SECRET.encode(),
        size_bytes=len(SECRET),
        given_by=owner,
    )
    Run.objects.create(
        collection=collection, trigger=Run.Trigger.UPLOAD, requested_by=owner, error=SECRET
    )
    Summary.objects.create(
        content_hash=slug,
        lead_hash=Passage.objects.get(document=document).content_hash,
        language="en",
        text=f"{SECRET} in short",
    )
    return collection


# --- taken home


def log(action: str, whom: User, *, by: User) -> None:
    AuditEntry.objects.create(via="person", actor=by, whom=whom, action=action, address="192.0.2.1")


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
        laptop, _secret = make_token(alice, name="laptop")
        sharing.share_chat(alice, chats[0].pk)
        alice.groups.add(Group.objects.create(name="Class 3"))
        Allowance.objects.create(token=laptop, questions_per_day=9)
        TOTP.activate(alice, "JBSWY3DPEHPK3PXP")
        log("password.changed", alice, by=alice)
        log("chat.read", alice, by=bob)
        log("token.made", bob, by=alice)

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
    assert account["groups"] == [{"name": "Class 3"}]
    assert [(each["token_name"], each["questions_per_day"]) for each in account["limits"]] == [
        ("laptop", 9)
    ]
    assert [each["type"] for each in account["second_steps"]] == ["totp"]
    lines = [
        (each["action"], each["by_yourself"], each["address"]) for each in account["audit_log"]
    ]
    assert lines == [
        ("token.made", False, None),
        ("password.changed", True, "192.0.2.1"),
        ("chat.read", False, None),
    ]
    assert all(secret not in str(account) for secret in ("argon2", "JBSWY3DPEHPK3PXP", bob.email))
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
                # What is bytes in the database reads as digits.
                [[f"%{text}%" for mark in marks for text in (mark, mark.encode().hex())]],
            )
            if cursor.fetchone()[0]:
                yield table
    for session in Session.objects.all():
        if any(mark in json.dumps(session.get_decoded()) for mark in marks):
            yield "django_session"
    redis = get_redis_connection("default")
    for key in redis.scan_iter("*"):
        if b":rate:" in key and redis.ttl(key) <= 61:
            continue  # how many requests there were in this minute
        value = redis.dump(key) or b""
        if any(mark.encode() in key + value for mark in marks):
            yield key.decode()


def leave_traces(user: User) -> None:
    """Let the user be named wherever else somebody can be."""
    chat = Chat.objects.filter(owner=user).last()
    turn = Turn.objects.create(
        chat=chat,
        owner=user,
        idempotency_key=SECRET,
        request_hash=b"",
        lease_until=timezone.now() + timedelta(minutes=1),
        runner=SECRET,
        retrieval={"queries": [SECRET]},
    )
    TurnDraft.objects.create(turn=turn, text=SECRET)
    Message.objects.filter(chat=chat).update(rating="down", comment=SECRET)
    Completion.objects.create(owner=user, lease_until=timezone.now())
    TOTP.activate(user, "JBSWY3DPEHPK3PXP")
    SocialAccount.objects.create(user=user, provider="google", uid=SECRET, extra_data={"a": SECRET})
    by = User.objects.exclude(pk=user.pk).first()
    LogEntry.objects.log_actions(by.pk, [user], 2, change_message=SECRET)
    make_token(user, name=SECRET)
    audit.record("user.changed", whom=user, actor=user, about=f"user:{user.pk}")


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
    leave_traces(alice)
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
    with_text = {f"library_{name}" for name in ("document", "passage", "storedfile", "run")}
    assert set(traces(SECRET)) <= with_text
    assert Collection.objects.filter(slug="private").count() == 0
    assert list(Chat.objects.all()) == [kept]
    assert alice_online.get("/settings/").status_code == 302
    assert alice_api.get("chats/").status_code == 401


def until_it_waits(other: Future[None]) -> None:
    """Return when what another thread does waits for a lock."""
    with connection.cursor() as cursor:
        while cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted").rowcount == 0:
            assert not other.done()


def test_a_run_that_ends_meanwhile_is_waited_for(alice: User) -> None:
    """Whoever ends a run holds it, and names its user in the next one; neither waits for the other in a circle."""
    reference(alice, "private", visibility="private")
    run = Run.objects.get()

    def delete() -> None:
        try:
            personal_data.delete_account(alice)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Run.objects.select_for_update().get(pk=run.pk)
            deleting = pool.submit(delete)
            until_it_waits(deleting)
            Run.objects.filter(pk=run.pk).update(state=Run.State.DONE)
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '500ms'")  # nothing is in its way
            Run.objects.create(
                collection=run.collection, trigger=Run.Trigger.UPLOAD, requested_by=alice
            )
        deleting.result(timeout=20)
    assert list(traces(str(alice.pk), SECRET)) == []


def test_a_question_on_its_way_finds_nobody_to_ask_it(alice: User, shelf: Collection) -> None:
    def post() -> None:
        try:
            turns.begin(alice, Ask("Now?", "key", collection=shelf), runner="r", has_room=True)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            User.objects.select_for_update().get(pk=alice.pk)
            posting = pool.submit(post)
            until_it_waits(posting)
            User.objects.get(pk=alice.pk).delete()
        with pytest.raises(NotSignedIn):
            posting.result(timeout=20)
    assert not Chat.objects.exists()


def test_its_requests_are_no_longer_counted(alice: User, settings) -> None:
    require_rate("user", str(alice.pk))
    keys = list(get_redis_connection("default").scan_iter(f"*{alice.pk}*"))
    assert len(keys) == 1
    personal_data.delete_account(alice)
    assert not get_redis_connection("default").exists(*keys)


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


def test_people_are_told_how_long_chats_are_kept(alice_client: Client, settings) -> None:
    said = "asked nothing for 90 days"
    assert said not in alice_client.get("/settings/data/").content.decode()
    settings.KEEP_CHATS_DAYS = 90
    assert said in alice_client.get("/settings/data/").content.decode()
    assert said in alice_client.post(DELETE, {"sure": "1"}).content.decode()


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


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
def test_without_redis_it_works_all_the_same(
    alice: User, shelf: Collection, settings, scheme: str
) -> None:
    make_chat(alice, shelf, "Redis?", "Yes.")
    settings.CACHE_REDIS_URL = f"{scheme}://127.0.0.1:1/0"
    settings.CACHES = {
        "default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}
    }
    personal_data.delete_account(alice)
    assert not Chat.objects.exists()
