"""Summaries over HTTP: outlines at once, the model's on demand, paid for once by whoever comes first."""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from bs4 import BeautifulSoup
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.test import Client
from django.utils import timezone
from prometheus_client import REGISTRY

from mundap.accounts.models import User
from mundap.answers.sections import read_content
from mundap.answers.summarising import count_calls
from mundap.chats.models import ModelUsage, Reservation
from mundap.library import summaries
from mundap.library.models import Collection, Passage, Summary
from tests.chats.conftest import TEXTS
from tests.chats.server import Api, wait_for
from tests.pages import add_cache_page
from tests.scripted_model import ScriptedModel

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "collections/shelf/summary/"
WRITTEN = "# Key ideas\n- Caching keeps rendered pages [1]."
PART = "The cache › Part 1"


def made(api: Api, body: dict[str, str] | None = None, *, path: str = PATH) -> dict[str, Any]:
    """Have it made and return it when that has ended."""
    query = "&".join(f"{name}={value}" for name, value in (body or {}).items())
    reply = api.post(path, body)
    assert reply.status_code in (200, 202)
    return wait_for(lambda: ended(api.get(f"{path}?{query}").json()))


def ended(shown: dict[str, Any]) -> dict[str, Any] | None:
    return shown if shown["state"] in ("ready", "failed") else None


def test_without_a_model_there_is_an_outline(alice_api: Api, shelf: Collection) -> None:
    shown = alice_api.get(PATH).json()
    assert shown["text"].startswith(
        "- **The cache**\n  - **Part 0**: Caching keeps rendered pages,"
    )
    assert [one["number"] for one in shown["citations"]] == [1, 2, 3]
    assert shown["citations"][0]["url"] == "https://docs.example.org/cache/#part-0"
    assert (shown["state"], shown["title"], shown["model"]) == ("waiting", "Shelf", "")
    assert "No language model" in shown["refusal"]
    reply = alice_api.post(PATH)
    assert (reply.status_code, reply.json()) == (200, shown)
    korean = alice_api.get(f"{PATH}?language=ko").json()
    assert (korean["language"], korean["text"]) == ("ko", shown["text"])
    part = alice_api.get(f"{PATH}?section={PART}").json()
    assert (part["title"], part["headings"]) == ("Part 1", ["The cache", "Part 1"])
    assert part["text"].startswith("- **Part 1**: Use the Redis backend")


def test_the_model_writes_it_once(
    alice_api: Api, bob_api: Api, shelf: Collection, model: ScriptedModel
) -> None:
    model.say(WRITTEN, hold_after=2)
    begun = alice_api.post(PATH)
    assert (begun.status_code, begun.headers["Retry-After"]) == (202, "2")
    assert (begun.json()["state"], begun.json()["progress"]) == ("making", {"done": 0, "total": 1})
    assert begun.json()["text"].startswith("- **The cache**")  # the outline, until then
    assert bob_api.post(PATH).status_code == 202
    model.release()
    shown = wait_for(lambda: ended(bob_api.get(PATH).json()))
    assert (shown["state"], shown["text"], shown["model"]) == ("ready", WRITTEN, "scripted")
    (cited,) = shown["citations"]
    assert cited["passage"] == str(shelf.passages.get(position=0).pk)
    assert cited["supported"] is True
    assert alice_api.post(PATH).json() == shown
    assert len(model.requests) == 1


def test_the_same_content_is_paid_for_once_and_a_changed_one_anew(
    alice_api: Api, shelf: Collection, model: ScriptedModel
) -> None:
    model.say(WRITTEN)
    made(alice_api)
    other = Collection.objects.create(
        slug="other", title="Other", title_no=8, visibility="everyone", state="ready"
    )
    document = add_cache_page(other, TEXTS, url="https://other.example.org/")
    shown = alice_api.get("collections/other/summary/").json()
    assert (shown["state"], shown["text"]) == ("ready", WRITTEN)
    assert shown["citations"][0]["url"] == "https://other.example.org/#part-0"
    assert alice_api.get(f"{PATH}?language=ko").json()["state"] == "waiting"
    Passage.objects.filter(document=document, position=0).update(text="New.", content_hash="new")
    assert alice_api.get("collections/other/summary/").json()["state"] == "waiting"
    assert made(alice_api, path="collections/other/summary/")["state"] == "ready"
    assert len(model.requests) == 2


