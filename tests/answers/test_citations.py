"""Markers lead to a passage or are gone; quotes are where the citation says."""

from __future__ import annotations

from uuid import uuid4

import pytest

from mundap.answers.citations import Unfinished, check
from mundap.answers.evidence import Evidence, Part
from mundap.answers.judgement import judge
from mundap.answers.quoting import refuse

REDIS = (
    "To use Redis as your cache backend, set BACKEND to django.core.cache.backends.redis.RedisCache. "
    "Set LOCATION to the URL pointing to your Redis instance."
)
TIMEOUT = (
    "TIMEOUT: The default timeout, in seconds, to use for the cache. It defaults to 300 seconds."
)


def evidence(number: int, text: str, start: int = 100) -> Evidence:
    part = Part(uuid4(), "text", text, start, start + len(text), "hash")
    return Evidence(
        number, "Cache", "topics/cache.txt", ("Cache", "Redis"), "https://x/#redis", (part,)
    )


BOTH = [evidence(1, REDIS), evidence(2, TIMEOUT, start=900)]


def test_a_marker_that_points_to_nothing_is_removed() -> None:
    text, citations = check("Set LOCATION to the URL of Redis [1]. It is fast [7].", BOTH)
    assert text == "Set LOCATION to the URL of Redis [1]. It is fast."
    assert [one.number for one in citations] == [1]


def test_a_removed_marker_takes_its_space_along() -> None:
    text, _ = check("It is fast [7]. Set LOCATION [1] to [8] the URL.", BOTH)
    assert text == "It is fast. Set LOCATION [1] to the URL."


ANSWERS = [
    "Set LOCATION [1]. It is fast [7]. Done [1, 2, 9] [3] , really [12",
    "Use `rows[8].x` and [9] `open[7]\nnow [7] [2]",
    "\n Set it [1]:\n\n```python\nfirst = rows[7]\n```\n\n~~~\n[8]\n~~~\nThen [8].  \n",
    "See [the docs](https://x/[7]) [[9]] [ 1 ] [1][7][2]",
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_is_shown_early_stays(answer: str) -> None:
    final, _ = check(answer, BOTH)
    unfinished = Unfinished(BOTH)
    shown = [unfinished.add(character) for character in answer]
    for earlier, later in zip(shown, [*shown[1:], final], strict=True):
        assert later.startswith(earlier)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Set `LOCATION` [1]", "Set `LOCATION` [1]"),
        ("Set it.\n\n```\nrows[7] = [8", "Set it.\n\n```\nrows[7] = [8"),
        ("Set `LOCATION` to the URL [", "Set `LOCATION` to the URL"),
        ("Set [7] `LOCA", "Set"),
    ],
)
def test_little_is_held_back(text: str, shown: str) -> None:
    assert Unfinished(BOTH).add(text) == shown


def test_lists_of_markers_become_single_ones() -> None:
    text, citations = check("Set LOCATION and TIMEOUT [1, 2, 9].", BOTH)
    assert text == "Set LOCATION and TIMEOUT [1][2]."
    assert [one.number for one in citations] == [1, 2]


def test_code_is_left_alone() -> None:
    code = "Set LOCATION [1]:\n\n```python\nfirst = rows[7]\n```\n\nThen `rows[8]` works [1]."
    text, citations = check(code, BOTH)
    assert "rows[7]" in text
    assert "`rows[8]`" in text
    assert [one.number for one in citations] == [1]


def test_the_quote_stands_in_the_document_where_the_citation_says() -> None:
    _, (citation,) = check("The default timeout is 300 seconds [2].", BOTH)
    assert citation.quote == "It defaults to 300 seconds."
    assert TIMEOUT[citation.start - 900 : citation.end - 900] == citation.quote


def test_a_statement_that_its_passage_does_not_carry_is_marked() -> None:
    _, (good, wrong) = check(
        "Set LOCATION to the URL of your Redis instance [1]. Migrations run in parallel threads [2].",
        BOTH,
    )
    assert good.supported is True
    assert wrong.supported is False


@pytest.mark.parametrize(
    ("statement", "passage", "verdict"),
    [
        ("`BACKEND`를 `django.core.cache.backends.redis.RedisCache`로 설정하세요.", REDIS, True),
        ("`MIDDLEWARE_CLASSES`에 `CsrfViewMiddleware`를 넣으세요.", REDIS, False),
        ("기본값은 삼백 초입니다.", TIMEOUT, None),
        ("The default timeout is 300 seconds.", TIMEOUT, True),
        ("Sessions are stored in signed cookies.", TIMEOUT, False),
    ],
)
def test_support_is_judged_by_shared_words(
    statement: str, passage: str, verdict: bool | None
) -> None:
    assert judge([(statement, passage)]) == [verdict]


def test_the_number_of_a_step_is_no_number_that_a_passage_must_name() -> None:
    text = "1. Pour water over the leaves [1].\n2. Wait two minutes [1].\n3. Add 9 spoons of sugar [1]."
    _text, (cited,) = check(text, [evidence(1, "Pour water over the leaves. Wait two minutes.")])
    assert cited.doubted == ("Add 9 spoons of sugar .",)


def test_an_answer_without_markers_has_no_citations() -> None:
    assert check("Nothing is cited here.", BOTH) == ("Nothing is cited here.", ())


def test_what_is_named_where_nothing_answers_is_quoted_in_whole_sentences() -> None:
    [citation] = refuse([evidence(1, REDIS + " " + TIMEOUT)], language="en")[1]
    assert citation.quote == REDIS
