"""What columns are called, for people; nothing changes in the database."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("library", "0003_summaries"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="collection",
            options={
                "ordering": ["category", "title_no"],
                "verbose_name": "collection",
                "verbose_name_plural": "collections",
            },
        ),
        migrations.AlterModelOptions(
            name="document",
            options={
                "ordering": ["path"],
                "verbose_name": "document",
                "verbose_name_plural": "documents",
            },
        ),
        migrations.AlterModelOptions(
            name="run",
            options={
                "ordering": ["-created_at"],
                "verbose_name": "run",
                "verbose_name_plural": "runs",
            },
        ),
        migrations.AlterModelOptions(
            name="storedfile",
            options={"ordering": ["path"], "verbose_name": "file", "verbose_name_plural": "files"},
        ),
        migrations.AlterField(
            model_name="collection",
            name="group",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                to="auth.group",
                verbose_name="group",
            ),
        ),
        migrations.AlterField(
            model_name="collection",
            name="owner",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="collections",
                to=settings.AUTH_USER_MODEL,
                verbose_name="owner",
            ),
        ),
        migrations.AlterField(
            model_name="collection",
            name="state",
            field=models.CharField(
                choices=[
                    ("empty", "empty"),
                    ("ingesting", "being read"),
                    ("ready", "ready"),
                    ("failed", "could not be read"),
                ],
                default="empty",
                max_length=10,
                verbose_name="state",
            ),
        ),
        migrations.AlterField(
            model_name="collection",
            name="visibility",
            field=models.CharField(
                choices=[
                    ("everyone", "everyone"),
                    ("group", "a group"),
                    ("private", "only the owner"),
                ],
                default="private",
                max_length=10,
                verbose_name="who sees it",
            ),
        ),
        migrations.AlterField(
            model_name="document",
            name="collection",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="documents",
                to="library.collection",
                verbose_name="collection",
            ),
        ),
        migrations.AlterField(
            model_name="document",
            name="error",
            field=models.TextField(blank=True, verbose_name="error"),
        ),
        migrations.AlterField(
            model_name="document",
            name="path",
            field=models.CharField(max_length=1000, verbose_name="path"),
        ),
        migrations.AlterField(
            model_name="document",
            name="state",
            field=models.CharField(
                choices=[
                    ("ready", "ready"),
                    ("stale", "could not be fetched again"),
                    ("failed", "could not be read"),
                ],
                default="ready",
                max_length=10,
                verbose_name="state",
            ),
        ),
        migrations.AlterField(
            model_name="document",
            name="title",
            field=models.CharField(blank=True, max_length=500, verbose_name="title"),
        ),
        migrations.AlterField(
            model_name="document",
            name="updated_at",
            field=models.DateTimeField(auto_now=True, verbose_name="changed"),
        ),
        migrations.AlterField(
            model_name="document",
            name="url",
            field=models.URLField(blank=True, max_length=2000, verbose_name="address"),
        ),
        migrations.AlterField(
            model_name="run",
            name="attempts",
            field=models.PositiveSmallIntegerField(default=0, verbose_name="attempts"),
        ),
        migrations.AlterField(
            model_name="run",
            name="collection",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="runs",
                to="library.collection",
                verbose_name="collection",
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="created_at",
            field=models.DateTimeField(auto_now_add=True, verbose_name="asked for"),
        ),
        migrations.AlterField(
            model_name="run",
            name="ended_at",
            field=models.DateTimeField(null=True, verbose_name="ended"),
        ),
        migrations.AlterField(
            model_name="run",
            name="error",
            field=models.TextField(blank=True, verbose_name="error"),
        ),
        migrations.AlterField(
            model_name="run",
            name="requested_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="asked for by",
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="started_at",
            field=models.DateTimeField(null=True, verbose_name="begun"),
        ),
        migrations.AlterField(
            model_name="run",
            name="state",
            field=models.CharField(
                choices=[
                    ("waiting", "waiting"),
                    ("opening", "looking what there is"),
                    ("reading", "reading"),
                    ("done", "done"),
                    ("failed", "failed"),
                    ("cancelled", "cancelled"),
                ],
                default="waiting",
                max_length=10,
                verbose_name="state",
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="trigger",
            field=models.CharField(
                choices=[
                    ("person", "asked for"),
                    ("command", "by the command line"),
                    ("upload", "after an upload"),
                    ("schedule", "due"),
                ],
                max_length=10,
                verbose_name="occasion",
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="worker",
            field=models.ForeignKey(
                help_text="Who opens the source.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="library.worker",
                verbose_name="worker",
            ),
        ),
        migrations.AlterField(
            model_name="storedfile",
            name="collection",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="files",
                to="library.collection",
                verbose_name="collection",
            ),
        ),
        migrations.AlterField(
            model_name="storedfile",
            name="given_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="given by",
            ),
        ),
        migrations.AlterField(
            model_name="storedfile",
            name="path",
            field=models.CharField(max_length=1000, verbose_name="path"),
        ),
        migrations.AlterField(
            model_name="storedfile",
            name="updated_at",
            field=models.DateTimeField(auto_now=True, verbose_name="changed"),
        ),
    ]
