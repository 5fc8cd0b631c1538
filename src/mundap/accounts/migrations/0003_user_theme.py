"""The theme that a person has chosen."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_attempt_count"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="theme",
            field=models.CharField(
                blank=True,
                choices=[("light", "light"), ("dark", "dark")],
                max_length=5,
                verbose_name="theme",
            ),
        ),
    ]
