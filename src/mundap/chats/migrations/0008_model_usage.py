import django.db.models.deletion
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("chats", "0007_share_secret"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="MonthSpending",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "month",
                        "part",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("month", models.DateField()),
                ("part", models.PositiveSmallIntegerField()),
                ("cost", models.DecimalField(decimal_places=9, max_digits=20)),
            ],
        ),
        migrations.CreateModel(
            name="Reservation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid_utils.compat.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("token", models.UUIDField(null=True)),
                ("model", models.CharField(max_length=200)),
                (
                    "purpose",
                    models.CharField(
                        choices=[
                            ("answer", "answers"),
                            ("queries", "wording the search"),
                            ("title", "titles"),
                            ("summary", "summaries"),
                            ("completion", "answers by OpenAI's protocol"),
                        ],
                        max_length=10,
                    ),
                ),
                ("input_tokens", models.PositiveBigIntegerField()),
                ("output_tokens", models.PositiveBigIntegerField()),
                ("cost", models.DecimalField(decimal_places=9, max_digits=20)),
                (
                    "expires_at",
                    models.DateTimeField(help_text="when nobody can be using it any more"),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ModelUsage",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField(verbose_name="day")),
                ("model", models.CharField(blank=True, max_length=200, verbose_name="model")),
                (
                    "purpose",
                    models.CharField(
                        choices=[
                            ("answer", "answers"),
                            ("queries", "wording the search"),
                            ("title", "titles"),
                            ("summary", "summaries"),
                            ("completion", "answers by OpenAI's protocol"),
                        ],
                        max_length=10,
                        verbose_name="purpose",
                    ),
                ),
                ("questions", models.PositiveIntegerField(default=0, verbose_name="questions")),
                ("calls", models.PositiveIntegerField(default=0, verbose_name="calls")),
                (
                    "estimated_calls",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="whose tokens the endpoint did not count",
                        verbose_name="estimated calls",
                    ),
                ),
                (
                    "input_tokens",
                    models.PositiveBigIntegerField(default=0, verbose_name="input tokens"),
                ),
                (
                    "output_tokens",
                    models.PositiveBigIntegerField(default=0, verbose_name="output tokens"),
                ),
                (
                    "cost",
                    models.DecimalField(
                        decimal_places=9, default=0, max_digits=20, verbose_name="cost"
                    ),
                ),
                (
                    "token",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="model_usage",
                        to="accounts.apitoken",
                        verbose_name="token",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="model_usage",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "use of a model",
                "verbose_name_plural": "use of models",
                "ordering": ["-day", "user", "model", "purpose"],
                "indexes": [models.Index(fields=["day"], name="model_usage_by_day")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("user__isnull", False)),
                        fields=("user", "day", "model", "purpose", "token"),
                        name="model_usage_once",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("purpose__in", ("answer", "queries", "title", "summary", "completion"))
                        ),
                        name="model_usage_purpose",
                    ),
                ],
            },
        ),
    ]
