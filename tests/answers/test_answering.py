"""Questions to answers over real passages, without a model and with a scripted one."""

from __future__ import annotations

import asyncio

import pytest

from mundap.answers import rewriting
from mundap.answers.answering import answer, write_title
from mundap.answers.events import Answered, HistoryMessage, Retrieved, TextDelta
from mundap.errors import ModelError, ModelTimeout, ModelUnavailable
from mundap.library.models import Collection, Passage
from tests.scripted_model import ScriptedModel

DESCALE = "How do I descale the kettle?"


def ask(
    question: str, collection: Collection, *history: HistoryMessage
) -> tuple[Retrieved, str, Answered]:
    """Return the retrieval, the streamed text and the final answer."""

    async def collect() -> list[object]:
        return [event async for event in answer(question, collection=collection, history=history)]

    retrieved, *deltas, final = asyncio.run(collect())
    assert isinstance(retrieved, Retrieved)
    assert isinstance(final, Answered)
    return retrieved, "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)), final


def test_quotations_are_word_for_word_and_cited(kettles: Collection) -> None:
    _, streamed, final = ask(DESCALE, kettles)
    assert streamed == final.text
    assert final.is_answered
    assert "Set `acid` to citric acid. [1]" in final.text
    assert 'descale_kettle(acid="citric", minutes=20)' in final.text
    first = final.citations[0]
    assert first.headings[-1] == "Descaling"
    assert first.path == "page.md"
    assert first.supported is True
    document = Passage.objects.get(pk=first.passage).document
    assert document.text[first.start : first.end] == first.quote


def test_a_question_in_korean_is_answered_in_a_korean_frame(kettles: Collection) -> None:
    _, _, final = ask("descale_kettle 함수는 어떻게 쓰나요?", kettles)
    assert final.language == "ko"
    assert "문서" in final.text.splitlines()[0]
    assert "descale_kettle" in final.text


def test_what_is_not_there_is_refused_with_the_nearest_passages(kettles: Collection) -> None:
    _, _, final = ask("Who won the chess championship in Moscow?", kettles)
    assert not final.is_answered
    assert "could not find an answer" in final.text
    assert all(f"[{one.number}]" in final.text for one in final.citations)


def test_while_documents_are_read_a_refusal_says_so(kettles: Collection) -> None:
    Collection.objects.update(state="ingesting")
    assert "still being read" in ask("Who won the chess championship in Moscow?", kettles)[2].text


def test_an_empty_collection_says_so(transactional_db: None) -> None:
    empty = Collection.objects.create(
        slug="e", title="Nothing", title_no=1, visibility="everyone", state="ready"
    )
    assert "is empty" in ask("What?", empty)[2].text
    Collection.objects.update(state="failed", error="The archive is broken.")
    assert "The archive is broken." in ask("What?", empty)[2].text
    Collection.objects.update(state="ingesting")
    assert (
        "아직 읽는" in ask("무엇인가요?", empty)[2].text
        or "still being read" in ask("What?", empty)[2].text
    )


def test_the_model_answers_from_the_passages(kettles: Collection, model: ScriptedModel) -> None:
    model.say("descaling a kettle\nhow to descale\ndescale_kettle\nacid")
    model.say("Use citric acid for twenty minutes [1]. It sings [9].")
    _, streamed, final = ask(DESCALE, kettles)
    assert streamed == "Use citric acid for twenty minutes [1]. It sings."
    assert final.text == "Use citric acid for twenty minutes [1]. It sings."
    assert [one.number for one in final.citations] == [1]
    assert final.usage["completion"] > 0
    system = model.requests[-1]["messages"][0]["content"]
    assert "[1] Kettles › Descaling" in system or "Descaling" in system
    assert "nothing else" in system


def test_the_models_refusal_is_said_in_our_words(kettles: Collection, model: ScriptedModel) -> None:
    model.say("NOT_IN_DOCUMENTS")
    _, streamed, final = ask(DESCALE, kettles)
    assert "NOT_IN_DOCUMENTS" not in streamed
    assert not final.is_answered
    assert "could not find an answer" in final.text


