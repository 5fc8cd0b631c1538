"""The index that chats are searched by: a row for sixteen positions of a chat, kept by triggers.

The triggers only note what changed: they set `terms` to NULL, and the worker fills them in. By their names they fire after
those of 0002, so the chat is locked already, and two statements over the same rows cannot wait for each other in a circle.
"""

import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# Positions are divided as in models.SEGMENT_POSITIONS. `changes` counts what the worker may have missed while it analysed.
CREATE = """
-- A search never reads the terms themselves. Out of the way, they leave rows of a few bytes, and it reads many of those.
ALTER TABLE chats_searchsegment SET (toast_tuple_target = 128);

CREATE FUNCTION chats_search_messages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO chats_searchsegment (chat_id, number, owner_id, changes)
        SELECT DISTINCT m.chat_id, m.position / 16, c.owner_id, 1
        FROM new_rows m JOIN chats_chat c ON c.id = m.chat_id ORDER BY 1, 2
        ON CONFLICT (chat_id, number) DO UPDATE SET terms = NULL, changes = chats_searchsegment.changes + 1;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO chats_searchsegment (chat_id, number, owner_id, changes)
        SELECT DISTINCT place.chat_id, place.position / 16, c.owner_id, 1
        FROM old_rows o JOIN new_rows n USING (id)
        CROSS JOIN LATERAL (VALUES (o.chat_id, o.position), (n.chat_id, n.position)) place (chat_id, position)
        JOIN chats_chat c ON c.id = place.chat_id
        WHERE (o.chat_id, o.position, o.is_current, o.text) IS DISTINCT FROM
              (n.chat_id, n.position, n.is_current, n.text)
        ORDER BY 1, 2
        ON CONFLICT (chat_id, number) DO UPDATE SET terms = NULL, changes = chats_searchsegment.changes + 1;
    ELSE
        -- Makes no row: the chat may be about to go too.
        UPDATE chats_searchsegment s SET terms = NULL, changes = s.changes + 1
        FROM (SELECT DISTINCT chat_id, position / 16 AS number FROM old_rows) gone
        WHERE s.chat_id = gone.chat_id AND s.number = gone.number;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER chats_search_inserted AFTER INSERT ON chats_message
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION chats_search_messages();
CREATE TRIGGER chats_search_updated AFTER UPDATE ON chats_message
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION chats_search_messages();
CREATE TRIGGER chats_search_deleted AFTER DELETE ON chats_message
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION chats_search_messages();

CREATE FUNCTION chats_search_chat() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chats_searchsegment (chat_id, number, owner_id, changes) VALUES (NEW.id, 0, NEW.owner_id, 1)
    ON CONFLICT (chat_id, number) DO UPDATE SET terms = NULL, changes = chats_searchsegment.changes + 1;
    IF TG_OP = 'UPDATE' AND OLD.owner_id <> NEW.owner_id THEN
        UPDATE chats_searchsegment SET owner_id = NEW.owner_id, terms = NULL, changes = changes + 1
        WHERE chat_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER chats_search_made AFTER INSERT ON chats_chat
    FOR EACH ROW EXECUTE FUNCTION chats_search_chat();
CREATE TRIGGER chats_search_titled AFTER UPDATE OF title, owner_id ON chats_chat
    FOR EACH ROW WHEN ((OLD.title, OLD.owner_id) IS DISTINCT FROM (NEW.title, NEW.owner_id))
    EXECUTE FUNCTION chats_search_chat();

-- Chats from before.
INSERT INTO chats_searchsegment (chat_id, number, owner_id, changes)
SELECT id, 0, owner_id, 1 FROM chats_chat
UNION
SELECT DISTINCT m.chat_id, m.position / 16, c.owner_id, 1 FROM chats_message m JOIN chats_chat c ON c.id = m.chat_id;
"""

DROP = """
DROP TRIGGER chats_search_titled ON chats_chat;
DROP TRIGGER chats_search_made ON chats_chat;
DROP FUNCTION chats_search_chat();
DROP TRIGGER chats_search_deleted ON chats_message;
DROP TRIGGER chats_search_updated ON chats_message;
DROP TRIGGER chats_search_inserted ON chats_message;
DROP FUNCTION chats_search_messages();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("chats", "0003_more_state_triggers"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name="chat",
            index=models.Index(
                condition=models.Q(("deleted_at__isnull", True), ("pinned", True)),
                fields=["owner", "-updated_at", "-id"],
                name="chat_list_pinned",
            ),
        ),
        migrations.CreateModel(
            name="SearchSegment",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "chat_id",
                        "number",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("number", models.IntegerField(help_text="the position by SEGMENT_POSITIONS")),
                ("changes", models.BigIntegerField()),
                ("terms", django.contrib.postgres.search.SearchVectorField(null=True)),
                (
                    "chat",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="chats.chat",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [
                    django.contrib.postgres.indexes.GinIndex(
                        condition=models.Q(("terms__isnull", False)),
                        fastupdate=False,
                        fields=["terms"],
                        name="search_terms",
                    ),
                    models.Index(
                        condition=models.Q(("terms__isnull", True)),
                        fields=["owner"],
                        name="search_waiting",
                    ),
                ],
            },
        ),
        migrations.RunSQL(CREATE, DROP),
    ]
