"""What is deleted by a version that does not know the audit log and allowances takes them along, or is let go of.

Django does both by itself, but only in a version that has the models: the one before would fail to delete an account
or to take back a token, while it serves beside this one and after going back to it.
"""

from django.db import migrations

ALTER = """
DO $$
DECLARE
    each record;
BEGIN
    FOR each IN
        SELECT conname, conrelid::regclass AS place,
               CASE conrelid WHEN 'accounts_allowance'::regclass THEN 'CASCADE' ELSE 'SET NULL' END AS action,
               pg_get_constraintdef(oid) AS definition
        FROM pg_constraint
        WHERE contype = 'f' AND conrelid IN ('accounts_allowance'::regclass, 'accounts_auditentry'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s',
                       each.place, each.conname, each.conname, {definition});
    END LOOP;
END $$;
"""
WITH_ACTION = (
    "replace(each.definition, ' DEFERRABLE', ' ON DELETE ' || each.action || ' DEFERRABLE')"
)
WITHOUT = "replace(each.definition, ' ON DELETE ' || each.action, '')"


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0006_allowance"),
    ]

    operations = [
        migrations.RunSQL(ALTER.format(definition=WITH_ACTION), ALTER.format(definition=WITHOUT)),
    ]
