"""Another embedding model: the one before answers until the new one has read everything, and then goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from mundap.library.models import Collection, Embedding
from mundap.retrieval import embeddings, indexes, vectors
from mundap.retrieval import search as search_module
from mundap.retrieval.indexing import index_lexical
from mundap.retrieval.models import LexicalIndex, Term
from mundap.retrieval.search import search
from mundap.retrieval.vectors import embed_missing, embedding_progress
from tests.retrieval.conftest import PAGES, add_pages
from tests.scripted_model import ScriptedModel

QUESTION = "bulk_create many rows"


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch) -> None:
    monkeypatch.setattr(embeddings, "_questions", embeddings._Kept(100))
    monkeypatch.setattr(search_module, "_resting_until", {})


@pytest.fixture(scope="module")
def _wide_server() -> Iterator[ScriptedModel]:
    with ScriptedModel(dimensions=96) as server:
        yield server


@pytest.fixture
def wide(_wide_server: ScriptedModel) -> ScriptedModel:
    """A second endpoint, whose vectors have another length."""
    _wide_server.reset()
    return _wide_server


@pytest.fixture
def narrow(model: ScriptedModel, settings, words_only: Collection) -> ScriptedModel:
    """The endpoint that the collection's vectors are by."""
    use(settings, model, "narrow")
    embed_missing(words_only)
    model.embedded.clear()
    return model


@pytest.fixture
def changed(narrow: ScriptedModel, wide: ScriptedModel, settings) -> Iterator[ScriptedModel]:
    """The settings name the second endpoint, and the first one as the one before."""
    settings.EMBEDDING_PREVIOUS_BASE_URL = narrow.url
    settings.EMBEDDING_PREVIOUS_API_KEY = "test"
    settings.EMBEDDING_PREVIOUS_MODEL = "narrow"
    use(settings, wide, "wide")
    return wide


def use(settings, server: ScriptedModel, model: str) -> None:
    settings.EMBEDDING_BASE_URL = server.url
    settings.EMBEDDING_API_KEY = "test"
    settings.EMBEDDING_MODEL = model


def models(collection: Collection) -> dict[str, int]:
    rows = Embedding.objects.filter(collection=collection).values_list("model", flat=True)
    return {name: list(rows).count(name) for name in set(rows)}


def answering(collection: Collection) -> str:
    return LexicalIndex.objects.get(pk=collection.pk).answering_model


def let_a_minute_pass(collection: Collection) -> None:
    index = LexicalIndex.objects.filter(pk=collection.pk)
    index.update(embedding_since=timezone.now() - timedelta(minutes=2))


def dense(collection: Collection, question: str = QUESTION) -> list[float | None]:
    return [one.dense for one in search(collection, [question], limit=3).passages]


def test_the_model_before_answers_until_the_new_one_is_complete(
    words_only, narrow, changed, monkeypatch
):
    before = dense(words_only)
    assert None not in before
    assert QUESTION in narrow.embedded
    assert changed.embedded == []
    # a few passages of the new model are there, then the worker is stopped
    monkeypatch.setattr(vectors, "VECTOR_BATCH", 3)
    seen: list[list[float | None]] = []

    def stop() -> bool:
        seen.append(dense(words_only))
        return models(words_only).get("wide", 0) >= 3

    embed_missing(words_only, should_stop=stop)
    assert models(words_only) == {"narrow": len(PAGES), "wide": 3}
    assert answering(words_only) == "narrow"
    assert seen
    assert all(scores == before for scores in seen)


def test_then_the_new_one_answers_and_the_old_rows_go(words_only, narrow, changed):
    assert embed_missing(words_only) == len(PAGES)
    assert answering(words_only) == "wide"
    narrow.embedded.clear()
    assert None not in dense(words_only)
    assert narrow.embedded == []
    # searches that had begun may still want the old ones for a while
    embed_missing(words_only)
    assert models(words_only) == {"narrow": len(PAGES), "wide": len(PAGES)}
    let_a_minute_pass(words_only)
    embed_missing(words_only)
    assert models(words_only) == {"wide": len(PAGES)}
    assert embed_missing(words_only) == 0


def test_the_words_of_the_collection_change_over_with_it(words_only, narrow, changed):
    vectors = Term.objects.filter(collection=words_only, vector__isnull=False)
    count = vectors.filter(model="narrow").count()
    assert count
    embed_missing(words_only, should_stop=lambda: models(words_only).get("wide", 0) > 0)
    assert vectors.filter(model="narrow").count() == count
    embed_missing(words_only)
    assert vectors.filter(model="wide", coming_vector=None).count() == count
    assert {len(one.vector) for one in vectors} == {96}


