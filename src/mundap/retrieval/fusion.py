"""Dense and lexical candidates of one collection, fused in the database in one statement.

Each query brings its nearest passages by vector and its best by BM25. For all of them both scores are computed, set on
one scale (standardised over the candidates) and summed; with several queries a passage has its mean. The opening of its
page speaks for a passage, too. Release notes give way to pages that say how things are, definitions to explanations
where no name was asked for, and of passages with the same text the best stays. The measurements behind it are in
docs/decisions/fusion.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from mundap.retrieval import lexical
from mundap.retrieval.embeddings import Vector

CANDIDATES = 100  # of each kind and query
DENSE_WEIGHT = 1.0
LEXICAL_WEIGHT = 0.75
OPENING_WEIGHT = 0.4  # of the closeness of the page's first passage: what the page is about
RELEASE_NOTES_LOSS = 0.8  # unless the question is about releases
DEFINITION_LOSS = 0.4  # unless the question has a name in it
NAMED_GAIN = 1.0  # of a section headed by a name whose definition is asked for


@dataclass(frozen=True, slots=True)
class Probe:
    """One query in the form the database takes: its BM25 weights by dimension, and its vector where there is one.

    `rare` are the dimensions by which the index of terms is asked for candidates.
    """

    weights: Mapping[int, float]
    rare: Sequence[int] = ()
    vector: Vector | None = None
    is_reading: bool = False  # the query before it in other words: BM25 has looked for it already


def statement(
    collection: UUID,
    probes: Sequence[Probe],
    *,
    model: str,
    limit: int,
    is_exact: bool,
    is_about_releases: bool = False,
    names: Collection[str] = (),
    is_about_definition: bool = False,
) -> tuple[str, dict[str, Any]]:
    """Return the SQL and its parameters: rows of passage and document fields with scores, best first.

    `names` are those of the question, in lower case and without what stands before their last dot.
    """
    dimensions = len(probes[0].vector) if probes and probes[0].vector else 0
    parameters: dict[str, Any] = {
        "collection": collection,
        "model": model,
        "limit": limit,
        "release_notes": _RELEASE_NOTES,
        "release_notes_loss": 0.0 if is_about_releases else RELEASE_NOTES_LOSS,
        "definition_loss": 0.0 if names else DEFINITION_LOSS,
        "names": list(names) if is_about_definition else [],
    }
    rows = []
    for number, probe in enumerate(probes):
        parameters[f"sparse{number}"] = lexical.as_sparsevec(probe.weights)
        parameters[f"terms{number}"] = term_keys(collection, probe.rare)
        parameters[f"dense{number}"] = as_text(probe.vector) if probe.vector else None
        looks = "false" if probe.is_reading else "true"
        rows.append(
            f"({number}, %(sparse{number})s::sparsevec, %(terms{number})s::bigint[],"
            f" %(dense{number})s::halfvec, {looks})"
        )
    dense = (
        f"embedding.vector::halfvec({dimensions}) <#> asked.dense" if dimensions else "NULL::float"
    )
    opening = (
        f"opening.vector::halfvec({dimensions}) <#> asked.dense" if dimensions else "NULL::float"
    )
    join = _EMBEDDING_JOIN.format(dimensions=dimensions) if dimensions else ""
    finders = [_LEXICAL_EXACT if is_exact else _LEXICAL_BY_INDEX]
    if dimensions:
        finder = _DENSE_EXACT if is_exact else _DENSE_BY_INDEX
        finders.append(finder.format(dimensions=dimensions))
    sql = _STATEMENT.format(
        rows=", ".join(rows),
        finders=" UNION ALL ".join(finders),
        dense=dense,
        opening=opening,
        embedding=join,
    )
    return sql, parameters


def term_keys(collection: UUID, dimensions: Collection[int]) -> list[int]:
    """Return the terms as the index has them: those of a collection are apart from all others'.

    The migration that makes the index has the same in SQL (`passage_terms`).
    """
    return [(collection.int & 0xFFFFFFFF) << 30 | dimension for dimension in dimensions]


def as_text(vector: Sequence[float]) -> str:
    """Return pgvector's text form of a vector."""
    return "[" + ",".join(f"{number:.5g}" for number in vector) + "]"


_RELEASE_NOTES = (
    r"(^|/)(releases?|release-?notes|whats-?new|change-?logs?|changes|news|history)(/|\.|$)"
)

# ruff: noqa: S608 - what is put into the text is numbers and pieces of this file; values are parameters
# OFFSET 0 keeps the planner from walking an index of all collections, which may meet none of this one's passages.
_LEXICAL_EXACT = f"""
    (SELECT id FROM (
        SELECT id, lexical <#> asked.sparse AS distance FROM library_passage
        WHERE asked.looks AND collection_id = %(collection)s AND lexical IS NOT NULL OFFSET 0
    ) AS matched WHERE distance < 0 ORDER BY distance LIMIT {CANDIDATES})"""
