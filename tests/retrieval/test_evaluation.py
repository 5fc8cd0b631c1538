"""The measurements: when a passage counts as found, and the arithmetic against trec_eval's."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import pytrec_eval

from mundap.errors import InvalidInput
from mundap.retrieval.evaluation import (
    discounted_gain,
    evaluate,
    ranks_of,
    read_questions,
    reciprocal_rank,
)
from mundap.retrieval.search import search

LINE = {
    "id": "1",
    "corpus": "framework",
    "lang": "en",
    "kind": "howto",
    "question": "How do I use Redis as the cache backend?",
    "gold": [{"path": "topics/cache.txt", "heading": "Redis"}],
}


@pytest.fixture
def write(tmp_path: Path):
    def write_lines(*lines: object) -> Path:
        path = tmp_path / "questions.jsonl"
        path.write_text(
            "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        )
        return path

    return write_lines


def test_groups_refusals_and_what_is_missing(shelf, write):
    file = write(
        LINE,
        LINE | {"lang": "ko", "question": "레디스 캐시를 설정하려면?"},
        LINE | {"question": "What is the capital of France?", "gold": []},
        LINE | {"corpus": "nowhere"},
    )
    measured = evaluate(read_questions(file), k=5)
    assert list(measured) == ["k", "groups", "refusal", "latency_ms", "skipped"]
    perfect = {"recall@1": 1.0, "recall@5": 1.0, "recall@10": 1.0, "mrr@10": 1.0, "ndcg@10": 1.0}
    assert measured["groups"] == [
        {"corpus": "framework", "lang": "en", "n": 1} | perfect,
        {"corpus": "framework", "lang": "ko", "n": 1} | perfect,
    ]
    assert measured["refusal"] == {
        "unanswerable": 1,
        "refused": 1,
        "answerable": 2,
        "falsely_refused": 0,
    }
    assert measured["skipped"] == ["nowhere"]
    assert 0 < measured["latency_ms"]["p50"] <= measured["latency_ms"]["p95"]


def test_a_follow_up_is_searched_with_what_was_said_before(shelf, write):
    said = [
        {"role": "user", "content": "How do I send mail?"},
        {"role": "assistant", "content": "With send_mail()."},
    ]
    gold = [{"path": "topics/mail.txt", "heading": "Sending"}]
    file = write(LINE | {"question": "And with an attachment?", "history": said, "gold": gold})
    assert evaluate(read_questions(file), k=5)["groups"][0]["recall@1"] == 1.0


def test_a_passage_counts_for_each_heading_it_lies_under(shelf):
    found = search(shelf, ["Redis cache backend"], limit=8).passages
    assert ranks_of([("topics/cache.txt", "Redis")], found) == (1,)
    assert ranks_of([("topics/cache.txt", "The  cache¶")], found) == (1,)
    assert ranks_of([("other.txt", "Redis")], found) == (None,)
    assert ranks_of([("topics/cache.txt", "redis")], found) == (None,)


def test_the_arithmetic_is_trec_evals():
    rng = random.Random(3)  # noqa: S311
    for _ in range(200):
        ranks = [rng.choice([None, *range(1, 15)]) for _ in range(rng.randint(1, 3))]
        ranks = [rank if ranks.index(rank) == place else None for place, rank in enumerate(ranks)]
        golds = {f"gold{number}": 1 for number in range(len(ranks))}
        run = {f"other{place}": 100.0 - place for place in range(1, 11)}
        for number, rank in enumerate(ranks):
            if rank and rank <= 10:
                del run[f"other{rank}"]
                run[f"gold{number}"] = 100.0 - rank
        judge = pytrec_eval.RelevanceEvaluator({"q": golds}, {"recip_rank", "ndcg_cut_10"})
        expected = judge.evaluate({"q": run})["q"]
        assert reciprocal_rank(ranks) == pytest.approx(expected["recip_rank"])
        assert discounted_gain(ranks) == pytest.approx(expected["ndcg_cut_10"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "this is not a question"),
        ("[]", "this is not a question"),
        ({"id": "1"}, "the field 'corpus' is missing"),
        (LINE | {"question": " "}, "the question is empty"),
        (LINE | {"gold": [{"path": "a"}]}, "the field 'heading' is missing"),
    ],
)
def test_a_wrong_line_is_named(write, line, said):
    with pytest.raises(InvalidInput, match=r"questions\.jsonl:2: ") as caught:
        read_questions(write(LINE, line))
    assert said in caught.value.message


def test_a_file_that_is_not_there_or_empty_is_said(tmp_path, write):
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_questions(tmp_path / "none.jsonl")
    with pytest.raises(InvalidInput, match="has no questions"):
        read_questions(write(""))
