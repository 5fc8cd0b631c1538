"""Reranking: the endpoint's order where it gives one in time, and search's own in every other case."""

from __future__ import annotations

import json

import pytest

from mundap.errors import ModelError, ModelTimeout
from mundap.retrieval import rerank
from mundap.retrieval.search import search
from tests.retrieval.conftest import PAGES

QUESTION = "How do I use Redis as the cache backend?"


@pytest.fixture
def reranker(model, settings, monkeypatch):
    """The scripted endpoint, set up for reranking; what earlier tests made rest is awake again."""
    settings.RERANK_BASE_URL = model.url
    settings.RERANK_MODEL = "reranker"
    settings.RERANK_API_KEY = "key"
    monkeypatch.setattr(rerank, "_resting_until", {})
    monkeypatch.setattr(rerank, "SECONDS", 0.3)
    yield model
    model.release()


def trails(collection, *queries: str, limit: int = 3) -> list[str]:
    return [
        one.headings[-1] for one in search(collection, queries or [QUESTION], limit=limit).passages
    ]


def test_the_endpoint_puts_the_best_passages_in_order(words_only, reranker):
    reranker.rank(lambda _, texts: [1.0 if "Memory" in text else 0.0 for text in texts])
    found = search(words_only, [QUESTION], limit=3)
    assert found.passages[0].headings[-1] == "Memory"
    assert [one.score for one in found.passages] == sorted(
        (one.score for one in found.passages), reverse=True
    )
    asked = reranker.reranked[0]
    assert asked["model"] == "reranker"
    assert asked["query"] == QUESTION
    assert asked["authorization"] == "Bearer key"
    assert asked["top_n"] == len(asked["documents"]) <= rerank.CANDIDATES
    assert any(text.startswith("The cache > Redis\n") for text in asked["documents"])


def test_equal_scores_leave_the_order_as_it_was(words_only, reranker, settings):
    with_scores = trails(words_only)
    settings.RERANK_MODEL = ""
    assert with_scores == trails(words_only)


def test_a_follow_up_is_ranked_as_the_question_that_stands_by_itself(words_only, reranker):
    trails(words_only, "And with attachments?", "How do I send mail? And with attachments?")
    assert reranker.reranked[0]["query"] == "How do I send mail? And with attachments?"


def test_whether_there_is_support_does_not_depend_on_it(words_only, reranker, settings):
    reranker.rank(lambda _, texts: [-float(place) for place in range(len(texts))])
    ranked = search(words_only, [QUESTION], limit=3).support
    settings.RERANK_BASE_URL = ""
    assert ranked == search(words_only, [QUESTION], limit=3).support


def results(*pairs: tuple[object, object]) -> bytes:
    return json.dumps(
        {"results": [{"index": i, "relevance_score": score} for i, score in pairs]}
    ).encode()


EVERYTHING = range(len(PAGES))


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"<html>It works!</html>",
        b"[]",
        b"{}",
        b'{"results": null}',
        b'{"results": [1, 2]}',
        results(),
        results((0, 0.5)),
        results((99, 0.5), (0, 0.4)),
        results((-1, 0.5), (0, 0.4)),
        results(*((0, 0.5) for _ in EVERYTHING)),
        results(*((str(place), 0.5) for place in EVERYTHING)),
        results(*((place, "high") for place in EVERYTHING)),
        results(*((place, None) for place in EVERYTHING)),
        results(*((place, float("nan")) for place in EVERYTHING)),
        b" " * (rerank.REPLY_BYTES + 1),
    ],
)
def test_rubbish_leaves_the_order_as_it_was(words_only, reranker, settings, reply, caplog):
    reranker.answer_rerank(reply)
    found = trails(words_only)
    assert "Searching without reranking" in caplog.text
    settings.RERANK_MODEL = ""
    assert found == trails(words_only)


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_a_refusal_leaves_the_order_as_it_was(words_only, reranker, status, caplog):
    reranker.answer_rerank(b"no", status=status)
    assert trails(words_only)[0] == "Redis"
    assert "Searching without reranking" in caplog.text


@pytest.mark.parametrize("way", ["is_held", "is_dripping"])
def test_a_slow_endpoint_is_not_waited_for_and_then_left_alone(words_only, reranker, way):
    reranker.answer_rerank(results(), **{way: True})
    assert trails(words_only)[0] == "Redis"
    assert trails(words_only)[0] == "Redis"
    assert len(reranker.reranked) == 1


def test_an_endpoint_that_is_away_is_left_alone(words_only, reranker, settings, caplog):
    settings.RERANK_BASE_URL = "http://127.0.0.1:9/v1"
    for _ in range(2):
        assert trails(words_only)[0] == "Redis"
    assert caplog.text.count("model_unavailable") == 1


def test_what_went_wrong_is_said_in_our_words(reranker):
    reranker.answer_rerank(b"secret", status=401)
    with pytest.raises(ModelError, match="refused with status 401"):
        rerank.ask("q", ["a"])
    reranker.answer_rerank(is_held=True)
    with pytest.raises(ModelTimeout):
        rerank.ask("q", ["a"])


def test_nothing_found_is_not_sent(make_collection, reranker):
    assert search(make_collection("empty", []), [QUESTION], limit=3).passages == ()
    assert reranker.reranked == []
