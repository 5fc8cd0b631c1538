from django.db import migrations

# What an index of terms has for a passage: its dimensions, each under the last 32 bits of its collection's id, so that a
# term that is common on the shelf is looked up in one collection alone (`fusion.term_keys` has the same in Python).
_FUNCTION = """
CREATE FUNCTION passage_terms(collection uuid, lexical sparsevec) RETURNS bigint[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
    SELECT array_agg(('x' || right(collection::text, 8))::bit(32)::bigint << 30 | split_part(entry, ':', 1)::bigint)
    FROM unnest(string_to_array(btrim(split_part(lexical::text, '/', 1), '{}'), ',')) AS entry
$$
"""
# Without the list of pending entries, which every search would read through.
_INDEX = """
CREATE INDEX passage_terms ON library_passage USING gin (passage_terms(collection_id, lexical)) WITH (fastupdate = off)
"""
# By which passages that say the same are found: their vectors are the same, too.
_CONTENT_INDEX = "CREATE INDEX passage_content ON library_passage (content_hash)"


class Migration(migrations.Migration):
    dependencies = [
        ("library", "0001_initial"),
        ("retrieval", "0003_evaluations_and_models_in_turn"),
    ]

    operations = [
        migrations.RunSQL(
            _FUNCTION, "DROP FUNCTION passage_terms(collection uuid, lexical sparsevec)"
        ),
        migrations.RunSQL(_INDEX, "DROP INDEX passage_terms"),
        migrations.RunSQL(_CONTENT_INDEX, "DROP INDEX passage_content"),
        migrations.RunSQL("DROP INDEX IF EXISTS passage_lexical_hnsw", migrations.RunSQL.noop),
    ]
