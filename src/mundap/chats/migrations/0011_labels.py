"""What columns are called, for people; nothing changes in the database."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("chats", "0010_dealt_with"),
        ("library", "0003_summaries"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="chat",
            options={
                "ordering": ["-updated_at", "-id"],
                "verbose_name": "chat",
                "verbose_name_plural": "chats",
            },
        ),
        migrations.AlterField(
            model_name="chat",
            name="collection",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="chats",
                to="library.collection",
                verbose_name="collection",
            ),
        ),
        migrations.AlterField(
            model_name="chat",
            name="deleted_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="deleted"),
        ),
        migrations.AlterField(
            model_name="chat",
            name="owner",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="chats",
                to=settings.AUTH_USER_MODEL,
                verbose_name="owner",
            ),
        ),
        migrations.AlterField(
            model_name="chat",
            name="updated_at",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                help_text="of the last question",
                verbose_name="last question",
            ),
        ),
    ]
