from django.db import migrations, models
from pgvector.django import HalfVectorField

# Collections that have vectors already are answered by the model that most of them are by.
_NOTE_MODELS = """
UPDATE retrieval_lexicalindex SET embedding_model = counted.model, embedding_since = now()
FROM (
    SELECT DISTINCT ON (collection_id) collection_id, model FROM (
        SELECT collection_id, model, count(*) AS vectors FROM library_embedding GROUP BY collection_id, model
    ) AS each ORDER BY collection_id, vectors DESC
) AS counted WHERE counted.collection_id = retrieval_lexicalindex.collection_id
"""


class Migration(migrations.Migration):
    dependencies = [
        ("library", "0001_initial"),
        ("retrieval", "0002_term_with_vector"),
    ]

    operations = [
        migrations.AddField(
            "lexicalindex",
            "embedding_model",
            models.CharField(blank=True, default="", max_length=200),
            preserve_default=False,
        ),
        migrations.AddField("lexicalindex", "embedding_since", models.DateTimeField(null=True)),
        migrations.AddField(
            "term", "coming_model", models.CharField(blank=True, db_default="", max_length=200)
        ),
        migrations.AddField("term", "coming_vector", HalfVectorField(null=True)),
        migrations.CreateModel(
            name="EvaluationRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="when")),
                ("file", models.CharField(max_length=255, verbose_name="questions")),
                ("digest", models.CharField(editable=False, max_length=64)),
                ("version", models.CharField(max_length=50, verbose_name="version")),
                ("commit", models.CharField(blank=True, max_length=50, verbose_name="commit")),
                (
                    "embedding_model",
                    models.CharField(blank=True, max_length=200, verbose_name="embedding model"),
                ),
                (
                    "rerank_model",
                    models.CharField(blank=True, max_length=200, verbose_name="rerank model"),
                ),
                (
                    "chat_model",
                    models.CharField(blank=True, max_length=200, verbose_name="chat model"),
                ),
                ("settings", models.JSONField(default=dict)),
                ("results", models.JSONField(default=dict)),
                ("seconds", models.FloatField(default=0, verbose_name="seconds")),
            ],
            options={
                "verbose_name": "evaluation",
                "verbose_name_plural": "evaluations",
                "ordering": ["-created_at", "-pk"],
                "indexes": [models.Index(fields=["digest", "-created_at"], name="runs_of_a_file")],
            },
        ),
        migrations.RunSQL(_NOTE_MODELS, migrations.RunSQL.noop),
    ]