def test_a_failure_is_told_and_may_be_tried_again(alice_api: Api, model: ScriptedModel) -> None:
    model.fail(500)
    shown = made(alice_api)
    assert (shown["state"], shown["error"]["code"]) == ("failed", "model_error")
    assert shown["text"].startswith("- **The cache**")
    model.reset()
    model.say(WRITTEN)
    assert made(alice_api)["state"] == "ready"


def test_what_a_dead_server_began_is_gone_on_with(
    alice_api: Api, users: dict[str, User], shelf: Collection, model: ScriptedModel, settings
) -> None:
    settings.CHAT_CONTEXT_TOKENS = 100  # each passage is a part
    content = read_content(shelf)
    calls = count_calls(content)
    held = summaries.claim(
        content.digest,
        language="en",
        lead_hash=content.lead_hash,
        calls=calls,
        user=users["alice"],
    )
    assert held is not None
    summaries.add_reply(held, "digest", "- Caching keeps pages [1].")
    assert alice_api.get(PATH).json()["progress"] == {"done": 1, "total": calls}
    assert alice_api.post(PATH).json()["state"] == "making"
    assert not model.requests
    Summary.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert alice_api.get(PATH).json()["state"] == "waiting"
    model.say(WRITTEN)
    assert made(alice_api)["state"] == "ready"
    summaries.finish(held, "too late", [], model="dead")
    assert alice_api.get(PATH).json()["text"] == WRITTEN


def test_what_is_too_long_is_refused_with_the_way_out(
    alice_api: Api, model: ScriptedModel, settings
) -> None:
    settings.CHAT_CONTEXT_TOKENS, settings.SUMMARY_CALLS = 100, 2
    reply = alice_api.post(PATH)
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "too_large")
    assert "Choose one of its sections" in alice_api.get(PATH).json()["refusal"]
    assert alice_api.post(PATH, {"section": PART}).status_code == 202
    wait_for(lambda: ended(alice_api.get(f"{PATH}?section={PART}").json()))


def test_an_empty_collection_has_no_summary(
    alice_api: Api, shelf: Collection, model: ScriptedModel
) -> None:
    shelf.documents.all().delete()
    assert "is empty" in alice_api.get(PATH).json()["text"]
    reply = alice_api.post(PATH)
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"section": "Nowhere"}, 404),
        ({"section": "01a20000-0000-7000-8000-00000000000a"}, 404),
        ({"section": "a\0b"}, 400),
        ({"section": "x" * 2001}, 413),
        ({"language": "klingon"}, 400),
    ],
)
def test_a_wish_that_is_none_is_refused(
    alice_api: Api, model: ScriptedModel, wish: dict[str, str], status: int
) -> None:
    assert alice_api.http.get(PATH, params=wish).status_code == status
    assert alice_api.post(PATH, wish).status_code == status
    assert not model.requests


def test_only_readers_of_a_collection_read_its_summary(
    alice_api: Api, bob_api: Api, nobody: Api, users: dict[str, User], shelf: Collection
) -> None:
    Collection.objects.update(visibility="private", owner=users["alice"])
    assert alice_api.get(PATH).status_code == 200
    for api, status in ((bob_api, 404), (nobody, 401)):
        assert api.get(PATH).status_code == status
        assert api.post(PATH).status_code == status


