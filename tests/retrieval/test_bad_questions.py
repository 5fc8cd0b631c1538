"""Whatever is typed, and whatever state shelf and endpoints are in: search and ask reply, and never with a 500."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client

from mundap.library.models import Collection, Embedding
from mundap.retrieval import embeddings, rerank
from mundap.retrieval import search as search_module
from mundap.retrieval.indexing import index_lexical
from mundap.retrieval.vectors import embed_missing
from tests.retrieval.conftest import PAGES
from tests.scripted_model import ScriptedModel

KB = 1024
QUESTIONS = {
    "one letter": "a",
    "one digit": "7",
    "one syllable": "캐",
    "one jamo": "ㅋ",
    "one emoji": "🔑",
    "stop words": "what is the of and to a in",
    "Korean stop words": "그것은 무엇이고 어떻게 하는 건가요",
    "punctuation": "?!... --- ,;:()[]{}",
    "Korean punctuation": "。、「」…‘’",
    "mixed scripts": "Redis 캐시 кэш キャッシュ 缓存 cache는?",
    "emoji": "👩‍👩‍👧‍👦 cache 🇰🇷 how? ❤️‍🔥",
    "right to left": "كيف أضبط ذاكرة Redis المؤقتة؟ \u202eeluj\u202c",
    "combining": "c\u0301a\u0300ch\u0327e " + "e\u0301" * 200,
    "unfinished Hangul": "ㅋㅋㅋ ㅠㅠ 캐쉬ㄱㄱ",
    "zero width": "ca\u200bche\u2060 \ufeffredis",
    "SQL": "'; DROP TABLE library_passage; -- \" OR 1=1 /* */ %s %(id)s $1 ::int",
    "LIKE": "%_\\% _",
    "regular expression": r"(((((.*)+)+)+)+$ [a-z]{1,99999} (?P<x>\d+)\1 ^\\",
    "tsquery": "a & b | !c <-> d:*",
    "template": "{{ 7*7 }} {% csrf_token %} ${x} #{y}",
    "vector": "[1,2,3]/4 {1:2}/3",
    "markup": "<script>alert(1)</script> [1] [99](javascript:x) `code",
    "names": "__init__ .. --- CACHES['default']['BACKEND'] a.b.c.d.e.f() @x #y $z",
    "numbers": "1e309 -0 NaN Infinity 0x7fffffff 18446744073709551616",
    "line breaks": "how\r\n\tdo\x0bI\x0c cache\u2028now\u2029?",
    "control characters": "cache\x01\x02\x07\x1b[31m redis",
    "one long word": "a" * (16 * KB),
    "long words": ("antidisestablishmentarianism " * 700)[: 16 * KB],
    "long Korean": ("캐시를설정하려면어떻게해야하나요 " * 400)[: 16 * KB // 3],
    "many different Korean words": " ".join(
        chr(0xAC00 + 37 * number) + chr(0xAC00 + 91 * number) for number in range(110)
    ),
    "long punctuation": "?" * (16 * KB),
    "long nesting": "(" * (8 * KB) + ")" * (8 * KB),
    "long dots": ("a." * (8 * KB))[: 16 * KB],
    "long underscores": ("a_" * (8 * KB))[: 16 * KB],
    "long capitals": ("aB" * (8 * KB))[: 16 * KB],
    "long backticks": "`" * (16 * KB),
    "long emoji": "👍🏽" * (2 * KB),
}


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch) -> None:
    monkeypatch.setattr(embeddings, "_questions", embeddings._Kept(100))
    monkeypatch.setattr(search_module, "_resting_until", {})
    monkeypatch.setattr(rerank, "_resting_until", {})


@pytest.fixture
def asked(transactional_db, make_collection) -> Collection:
    """The small library with its vectors, for answers, which search in threads of their own."""
    collection = make_collection("framework")
    index_lexical(collection)
    embed_missing(collection)
    return collection


def look(client: Client, question: str, slug: str = "framework"):
    return client.get(f"/api/v1/collections/{slug}/search/", {"q": question, "k": "3"})


def ask(client: Client, question: str, slug: str = "framework"):
    return client.post(
        "/api/v1/chats/",
        {"collection": slug, "text": question},
        content_type="application/json",
        headers={"Accept": "application/json"},
    )


def test_any_question_is_searched(shelf, alice_client, subtests):
    for name, question in QUESTIONS.items():
        with subtests.test(name):
            reply = look(alice_client, question)
            assert reply.status_code == 200, reply.content
            assert len(reply.json()["results"]) <= 3
            assert Collection.objects.filter(pk=shelf.pk).exists()


def test_any_question_is_searched_in_a_large_collection(shelf, alice_client, monkeypatch):
    monkeypatch.setattr(search_module, "EXACT_LIMIT", 0)  # now it is one, and its indexes are asked
    for name, question in QUESTIONS.items():
        assert look(alice_client, question).status_code == 200, name


def test_any_question_is_answered(asked, alice_client, subtests):
    for name, question in QUESTIONS.items():
        with subtests.test(name):
            reply = ask(alice_client, question)
            assert reply.status_code in {200, 201}, reply.content
            assert reply.json()["message"]["state"] == "complete"
            assert reply.json()["message"]["text"]


@pytest.mark.parametrize(
    ("question", "status"),
    [
        ("", 400),
        ("   \n\t ", 400),
        ("\x00cache", 400),
        ("a" * (16 * KB + 1), 413),
        ("캐" * (6 * KB), 413),
    ],
)
def test_what_is_no_question_is_refused(asked, alice_client, question, status):
    assert look(alice_client, question).status_code in {400, status}
    assert ask(alice_client, question).status_code == status


def test_half_a_character_is_refused(asked, alice_client):
    half = alice_client.post(
        "/api/v1/chats/",
        '{"collection": "framework", "text": "cache \\\\ud83d"}'.replace("\\\\", "\\"),
        content_type="application/json",
    )
    assert half.status_code == 400


@pytest.mark.parametrize("question", ["Redis cache backend", "레디스 캐시 설정", "?", "a"])
@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("has_vectors", [True, False])
def test_a_collection_may_be_empty_small_and_without_vectors(
    transactional_db, make_collection, alice_client, question, size, has_vectors
):
    collection = make_collection("small", PAGES[:size])
    index_lexical(collection)
    if has_vectors:
        embed_missing(collection)
    found = look(alice_client, question, "small")
    assert found.status_code == 200
    assert len(found.json()["results"]) <= size
    assert ask(alice_client, question, "small").status_code in {200, 201}


def test_a_collection_that_was_never_indexed_is_answered(
    transactional_db, make_collection, alice_client
):
    make_collection("raw")
    assert look(alice_client, "Redis", "raw").json()["results"] == []
    assert ask(alice_client, "Redis", "raw").status_code in {200, 201}


def scripted(settings, server: ScriptedModel, name: str) -> None:
    settings.EMBEDDING_BASE_URL = server.url
    settings.EMBEDDING_API_KEY = "test"
    settings.EMBEDDING_MODEL = name


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
@pytest.mark.parametrize("question", ["Redis cache backend", "레디스 캐시 설정"])
def test_an_embedding_endpoint_that_fails_costs_the_vectors(
    asked, alice_client, settings, model, status, question
):
    settings.CHAT_BASE_URL = ""
    scripted(settings, model, "mundap-1")
    model.refuse_embeddings(status)
    assert look(alice_client, question).status_code == 200
    assert ask(alice_client, question).json()["message"]["state"] == "complete"


@pytest.mark.parametrize("question", ["Redis cache backend", "Redis를 설정하려면?"])
def test_an_endpoint_that_answers_with_another_dimension_costs_the_vectors(
    asked, alice_client, settings, model, question
):
    settings.CHAT_BASE_URL = ""
    scripted(settings, model, "mundap-1")  # 896 numbers are stored by this name; these have 64
    found = look(alice_client, question)
    assert found.status_code == 200
    assert found.json()["results"]
    assert ask(alice_client, question).json()["message"]["state"] == "complete"


def test_vectors_of_two_lengths_under_one_name_are_not_mixed(asked, alice_client):
    first = Embedding.objects.filter(collection=asked).first()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE library_embedding SET vector = '[1,2,3]' WHERE id = %s", [first.pk])
    assert look(alice_client, "Redis cache backend").status_code == 200


def test_a_rerank_endpoint_that_talks_rubbish_costs_its_order(asked, alice_client, settings, model):
    settings.CHAT_BASE_URL = ""
    settings.RERANK_BASE_URL, settings.RERANK_MODEL = model.url, "reranker"
    model.answer_rerank(b'{"results": [{"index": 1e99}]}')
    assert look(alice_client, "Redis cache backend").json()["results"]
    assert ask(alice_client, "Redis cache backend").json()["message"]["state"] == "complete"
