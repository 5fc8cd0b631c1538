"""The measurements: when a passage counts as found, what is counted, and runs against each other."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from mundap.answers.citation_precision import answer_and_check
from mundap.errors import InvalidInput
from mundap.retrieval.evaluation import CheckedAnswer, evaluate, measures_of, ranks_of
from mundap.retrieval.evaluation_questions import read_questions
from mundap.retrieval.evaluation_runs import compare, keep_run
from mundap.retrieval.indexing import index_lexical
from mundap.retrieval.models import EvaluationRun
from mundap.retrieval.search import search
from mundap.retrieval.vectors import embed_missing
from tests.retrieval.conftest import PAGES

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


@pytest.fixture
def transactional_shelf(transactional_db, make_collection):
    """The small library for answers, which search in threads of their own."""
    collection = make_collection("framework")
    index_lexical(collection)
    embed_missing(collection)
    return collection


def test_groups_refusals_and_what_is_missing(shelf, write):
    file = write(
        LINE,
        LINE | {"lang": "ko", "question": "레디스 캐시를 설정하려면?"},
        LINE | {"question": "What is the capital of France?", "gold": []},
        LINE | {"corpus": "nowhere"},
    )
    measured = evaluate(read_questions(file), k=5)
    promised = ["k", "groups", "refusal", "latency_ms", "skipped"]
    assert list(measured)[:5] == promised
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


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        ((1,), (1, 1, 1, 1, 1)),
        ((None,), (0, 0, 0, 0, 0)),
        ((11,), (0, 0, 0, 0, 0)),
        ((6,), (0, 0, 1, 1 / 6, 1 / math.log2(7))),
        ((3, 2), (0, 1, 1, 1 / 2, (1 / 2 + 1 / math.log2(3)) / (1 + 1 / math.log2(3)))),
        ((1, None), (1, 1, 1, 1, 1 / (1 + 1 / math.log2(3)))),
        ((1, 1), (1, 1, 1, 1, 1)),  # one passage that begins both sections
    ],
)
def test_measures_of_ranks(ranks, expected):
    names = ("recall@1", "recall@5", "recall@10", "mrr@10", "ndcg@10")
    measured = measures_of([(4,), ranks])[1]
    assert measured == pytest.approx(dict(zip(names, expected, strict=True)))


def test_answers_are_checked_where_it_is_asked_for(shelf, write):
    answers = {
        "right": CheckedAnswer(frozenset({("topics/cache.txt", "Redis")}), (True, None)),
        "wrong": CheckedAnswer(frozenset({("topics/mail.txt", "Mail")}), (True, False)),
    }
    file = write(
        LINE | {"id": "right"},
        LINE | {"id": "wrong"},
        LINE | {"id": "refused"},
        LINE | {"id": "unanswerable", "gold": []},
    )
    asked: list[str] = []

    def answer(question, collection):
        asked.append(question.id)
        return answers.get(question.id)

    measured = evaluate(read_questions(file), k=5, answer=answer)
    assert asked == ["right", "wrong", "refused"]
    assert measured["citations"] == {
        "answers": 2,
        "cite_gold": 1,
        "statements": 4,
        "supported": 2,
        "unsupported": 1,
        "unjudged": 1,
        "precision": 0.6667,
        "failed": 0,
    }


def test_quotations_support_themselves(transactional_shelf, write):
    measured = evaluate(read_questions(write(LINE)), k=5, answer=answer_and_check)
    cited = measured["citations"]
    assert (cited["answers"], cited["cite_gold"], cited["unsupported"]) == (1, 1, 0)
    assert cited["precision"] == 1.0


def test_a_model_that_cites_wrongly_is_found_out(transactional_shelf, write, model):
    model.say(
        "Redis is set in CACHES [1]. It needs a licence from the moon and a purple unicorn [1]."
    )
    cited = evaluate(read_questions(write(LINE)), k=5, answer=answer_and_check)["citations"]
    assert (cited["statements"], cited["supported"], cited["unsupported"]) == (2, 1, 1)


def test_a_model_that_fails_costs_its_question_only(transactional_shelf, write, model):
    model.fail(500)
    cited = evaluate(read_questions(write(LINE)), k=5, answer=answer_and_check)["citations"]
    assert (cited["answers"], cited["failed"], cited["precision"]) == (0, 1, None)


def test_runs_are_kept_and_compared(shelf, write):
    file = write(LINE, LINE | {"id": "2", "gold": [{"path": "none.txt", "heading": "None"}]})
    first = keep(file)
    assert compare(first) is None
    assert (first.file, first.commit) == ("questions.jsonl", "abc")
    assert first.settings["collections"]["framework"] == {
        "version": "",
        "passages": len(PAGES),
        "vectors": len(PAGES),
    }
    shelf.documents.filter(path="topics/cache.txt").delete()
    index_lexical(shelf)
    second = keep(file)
    difference = compare(second)
    assert difference.earlier == first
    assert difference.changes[0].measures["recall@5"] == -0.5
    assert (difference.gained, difference.lost) == ((), ("1",))


def test_other_questions_are_not_compared(shelf, write):
    keep(write(LINE))
    assert compare(keep(write(LINE | {"id": "2"}))) is None


def keep(file: Path) -> EvaluationRun:
    measured = evaluate(read_questions(file), k=5)
    return keep_run(measured, file=file, seconds=1.0, version="1", commit="abc")


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