def test_summaries_have_the_limits_of_questions(
    alice_api: Api, bob_api: Api, shelf: Collection, model: ScriptedModel, settings
) -> None:
    settings.TURNS_PER_USER = 1
    model.say(WRITTEN, hold_after=1)
    assert alice_api.post(PATH).status_code == 202
    refused = alice_api.post(PATH, {"language": "ko"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "limit_reached")
    assert bob_api.post(PATH, {"section": PART}).status_code == 202
    model.release()
    wait_for(lambda: Summary.objects.filter(state="ready").count() == 2)
    rates = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {
        "DEFAULT_THROTTLE_RATES": rates | {"turns": "1/min"}
    }
    assert alice_api.post(PATH).status_code == 429
    assert alice_api.get(PATH).status_code == 200


def test_a_summary_takes_of_what_may_be_used_in_a_month(
    alice_api: Api, users: dict[str, User], model: ScriptedModel, settings
) -> None:
    settings.TOKENS_PER_MONTH = 1
    model.say(WRITTEN)
    assert alice_api.post(PATH).status_code == 202
    used = wait_for(lambda: ModelUsage.objects.filter(user=users["alice"]).first())
    assert (used.purpose, used.questions, used.calls) == ("summary", 0, 1)
    refused = alice_api.post(PATH, {"language": "ko"})
    assert (refused.status_code, refused.json()["error"]["quota"]) == (429, "tokens_per_month")
    assert not Summary.objects.filter(language="ko", state="making").exists()
    assert alice_api.get(PATH).json()["state"] == "ready"  # what is there is read all the same


def test_a_client_that_leaves_while_it_is_begun_leaves_no_reservation(
    alice_api: Api, users: dict[str, User], model: ScriptedModel
) -> None:
    model.say(WRITTEN)
    url = urlsplit(alice_api.url)
    token = alice_api.http.headers["Authorization"]
    sent = f"POST /api/v1/{PATH} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: {token}\r\nContent-Length: 0\r\n\r\n"
    with connection.cursor() as db:
        db.execute("SELECT pg_advisory_lock(20002, hashtext(%s))", [str(users["alice"].pk)])
        with socket.create_connection((url.hostname, url.port)) as client:
            client.sendall(sent.encode())
            wait_for(lambda: is_waited_for(db))
        wait_for(lambda: REGISTRY.get_sample_value("mundap_requests_running") == 0)
        db.execute("SELECT pg_advisory_unlock_all()")
    wait_for(lambda: alice_api.get(PATH).json()["state"] == "ready")
    wait_for(lambda: not Reservation.objects.exists())


def is_waited_for(db: CursorWrapper) -> bool:
    db.execute(
        "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
        " WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
    )
    return db.fetchone() == (1,)


def test_a_summary_goes_with_its_content(alice_api: Api, model: ScriptedModel) -> None:
    model.say(WRITTEN)
    made(alice_api)
    Summary.objects.update(created_at=timezone.now() - timedelta(days=2))
    summaries.purge()
    assert Summary.objects.count() == 1
    Passage.objects.all().delete()
    summaries.purge()
    assert not Summary.objects.exists()


# --- the page


def soup_of(html: bytes) -> BeautifulSoup:
    return BeautifulSoup(html, "html.parser")


def test_the_page_shows_it_and_has_it_made(
    server: str, alice_client: Client, shelf: Collection, model: ScriptedModel
) -> None:
    session = {"sessionid": alice_client.cookies["sessionid"].value}
    url = f"/collections/shelf/summary/?section={PART}"
    with httpx2.Client(base_url=server, cookies=session, follow_redirects=True) as browser:
        page = soup_of(browser.get(url).content)
        assert page.h2.get_text() == "Part 1"
        passage = soup_of(browser.get(page.select_one(".prose a.citation")["href"]).content)
        assert passage.mark
        assert passage.select_one(".earlier a")["href"].startswith("/collections/shelf/summary/?")
        form = page.select_one(".summary form")
        sent = {"csrfmiddlewaretoken": form.input["value"]}
        model.say("# Key ideas\n- Use the Redis backend [1].", hold_after=1)
        waiting = soup_of(browser.post(form["action"], data=sent).content)
        assert waiting.select_one("meta[http-equiv=refresh]")
        assert waiting.select_one("[data-state=making] .notice")
        model.release()
        ready = wait_for(
            lambda: soup_of(browser.get(f"{url}&fragment=1").content).select_one(
                "[data-state=ready]"
            )
        )
    assert ready.find_parent("html") is None
    assert ready.select_one(".prose h3").get_text() == "Key ideas"


def test_signed_out_readers_are_asked_to_log_in(client: Client, shelf: Collection) -> None:
    reply = client.get("/collections/shelf/summary/")
    assert reply["Location"] == "/accounts/login/?next=/collections/shelf/summary/"
    assert client.post("/collections/shelf/summary/").status_code == 302


def test_the_page_says_what_is_wrong(
    alice_client: Client, shelf: Collection, model: ScriptedModel, settings
) -> None:
    assert alice_client.get("/collections/nowhere/summary/").status_code == 404
    assert alice_client.get("/collections/shelf/summary/?section=nowhere").status_code == 404
    assert alice_client.get("/collections/shelf/summary/?language=klingon").status_code == 200
    assert alice_client.put("/collections/shelf/summary/").status_code == 405
    shelf.documents.all().delete()
    refused = alice_client.post("/collections/shelf/summary/")
    assert refused.status_code == 409
    assert "is empty" in soup_of(refused.content).select_one(".is-error").get_text()
