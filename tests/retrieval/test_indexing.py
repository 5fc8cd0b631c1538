"""Indexing works off what is missing, whatever happened before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from mundap.errors import ModelError, ModelUnavailable
from mundap.library.models import Collection, Embedding, Passage
from mundap.retrieval import lexical
from mundap.retrieval.indexing import index_lexical, list_unindexed
from mundap.retrieval.models import Term
from mundap.retrieval.search import search
from mundap.retrieval.tasks import fill_vectors
from mundap.retrieval.vectors import embed_missing, embedding_progress
from tests.retrieval.conftest import PAGES, add_pages


def frequency(collection: Collection, text: str) -> int | None:
    return (
        Term.objects.filter(collection=collection, text=text)
        .values_list("frequency", flat=True)
        .first()
    )


def test_each_passage_is_indexed_once(make_collection):
    collection = make_collection("framework")
    assert list_unindexed() == [collection]
    told: list[tuple[int, int]] = []
    assert index_lexical(collection, lambda done, total: told.append((done, total))) == len(PAGES)
    assert told[-1] == (len(PAGES), len(PAGES))
    assert index_lexical(collection) == 0
    assert not Passage.objects.filter(lexical=None).exists()
    assert frequency(collection, "cach") == 2
    assert frequency(collection, "bulk_create") == 1


def test_frequencies_follow_passages_that_come_and_go(words_only):
    add_pages(words_only, [("new.txt", ["New"], "Another word about the cache.")])
    assert index_lexical(words_only) == 1
    assert frequency(words_only, "cach") == 3
    Passage.objects.filter(document__path="topics/cache.txt").delete()
    assert index_lexical(words_only) == 0
    assert frequency(words_only, "cach") == 1
    assert frequency(words_only, "redi") is None


def test_a_newer_analyser_indexes_again(words_only):
    assert list_unindexed() == []
    Passage.objects.update(lexical_version=lexical.ANALYSER_VERSION - 1)
    assert list_unindexed() == [words_only]
    assert index_lexical(words_only) == len(PAGES)


def test_collections_do_not_share_frequencies(words_only, make_collection):
    other = make_collection("other", PAGES[:1])
    index_lexical(other)
    assert frequency(other, "cach") == 1
    assert frequency(words_only, "cach") == 2


@pytest.mark.django_db(transaction=True)
def test_two_workers_share_the_work(make_collection):
    pages = [(f"{n}.txt", ["Page"], f"Page number {n} about caching.") for n in range(1500)]
    collection = make_collection("large", pages)

    def work(_: int) -> int:
        try:
            return index_lexical(collection)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(work, range(2))) == len(pages)
    assert frequency(collection, "cach") == len(pages)


def test_vectors_are_filled_in_once(words_only):
    assert embedding_progress(words_only).done == 0
    told: list[tuple[int, int]] = []
    assert embed_missing(words_only, lambda done, total: told.append((done, total))) == len(PAGES)
    assert told[-1] == (len(PAGES), len(PAGES))
    assert embedding_progress(words_only).is_complete
    assert embed_missing() == 0


def test_a_stopped_run_goes_on(words_only):
    assert embed_missing(words_only, should_stop=lambda: True) == 0
    assert embed_missing(words_only) == len(PAGES)


def test_only_new_passages_are_embedded(shelf):
    add_pages(shelf, [("new.txt", ["New"], "Something else.")])
    assert embed_missing(shelf) == 1


def test_what_was_embedded_before_is_not_embedded_again(shelf, make_collection, model, settings):
    later = make_collection("later", [*PAGES[:5], ("new.txt", ["New"], PAGES[5][2])])
    settings.EMBEDDING_BASE_URL = model.url
    index_lexical(later)
    assert embed_missing(later) == 6
    # the same text, but under another heading; and the one word that no other collection has
    assert model.embedded == ["new", f"New\n{PAGES[5][2]}"]
    first, second = Embedding.objects.filter(passage__text=PAGES[0][2])
    assert first.vector == second.vector


def test_another_model_fills_in_its_own_vectors(shelf, model, settings):
    settings.EMBEDDING_BASE_URL = model.url
    settings.EMBEDDING_MODEL = "embedder"
    assert embedding_progress(shelf).done == 0
    assert embed_missing(shelf) == len(PAGES)
    assert any("Redis" in text for text in model.embedded)
    assert Embedding.objects.filter(collection=shelf).count() == 2 * len(PAGES)
    assert search(shelf, ["bulk_create"], limit=1).passages[0].headings[-1] == "bulk_create()"


def test_an_endpoint_that_is_away_is_an_error_that_can_be_tried_again(words_only, settings):
    settings.EMBEDDING_BASE_URL = "http://127.0.0.1:9/v1"
    with pytest.raises(ModelUnavailable) as caught:
        embed_missing(words_only)
    assert caught.value.is_retryable
    assert embedding_progress(words_only).done == 0


def test_the_worker_says_once_why_vectors_wait(words_only, settings, caplog):
    settings.EMBEDDING_BASE_URL = "http://127.0.0.1:9/v1"
    fill_vectors()
    fill_vectors()
    assert caplog.text.count("Vectors wait") == 1


def test_a_wrong_key_is_an_error(words_only, settings):
    settings.EMBEDDING_API_KEY = "wrong"
    with pytest.raises(ModelError):
        embed_missing(words_only)


def test_without_an_endpoint_there_is_nothing_to_do(words_only, settings):
    settings.EMBEDDING_BASE_URL = ""
    assert embed_missing() == 0


@pytest.mark.django_db(transaction=True)
def test_two_workers_embed_a_collection_once(make_collection):
    collection = make_collection("framework")
    index_lexical(collection)

    def work(_: int) -> int:
        try:
            return embed_missing(collection)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(work, range(2))) == len(PAGES)
    assert embedding_progress(collection).is_complete
