"""Who gets into the administration, what each of its pages is made of, and what its lists cost."""

from __future__ import annotations

import pytest
from bs4 import BeautifulSoup
from django.contrib.auth.models import Group
from django.test import Client

from mundap.accounts.models import Allowance, ApiToken, AuditEntry, User
from mundap.accounts.tokens import make_token
from mundap.library.models import Collection, Run, StoredFile
from mundap.retrieval.models import EvaluationRun
from tests.conftest import PASSWORD
from tests.web.conftest import MakeChat

pytestmark = pytest.mark.django_db

LISTS = [
    *("accounts/user", "auth/group", "accounts/apitoken", "accounts/allowance"),
    "accounts/auditentry",
    *("library/collection", "library/document", "library/run", "library/storedfile"),
    *("chats/chat", "retrieval/evaluationrun"),
]
OWN = ["", "unanswered/", "feedback/", "usage/"]
PAGES = [*OWN, *(f"{name}/" for name in LISTS)]


@pytest.fixture
def full(
    admin: User, alice: User, make_chat: MakeChat, django_docs: Collection
) -> dict[str, object]:
    """One of everything that a list shows; by list."""
    chat, answer = make_chat(alice, "<script>alert(1)</script>?", is_answered=False)
    answer.rating, answer.comment = "down", "wrong: <img src=x onerror=alert(2)>"
    answer.save()
    make_token(alice, name="laptop")
    run = Run.objects.create(collection=django_docs, trigger="person", requested_by=alice)
    return {
        "accounts/user": alice,
        "accounts/allowance": Allowance.objects.create(user=alice, questions_per_day=5),
        "auth/group": Group.objects.create(name="class 3"),
        "accounts/apitoken": ApiToken.objects.get(),
        "library/collection": django_docs,
        "library/document": django_docs.documents.get(),
        "library/run": run,
        "library/storedfile": StoredFile.objects.create(
            collection=django_docs, path="a.md", content=b"x", size_bytes=1, given_by=alice
        ),
        "chats/chat": chat,
        "retrieval/evaluationrun": EvaluationRun.objects.create(file="dev.jsonl", digest="a" * 64),
    }


@pytest.mark.parametrize("page", PAGES)
def test_it_is_there_for_staff_alone(
    client: Client, alice_client: Client, admin_client: Client, page: str
) -> None:
    asked = client.get(f"/admin/{page}")
    assert asked["Location"] == f"/accounts/login/?next=/admin/{page}"
    assert alice_client.get(f"/admin/{page}").status_code == 404
    reply = admin_client.get(f"/admin/{page}")
    assert reply.status_code == 200
    assert "no-cache" in reply["Cache-Control"]


@pytest.mark.parametrize("name", LISTS)
def test_staff_without_a_permission_see_no_list(staff_client: Client, name: str) -> None:
    assert staff_client.get(f"/admin/{name}/").status_code == 403
    assert staff_client.get("/admin/").status_code == 200


def test_every_page_is_shown_under_the_strict_policy_and_quotes_as_text(
    admin_client: Client, full: dict[str, object]
) -> None:
    changes = [f"{name}/{one.pk}/change/" for name, one in full.items()]  # type: ignore[attr-defined]
    deleting = [
        f"{name}/{full[name].pk}/delete/" for name in ("accounts/user", "library/collection")
    ]  # type: ignore[attr-defined]
    more = ["accounts/user/add/", "auth/group/add/", "unanswered/?collection=django&days=7"]
    for page in [*PAGES, *changes, *deleting, *more]:
        reply = admin_client.get(f"/admin/{page}")
        assert reply.status_code == 200, page
        soup = BeautifulSoup(reply.content, "html.parser")
        inline = [tag for tag in soup.select("script:not([src])") if not tag.get("data-model-name")]
        assert not inline, page
        assert not soup.select("style, [style], [onclick], img[onerror]"), page
        assert soup.select_one("main h1"), page
        assert "unsafe" not in reply["Content-Security-Policy"]


def test_its_log_in_is_everybodys(client: Client, admin: User) -> None:
    form = {"username": admin.email, "password": PASSWORD}
    reply = client.post("/admin/login/?next=/admin/chats/chat/", form)
    assert reply["Location"] == "/accounts/login/?next=/admin/chats/chat/"
    assert client.get("/admin/").status_code == 302
    done = client.post(reply["Location"], {"login": admin.email, "password": PASSWORD})
    assert done["Location"] == "/admin/chats/chat/"
    line = AuditEntry.objects.get()
    assert (line.action, line.actor, line.address) == ("staff.logged_in", admin, "127.0.0.1")


def test_others_log_ins_are_not_in_the_log(client: Client, alice: User) -> None:
    client.post("/accounts/login/", {"login": alice.email, "password": PASSWORD})
    assert client.get("/settings/").status_code == 200
    assert not AuditEntry.objects.exists()


def test_a_second_step_can_be_asked_for(admin_client: Client, settings) -> None:
    settings.STAFF_SECOND_STEP = True
    reply = admin_client.get("/admin/usage/", follow=True)
    assert reply.request["PATH_INFO"] == "/settings/security/"
    assert "second step" in reply.content.decode()
    assert admin_client.get("/admin/accounts/user/").status_code == 302


@pytest.mark.parametrize("page", ["accounts/user/add/", "password_change/", "logout/", "nothing/"])
def test_what_is_not_here(alice_client: Client, page: str) -> None:
    assert alice_client.get(f"/admin/{page}").status_code == 404


@pytest.mark.parametrize("name", ["accounts/user", "library/collection", "library/run"])
def test_bad_addresses_lead_nowhere(admin_client: Client, name: str) -> None:
    for bad in ("x", "01a20000-0000-7000-8000-00000000000a", "%00"):
        reply = admin_client.get(f"/admin/{name}/{bad}/change/")
        assert reply.status_code in {302, 400, 404}, bad
    assert admin_client.get(f"/admin/{name}/?nonsense__exact=1").status_code in {302, 400}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_costs_the_same_however_long(
    admin_client: Client,
    full: dict[str, object],
    name: str,
    django_assert_max_num_queries,
) -> None:
    User.objects.bulk_create(User(email=f"{n}@example.org") for n in range(60))
    Collection.objects.bulk_create(
        Collection(
            title=f"{n}", slug=f"c{n}", family=f"c{n}", title_no=n + 5, visibility="everyone"
        )
        for n in range(60)
    )
    admin_client.get("/admin/")
    with django_assert_max_num_queries(9) as found:
        assert admin_client.get(f"/admin/{name}/").status_code == 200
    counts = [
        query["sql"] for query in found.captured_queries if query["sql"].startswith("SELECT COUNT(")
    ]
    assert all("LIMIT 5001" in sql for sql in counts), counts


def test_the_overview_leads_nowhere_closed(staff_client: Client, admin_client: Client) -> None:
    for client, closed in ((staff_client, 5), (admin_client, 0)):
        page = BeautifulSoup(client.get("/admin/").content, "html.parser")
        ways = [link["href"] for link in page.select("main a")]
        assert {client.get(way).status_code for way in ways} == {200}
        assert len(page.select(".numbers p")) == closed
