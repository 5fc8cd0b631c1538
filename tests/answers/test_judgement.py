"""Whether passages carry statements, over pairs of right ones and near misses, and the rules one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mundap.answers.judgement import judge

DATA = json.loads((Path(__file__).parent / "data/citation_pairs.json").read_text(encoding="utf-8"))
POOL = (
    "The pool keeps ten connections. A request waits up to `POOL_TIMEOUT` seconds, 300 unless you change it. "
    "Idle connections are closed by `close_idle()`. The pool is not shared between processes."
)


def pairs(**wanted: Any) -> list[tuple[str, str]]:
    return [
        (one["statement"], DATA["passages"][one["passage"]])
        for one in DATA["pairs"]
        if all(one[key] == value for key, value in wanted.items())
    ]


def judged(some: list[tuple[str, str]]) -> list[bool | None]:
    return [judge([one], by_meaning=True)[0] for one in some]


def test_no_right_statement_is_marked() -> None:
    right = pairs(supported=True)
    assert len(right) > 50
    assert [said for said in judged(right) if said is False] == []


@pytest.mark.parametrize(
    ("lang", "kind", "share"),
    [
        ("en", "name", 1.0),
        ("ko", "name", 1.0),
        ("en", "number", 0.8),
        ("ko", "number", 1.0),
        ("en", "negated", 0.9),
        ("en", "other", 1.0),
        ("ko", "other", 1.0),
    ],
)
def test_near_misses_are_marked(lang: str, kind: str, share: float) -> None:
    verdicts = judged(pairs(lang=lang, kind=kind, supported=False))
    assert verdicts.count(False) >= share * len(verdicts)


def test_a_korean_statement_is_marked_behind_another_passage() -> None:
    texts = list(DATA["passages"].values())
    moved = [
        (said, texts[(texts.index(text) + 1) % len(texts)])
        for said, text in pairs(lang="ko", supported=True)
    ]
    assert judged(moved).count(False) >= 0.9 * len(moved)


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ("A request waits 300 seconds for `POOL_TIMEOUT`.", True),
        ("A request waits up to five minutes (`POOL_TIMEOUT`).", True),
        ("A request waits up to 400 seconds (`POOL_TIMEOUT`).", False),
        ("The pool keeps 10 connections.", True),
        ("The pool keeps 1,000 connections.", False),
        ("Idle connections are closed by `close_idle`.", True),
        ("Idle connections are closed by `close_all()`.", False),
        ("The pool is shared between processes.", False),
        ("The pool isn't shared between processes.", True),
        ("Call `pool.close_idle()` for idle connections to be closed.", True),
        ("요청은 300초까지 기다립니다.", True),
        ("요청은 400초까지 기다립니다.", False),
        ("연결이 남아 있지 않으면 기다립니다.", None),
    ],
)
def test_names_numbers_and_denials(statement: str, verdict: bool | None) -> None:
    assert judge([(statement, POOL)]) == [verdict]


def test_an_endpoint_that_is_away_leaves_statements_unjudged(settings) -> None:
    settings.EMBEDDING_BASE_URL = "http://127.0.0.1:9/v1"
    statement = "연결이 남아 있지 않으면 기다립니다."
    assert judge(
        [(statement, POOL), ("The pool keeps ten connections.", POOL)], by_meaning=True
    ) == [
        None,
        True,
    ]


def test_another_model_has_another_scale_and_is_not_asked(settings, model) -> None:
    settings.EMBEDDING_BASE_URL, settings.EMBEDDING_MODEL = model.url, "embedder"
    assert judge([("연결이 없으면 기다립니다.", POOL)], by_meaning=True) == [None]
    assert model.embedded == []


def test_nothing_to_judge() -> None:
    assert judge([], by_meaning=True) == []
    assert judge([("", POOL), ("A word.", ""), ("한국어", "")], by_meaning=True) == [
        None,
        False,
        None,
    ]
