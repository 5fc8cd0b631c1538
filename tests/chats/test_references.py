"""A team's references, as a program asks for them: by category and number, whole where they fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mundap.accounts.models import User
from mundap.library.models import Collection, Document, Passage
from mundap.retrieval.indexing import index_lexical
from tests.chats.server import Api, wait_for
from tests.scripted_model import ScriptedModel

pytestmark = pytest.mark.django_db(transaction=True)

ABOUT = {"category": "TEAM", "title_no": 1}
PAGES = {
    "lesson10.md": ["The tenth lesson is about tea towels."],
    "lesson2.md": ["The second lesson is about kettles.", "Descale a kettle with citric acid."],
    "index.md": ["These lessons are for beginners."],
}
IN_ORDER = [PAGES["index.md"][0], *PAGES["lesson2.md"], PAGES["lesson10.md"][0]]
QUESTION = "With what do I descale a kettle?"


def shelved(pages: dict[str, Sequence[str]], *, title_no: int = 1, **more: Any) -> Collection:
    fields = {"category": "TEAM", "visibility": "everyone", "state": "ready"} | more
    collection = Collection.objects.create(
        slug=f"lessons-{title_no}", title="Lessons", title_no=title_no, **fields
    )
    for path, texts in pages.items():
        document = Document.objects.create(
            collection=collection, path=path, title=path, text="\n\n".join(texts)
        )
        for position, text in enumerate(texts):
            Passage.objects.create(
                collection=collection,
                document=document,
                position=position,
                headings=[path],
                text=text,
                start=0,
                end=len(text),
                content_hash=str(position),
            )
    index_lexical(collection)
    return collection


def classic(api: Api, question: str = QUESTION, **more: Any) -> dict[str, Any]:
    """Ask by the classic contract."""
    reply = api.post("chatbot/", {**ABOUT, "user_input": question, "explain": True, **more})
    assert reply.status_code == 200
    return reply.json()


def given_to(model: ScriptedModel) -> str:
    """Return the rules that the answer was asked for with."""
    (rules,) = [
        request["messages"][0]["content"]
        for request in model.requests
        if request["messages"][0]["role"] == "system"
    ]
    return rules


def test_a_reference_that_fits_is_given_whole_in_reading_order(
    alice_api: Api, model: ScriptedModel
) -> None:
    shelved(PAGES)
    model.say("With citric acid [3].")
    answer = classic(alice_api)
    assert answer["AI"] == "With citric acid [3]."
    rules = given_to(model)
    places = [rules.index(f"[{number}] ") for number in range(1, 5)]
    assert places == sorted(places)
    assert [rules.index(text) for text in IN_ORDER] == sorted(rules.index(t) for t in IN_ORDER)
    assert [each["text"] for each in answer["Retriever"]] == IN_ORDER
    # One call for the answer and one for the title: there is nothing to be searched for.
    wait_for(lambda: len(model.requests) == 2)
    assert answer["multi_query"] == [QUESTION]


def test_the_same_over_the_native_api(alice_api: Api, model: ScriptedModel) -> None:
    shelved(PAGES)
    model.say("With citric acid [3].")
    turn = alice_api.ask(QUESTION, collection="lessons-1").json()
    (cited,) = turn["message"]["citations"]
    assert (cited["path"], cited["supported"]) == ("lesson2.md", True)
    assert cited["quote"] == "Descale a kettle with citric acid."


def test_where_a_whole_reference_does_not_say_it_the_nearest_passages_are_named(
    alice_api: Api, model: ScriptedModel
) -> None:
    shelved(PAGES)
    model.say("NOT_IN_DOCUMENTS")
    answer = classic(alice_api, "How much does citric acid for a kettle cost?")
    assert "could not find an answer" in answer["AI"]
    assert answer["AI"].index("lesson2.md [3]") < answer["AI"].index("[2]")


def test_a_reference_that_is_too_long_is_retrieved_from(
    alice_api: Api, model: ScriptedModel, settings
) -> None:
    settings.CHAT_CONTEXT_TOKENS = 1000
    long = {f"more{number}.md": ["Tea towels. " * 60] for number in range(4)}
    shelved(PAGES | long)
    model.say("kettle citric acid")
    model.say("With citric acid [1].")
    answer = classic(alice_api)
    assert "Descale a kettle with citric acid." in given_to(model)
    assert len(answer["Retriever"]) < len(PAGES) + len(long)
    assert "kettle citric acid" in answer["multi_query"]


def test_the_room_that_headings_take_counts(alice_api: Api, model: ScriptedModel, settings) -> None:
    settings.CHAT_CONTEXT_TOKENS = 1000  # 600 for passages; the words alone would take 400
    short = {f"{'a-long-name-for-a-page-' * 5}{number}.md": ["Tea."] for number in range(20)}
    shelved(PAGES | short)
    model.say("With citric acid [1].")
    classic(alice_api)
    assert len(given_to(model).encode()) // 3 < 1000


def test_official_documentation_is_always_retrieved_from(
    alice_api: Api, model: ScriptedModel
) -> None:
    shelved(PAGES, title_no=2, category="OFFICIAL_DOCS")
    model.say("kettle citric acid")
    model.say("With citric acid [1].")
    answer = classic(alice_api, category="OFFICIAL_DOCS", title_no=2)
    assert "kettle citric acid" in answer["multi_query"]
    assert "tea towels" not in given_to(model)


@pytest.mark.parametrize(
    ("pages", "fields", "said"),
    [
        ({}, {"state": "failed", "error": "It is broken."}, "could not be read: It is broken."),
        ({}, {"state": "ingesting"}, "is still being read. Ask again in a moment."),
        ({"empty.md": []}, {}, "is empty: there is nothing in it to answer from."),
    ],
    ids=["unreadable", "being read", "an empty page"],
)
def test_one_that_has_no_text_is_answered_with_exactly_that(
    alice_api: Api,
    model: ScriptedModel,
    pages: dict[str, Sequence[str]],
    fields: dict[str, str],
    said: str,
) -> None:
    shelved(pages, **fields)
    answer = classic(alice_api)
    assert (answer["AI"], answer["Retriever"]) == (f"“Lessons” {said}", [])
    wait_for(lambda: len(model.requests) == 1)  # for the title
    native = alice_api.ask(QUESTION, collection="lessons-1").json()["message"]
    assert (native["text"], native["citations"]) == (answer["AI"], [])


def test_without_a_model_too(alice_api: Api) -> None:
    shelved({})
    assert "is empty" in classic(alice_api)["AI"]


def test_the_only_file_says_why_it_could_not_be_read(alice_api: Api) -> None:
    collection = shelved({"a.pdf": []}, error="1 of 1 pages could not be read: a.pdf")
    collection.documents.update(state="failed", error="It is encrypted.")
    korean = classic(alice_api, "왜 읽을 수 없나요?")
    assert "It is encrypted." in korean["AI"]
    assert (
        korean["AI"] != classic(alice_api)["AI"] == "“Lessons” could not be read: It is encrypted."
    )


def test_references_are_listed_by_category(alice_api: Api, users: dict[str, User]) -> None:
    shelved(PAGES, title_no=2)
    shelved({}, title_no=1)
    shelved({}, title_no=3, visibility="private", owner=users["bob"])
    listed = alice_api.get("collections/?category=TEAM").json()["results"]
    assert [(one["category"], one["title_no"]) for one in listed] == [("TEAM", 1), ("TEAM", 2)]
    official = alice_api.get("collections/?category=OFFICIAL_DOCS").json()["results"]
    assert [one["slug"] for one in official] == ["shelf"]
    assert alice_api.get("collections/?category=NONE").json()["results"] == []
