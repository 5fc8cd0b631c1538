"""What an answer may use: found passages, joined where they follow each other, within a budget."""

from __future__ import annotations

import pytest

from mundap.answers.evidence import as_json, gather, restored
from mundap.library.models import Collection, Document, Passage
from mundap.llm.metering import count_tokens
from mundap.retrieval.search import ScoredPassage

BOIL = ["Kettles", "boil()"]
SECTION = [
    ("definition", BOIL, "`boil(degrees=100)`\n\nHeats the water."),
    ("text", BOIL, "It takes a while in the mountains."),
    ("text", BOIL, "It stops by itself, whatever the arguments are."),
    ("text", ["Kettles", "Colours"], "There are red ones."),
]


@pytest.fixture
def rows(db: None) -> list[Passage]:
    collection = Collection.objects.create(
        slug="k", title="Kettles", title_no=1, visibility="everyone"
    )
    text = "\n".join(each for *_, each in SECTION)
    document = Document.objects.create(
        collection=collection, path="k.txt", title="Kettles", text=text
    )
    return [
        Passage.objects.create(
            collection=collection,
            document=document,
            position=position,
            kind=kind,
            headings=headings,
            text=each,
            start=text.index(each),
            end=text.index(each) + len(each),
            content_hash=str(position),
        )
        for position, (kind, headings, each) in enumerate(SECTION)
    ]


def found(row: Passage) -> ScoredPassage:
    return ScoredPassage(
        passage=row.pk,
        document=row.document_id,
        path="k.txt",
        title="Kettles",
        url="",
        headings=tuple(row.headings),
        kind=row.kind,
        position=row.position,
        text=row.text,
        start=row.start,
        end=row.end,
        content_hash=row.content_hash,
        score=1.0,
        lexical=1.0,
        dense=None,
    )


def texts(entries: list) -> list[list[str]]:
    return [[part.text for part in entry.parts] for entry in entries]


def test_what_goes_on_with_a_definition_brings_its_signature(rows: list[Passage]) -> None:
    given = gather([found(rows[2])], budget_tokens=1000, is_widened=False)
    assert texts(given) == [[rows[0].text, rows[2].text]]


def test_passages_in_a_row_are_one_entry(rows: list[Passage]) -> None:
    given = gather(
        [found(rows[2]), found(rows[3]), found(rows[1])], budget_tokens=1000, is_widened=False
    )
    assert texts(given) == [[rows[0].text, rows[1].text, rows[2].text], [rows[3].text]]
    assert [entry.number for entry in given] == [1, 2]


def test_widening_stays_in_the_section(rows: list[Passage]) -> None:
    given = gather([found(rows[1])], budget_tokens=1000, is_widened=True)
    assert texts(given) == [[rows[0].text, rows[1].text, rows[2].text]]
    given = gather([found(rows[3])], budget_tokens=1000, is_widened=True)
    assert texts(given) == [[rows[3].text]]


def test_what_does_not_fit_is_left_out(rows: list[Passage]) -> None:
    budget = count_tokens(rows[1].text) + 1
    given = gather([found(rows[1]), found(rows[3])], budget_tokens=budget, is_widened=True)
    assert texts(given) == [[rows[1].text]]


def test_a_passage_that_was_deleted_since_is_left_out(rows: list[Passage]) -> None:
    gone = found(rows[3])
    rows[3].delete()
    assert gather([gone], budget_tokens=1000, is_widened=True) == []


def test_evidence_is_restored_from_what_is_stored_of_it(rows: list[Passage]) -> None:
    given = gather([found(rows[2]), found(rows[3])], budget_tokens=1000, is_widened=True)
    stored = as_json(given)
    assert [each["number"] for each in stored] == [1, 1, 1, 2]
    assert restored(stored, collection=rows[0].collection) == given
    assert restored([], collection=rows[0].collection) == []
    other = Collection.objects.create(slug="o", title="O", title_no=2, visibility="everyone")
    assert restored(stored, collection=other) is None
    rows[1].delete()
    assert restored(stored, collection=rows[0].collection) is None