def test_an_unsupported_statement_is_marked(kettles: Collection, model: ScriptedModel) -> None:
    model.say("Kubernetes clusters scale horizontally overnight [1].")
    _, _, final = ask(DESCALE, kettles)
    assert final.citations[0].supported is False


def test_a_follow_up_is_searched_with_what_was_said_before(kettles: Collection) -> None:
    history = [HistoryMessage("user", DESCALE), HistoryMessage("assistant", "With citric acid.")]
    retrieved, _, final = ask("And how often do I rinse it?", kettles, *history)
    assert len(retrieved.queries) == 2
    assert "Rinse it three times" in final.text


def test_the_model_makes_the_queries(kettles: Collection, model: ScriptedModel) -> None:
    model.say("How long is the kettle's warranty?\nwarranty duration\ncheck the warranty\nwarranty")
    model.say("Five years [1].")
    history = [HistoryMessage("user", "Tell me about kettles"), HistoryMessage("assistant", "Yes.")]
    retrieved, _, _ = ask("and the guarantee?", kettles, *history)
    assert retrieved.queries[0] == "and the guarantee?"
    assert "How long is the kettle's warranty?" in retrieved.queries
    assert retrieved.passages[0].headings[-1] == "Warranty"


def test_a_model_that_is_slow_costs_the_variants_and_nothing_else(
    kettles: Collection, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "TIMEOUT_SECONDS", 0.2)
    model.say("never seen", hold_after=0)
    model.say("With citric acid [1].")
    retrieved, _, final = ask(DESCALE, kettles)
    assert retrieved.queries == (DESCALE,)
    assert retrieved.passages[0].headings[-1] == "Descaling"
    assert final.text == "With citric acid [1]."
    assert len(model.requests) == 2  # the question for variants is not asked again


def test_a_reference_that_fits_is_given_whole(reference: Collection, model: ScriptedModel) -> None:
    model.say("Five years [3].")
    ask("Who made the universe?", reference)
    system = model.requests[-1]["messages"][0]["content"]
    for heading in ("Descaling", "Boiling", "Warranty"):
        assert heading in system


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (lambda model: model.fail(401, "bad key"), ModelError),
        (lambda model: model.fail(500, "broken"), ModelError),
        (lambda model: model.fail(429, "slow down"), ModelUnavailable),
        (lambda model: model.rubbish(), ModelError),
        (lambda model: model.say("one two three", cut_after=2), ModelError),
        (lambda model: model.say(""), ModelError),
        (lambda model: model.say("one two", hold_after=0), ModelTimeout),
    ],
    ids=["refuses", "fails", "busy", "rubbish", "cut off", "empty", "silent"],
)
def test_a_failing_model_is_a_clear_error(
    kettles: Collection, model: ScriptedModel, settings, script, error
) -> None:
    settings.MODEL_SILENCE_SECONDS = 1
    script(model)
    with pytest.raises(error) as raised:
        ask(DESCALE, kettles)
    assert raised.value.message.endswith((".", "later."))
    assert "bad key" not in raised.value.message


def test_a_model_that_fails_is_not_said_to_send_rubbish(
    kettles: Collection, model: ScriptedModel
) -> None:
    model.fail(500, "broken")
    with pytest.raises(ModelError, match="The language model failed"):
        ask(DESCALE, kettles)


def test_a_title_is_the_question_cut_at_a_word() -> None:
    title = asyncio.run(write_title("How do I configure\nthe cache " + "very " * 30 + "well?"))
    assert title.startswith("How do I configure the cache very")
    assert title.endswith("…")
    assert len(title) <= 60


def test_a_title_is_the_models_when_there_is_one(model: ScriptedModel) -> None:
    model.say('**"Configuring the `cache`"**')
    assert asyncio.run(write_title("How do I configure the cache?")) == "Configuring the cache"
    model.reset()
    model.fail(500)
    assert (
        asyncio.run(write_title("How do I configure the cache?")) == "How do I configure the cache?"
    )
