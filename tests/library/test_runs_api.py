"""Runs over HTTP: asked for, followed page by page, cancelled, and what each document came to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from mundap.accounts.models import User
from mundap.library import runs
from mundap.library.models import Collection, Document, Run, RunPage
from tests.library.reading_runs import read
from tests.library.shelf import write_pages

pytestmark = pytest.mark.django_db
PAGES = {"a.md": "# Tea\n\nGreen tea.", "b/c.md": "# Milk\n\nNo milk.", "bad.txt": "\0" * 500}


@pytest.fixture
def hers(alice: User, tmp_path: Path) -> Collection:
    """A collection of alice's that can be read by hand."""
    return Collection.objects.create(
        slug="tea",
        title="Tea",
        title_no=1,
        owner=alice,
        source=f"dir:{write_pages(tmp_path, PAGES)}",
        state=Collection.State.READY,
    )


def get(client: Client, path: str) -> dict[str, Any]:
    reply = client.get(f"/api/v1/{path}")
    assert reply.status_code == 200, reply.content
    return reply.json()


def test_a_run_from_the_asking_to_the_retry(alice_client: Client, hers: Collection) -> None:
    asked = alice_client.post("/api/v1/collections/tea/refresh/")
    assert asked.status_code == 202
    assert (asked.json()["state"], asked.json()["trigger"]) == ("waiting", "person")
    run = asked.json()["id"]
    assert get(alice_client, "collections/tea/")["run"] == {
        "id": run,
        "state": "waiting",
        "counts": {},
    }
    again = alice_client.post("/api/v1/collections/tea/refresh/")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "ingestion_running")
    assert alice_client.post("/api/v1/collections/tea/retry/").status_code == 409

    read(hers)
    done = get(alice_client, f"runs/{run}/")
    assert (done["state"], done["collection"]) == ("done", "tea")
    assert (done["counts"]["added"], done["counts"]["failed"]) == (2, 1)
    assert [page["path"] for page in done["pages"]] == ["a.md", "b/c.md", "bad.txt"]
    failed = get(alice_client, f"runs/{run}/?state=failed")["pages"]
    assert [(page["path"], "control characters" in page["error"]) for page in failed] == [
        ("bad.txt", True)
    ]
    assert get(alice_client, "collections/tea/")["run"] is None

    listed = get(alice_client, "collections/tea/documents/?state=failed")["results"]
    assert [(one["path"], one["state"]) for one in listed] == [("bad.txt", "failed")]
    assert alice_client.post("/api/v1/collections/tea/retry/").status_code == 202
    assert not Document.objects.get(path="bad.txt").content_hash
    listed = get(alice_client, "collections/tea/runs/")["results"]
    assert [one["state"] for one in listed] == ["waiting", "done"]


def test_a_run_is_cancelled_once(alice: User, alice_client: Client, hers: Collection) -> None:
    run = runs.request_run(hers, trigger=Run.Trigger.PERSON, user=alice)
    for _attempt in range(2):
        reply = alice_client.post(f"/api/v1/runs/{run.pk}/cancel/")
        assert (reply.status_code, reply.json()["state"]) == (200, "cancelled")


def test_a_run_is_paged_through(alice: User, alice_client: Client, hers: Collection) -> None:
    run = runs.request_run(hers, trigger=Run.Trigger.PERSON, user=alice)
    RunPage.objects.bulk_create(RunPage(run=run, path=f"{n}.md") for n in range(5))
    first = get(alice_client, f"runs/{run.pk}/?limit=3")
    assert [page["path"] for page in first["pages"]] == ["0.md", "1.md", "2.md"]
    rest = alice_client.get(first["next"]).json()
    assert ([page["path"] for page in rest["pages"]], rest["next"]) == (["3.md", "4.md"], None)


@pytest.mark.parametrize("query", ["cursor=x", "cursor=-1", f"cursor={10**30}"])
def test_no_page_of_the_list(alice: User, alice_client: Client, hers, query: str) -> None:
    run = runs.request_run(hers, trigger=Run.Trigger.PERSON, user=alice)
    reply = alice_client.get(f"/api/v1/runs/{run.pk}/?{query}")
    assert (reply.status_code, list(reply.json()["error"]["fields"])) == (400, ["cursor"])


PATHS = [
    ("get", "collections/tea/runs/"),
    ("get", "runs/{run}/"),
    ("post", "collections/tea/refresh/"),
    ("post", "collections/tea/retry/"),
    ("post", "runs/{run}/cancel/"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_runs_are_for_who_may_change(
    alice: User, bob_client: Client, client: Client, hers: Collection, method: str, path: str
) -> None:
    run = runs.request_run(hers, trigger=Run.Trigger.PERSON, user=alice)
    address = f"/api/v1/{path.format(run=run.pk)}"
    assert getattr(client, method)(address).status_code == 401
    assert getattr(bob_client, method)(address).status_code == 404
    Collection.objects.update(visibility="everyone")
    assert getattr(bob_client, method)(address).status_code == 403
    assert Run.objects.get().state == "waiting"


def test_over_the_limit(alice: User, alice_client: Client, hers: Collection, settings) -> None:
    run = runs.request_run(hers, trigger=Run.Trigger.PERSON, user=alice)
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {
        "DEFAULT_THROTTLE_RATES": {"user": "1/h", "address": "1/h", "turns": "1/h"}
    }
    assert alice_client.get("/api/v1/collections/tea/").status_code == 200
    for method, path in PATHS:
        reply = getattr(alice_client, method)(f"/api/v1/{path.format(run=run.pk)}")
        assert reply.status_code == 429
