"""`mundap ask`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.scripted_model import ScriptedModel


def test_a_question_is_answered_with_quotations(run: Run, handbook: Path) -> None:
    done = run("ask", "How many days of holiday do I have?", "--collection", "handbook")
    assert done.returncode == 0, done.stderr
    assert "thirty days of holiday" in done.stdout
    assert "[1] " in done.stdout
    assert "Holidays" in done.stdout


def test_json_is_one_document(run: Run, handbook: Path) -> None:
    done = run("ask", "휴가는 며칠인가요? holiday days", "--collection", "handbook", "--json")
    document = json.loads(done.stdout)
    assert list(document) == ["text", "language", "answered", "collection", "citations", "seconds"]
    assert document["language"] == "ko"
    assert document["collection"] == "handbook"
    for citation in document["citations"]:
        assert list(citation) == [
            "number",
            "document",
            "path",
            "headings",
            "url",
            "quote",
            "supported",
        ]
        assert citation["path"] == "handbook.md"


def test_what_all_may_spend_holds_on_the_command_line(
    run: Run, handbook: Path, model: ScriptedModel
) -> None:
    model.say("You have thirty days of holiday a year [1].")
    settings = {
        "OPENAI_BASE_URL": model.url,
        "MUNDAP_CHAT_MODEL": "scripted",
        "MUNDAP_MODEL_PRICES": "scripted=1/1",
        "MUNDAP_TOTAL_SPENDING_PER_MONTH": "0.000001",
    }
    ask = ("ask", "How many days of holiday do I have?", "--collection", "handbook")
    assert run(*ask, **settings).returncode == 0
    asked = len(model.requests)
    refused = run(*ask, **settings)
    assert refused.returncode == 1
    assert "What may be spent on the language model here in a month is used up." in refused.stderr
    assert len(model.requests) == asked


def test_what_the_documents_do_not_say_is_not_answered(run: Run, handbook: Path) -> None:
    done = run("ask", "Which planet has the largest moons?", "--collection", "handbook", "--json")
    document = json.loads(done.stdout)
    assert document["answered"] is False


def test_the_model_answers_when_one_is_configured(
    run: Run, handbook: Path, model: ScriptedModel
) -> None:
    model.say("You have thirty days of holiday a year [1].")
    done = run(
        "ask",
        "How many days of holiday do I have?",
        "--collection",
        "handbook",
        "--json",
        OPENAI_BASE_URL=model.url,
        MUNDAP_CHAT_MODEL="scripted",
    )
    document = json.loads(done.stdout)
    assert document["text"] == "You have thirty days of holiday a year [1]."
    assert document["citations"][0]["supported"] is True
    assert "Everybody has thirty days" in document["citations"][0]["quote"]


@pytest.mark.parametrize(
    ("question", "message"),
    [("", "Write a question first"), ("x" * 17_000, "longer than 16 KB"), ("a\udc80b", "not text")],
)
def test_bad_questions_are_refused(run: Run, handbook: Path, question: str, message: str) -> None:
    done = run("ask", question, "--collection", "handbook")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_collection_names_those_there_are(run: Run, handbook: Path) -> None:
    done = run("ask", "What?", "--collection", "nothing")
    assert done.returncode == 1
    assert "handbook" in done.stderr


def test_a_model_that_cannot_be_reached_is_named(run: Run, handbook: Path) -> None:
    done = run(
        "ask",
        "How many days of holiday do I have?",
        "--collection",
        "handbook",
        OPENAI_BASE_URL="http://127.0.0.1:9/v1",
        MUNDAP_CHAT_MODEL="none",
    )
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
