"""How text becomes terms, and terms become BM25."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mundap.retrieval import lexical
from mundap.retrieval.korean import stem_of, words_of
from mundap.retrieval.transliteration import sound_of_english, sound_of_hangul


def terms(text: str) -> set[str]:
    return {term.text for term in lexical.analyse(text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select_related", {"select_related", "select", "relat"}),
        ("CACHES['default']", {"cach", "default"}),
        (
            "django.db.models.Q",
            {"django.db.models.q", "django", "db", "model", "q"},
        ),
        ("--noinput", {"--noinput", "noinput"}),
        ("-Wd is short", {"-wd", "short"}),
        ("ModelChoiceField", {"modelchoicefield", "model", "choic", "field"}),
        ("HTTPResponse", {"httpresponse", "http", "respons"}),
        ("__init__", {"__init__", "init"}),
        ("@api_view(['GET'])", {"api_view", "api", "view", "get"}),
        ("SECURE_PROXY_SSL_HEADER", {"secure_proxy_ssl_header", "secur", "proxi", "ssl", "header"}),
        ("Python 3.11", {"python", "3.11"}),
        ("viewset으로 POST를", {"viewset", "post"}),
        ("캐시를", {"캐시"}),
        ("미들웨어에서는", {"미들웨어", "미들", "들웨", "웨어"}),
        ("データ", {"デー", "ータ"}),
        ("Ｆｕｌｌ", {"full"}),
    ],
)
def test_names_are_found_whole_and_by_their_parts(text, expected):
    assert expected <= terms(text)


def test_words_are_stemmed_alike_in_questions_and_documents():
    assert terms("caching caches cached") == {"cach"}


def test_a_question_looks_for_what_it_is_about():
    assert set(lexical.query_terms("How do I change my password?")) == {"chang", "password"}
    assert lexical.query_terms("what is this")  # nothing else to look for


@pytest.mark.parametrize(
    ("word", "stem"),
    [
        ("템플릿에서는", "템플릿"),
        ("설정하려면", "설정"),
        ("비밀번호를", "비밀번호"),
        ("로그인한", "로그인"),
        ("값을", "값을"),
        ("서버", "서버"),
    ],
)
def test_korean_words_lose_particles_and_endings(word, stem):
    assert stem_of(word) == stem


def test_words_that_only_ask_are_left_out():
    assert words_of("비밀번호를 어떻게 바꾸나요? 이것은") == ["비밀번호를", "바꾸나요"]


@pytest.mark.parametrize(
    ("korean", "english"),
    [
        ("쿼리셋", "queryset"),
        ("시리얼라이저", "serializer"),
        ("리다이렉트", "redirect"),
        ("미들웨어", "middleware"),
        ("제너레이터", "generator"),
        ("트랜잭션", "transaction"),
        ("로깅", "logging"),
        ("렌더러", "renderer"),
        ("장고", "django"),
    ],
)
def test_a_loanword_sounds_like_the_english_word(korean, english):
    assert sound_of_hangul(korean) == sound_of_english(english)


def test_too_short_a_sound_is_none():
    assert sound_of_hangul("이") == sound_of_english("a") == ""


def test_bm25_is_the_product_of_both_sides():
    """Against the formula: idf × tf (k1 + 1) / (tf + k1 (1 - b + b length / pivot))."""
    weights, found = lexical.document_vector([], "redis redis cache")
    length = len(found)
    norm = lexical.SATURATION * (
        1 - lexical.LENGTH_WEIGHT + lexical.LENGTH_WEIGHT * length / lexical.PIVOT_TERMS
    )
    expected = 2 * (lexical.SATURATION + 1) / (2 + norm)
    assert weights[lexical.term_id("redi")] == pytest.approx(expected)


def test_headings_count_more_than_text():
    in_heading, _ = lexical.document_vector(["Redis"], "other words")
    in_text, _ = lexical.document_vector(["Other"], "redis words")
    assert in_heading[lexical.term_id("redi")] > in_text[lexical.term_id("redi")]


def test_a_huge_passage_keeps_what_the_index_can_hold():
    weights, _ = lexical.document_vector([], " ".join(f"word{n}x" for n in range(5000)))
    assert len(weights) == lexical.MAX_TERMS


@given(st.text(max_size=300))
def test_any_text_gives_a_valid_vector(text):
    weights, _ = lexical.document_vector([text], text)
    assert all(1 <= index <= lexical.DIMENSIONS for index in weights)
    assert all(weight > 0 and math.isfinite(weight) for weight in weights.values())
    assert lexical.as_sparsevec(weights).endswith(f"/{lexical.DIMENSIONS}")
    lexical.query_terms(text)


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_words_are_stemmed_alike_by_many_threads_at_once(busy_threads):
    words = [f"generalizations{number}running" for number in range(400)]
    text = " ".join(word.translate(str.maketrans("0123456789", "abcdefghij")) for word in words)
    alone = terms(text)
    lexical._stem.cache_clear()
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(terms, [text] * 4)) == [alone] * 4
