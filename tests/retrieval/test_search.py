"""Search as an asker sees it: the right section first, whatever is missing."""

from __future__ import annotations

import random
import socket

import pytest
from django.db import connection

from mundap.library.models import Embedding
from mundap.retrieval import embeddings, indexes, terms
from mundap.retrieval import search as search_module
from mundap.retrieval.indexing import index_lexical
from mundap.retrieval.relevance import rank_texts
from mundap.retrieval.search import search
from mundap.retrieval.vectors import embed_missing
from tests.retrieval.conftest import PAGES, add_pages


def first(collection, *queries: str) -> str:
    return search(collection, queries, limit=3).passages[0].headings[-1]


@pytest.mark.parametrize(
    ("question", "heading"),
    [
        ("How do I use Redis as the cache backend?", "Redis"),
        ("insert many rows with bulk_create", "bulk_create()"),
        ("user.has_perm", "Permissions"),
        ("CACHES['default']", "Redis"),
    ],
)
def test_words_alone_find_the_section(words_only, question, heading):
    assert first(words_only, question) == heading
    assert search(words_only, [question], limit=1).passages[0].dense is None


@pytest.mark.parametrize(
    ("question", "heading"),
    [
        ("a user forgot the secret word to log in", "Passwords"),
        ("fetch what a foreign key points to without one more query", "select_related()"),
        ("비밀번호를 바꾸려면 어떻게 하나요?", "Passwords"),
        ("권한을 확인하려면?", "Permissions"),
        ("번역 파일은 어디에 있나요?", "Message files"),
        ("쿼리셋에서 한 번에 여러 행을 넣으려면", "bulk_create()"),
        ("레디스 캐시 설정", "Redis"),
    ],
)
def test_meaning_and_korean_find_the_section(shelf, question, heading):
    assert first(shelf, question) == heading


def test_a_passage_brings_what_a_citation_needs(shelf):
    result = search(shelf, ["Redis cache backend"], limit=2)
    best = result.passages[0]
    assert best.url == "https://docs.example.org/topics/cache.txt#redis"
    assert best.path == "topics/cache.txt"
    assert best.title == "The cache"
    assert best.headings == ("The cache", "Redis")
    assert best.text == PAGES[0][2]
    assert (best.start, best.end) == (0, len(best.text))
    assert len(result.passages) == 2
    assert best.score > result.passages[1].score
    assert best.dense is not None and best.dense > 0.3
    assert best.lexical > 0
    assert result.milliseconds > 0


def test_every_query_counts(shelf):
    result = search(shelf, ["How is it done?", "send e-mail with attachments"], limit=8)
    assert result.queries == ("How is it done?", "send e-mail with attachments")
    assert "Sending" in [one.headings[-1] for one in result.passages[:2]]


def test_one_query_without_words_finds_nothing_and_does_not_fail(words_only, settings):
    settings.EMBEDDING_BASE_URL = ""
    for query in ("?!", " ", "zxqv"):
        result = search(words_only, [query], limit=5)
        assert result.passages == ()
        assert not result.is_supported


def test_what_was_never_indexed_is_empty(make_collection):
    assert search(make_collection("new"), ["redis"], limit=5).passages == ()


def test_search_goes_on_while_the_endpoint_is_away(shelf, settings, caplog):
    settings.EMBEDDING_BASE_URL = "http://127.0.0.1:9/v1"
    assert first(shelf, "Redis cache backend") == "Redis"
    assert "model_unavailable" in caplog.text


