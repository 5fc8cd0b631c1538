"""Fills in the words that search finds passages by: their lexical vectors, and the terms of their collection.

It works off what is missing, as `vectors` does: it can be stopped at any moment, run again, and run by two workers at
once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from mundap.library.models import Collection, Passage
from mundap.retrieval import lexical
from mundap.retrieval.models import LexicalIndex, Term
from mundap.retrieval.transliteration import sound_of_english

Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are."""

LEXICAL_BATCH = 1_000


def list_unindexed() -> list[Collection]:
    """Return the collections that `index_lexical` has work in: new passages, a newer analyser, counts out of date."""
    has_waiting = _waiting().filter(collection=OuterRef("pk"))
    is_stale = LexicalIndex.objects.filter(collection=OuterRef("pk"), is_stale=True)
    return list(
        Collection.objects.filter(Exists(has_waiting) | Exists(is_stale)).order_by("created_at")
    )


def index_lexical(collection: Collection, progress: Progress | None = None) -> int:
    """Fill the lexical vectors of new passages, count the collection's terms, and return how many were filled."""
    waiting = _waiting().filter(collection=collection)
    total, done = waiting.count(), 0
    index, _ = LexicalIndex.objects.get_or_create(collection=collection)
    while filled := _fill_lexical(collection, waiting):
        done += filled
        if progress:
            progress(done, max(total, done))
    index.refresh_from_db()
    if index.is_stale or index.passages != Passage.objects.filter(collection=collection).count():
        _count_terms(collection)
    return done


def _waiting() -> QuerySet[Passage]:
    return Passage.objects.exclude(lexical__isnull=False, lexical_version=lexical.ANALYSER_VERSION)


@transaction.atomic
def _fill_lexical(collection: Collection, waiting: QuerySet[Passage]) -> int:
    # A locked passage is another worker's; together they finish sooner.
    rows = list(
        waiting.select_for_update(skip_locked=True, of=("self",)).values_list(
            "id", "headings", "text"
        )[:LEXICAL_BATCH]
    )
    if not rows:
        return 0
    vectors: list[str] = []
    forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
    words: set[str] = set()
    for _, headings, text in rows:
        weights, terms = lexical.document_vector(headings, text)
        vectors.append(lexical.as_sparsevec(weights))
        for term in terms:
            forms[term.text][term.surface.lower()] += 1
            if term.is_word:
                words.add(term.text)
    LexicalIndex.objects.filter(collection=collection).update(is_stale=True)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE library_passage SET lexical = new.lexical::sparsevec, lexical_version = %s"
            " FROM unnest(%s::uuid[], %s::text[]) AS new(id, lexical) WHERE library_passage.id = new.id",
            [lexical.ANALYSER_VERSION, [row[0] for row in rows], vectors],
        )
    _add_terms(
        collection, {text: counts.most_common(1)[0][0] for text, counts in forms.items()}, words
    )
    return len(rows)


def _add_terms(collection: Collection, surfaces: dict[str, str], words: set[str]) -> None:
    # In the order of their dimensions: two workers that add the same terms must not lock each other out.
    terms = sorted(
        (lexical.term_id(text), text, surface, text in words, _sound(surface))
        for text, surface in surfaces.items()
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO retrieval_term (collection_id, dimension, text, surface, is_word, sound, frequency, model)"
            " SELECT %s, new.*, 0, '' FROM unnest(%s::int[], %s::text[], %s::text[], %s::bool[], %s::text[]) AS new"
            " ON CONFLICT DO NOTHING",
            [collection.pk, *(list(column) for column in zip(*terms, strict=True))],
        )


def _sound(surface: str) -> str:
    if surface.isascii() and surface.isalpha() and 3 <= len(surface) <= 40:
        return sound_of_english(surface)
    return ""


@transaction.atomic
def _count_terms(collection: Collection) -> None:
    """Count anew in how many passages each term stands; terms of no passage are removed."""
    index = LexicalIndex.objects.select_for_update().get(collection=collection)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE retrieval_term SET frequency = coalesce(counted.passages, 0)
            FROM retrieval_term AS term LEFT JOIN (
                SELECT split_part(entry, ':', 1)::int AS dimension, count(*) AS passages
                FROM library_passage,
                    unnest(string_to_array(btrim(split_part(lexical::text, '/', 1), '{}'), ',')) AS entry
                WHERE collection_id = %(collection)s AND lexical IS NOT NULL GROUP BY 1
            ) AS counted USING (dimension)
            WHERE term.collection_id = %(collection)s AND term.id = retrieval_term.id
                AND term.frequency IS DISTINCT FROM coalesce(counted.passages, 0)
            """,
            {"collection": collection.pk},
        )
    Term.objects.filter(collection=collection, frequency=0).delete()
    index.passages = Passage.objects.filter(collection=collection, lexical__isnull=False).count()
    index.is_stale = False
    index.save()