_LEXICAL_BY_INDEX = f"""
    (SELECT id FROM (
        SELECT id, lexical <#> asked.sparse AS distance FROM library_passage
        WHERE asked.looks AND collection_id = %(collection)s AND passage_terms(collection_id, lexical) && asked.terms
        OFFSET 0
    ) AS matched WHERE distance < 0 ORDER BY distance LIMIT {CANDIDATES})"""
_DENSE_EXACT = f"""
    (SELECT passage_id FROM (
        SELECT passage_id, vector::halfvec({{dimensions}}) <#> asked.dense AS distance FROM library_embedding
        WHERE collection_id = %(collection)s AND model = %(model)s AND vector_dims(vector) = {{dimensions}} OFFSET 0
    ) AS near ORDER BY distance LIMIT {CANDIDATES})"""
_DENSE_BY_INDEX = f"""
    (SELECT passage_id FROM library_embedding
        WHERE collection_id = %(collection)s AND model = %(model)s AND vector_dims(vector) = {{dimensions}}
        ORDER BY vector::halfvec({{dimensions}}) <#> asked.dense LIMIT {CANDIDATES})"""
_EMBEDDING_JOIN = """
    LEFT JOIN library_embedding AS embedding ON embedding.passage_id = passage.id
        AND embedding.model = %(model)s AND vector_dims(embedding.vector) = {dimensions}
    LEFT JOIN library_passage AS first ON first.document_id = passage.document_id AND first.position = 0
    LEFT JOIN library_embedding AS opening ON opening.passage_id = first.id
        AND opening.model = %(model)s AND vector_dims(opening.vector) = {dimensions}"""
# What the passage's heading names: "QuerySet.get_or_create()" and "@functools.cache()" end in it.
_LAST_NAME = r"lower(substring(passage.headings[cardinality(passage.headings)] from '^@?(?:\w+\.)*(\w+)(?:\(.*)?$'))"
# For a vector that is still missing BM25 stands in: counted as average, such a passage would be pushed aside by others.
_STATEMENT = f"""
WITH asked(number, sparse, terms, dense, looks) AS (VALUES {{rows}}),
found AS (
    SELECT DISTINCT candidate.id FROM asked CROSS JOIN LATERAL ({{finders}}) AS candidate(id)
),
scored AS (
    SELECT passage.id, asked.number, -(passage.lexical <#> asked.sparse) AS lexical, -({{dense}}) AS dense,
        -({{opening}}) AS opening
    FROM found JOIN library_passage AS passage USING (id) CROSS JOIN asked {{embedding}}
),
standard AS (
    SELECT id, number, lexical, dense,
        coalesce((lexical - avg(lexical) OVER query) / nullif(stddev_pop(lexical) OVER query, 0), 0) AS lexical_z,
        (dense - avg(dense) OVER query) / nullif(stddev_pop(dense) OVER query, 0) AS dense_z,
        coalesce((opening - avg(opening) OVER query) / nullif(stddev_pop(opening) OVER query, 0), 0) AS opening_z
    FROM scored WINDOW query AS (PARTITION BY number)
),
fused AS (
    SELECT id,
        avg({LEXICAL_WEIGHT} * lexical_z + {DENSE_WEIGHT} * coalesce(dense_z, lexical_z)
            + {OPENING_WEIGHT} * opening_z) AS score,
        array_agg(coalesce(lexical, 0) ORDER BY number) AS lexical, array_agg(dense ORDER BY number) AS dense
    FROM standard GROUP BY id
),
weighed AS (
    SELECT fused.id, fused.lexical, fused.dense, md5(passage.text) AS digest,
        score - CASE WHEN document.path ~* %(release_notes)s THEN %(release_notes_loss)s ELSE 0 END
            - CASE WHEN passage.kind = 'definition' THEN %(definition_loss)s ELSE 0 END
            + CASE WHEN {_LAST_NAME} = ANY(%(names)s::text[]) THEN {NAMED_GAIN} ELSE 0 END AS score
    FROM fused JOIN library_passage AS passage USING (id)
        JOIN library_document AS document ON document.id = passage.document_id
),
best AS (
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY digest ORDER BY score DESC, id) AS occurrence FROM weighed
    ) AS ranked WHERE occurrence = 1 ORDER BY score DESC, id LIMIT %(limit)s
)
SELECT passage.id, passage.document_id, document.path, document.title, document.url, passage.anchor,
    passage.headings, passage.kind, passage.position, passage.text, passage.start, passage."end", passage.content_hash,
    best.score, best.lexical, best.dense
FROM best JOIN library_passage AS passage USING (id)
    JOIN library_document AS document ON document.id = passage.document_id
ORDER BY best.score DESC, passage.id
"""
