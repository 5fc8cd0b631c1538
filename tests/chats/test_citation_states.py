"""What an old chat says of its sources after these have changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from mundap.accounts.models import User
from mundap.answers.citations import quote_citation
from mundap.answers.evidence import in_order, numbered
from mundap.chats.citation_states import notes_of, read_states
from mundap.chats.models import Chat, Message
from mundap.library.ingestion import ShelfMark, ingest_source
from mundap.library.models import Collection, Document
from mundap.retrieval.indexing import index_lexical
from tests.chats.conftest import make_chat
from tests.chats.server import Api

pytestmark = pytest.mark.django_db(transaction=True)

SECTIONS = {
    "Boiling": "A kettle boils one litre of water in three minutes.",
    "Cleaning": "Clean a kettle with vinegar once a month. Rinse it afterwards.",
    "Warranty": "The warranty of a kettle lasts for five years.",
    "Colours": "Kettles are sold in red and in green.",
}


def write(folder: Path, sections: dict[str, str], name: str = "kettles.md") -> None:
    folder.mkdir(exist_ok=True)
    text = "\n\n".join(f"## {heading}\n\n{said}" for heading, said in sections.items())
    (folder / name).write_text(f"# Kettles\n\n{text}\n", encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "tea", SECTIONS)
    return tmp_path / "tea"


def brought_up_to_date(folder: Path, slug: str = "tea") -> Collection:
    mark = ShelfMark(slug=slug, title="Tea", category="TEAM", base_url="https://tea.example.org/")
    collection, _ = ingest_source(f"dir:{folder}", mark)
    index_lexical(collection)
    return collection


def answer_citing_all(owner: User, collection: Collection) -> Message:
    """An answer that quotes the first sentence of each section."""
    chat = make_chat(owner, collection, "What of kettles?", "They boil [1].")
    cited = [
        quote_citation(entry, entry.parts[0], entry.text.partition(". ")[0])
        for entry in numbered(in_order(collection.passages.all()))
    ]
    answer = chat.messages.get(position=1)
    Message.objects.filter(pk=answer.pk).update(citations=[each.as_json() for each in cited])
    return answer


def by_heading(shown: dict[str, Any], answer: Message) -> dict[str, dict[str, Any]]:
    answer.refresh_from_db()
    headings = {each["number"]: each["headings"][-1] for each in answer.citations}
    return {headings[each["number"]]: each for each in shown["results"]}


def test_an_old_chat_keeps_what_it_quoted_and_says_what_became_of_it(
    alice_api: Api, folder: Path
) -> None:
    brought_up_to_date(folder)
    asked = alice_api.ask("How do I clean a kettle with vinegar?", collection="tea").json()
    message = asked["message"]
    quoted = message["citations"][0]
    assert "vinegar" in quoted["quote"]
    path = f"messages/{message['id']}/citations/"
    before = alice_api.get(path).json()
    assert {one["state"] for one in before["results"]} == {"same"}
    assert before["results"][0]["passage"] == quoted["passage"]
    assert before["results"][0]["note"] == ""
    assert (before["collection"]["slug"], before["newer"]) == ("tea", None)

    chat = alice_api.get(f"chats/{asked['chat']}/")
    write(folder, SECTIONS | {"Cleaning": "Clean a kettle with citric acid. Never use soap."})
    collection = brought_up_to_date(folder)
    after = alice_api.get(path).json()["results"][0]
    now = collection.passages.get(headings__contains=["Cleaning"])
    assert after["state"] == "changed"
    assert after["passage"] == str(now.pk) != quoted["passage"]
    assert after["url"].startswith("https://tea.example.org/kettles")
    assert after["has_quote"] is False
    assert "has changed" in after["note"]
    # The chat itself does not depend on the shelf.
    same = alice_api.get(f"chats/{asked['chat']}/", If_None_Match=chat.headers["ETag"])
    assert same.status_code == 304
    assert quoted in chat.json()["messages"][1]["citations"]


def test_each_citation_has_the_state_of_its_passage(
    alice_api: Api, users: dict[str, User], folder: Path
) -> None:
    answer = answer_citing_all(users["alice"], brought_up_to_date(folder))
    moved, gone = SECTIONS["Warranty"], "Colours"
    changed = SECTIONS["Cleaning"].replace("Rinse", "Always rinse")
    write(folder, {"Boiling": SECTIONS["Boiling"], "Cleaning": changed})
    write(folder, {"Guarantee": moved}, "warranty.md")
    collection = brought_up_to_date(folder)
    shown = alice_api.get(f"messages/{answer.pk}/citations/").json()
    states = by_heading(shown, answer)
    assert {heading: one["state"] for heading, one in states.items()} == {
        "Boiling": "same",
        "Cleaning": "changed",
        "Warranty": "moved",
        gone: "gone",
    }
    assert states["Cleaning"]["has_quote"] is True
    assert states["Warranty"]["headings"] == ["Kettles", "Guarantee"]
    assert states["Warranty"]["path"] == "warranty.md"
    assert states["Warranty"]["has_quote"] is True
    assert (states[gone]["passage"], states[gone]["url"]) == (None, "")
    notes = notes_of(users["alice"], [answer.pk])
    assert {number for _pk, number in notes} == {
        states[heading]["number"] for heading in ("Cleaning", "Warranty", gone)
    }

    Document.objects.filter(path="kettles.md").update(state=Document.State.STALE)
    stale = by_heading(alice_api.get(f"messages/{answer.pk}/citations/").json(), answer)
    assert (stale["Boiling"]["state"], stale["Boiling"]["is_stale"]) == ("same", True)
    assert "could not be read again" in stale["Boiling"]["note"]
    Document.objects.filter(collection=collection).delete()
    emptied = alice_api.get(f"messages/{answer.pk}/citations/").json()
    assert {one["state"] for one in emptied["results"]} == {"gone"}


def test_the_pages_say_it_too(users: dict[str, User], folder: Path, client: Client) -> None:
    answer = answer_citing_all(users["alice"], brought_up_to_date(folder))
    client.force_login(users["alice"])
    write(folder, {"Cleaning": "Citric acid is best. It costs little."})
    brought_up_to_date(folder)
    chat = BeautifulSoup(client.get(f"/chats/{answer.chat_id}/").content, "html.parser")
    notes = [place.find_all("small")[1:] for place in chat.select(".sources .place")]
    assert [[note.get_text() for note in each] for each in notes] == [
        ["This passage is no longer in the documents."],
        ["This passage has changed since this answer."],
        ["This passage is no longer in the documents."],
        ["This passage is no longer in the documents."],
    ]
    opened = chat.select(".sources .place")[1]["href"]
    passage = BeautifulSoup(client.get(f"{opened}&fragment=1").content, "html.parser")
    quoted = passage.select_one(".notice blockquote").get_text().strip()
    assert quoted == "Clean a kettle with vinegar once a month"
    assert "Citric acid is best." in passage.select_one("article > .text").get_text()


def hide(collection: Collection, bob: User) -> None:
    Collection.objects.filter(pk=collection.pk).update(visibility="private", owner=bob)


def delete(collection: Collection, bob: User) -> None:
    Chat.objects.update(collection=None)
    collection.delete()


@pytest.mark.parametrize(("change", "state"), [(hide, "hidden"), (delete, "gone")])
@pytest.mark.parametrize("is_changed", [False, True])
def test_a_collection_that_one_cannot_see_any_more(
    alice_api: Api,
    users: dict[str, User],
    shelf: Collection,
    change: Callable[[Collection, User], None],
    state: str,
    is_changed: bool,
) -> None:
    answer = answer_citing_all(users["alice"], shelf)
    if is_changed:
        shelf.passages.all().delete()
    change(shelf, users["bob"])
    shown = alice_api.get(f"messages/{answer.pk}/citations/").json()
    assert (shown["collection"], shown["newer"]) == (None, None)
    for one in shown["results"]:
        assert (one["state"], one["passage"], one["url"]) == (state, None, "")
        assert one["note"]


def test_an_older_version_names_the_current_one(
    alice_api: Api, users: dict[str, User], shelf: Collection, client: Client
) -> None:
    answer = answer_citing_all(users["alice"], shelf)
    Collection.objects.filter(pk=shelf.pk).update(is_current=False, version="1", family="shelf")
    newer = Collection.objects.create(
        slug="shelf-2", title="Shelf", version="2", family="shelf", title_no=8,
        visibility="private", owner=users["bob"],
    )  # fmt: skip
    path = f"messages/{answer.pk}/citations/"
    assert alice_api.get(path).json()["newer"] is None
    Collection.objects.filter(pk=newer.pk).update(visibility="everyone")
    shown = alice_api.get(path).json()
    assert shown["newer"] == {"slug": "shelf-2", "title": "Shelf", "version": "2"}
    assert {one["state"] for one in shown["results"]} == {"same"}
    client.force_login(users["alice"])
    page = BeautifulSoup(client.get(f"/chats/{answer.chat_id}/").content, "html.parser")
    assert page.select_one(".notice a")["href"] == "/?collection=shelf-2"
    assert "The current one is 2." in page.select_one(".notice").get_text()
    # The chat stays with the version that it began with, also when its next question is asked.
    turn = alice_api.ask("How do I use Redis?", chat=str(answer.chat_id)).json()
    assert turn["message"]["citations"]
    assert alice_api.get(f"chats/{answer.chat_id}/").json()["collection"] == "shelf"
    asked = {one["passage"] for one in turn["message"]["citations"]}
    assert asked <= {str(pk) for pk in shelf.passages.values_list("pk", flat=True)}


def test_others_see_nothing(
    alice_api: Api, bob_api: Api, nobody: Api, users: dict[str, User], shelf: Collection, settings
) -> None:
    answer = answer_citing_all(users["alice"], shelf)
    path = f"messages/{answer.pk}/citations/"
    assert bob_api.get(path).status_code == 404
    assert nobody.get(path).status_code == 401
    assert alice_api.get(path.replace(str(answer.pk), "x")).status_code == 404
    question = answer.chat.messages.get(position=0)
    assert alice_api.get(f"messages/{question.pk}/citations/").json()["results"] == []
    Chat.objects.update(deleted_at="2026-01-01T00:00Z")
    assert alice_api.get(path).status_code == 404
    assert notes_of(users["bob"], [answer.pk]) == {}
    limits = {"DEFAULT_THROTTLE_RATES": {"user": "1/min", "address": "1/min"}}
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | limits
    assert alice_api.get(path).status_code == 429


def test_it_takes_few_statements_however_many_citations(
    users: dict[str, User], shelf: Collection
) -> None:
    answer = answer_citing_all(users["alice"], shelf)
    shelf.passages.filter(position=0).delete()
    with CaptureQueriesContext(connection) as queries:
        read_states(users["alice"], answer.pk)
    assert len(queries) <= 6
