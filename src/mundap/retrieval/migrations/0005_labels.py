"""What columns are called, for people; nothing changes in the database."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("retrieval", "0004_passage_terms"),
    ]

    operations = [
        migrations.AlterField(
            model_name="evaluationrun",
            name="digest",
            field=models.CharField(editable=False, max_length=64, verbose_name="their digest"),
        ),
        migrations.AlterField(
            model_name="evaluationrun",
            name="results",
            field=models.JSONField(default=dict, verbose_name="results"),
        ),
        migrations.AlterField(
            model_name="evaluationrun",
            name="settings",
            field=models.JSONField(default=dict, verbose_name="settings"),
        ),
    ]
