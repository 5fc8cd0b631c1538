"""A token's row says which key its digest is made with, so that one can tell when the former key is needed no more."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_audit"),
    ]

    operations = [
        migrations.AddField(
            model_name="apitoken",
            name="key_id",
            field=models.CharField(
                blank=True,
                db_default="",
                help_text="Which key the digest is made with.",
                max_length=16,
            ),
        ),
    ]