def test_an_endpoint_that_hangs_is_waited_for_once(shelf, settings, monkeypatch):
    monkeypatch.setattr(embeddings, "QUESTION_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.EMBEDDING_BASE_URL = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        first_try = search(shelf, ["Redis cache backend"], limit=1)
        again = search(shelf, ["Redis cache backend"], limit=1)
    assert first_try.passages == again.passages
    assert first_try.milliseconds > 500 > again.milliseconds


def test_search_goes_on_while_vectors_are_missing(shelf):
    keep = Embedding.objects.filter(passage__headings__contains=["Sending"])
    Embedding.objects.exclude(pk__in=keep).delete()
    assert first(shelf, "Redis cache backend") == "Redis"


def test_other_collections_are_not_searched(shelf, make_collection):
    other = make_collection(
        "other", [("redis.txt", ["Redis"], "Redis cache backend, all about it.")]
    )
    index_lexical(other)
    embed_missing(other)
    found = search(shelf, ["Redis cache backend"], limit=20).passages
    assert {one.path for one in found} <= {path for path, _, _ in PAGES}


def test_the_same_text_is_shown_once(shelf):
    add_pages(shelf, [("copy.txt", ["Copied", "Redis"], PAGES[0][2])])
    index_lexical(shelf)
    embed_missing(shelf)
    texts = [one.text for one in search(shelf, ["Redis cache backend"], limit=20).passages]
    assert len(texts) == len(set(texts))


def test_release_notes_give_way_unless_they_are_asked_for(make_collection):
    said = "The cache backend for Redis"
    collection = make_collection(
        "notes",
        [
            ("releases/4.0.txt", ["Redis backend"], f"{said} is new in this release."),
            ("topics/redis.txt", ["Redis backend"], f"{said} is set up with its address."),
            *PAGES[2:],
        ],
    )
    index_lexical(collection)
    embed_missing(collection)
    assert (
        search(collection, ["Redis cache backend"], limit=1).passages[0].path.startswith("topics")
    )
    asked = search(collection, ["In which release came the new Redis cache backend?"], limit=1)
    assert asked.passages[0].path == "releases/4.0.txt"


def test_explanations_come_first_unless_a_name_is_asked_for(make_collection):
    said = "Rows are inserted in bulk"
    collection = make_collection(
        "kinds",
        [
            ("ref.txt", ["QuerySet", "bulk_create()"], f"{said}, bulk_create(objs)."),
            ("topics.txt", ["Inserting many rows"], f"{said}, in one query."),
            *PAGES[:4],
        ],
    )
    collection.passages.filter(document__path="ref.txt").update(kind="definition")
    index_lexical(collection)
    embed_missing(collection)
    assert first(collection, "inserting rows in bulk") == "Inserting many rows"
    assert first(collection, "what arguments does bulk_create() take") == "bulk_create()"


def test_korean_questions_about_korean_documents_stay_korean(make_collection):
    collection = make_collection(
        "korean",
        [
            ("a.txt", ["설정"], "기본값은 설정 파일에서 바꾸고, 서버를 다시 시작합니다."),
            ("b.txt", ["Settings"], "Default values are changed in the settings file."),
        ],
    )
    index_lexical(collection)
    embed_missing(collection)
    assert first(collection, "기본값은 어디서 바꾸나요? 설정 파일") == "설정"


@pytest.mark.django_db(transaction=True)
def test_a_small_collection_beside_a_large_one_finds_its_passages(make_collection, monkeypatch):
    """The indexes cover all collections: near the question lie 300 passages of another one."""
    monkeypatch.setattr(search_module, "EXACT_LIMIT", 4)
    rng = random.Random(7)  # noqa: S311
    words = [
        "redis",
        "cache",
        "backend",
        "server",
        "page",
        "key",
        "value",
        "timeout",
        "pickle",
        "cluster",
    ]
    large = make_collection(
        "large",
        [
            (f"{n}.txt", ["Redis cache"], " ".join(rng.choices(words, k=12)) + f" {n}")
            for n in range(300)
        ],
    )
    small = make_collection("small")
    for collection in (large, small):
        index_lexical(collection)
        embed_missing(collection)
    indexes.make_search_indexes(at_least=1)
    indexes.make_search_indexes(at_least=1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_indexes WHERE indexname LIKE '%_hnsw%'")
        assert cursor.fetchone() == (1,)
        cursor.execute("SET enable_seqscan = off")
    found = search(small, ["Redis cache backend"], limit=20).passages
    assert len(found) == len(PAGES)
    assert found[0].headings[-1] == "Redis"


@pytest.mark.parametrize("question", ["has_perm Redis", "the cache", "비밀번호 변경", "zxqv"])
def test_a_large_collection_is_searched_by_its_rare_words(words_only, monkeypatch, question):
    exact = search(words_only, [question], limit=20).passages
    monkeypatch.setattr(search_module, "EXACT_LIMIT", 0)
    assert search(words_only, [question], limit=20).passages == exact


def test_what_has_only_the_common_words_gives_way(words_only, monkeypatch):
    """The cache has two passages, Redis one: with room for one, the other passage about the cache is not looked at."""
    monkeypatch.setattr(search_module, "EXACT_LIMIT", 0)
    monkeypatch.setattr(terms, "MANY_CANDIDATES", 1)
    found = search(words_only, ["cache Redis"], limit=20).passages
    assert [one.headings[-1] for one in found] == ["Redis"]


class TestSupport:
    @pytest.mark.parametrize(
        "question",
        [
            "How do I use Redis as the cache backend?",
            "bulk_create",
            "비밀번호를 바꾸려면 어떻게 하나요?",
        ],
    )
    def test_what_the_documents_say_is_supported(self, shelf, question):
        assert search(shelf, [question], limit=5).is_supported

    @pytest.mark.parametrize(
        "question", ["What is the capital of France?", "A good recipe for kimchi stew, please"]
    )
    def test_what_they_do_not_say_is_not(self, shelf, question):
        result = search(shelf, [question], limit=5)
        assert not result.is_supported
        assert result.support < 1

    @pytest.mark.parametrize("question", ["a", "the of and", "?!", "은 는 이 가", "🙂", "מה"])
    def test_what_asks_for_nothing_is_not(self, shelf, question):
        assert not search(shelf, [question], limit=5).is_supported

    def test_a_setting_that_they_do_not_have_is_not(self, shelf):
        assert search(shelf, ["Redis cache CACHES"], limit=5).is_supported
        assert not search(shelf, ["Redis cache CHANNEL_LAYERS"], limit=5).is_supported

    def test_a_name_that_they_do_not_have_is_not(self, shelf):
        assert search(shelf, ["How do I use Redis as the cache backend?"], limit=5).is_supported
        assert not search(shelf, ["How do I use Kubernetes with Istio?"], limit=5).is_supported

    @pytest.mark.parametrize("question", ["redis", "캐시", "권한", "passwords"])
    def test_short_questions_are_no_less_supported(self, shelf, question):
        assert search(shelf, [question], limit=5).is_supported

    def test_a_question_that_repeats_itself_is_judged_all_the_same(self, shelf):
        assert not search(shelf, ["kubernetes ingress " * 100], limit=5).is_supported

    def test_it_is_judged_on_the_best_of_the_queries(self, shelf):
        assert search(shelf, ["And that?", "Redis as the cache backend"], limit=5).is_supported


def test_the_texts_that_fit_best_rank_first():
    texts = [
        "Mail is sent with send_mail().",
        "Set the address of the Redis server in CACHES.",
        "Indexes make sorting faster.",
    ]
    scores = rank_texts("Where do I set the Redis server for the cache?", texts)
    assert scores[1] == max(scores)
    assert rank_texts("anything", []) == []


def test_texts_are_ranked_by_words_while_the_endpoint_is_away(settings):
    settings.EMBEDDING_BASE_URL = "http://127.0.0.1:9/v1"
    scores = rank_texts("Redis server", ["no such thing", "the Redis server"])
    assert scores[1] > scores[0]
