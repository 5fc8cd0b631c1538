"""Chats by id, answers that did not help, unanswered questions, the audit log, and use: who sees what of whom."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.utils import timezone

from mundap.accounts import audit
from mundap.accounts.models import AuditEntry, User
from mundap.chats.models import Chat, Message, ModelUsage, MonthSpending, Turn
from mundap.chats.unanswered import Asked, topics_of
from mundap.chats.usage import today
from mundap.library.models import Collection, Run, RunPage
from tests.web.conftest import QUOTE, MakeChat

pytestmark = pytest.mark.django_db
SECRET = "my salary is 4711"


def soup(client: Client, url: str) -> BeautifulSoup:
    reply = client.get(url)
    assert reply.status_code == 200
    return BeautifulSoup(reply.content, "html.parser")


def text(client: Client, url: str) -> str:
    return " ".join(soup(client, url).get_text(" ").split())


# --- chats


@pytest.fixture
def chat(alice: User, make_chat: MakeChat) -> Chat:
    made, _answer = make_chat(alice, SECRET, f"{SECRET}!", title=SECRET)
    return made


def test_a_chat_is_found_by_its_ids_and_says_nothing(admin_client: Client, chat: Chat) -> None:
    said = chat.messages.first()
    assert said is not None
    turn = Turn.objects.get()
    for term in (chat.pk, said.pk, turn.pk, "ALICE@example.org"):
        reply = admin_client.get("/admin/chats/chat/", {"q": str(term)}).content.decode()
        assert str(chat.pk) in reply
        assert SECRET not in reply
    for term in ("x", turn.owner_id, "bob@example.org"):
        assert str(chat.pk) not in text(admin_client, f"/admin/chats/chat/?q={term}")
    page = text(admin_client, f"/admin/chats/chat/{chat.pk}/change/")
    assert str(turn.pk) in page
    assert SECRET not in page


def test_reading_one_takes_a_reason_that_its_owner_sees(
    admin: User, admin_client: Client, alice_client: Client, bob_client: Client, chat: Chat
) -> None:
    url = f"/admin/chats/chat/{chat.pk}/change/"
    for reason in ("", "too short", "x" * 301):
        reply = admin_client.post(url, {"reason": reason})
        assert reply.status_code == 400
        assert SECRET not in reply.content.decode()
    assert not AuditEntry.objects.exists()
    assert "none of yours" in text(alice_client, "/settings/data/")
    reason = "She asked us to look at it."
    assert SECRET in admin_client.post(url, {"reason": reason}).content.decode()
    line = AuditEntry.objects.get()
    assert (line.action, line.actor, line.about) == ("chat.read", admin, f"chat:{chat.pk}")
    assert line.details == {"reason": reason}
    assert SECRET not in admin_client.get(url).content.decode()
    told = text(alice_client, "/settings/data/")
    assert reason in told
    assert admin.email not in told
    assert reason not in text(bob_client, "/settings/data/")


def test_a_deleted_one_cannot_be_read(admin_client: Client, chat: Chat) -> None:
    Chat.objects.update(deleted_at=timezone.now())
    url = f"/admin/chats/chat/{chat.pk}/change/"
    assert SECRET not in admin_client.post(url, {"reason": "I want to know."}).content.decode()
    assert not AuditEntry.objects.exists()


def test_staff_without_the_permission_read_none(staff_client: Client, chat: Chat) -> None:
    url = f"/admin/chats/chat/{chat.pk}/change/"
    assert staff_client.post(url, {"reason": "I want to know."}).status_code == 403


# --- feedback


def test_what_did_not_help_is_shown_without_who_said_so(
    staff_client: Client, alice: User, make_chat: MakeChat
) -> None:
    chat, answer = make_chat(alice, "How do I use Redis?")
    make_chat(alice, SECRET)
    Message.objects.filter(pk=answer.pk).update(
        rating="down", comment="wrong: It is <b>old</b>", turn=Turn.objects.get(answer=answer)
    )
    page = soup(staff_client, "/admin/feedback/")
    said = page.get_text(" ")
    assert "How do I use Redis?" in said
    assert "It is <b>old</b>" in said
    assert "Set `LOCATION` to the URL" in said
    assert SECRET not in said
    assert alice.email not in str(page)
    assert str(chat.pk) not in str(page)
    assert page.select_one('a[href="/shelf/django/"]')
    assert page.select_one('a[href^="/passages/"]')
    assert "Redis" in text(staff_client, "/admin/feedback/?collection=django&reason=wrong")
    for other in ("reason=off", "collection=nothing"):
        assert "Redis?" not in text(staff_client, f"/admin/feedback/?{other}")
    assert "Redis?" in text(staff_client, "/admin/feedback/?reason=%27%22&p=999")


def test_quotations_are_for_who_may_open_the_collection(
    staff_client: Client, alice: User, make_chat: MakeChat
) -> None:
    _chat, answer = make_chat(alice)
    Message.objects.filter(pk=answer.pk).update(rating="down", turn=Turn.objects.get(answer=answer))
    assert QUOTE in text(staff_client, "/admin/feedback/")
    Collection.objects.update(owner=alice, visibility="private")
    said = text(staff_client, "/admin/feedback/")
    assert QUOTE not in said
    assert "Django’s cache framework" in said


def marks(client: Client, url: str) -> list[list[str]]:
    """Return the ids behind each button of a page."""
    forms = soup(client, url).select("form:has([name=dealt_with][value]):has([name=message])")
    return [[field["value"] for field in form.select("[name=message]")] for form in forms]


def test_feedback_is_worked_through(
    staff_client: Client, alice_client: Client, alice: User, make_chat: MakeChat
) -> None:
    url, done = "/admin/feedback/", "/admin/feedback/?dealt_with=1"
    _chat, answer = make_chat(alice)
    make_chat(alice, "Something else?")
    Message.objects.filter(role="assistant").update(rating="down")
    assert len(marks(staff_client, url)) == 2
    form = {"message": str(answer.pk), "dealt_with": "1"}
    assert alice_client.post(url, form).status_code == 404
    assert Client().post(url, form).status_code == 302
    assert staff_client.post(url, form | {"message": "x"}).status_code == 400
    assert len(marks(staff_client, url)) == 2
    for _twice in range(2):
        assert staff_client.post(url, form).status_code == 302
    assert marks(staff_client, done) == [[str(answer.pk)]]
    assert len(marks(staff_client, url)) == 1
    assert "1 did not help" in text(staff_client, "/admin/")
    staff_client.post(done, form | {"dealt_with": ""})
    assert len(marks(staff_client, url)) == 2
    staff_client.post(url, form)
    # What somebody says anew is to be looked at anew.
    alice_client.put(
        f"/api/v1/messages/{answer.pk}/feedback/",
        {"rating": "down", "comment": "It still is."},
        content_type="application/json",
    )
    assert len(marks(staff_client, url)) == 2


def test_the_thumb_says_who_will_see_it(
    alice: User, alice_client: Client, make_chat: MakeChat
) -> None:
    chat, answer = make_chat(alice)
    thumb = soup(alice_client, f"/chats/{chat.pk}/").select_one(f"#down-{answer.pk}")
    assert thumb is not None
    assert "who looks after the documents" in thumb["title"]


# --- unanswered questions


@pytest.fixture
def asked(alice: User, bob: User, make_chat: MakeChat, django_docs: Collection) -> Collection:
    """Four that were not answered, two of them alike; one of each that must not be shown."""
    for owner, question in (
        (alice, "How do I deploy to Kubernetes?"),
        (bob, "how do I deploy to kubernetes"),
        (bob, "Where is the price list for teams?"),
        (alice, "<script>alert(1)</script>"),
    ):
        make_chat(owner, question, is_answered=False)
    make_chat(alice, "An answered one?")
    gone, _answer = make_chat(alice, "A deleted one?", is_answered=False)
    Chat.objects.filter(pk=gone.pk).update(deleted_at=timezone.now())
    old, _answer = make_chat(alice, "An old one?", is_answered=False)
    past = timezone.now() - timedelta(days=40)
    Turn.objects.filter(chat=old).update(created_at=past, finished_at=past)
    answered_since, first = make_chat(alice, "One answered since?", is_answered=False)
    Message.objects.filter(pk=first.pk).update(is_current=False)
    assert answered_since
    return django_docs


def test_what_is_missing_is_put_together(staff_client: Client, asked: Collection, settings) -> None:
    settings.EMBEDDING_BASE_URL = ""
    assert "Django 5.2 4" in text(staff_client, "/admin/unanswered/?days=30")
    page = soup(staff_client, "/admin/unanswered/?collection=django")
    assert page.select_one(".topics .count b").get_text() == "2"
    assert "kubernetes" in page.select_one(".topics .example").get_text().lower()
    assert len(page.select(".topics > li")) == 3
    assert not page.select(".topics script")
    for hidden in ("answered one", "deleted one", "old one", "since", "alice@", "bob@"):
        assert hidden not in page.get_text(), hidden
    assert "old one" in text(staff_client, "/admin/unanswered/?collection=django&days=90")
    assert "kubernetes" in text(staff_client, "/admin/unanswered/?collection=django&days=x")
    assert staff_client.get("/admin/unanswered/?collection=nothing").status_code == 404


def test_owners_see_their_own_collections(
    alice: User, alice_client: Client, bob_client: Client, staff_client: Client, asked: Collection
) -> None:
    url = "/shelf/django/unanswered/"
    assert alice_client.get(url).status_code == 403
    Collection.objects.update(owner=alice, visibility="private")
    assert "kubernetes" in text(alice_client, url)
    assert url in alice_client.get("/shelf/django/").content.decode()
    assert bob_client.get(url).status_code == 404
    assert staff_client.get(url).status_code == 404  # what is private is its owner's alone
    assert "Django" not in text(staff_client, "/admin/unanswered/")
    assert Client().get(url).status_code == 302


def test_questions_are_worked_through(
    alice: User, alice_client: Client, staff_client: Client, asked: Collection, settings
) -> None:
    settings.EMBEDDING_BASE_URL = ""
    url = "/admin/unanswered/?collection=django"
    first, *others = marks(staff_client, url)
    assert [len(first), len(others)] == [2, 2]  # those of one topic at once
    form = {"message": first, "dealt_with": "1"}
    assert alice_client.post("/shelf/django/unanswered/", form).status_code == 403
    assert staff_client.post(url, form | {"message": ["1'"]}).status_code == 400
    assert staff_client.post(url, form).status_code == 302
    assert marks(staff_client, url) == others
    assert "Django 5.2 2" in text(staff_client, "/admin/unanswered/")
    assert "2 unanswered" in text(staff_client, "/admin/")
    assert marks(staff_client, f"{url}&dealt_with=1") == [first]
    # Asked once more, and still not answered.
    Turn.objects.filter(question=first[0]).update(finished_at=timezone.now())
    assert [first[0]] in marks(staff_client, url)
    Collection.objects.update(owner=alice, visibility="private")
    owners = "/shelf/django/unanswered/"
    staff_client.post(owners, {"message": others[0], "dealt_with": "1"})
    assert others[0] in marks(alice_client, owners)
    alice_client.post(owners, {"message": others[0], "dealt_with": "1"})
    assert others[0] not in marks(alice_client, owners)


def test_questions_that_share_rare_words_are_one_topic(settings) -> None:
    settings.EMBEDDING_BASE_URL = ""
    now = timezone.now()
    texts = [
        "How do I brew oolong tea?",
        "What is the way to brew oolong?",
        "Where can I buy a kettle?",
        "where can i buy a kettle",
        "Does it run on Windows?",
    ]
    topics = topics_of([Asked(each, now, uuid4()) for each in texts])
    assert [(topic.count, len(topic.wordings)) for topic in topics] == [(2, 1), (2, 2), (1, 1)]
    assert topics_of([]) == []


def test_questions_that_mean_the_same_are_one_topic() -> None:
    now = timezone.now()
    texts = ["How much does it cost?", "What is the price?", "Can I use MySQL?"]
    topics = topics_of([Asked(each, now, uuid4()) for each in texts])
    assert sorted(topic.count for topic in topics) == [1, 2]


# --- use


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_days_of_use_are_not_those_of_the_reader(staff_client: Client, zone: str) -> None:
    """In one of the two it is another day than where they are counted."""
    staff_client.cookies["timezone"] = zone
    for days in (0, 6):
        day = datetime.now(UTC).date() - timedelta(days=days)
        ModelUsage.objects.create(day=day, purpose="answer", questions=3)
    page = soup(staff_client, "/admin/usage/?days=7")
    assert page.select_one(".numbers").get_text(" ", strip=True).startswith("6 questions")
    assert len(page.select(".bars rect")) == 2
    assert "3 questions today" in text(staff_client, "/admin/")


def test_use_is_summed_by_day_model_and_person(staff_client: Client, alice: User, settings) -> None:
    settings.CURRENCY, settings.TOTAL_SPENDING_PER_MONTH = "EUR", Decimal(50)
    MonthSpending.objects.create(month=today().replace(day=1), part=3, cost=Decimal("12.345"))
    for days, model, cost in (
        (0, "large", "1.50"),
        (3, "large", "2"),
        (3, "small", "0.25"),
        (60, "old", "9"),
    ):
        ModelUsage.objects.create(
            day=today() - timedelta(days=days), user=alice, model=model, purpose="answer",
            questions=2, calls=3, input_tokens=10_000, output_tokens=500, cost=Decimal(cost),
        )  # fmt: skip
    page = soup(staff_client, "/admin/usage/?days=30")
    total = page.select_one(".numbers").get_text(" ", strip=True)
    assert total == "6 questions 30,000 input tokens 1,500 output tokens 3.75 EUR"
    assert len(page.select(".bars rect")) == 2
    said = page.get_text(" ", strip=True)
    assert "old" not in [cell.get_text(strip=True) for cell in page.select("tbody th")]
    assert alice.email in said
    assert "All together have spent 12.35 of 50.00 EUR this month." in said
    assert "12.75 EUR" in text(staff_client, "/admin/usage/?days=90")
    assert text(staff_client, "/admin/usage/?days=1%27") == text(staff_client, "/admin/usage/")


# --- runs


def test_a_run_is_asked_for_and_ended(
    admin: User, admin_client: Client, staff_client: Client, django_docs: Collection
) -> None:
    url = f"/admin/library/collection/{django_docs.pk}/run/"
    assert admin_client.get(url).status_code == 403
    assert staff_client.post(url).status_code == 403
    assert admin_client.post(url).status_code == 302
    run = Run.objects.get()
    assert run.requested_by == admin
    again = admin_client.post(url, follow=True).content.decode()
    assert "is being read" in again
    RunPage.objects.create(run=run, path="a.md", state="failed", error="It has no text.")
    page = text(admin_client, f"/admin/library/run/{run.pk}/change/")
    assert "Django, " in page
    assert "a.md" in page
    assert "It has no text." in page
    assert admin_client.post(f"/admin/library/run/{run.pk}/cancel/").status_code == 302
    run.refresh_from_db()
    assert run.state == Run.State.CANCELLED
    actions = AuditEntry.objects.order_by("id").values_list("action", flat=True)
    assert list(actions) == ["run.asked", "run.cancelled"]


def test_a_collection_is_handed_over_and_deleted(
    admin_client: Client, alice: User, django_docs: Collection
) -> None:
    url = f"/admin/library/collection/{django_docs.pk}"
    form = {"title": "Django", "category": "NOTES", "title_no": "1", "refresh_days": "0"}
    bad = admin_client.post(f"{url}/change/", form | {"visibility": "private", "owner": ""})
    assert bad.status_code == 200
    form |= {"visibility": "private", "owner": alice.email}
    assert admin_client.post(f"{url}/change/", form).status_code == 302
    django_docs.refresh_from_db()
    assert (django_docs.owner, django_docs.visibility) == (alice, "private")
    line = AuditEntry.objects.get()
    assert line.details == {"category": [], "visibility": ["everyone", "private"], "owner": []}
    assert line.whom == alice
    assert admin_client.post(f"{url}/delete/").status_code == 400
    assert admin_client.post(f"{url}/delete/", {"sure": "1"}).status_code == 302
    assert not Collection.objects.exists()
    assert AuditEntry.objects.first().action == "collection.deleted"  # type: ignore[union-attr]


# --- the audit log


def test_the_log_is_searched_and_taken_away(
    admin: User, admin_client: Client, staff_client: Client, alice: User, bob: User
) -> None:
    audit.record("user.changed", actor=admin, whom=alice, about=f"user:{alice.pk}")
    audit.record("token.made", actor=bob, whom=bob, about="token:=1+1", details={"a": [1, 2]})
    page = "/admin/accounts/auditentry/"
    for query, count in (
        ("q=alice@example.org", 1),
        ("q=nobody@example.org", 0),
        (f"q=user:{alice.pk}", 1),
        ("q=192.0.2.1", 0),
        ("action=token.made", 1),
        ("", 2),
    ):
        assert len(soup(admin_client, f"{page}?{query}").select("#result_list tbody tr")) == count
    assert staff_client.get(f"{page}export/").status_code == 403
    reply = admin_client.get(f"{page}export/?action=token.made")
    table = list(csv.reader(io.StringIO(reply.content.decode())))
    assert [row[3] for row in table] == ["action", "token.made"]
    assert table[1][2] == bob.email
    assert AuditEntry.objects.first().action == "log.exported"  # type: ignore[union-attr]
    for way in ("add/", f"{AuditEntry.objects.first().pk}/delete/"):  # type: ignore[union-attr]
        assert admin_client.post(f"{page}{way}", {"sure": "1", "post": "yes"}).status_code == 403
