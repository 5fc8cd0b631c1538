"""The page of evaluations: for staff, by collection and language over time, under the strict policy for content."""

from __future__ import annotations

import pytest
from bs4 import BeautifulSoup
from django.test import Client

from mundap.accounts.models import User
from mundap.retrieval.models import EvaluationRun

PAGE = "/evaluations/"


@pytest.fixture
def staff_client(db) -> Client:
    user = User.objects.create_user("staff@example.org", "correct horse battery staple")
    user.is_staff = user.is_superuser = True
    user.save()
    client = Client()
    client.force_login(user)
    return client


def keep(recall: float, digest: str = "a" * 64, **fields: object) -> EvaluationRun:
    group = {"corpus": "django", "lang": "ko", "n": 20, "recall@1": 0.4, "recall@5": recall}
    results = {
        "k": 5,
        "groups": [group | {"recall@10": 0.9, "mrr@10": 0.55, "ndcg@10": 0.6}],
        "refusal": {"unanswerable": 4, "refused": 3, "answerable": 20, "falsely_refused": 1},
        "latency_ms": {"p50": 23.4, "p95": 51.0},
        "skipped": [],
        "refusal_groups": [],
        "questions": [],
    }
    values = {"file": "dev.jsonl", "version": "0.1.0", "commit": "abc1234", "results": results}
    return EvaluationRun.objects.create(
        digest=digest, embedding_model="mundap-1", **values | fields
    )


def read(client: Client, url: str = PAGE) -> BeautifulSoup:
    reply = client.get(url)
    assert reply.status_code == 200
    return BeautifulSoup(reply.content, "html.parser")


def test_only_staff_sees_it(client, alice_client, staff_client):
    assert client.get(PAGE).url.startswith("/accounts/login/")
    assert alice_client.get(PAGE).status_code == 404
    assert staff_client.get(PAGE).status_code == 200
    assert staff_client.post(PAGE).status_code == 405


def test_before_the_first_run_it_says_how_to_measure(staff_client):
    assert "mundap eval" in read(staff_client).get_text()


def test_runs_stand_by_collection_and_language_newest_first(staff_client):
    for recall in (0.5, 0.75, 0.7):
        keep(recall)
    page = read(staff_client)
    group = page.select_one(".group")
    assert group.h2.get_text(" ", strip=True) == "django Korean 20 questions"
    assert [row.select("td")[1].get_text() for row in group.select("tbody tr")] == [
        "0.70",
        "0.75",
        "0.50",
    ]
    assert group.select_one(".change.is-worse")
    assert group.select_one("polyline")["points"].count(",") == 3
    row = page.select_one(".runs tbody tr").get_text(" ", strip=True)
    assert "3 of 4" in row
    assert "1 of 20" in row
    assert "23 / 51 ms" in row


def test_runs_of_other_questions_are_on_a_page_of_their_own(staff_client):
    keep(0.5, digest="a" * 64)
    newest = keep(0.9, digest="b" * 64, file="other.jsonl")
    assert "0.90" in read(staff_client).select_one(".group").get_text()
    other = read(staff_client, f"{PAGE}?file={'a' * 64}")
    assert "0.50" in other.select_one(".group").get_text()
    assert newest.get_absolute_url() == f"{PAGE}?file={'b' * 64}"
    assert staff_client.get(f"{PAGE}?file=nothing").status_code == 404


def test_nothing_in_it_is_inline(staff_client):
    keep(0.5)
    page = read(staff_client)
    assert not page.select("style, script:not([src]), [style]")
    assert "'unsafe-inline'" not in staff_client.get(PAGE).headers["Content-Security-Policy"]


def test_what_a_file_is_called_is_text(staff_client):
    keep(0.5, file="<script>.jsonl")
    keep(0.5, digest="b" * 64)
    assert "<script>" not in staff_client.get(PAGE).content.decode()


def test_it_is_one_query_for_the_runs_and_one_for_the_files(
    staff_client, django_assert_max_num_queries
):
    for _ in range(5):
        keep(0.5)
    read(staff_client)  # the first page of a session also notes where it is used from
    with django_assert_max_num_queries(6):  # and the session, the user and their chats
        read(staff_client)


def test_staff_finds_it_from_the_shelf_and_the_administration(staff_client, alice_client):
    run = keep(0.5)
    assert PAGE in staff_client.get("/").content.decode()
    assert PAGE not in alice_client.get("/").content.decode()
    shown = staff_client.get(f"/admin/retrieval/evaluationrun/{run.pk}/change/").content.decode()
    assert "View on site" in shown
    assert staff_client.get("/admin/retrieval/evaluationrun/add/").status_code == 403
