"""The forms of the pages on a real server, as a browser without scripts sends them, and as ours do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from bs4 import BeautifulSoup, Tag
from django.test import Client

from mundap.accounts.models import User
from mundap.chats.models import Chat, Message
from mundap.library.models import Collection
from tests.chats.conftest import ANSWER, QUESTION, script
from tests.chats.server import wait_for
from tests.scripted_model import ScriptedModel

STREAM = {"Accept": "text/event-stream"}


@dataclass
class Browser:
    """A signed-in browser."""

    http: httpx2.Client

    def page(self, url: str) -> BeautifulSoup:
        return BeautifulSoup(self.http.get(url).text, "html.parser")

    def ask(self, text: str = QUESTION, *, chat: str = "", **data: str) -> BeautifulSoup:
        """Ask without a script, and return the page when the answer is there."""
        data = {"text": text, "collection": "shelf"} | data
        return self.post(f"/chats/{chat}/ask/" if chat else "/ask/", **data)

    def post(self, url: str, **data: str) -> BeautifulSoup:
        response = self.http.post(url, data=data, follow_redirects=True)
        wait_for(lambda: "aria-busy" not in self._section(response.url))
        return BeautifulSoup(self.http.get(response.url).text, "html.parser")

    def _section(self, url: Any) -> str:
        page = BeautifulSoup(self.http.get(url).text, "html.parser")
        return str([section.attrs for section in page.select("#messages .answer")])

    def events(self, url: str, **data: str) -> list[dict[str, Any]]:
        """Post as our script does, and return the events of the stream."""
        with self.http.stream("POST", url, data=data, headers=STREAM) as response:
            assert response.status_code == 200
            return list(read(response))


def read(response: httpx2.Response) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line[6:])


def shown(events: list[dict[str, Any]]) -> str:
    """Return the HTML that the events have put together."""
    blocks: dict[int, str] = {}
    for event in events:
        for change in event.get("changes", ()):
            kept = blocks.get(change["index"], "")[: change["at"]]
            blocks[change["index"]] = kept + change["html"]
    return "".join(blocks.values())


@contextmanager
def browser_of(user: User, server: str) -> Iterator[Browser]:
    client = Client()
    client.force_login(user)
    cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    with httpx2.Client(base_url=server, cookies=cookies, timeout=20) as http:
        page = BeautifulSoup(http.get("/").text, "html.parser")
        token = page.select_one("input[name=csrfmiddlewaretoken]")
        assert token is not None
        http.headers["X-CSRFToken"] = str(token["value"])
        yield Browser(http)


@pytest.fixture
def alice(shelf: Collection, users: dict[str, User], server: str) -> Iterator[Browser]:
    with browser_of(users["alice"], server) as browser:
        yield browser


@pytest.fixture
def bob(shelf: Collection, users: dict[str, User], server: str) -> Iterator[Browser]:
    with browser_of(users["bob"], server) as browser:
        yield browser


def action(soup: BeautifulSoup, selector: str) -> str:
    form = soup.select_one(selector)
    assert isinstance(form, Tag), selector
    return str(form["action"])


def prose(soup: BeautifulSoup) -> list[str]:
    return [part.get_text() for part in soup.select("#messages .answer .prose")]


def questions(soup: BeautifulSoup) -> list[str]:
    return [part.get_text() for part in soup.select("#messages .question")]


# --- without a script


def test_a_last_exchange_has_new_versions_without_a_script(
    alice: Browser, model: ScriptedModel
) -> None:
    script(model, ANSWER)
    page = alice.ask()
    assert questions(page) == [QUESTION]
    assert "Use the Redis backend" in prose(page)[0]

    model.reset()
    script(model, "Set CACHES to it [1].")
    page = alice.post(action(page, ".actions form[data-turn=regenerate]"), key="again")
    assert "Set CACHES" in prose(page)[0]
    assert "2 / 2" in page.select("#messages .answer .versions")[0].get_text()
    forms = page.select(".answer .versions form")
    page = alice.post(str(forms[0]["action"]))
    assert "Use the Redis backend" in prose(page)[0]
    assert "1 / 2" in page.select("#messages .answer .versions")[0].get_text()

    page = alice.post(action(page, ".edit form"), text="And the database?", key="edited")
    assert questions(page) == ["And the database?"]
    # The versions of an answer are those to its own question; the other question is a step away.
    assert not page.select("#messages .answer .versions")
    page = alice.post(str(page.select(".asked .versions form")[0]["action"]))
    assert questions(page) == [QUESTION]

    # Once the conversation has gone on they can still be read.
    chat = str(Chat.objects.get().pk)
    page = alice.ask("What else?", chat=chat)
    link = page.select_one("#messages .asked .tools a")
    assert link is not None
    assert questions(alice.page(str(link["href"]))) == []
    versions = alice.page(str(link["href"])).select("main .question")
    assert [version.get_text() for version in versions] == [QUESTION, "And the database?"]


def test_a_stopped_answer_goes_on_without_a_script(alice: Browser, model: ScriptedModel) -> None:
    script(model, ANSWER, hold_after=4)
    with alice.http.stream(
        "POST", "/ask/", data={"text": QUESTION, "collection": "shelf"}, headers=STREAM
    ) as response:
        events = read(response)
        turn = next(events)["turn"]
        while "backend" not in shown([*events_until(events, "blocks")]):
            pass
        assert alice.http.post(f"/turns/{turn}/stop/").status_code == 302
        assert list(events)[-1]["state"] == "stopped"
    model.reset()
    model.say(" to keep the cache in memory [1].")
    page = alice.page(f"/chats/{Chat.objects.get().pk}/")
    assert "You stopped" in page.select("#messages .outcome")[0].get_text()
    page = alice.post(action(page, "form[data-turn=continue]"), key="on")
    assert prose(page)[0].startswith("Use the Redis backend")
    assert "in memory" in prose(page)[0]


def events_until(events: Iterator[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    """Yield events up to the next one of this kind."""
    for event in events:
        yield event
        if event["kind"] == kind:
            return


def test_what_was_typed_comes_back_when_it_is_refused(alice: Browser, model: ScriptedModel) -> None:
    script(model, ANSWER)
    page = alice.ask()
    too_long = "x" * 17_000
    response = alice.http.post(action(page, ".edit form"), data={"text": too_long})
    assert response.status_code == 413
    refused = BeautifulSoup(response.text, "html.parser")
    edit = refused.select_one(".edit[open] textarea")
    assert edit is not None
    assert edit.get_text().strip() == too_long
    assert refused.select("#trouble")[0].get_text(strip=True)
    response = alice.http.post("/ask/", data={"text": "Why?", "collection": ""})
    assert "Why?" in BeautifulSoup(response.text, "html.parser").select("#text")[0].get_text()


# --- as our script asks


def test_an_answer_arrives_as_html_that_is_the_stored_one(
    alice: Browser, model: ScriptedModel
) -> None:
    script(model, f"{ANSWER}\n\n```python\nCACHES = 1\n```")
    events = alice.events("/ask/", text=QUESTION, collection="shelf", key="k")
    kinds = [event["kind"] for event in events]
    assert kinds[0] == "start"
    assert kinds[-1] == "end"
    assert {"found", "blocks"} < set(kinds)
    stored = BeautifulSoup(events[-1]["html"], "html.parser")
    assert questions(BeautifulSoup(f"<div id=messages>{stored}</div>", "html.parser")) == [QUESTION]
    text = BeautifulSoup(shown(events), "html.parser").get_text()
    assert "".join(text.split()) in "".join(stored.get_text().split())
    assert '<span class="n">CACHES</span>' in shown(events)
    assert stored.select_one('template[data-into="chats"]') is not None


def test_what_ends_an_answer_is_in_the_reader_s_language(
    alice: Browser, model: ScriptedModel
) -> None:
    script(model, ANSWER)
    alice.http.headers["Accept-Language"] = "ko"
    events = alice.events("/ask/", text=QUESTION, collection="shelf", key="k")
    assert "출처" in events[-1]["html"]
    assert "Sources" not in events[-1]["html"]


def test_the_same_key_is_the_same_question(alice: Browser, model: ScriptedModel) -> None:
    script(model, ANSWER)
    first, second = (
        alice.events("/ask/", text=QUESTION, collection="shelf", key="once") for _ in range(2)
    )
    assert first[0]["turn"] == second[0]["turn"]
    assert shown(first) == shown(second)
    assert Message.objects.filter(role="user").count() == 1


def test_a_running_answer_is_picked_up_from_its_beginning(
    alice: Browser, model: ScriptedModel
) -> None:
    script(model, ANSWER, hold_after=4)
    question = {"text": QUESTION, "collection": "shelf"}
    with alice.http.stream("POST", "/ask/", data=question, headers=STREAM) as response:
        chat = next(read(response))["chat"]
    with alice.http.stream("GET", f"/chats/{chat}/stream/") as response:
        events = read(response)
        assert next(events)["chat"] == chat
        model.release()
        assert "in memory" in shown(list(events))
    wait_for(lambda: alice.http.get(f"/chats/{chat}/stream/").status_code == 204)


def test_refusals_come_to_a_script_as_json(alice: Browser, bob: Browser) -> None:
    response = alice.http.post("/ask/", data={"text": " ", "collection": "shelf"}, headers=STREAM)
    assert response.status_code == 400
    assert response.json()["error"]["message"]
    response = alice.http.post("/ask/", data={"text": "?", "collection": "no"}, headers=STREAM)
    assert response.status_code == 404


def test_too_many_questions_are_refused(alice: Browser, settings, model: ScriptedModel) -> None:
    rates = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] | {"turns": "0/day"}
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": rates}
    data = {"text": QUESTION, "collection": "shelf"}
    assert alice.http.post("/ask/", data=data, headers=STREAM).status_code == 429
    page = alice.http.post("/ask/", data=data)
    assert page.status_code == 429
    assert QUESTION in page.text


@pytest.mark.parametrize("form", ["edit", "regenerate", "continue", "select", "feedback"])
def test_another_s_message_is_not_there(
    alice: Browser, bob: Browser, model: ScriptedModel, form: str
) -> None:
    script(model, ANSWER)
    alice.ask()
    answer = Message.objects.get(role="assistant")
    for headers in (STREAM, {}):
        response = bob.http.post(
            f"/messages/{answer.pk}/{form}/", data={"text": "?", "rating": "up"}, headers=headers
        )
        assert response.status_code == 404
    assert bob.http.get(f"/chats/{answer.chat_id}/stream/").status_code == 404
    assert bob.http.post(f"/turns/{answer.answered_in.get().pk}/stop/").status_code == 404
    for page in ("versions", "sources"):
        assert bob.http.get(f"/messages/{answer.pk}/{page}/").status_code == 404


@pytest.mark.parametrize(
    "url",
    [
        "/chats/01a20000-0000-7000-8000-00000000000a/stream/",
        "/messages/01a20000-0000-7000-8000-00000000000a/sources/",
        "/messages/01a20000-0000-7000-8000-00000000000a/versions/",
    ],
)
def test_signed_out_readers_are_asked_to_log_in(client: Client, db: None, url: str) -> None:
    assert client.get(url).headers["Location"] == f"/accounts/login/?next={url}"


@pytest.mark.parametrize("form", ["edit", "regenerate", "continue", "select", "feedback"])
def test_signed_out_forms_change_nothing(client: Client, db: None, form: str) -> None:
    response = client.post(f"/messages/01a20000-0000-7000-8000-00000000000a/{form}/")
    assert response.headers["Location"].startswith("/accounts/login/")
