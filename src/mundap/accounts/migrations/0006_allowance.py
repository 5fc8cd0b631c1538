import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_token_key_id"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name="Allowance",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "questions_per_day",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="0: no limit",
                        null=True,
                        verbose_name="questions a day",
                    ),
                ),
                (
                    "tokens_per_month",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="0: no limit",
                        null=True,
                        verbose_name="tokens of the language model a month",
                    ),
                ),
                (
                    "spending_per_month",
                    models.DecimalField(
                        blank=True,
                        decimal_places=2,
                        help_text="0: no limit",
                        max_digits=12,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(0)],
                        verbose_name="spending on the language model a month",
                    ),
                ),
                (
                    "group",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="auth.group",
                        verbose_name="group",
                    ),
                ),
                (
                    "token",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="accounts.apitoken",
                        verbose_name="token",
                    ),
                ),
                (
                    "user",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "allowance",
                "verbose_name_plural": "allowances",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("group__isnull", True),
                                ("token__isnull", True),
                                ("user__isnull", False),
                            ),
                            models.Q(
                                ("group__isnull", False),
                                ("token__isnull", True),
                                ("user__isnull", True),
                            ),
                            models.Q(
                                ("group__isnull", True),
                                ("token__isnull", False),
                                ("user__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="allowance_of_one",
                        violation_error_message="Choose either a user, a group or a token.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("spending_per_month__isnull", True),
                            ("spending_per_month__gte", 0),
                            _connector="OR",
                        ),
                        name="allowance_spending",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("token__isnull", True),
                            models.Q(
                                ("spending_per_month__isnull", True),
                                ("tokens_per_month__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="allowance_of_token",
                        violation_error_message="A token can only have a limit on questions.",
                    ),
                ],
            },
        ),
    ]