def test_collections_change_over_one_by_one(words_only, narrow, wide, settings, make_collection):
    other = make_collection("other", PAGES[:2])
    index_lexical(other)
    embed_missing(other)
    settings.EMBEDDING_PREVIOUS_BASE_URL = narrow.url
    settings.EMBEDDING_PREVIOUS_MODEL = "narrow"
    use(settings, wide, "wide")
    embed_missing(other)
    assert (answering(words_only), answering(other)) == ("narrow", "wide")
    assert None not in dense(words_only) + dense(other)


def test_a_change_that_is_taken_back_leaves_nothing(words_only, narrow, changed, settings):
    embed_missing(words_only, should_stop=lambda: models(words_only).get("wide", 0) > 0)
    use(settings, narrow, "narrow")
    let_a_minute_pass(words_only)
    embed_missing(words_only)
    assert models(words_only) == {"narrow": len(PAGES)}
    assert not Term.objects.exclude(coming_model="").exists()
    assert answering(words_only) == "narrow"


def test_without_the_old_endpoint_the_new_vectors_answer_as_far_as_they_are(
    words_only, narrow, changed, settings
):
    embed_missing(words_only, should_stop=lambda: models(words_only).get("wide", 0) > 0)
    settings.EMBEDDING_PREVIOUS_BASE_URL = "http://127.0.0.1:9/v1"
    found = search(words_only, [QUESTION], limit=3)
    assert found.passages[0].headings[-1] == "bulk_create()"
    changed.refuse_embeddings(503)
    assert search(words_only, ["bulk_create rows"], limit=1).passages


def test_the_same_endpoint_may_have_both_models(words_only, narrow, settings):
    settings.EMBEDDING_MODEL = "another"
    assert None not in dense(words_only)
    assert answering(words_only) == "narrow"


def test_what_is_added_meanwhile_is_read_by_the_new_model(words_only, narrow, changed):
    add_pages(words_only, [("new.txt", ["New"], "Something else about zebras.")])
    index_lexical(words_only)
    assert search(words_only, ["zebras"], limit=1).passages[0].path == "new.txt"
    embed_missing(words_only)
    assert embedding_progress(words_only).is_complete
    assert answering(words_only) == "wide"


@pytest.fixture
def index_names(transactional_db) -> Iterator[Callable[[], list[str]]]:
    """Gives the names of the vectors' indexes; all are dropped in the end."""

    def names(pattern: str = "embedding_hnsw_%") -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT indexname FROM pg_indexes WHERE indexname LIKE %s", [pattern])
            return [name for (name,) in cursor.fetchall()]

    yield names
    with connection.cursor() as cursor:
        for name in names("%hnsw%"):
            cursor.execute(f"DROP INDEX {name}")


def test_the_old_index_goes_with_its_vectors(index_names, words_only, narrow, changed, monkeypatch):
    before = set(index_names())  # other tests'
    monkeypatch.setattr(indexes.make_search_indexes, "__kwdefaults__", {"at_least": 1})
    embed_missing(words_only)
    (new,) = set(index_names()) - before
    let_a_minute_pass(words_only)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE INDEX embedding_hnsw_old ON library_embedding USING hnsw"
            " ((vector::halfvec(64)) halfvec_ip_ops) WHERE model = 'narrow' AND vector_dims(vector) = 64"
        )
    embed_missing(words_only)
    assert index_names() == [new]


def test_a_question_is_embedded_once(words_only, narrow):
    for _ in range(3):
        dense(words_only)
    assert narrow.embedded.count(QUESTION) == 1
    assert None not in dense(words_only)


def test_other_models_and_endpoints_have_questions_of_their_own(words_only, narrow, wide, settings):
    dense(words_only)
    assert len(embeddings.embed_questions([QUESTION], model="narrow")[0]) == 64
    use(settings, wide, "narrow")
    assert len(embeddings.embed_questions([QUESTION], model="narrow")[0]) == 96


def test_kept_questions_are_few_and_without_their_text():
    kept = embeddings._Kept(2)
    kept.keep({b"a": [1.0], b"b": [2.0]})
    kept.get([b"a"])
    kept.keep({b"c": [3.0]})
    assert kept.get([b"a", b"b", b"c"]) == {b"a": [1.0], b"c": [3.0]}
    endpoint = embeddings.Endpoint("http://x", "", "m")
    assert b"secret" not in embeddings._digest(endpoint, "secret")


def test_a_failed_embedding_is_not_kept(words_only, narrow):
    narrow.refuse_embeddings(400)
    assert dense(words_only, "a new question about rows")[0] is None
    narrow.refuse_embeddings(200)
    assert dense(words_only, "a new question about rows")[0] is not None
