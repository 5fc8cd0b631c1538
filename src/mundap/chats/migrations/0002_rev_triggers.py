"""Triggers that give a chat a new rev and etag whenever what its reader sees has changed.

The admin, a bulk update and raw SQL cannot forget them. A row trigger on the chat itself turns every change of a
visible column, and every attempt to set `rev` or `etag` (also to an old value), into `rev + 1` and a new etag; the
statement triggers on messages touch each chat once a statement.
"""

from django.db import migrations

CREATE = """
CREATE FUNCTION chats_name_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.title, NEW.pinned, NEW.collection_id, NEW.owner_id, NEW.deleted_at, NEW.rev, NEW.etag)
        IS DISTINCT FROM
       (OLD.title, OLD.pinned, OLD.collection_id, OLD.owner_id, OLD.deleted_at, OLD.rev, OLD.etag)
    THEN
        NEW.rev := OLD.rev + 1;
        NEW.etag := gen_random_uuid();
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER chats_name_state BEFORE UPDATE ON chats_chat
    FOR EACH ROW EXECUTE FUNCTION chats_name_state();

CREATE FUNCTION chats_messages_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- In the order of their ids, so that two statements over the same chats cannot wait for each other.
    IF TG_OP = 'UPDATE' THEN
        PERFORM 1 FROM chats_chat
            WHERE id IN (SELECT chat_id FROM old_rows UNION SELECT chat_id FROM new_rows)
            ORDER BY id FOR NO KEY UPDATE;
        UPDATE chats_chat SET rev = rev + 1
            WHERE id IN (SELECT chat_id FROM old_rows UNION SELECT chat_id FROM new_rows);
    ELSE
        PERFORM 1 FROM chats_chat WHERE id IN (SELECT chat_id FROM changed_rows)
            ORDER BY id FOR NO KEY UPDATE;
        UPDATE chats_chat SET rev = rev + 1 WHERE id IN (SELECT chat_id FROM changed_rows);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER chats_messages_inserted AFTER INSERT ON chats_message
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION chats_messages_changed();
CREATE TRIGGER chats_messages_updated AFTER UPDATE ON chats_message
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION chats_messages_changed();
CREATE TRIGGER chats_messages_deleted AFTER DELETE ON chats_message
    REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION chats_messages_changed();
"""

DROP = """
DROP TRIGGER chats_messages_deleted ON chats_message;
DROP TRIGGER chats_messages_updated ON chats_message;
DROP TRIGGER chats_messages_inserted ON chats_message;
DROP FUNCTION chats_messages_changed();
DROP TRIGGER chats_name_state ON chats_chat;
DROP FUNCTION chats_name_state();
"""


class Migration(migrations.Migration):
    dependencies = [("chats", "0001_initial")]

    operations = [migrations.RunSQL(CREATE, DROP)]
