"""The audit log, whose lines can only be added, let go of their people, and grow old."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

# A line lets go of a person whose account is deleted, and of what belongs to them with them; nothing else changes.
# 30 days is the least that the setting for retention may be.
CREATE = """
CREATE FUNCTION accounts_audit_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.at < now() - interval '30 days' THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'the audit log is kept for 30 days at least' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF (NEW.id, NEW.at, NEW.via, NEW.action, NEW.about, NEW.details, NEW.address, NEW.request_id)
        IS DISTINCT FROM
       (OLD.id, OLD.at, OLD.via, OLD.action, OLD.about, OLD.details, OLD.address, OLD.request_id)
       OR (NEW.actor_id IS NOT NULL AND NEW.actor_id IS DISTINCT FROM OLD.actor_id)
       OR (NEW.whom_id IS NOT NULL AND NEW.whom_id IS DISTINCT FROM OLD.whom_id)
    THEN
        RAISE EXCEPTION 'the audit log is not changed' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.actor_id IS DISTINCT FROM OLD.actor_id THEN
        NEW.address := NULL;
    END IF;
    IF NEW.whom_id IS DISTINCT FROM OLD.whom_id THEN
        NEW.about := '';
        NEW.details := NEW.details - 'reason';
        IF NEW.actor_id IS NULL THEN
            NEW.address := NULL;
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER accounts_audit_guard BEFORE UPDATE OR DELETE ON accounts_auditentry
    FOR EACH ROW EXECUTE FUNCTION accounts_audit_guard();
"""
DROP = """
DROP TRIGGER accounts_audit_guard ON accounts_auditentry;
DROP FUNCTION accounts_audit_guard();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_user_theme"),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        verbose_name="when",
                    ),
                ),
                (
                    "via",
                    models.CharField(
                        choices=[
                            ("person", "a person"),
                            ("command", "the command line"),
                            ("worker", "a worker"),
                        ],
                        max_length=10,
                        verbose_name="by way of",
                    ),
                ),
                ("action", models.CharField(max_length=40, verbose_name="what")),
                (
                    "about",
                    models.CharField(
                        blank=True,
                        help_text="kind:id or kind:name of a thing",
                        max_length=200,
                        verbose_name="about",
                    ),
                ),
                (
                    "details",
                    models.JSONField(
                        default=dict, help_text="no texts and no secrets", verbose_name="details"
                    ),
                ),
                ("address", models.GenericIPAddressField(null=True, verbose_name="address")),
                ("request_id", models.CharField(blank=True, max_length=64, verbose_name="request")),
                (
                    "actor",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="who",
                    ),
                ),
                (
                    "whom",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="whose",
                    ),
                ),
            ],
            options={
                "verbose_name": "entry of the audit log",
                "verbose_name_plural": "audit log",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["action", "-id"], name="audit_by_action"),
                    models.Index(fields=["about", "-id"], name="audit_by_thing"),
                    models.Index(fields=["at"], name="audit_by_time"),
                ],
            },
        ),
        migrations.RunSQL(CREATE, DROP),
    ]
