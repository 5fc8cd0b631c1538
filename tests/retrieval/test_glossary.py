"""Korean words as questions have them, read by the glossary: conjugated, with particles, in compounds."""

from __future__ import annotations

import pytest

from mundap.retrieval.glossary import joined, meanings_of


def first_meanings(word: str) -> list[str] | None:
    parts = meanings_of(word)
    return None if parts is None else [meanings[0] for meanings in parts if meanings]


@pytest.mark.parametrize(
    ("words", "english"),
    [
        ("지우고 지우려면 지운 지울 지워서 지웠는데 지워지지", ["delete"]),
        ("만들다 만드는 만든 만들어 만들었더니 만듭니다", ["create"]),
        ("고르려면 골라서 골랐어요 고른", ["choose"]),
        ("모아서 모으면 모은 모읍니다", ["collect"]),
        ("나누어 나눠서 나눈 나눌", ["split"]),
        ("잇는 이어서 이은", ["join"]),
        ("직렬화 직렬화할 직렬화를 직렬화되는 직렬화하려면", ["serialization"]),
        ("값 값을 값만", ["value"]),
    ],
)
def test_all_forms_of_a_word_mean_the_same(words, english):
    assert {word: first_meanings(word) for word in words.split()} == dict.fromkeys(
        words.split(), english
    )


@pytest.mark.parametrize(
    ("word", "english"),
    [
        ("정적파일을", ["static files"]),
        ("데이터베이스에서는", ["database"]),
        ("테이블이름을", ["table", "name"]),
        ("입력값이", ["input"]),
    ],
)
def test_compounds_are_read_part_by_part(word, english):
    assert first_meanings(word) == english


@pytest.mark.parametrize("word", ["나무", "서울에서", "김치찌개", "보고서", "이나" * 1000])
def test_words_of_other_fields_are_left_alone(word):
    assert meanings_of(word) is None


@pytest.mark.parametrize("word", ["필요한가요", "사용하려면", "궁금합니다"])
def test_words_that_name_no_subject_stand_for_nothing(word):
    assert first_meanings(word) == []


def test_terms_of_two_words_are_read_as_one():
    assert first_meanings(joined("외래 키로").split()[0]) == ["foreign key"]
