"""More of what a reader sees names a new state: the chat's times, its running turn, and what its collection is called.

The body of a chat is kept elsewhere under its state, so everything in it must be covered: `active_turn` is there as long
as a turn runs, and the collection appears by its slug, in the classic contract by category, number and title.
"""

from django.db import migrations

COLUMNS = "title, pinned, collection_id, owner_id, created_at, updated_at, deleted_at, rev, etag"
FORMER_COLUMNS = "title, pinned, collection_id, owner_id, deleted_at, rev, etag"


def name_state(columns: str) -> str:
    names = columns.split(", ")
    new, old = (", ".join(f"{row}.{name}" for name in names) for row in ("NEW", "OLD"))
    return f"""
CREATE OR REPLACE FUNCTION chats_name_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF ({new}) IS DISTINCT FROM ({old}) THEN
        NEW.rev := OLD.rev + 1;
        NEW.etag := gen_random_uuid();
    END IF;
    RETURN NEW;
END $$;
"""


CREATE = """
CREATE FUNCTION chats_turn_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE chats_chat SET rev = rev + 1 WHERE id IN (NEW.chat_id, OLD.chat_id);
    RETURN NULL;
END $$;

CREATE TRIGGER chats_turn_begun AFTER INSERT ON chats_turn
    FOR EACH ROW WHEN (NEW.status = 'running') EXECUTE FUNCTION chats_turn_changed();
CREATE TRIGGER chats_turn_ended AFTER UPDATE OF status, chat_id ON chats_turn
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.chat_id IS DISTINCT FROM NEW.chat_id)
    EXECUTE FUNCTION chats_turn_changed();
CREATE TRIGGER chats_turn_removed AFTER DELETE ON chats_turn
    FOR EACH ROW WHEN (OLD.status = 'running') EXECUTE FUNCTION chats_turn_changed();

CREATE FUNCTION chats_collection_renamed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM chats_chat WHERE collection_id = NEW.id ORDER BY id FOR NO KEY UPDATE;
    UPDATE chats_chat SET rev = rev + 1 WHERE collection_id = NEW.id;
    RETURN NULL;
END $$;

CREATE TRIGGER chats_collection_renamed AFTER UPDATE OF slug, category, title_no, title ON library_collection
    FOR EACH ROW WHEN (
        (OLD.slug, OLD.category, OLD.title_no, OLD.title) IS DISTINCT FROM
        (NEW.slug, NEW.category, NEW.title_no, NEW.title)
    ) EXECUTE FUNCTION chats_collection_renamed();
"""

DROP = """
DROP TRIGGER chats_collection_renamed ON library_collection;
DROP FUNCTION chats_collection_renamed();
DROP TRIGGER chats_turn_removed ON chats_turn;
DROP TRIGGER chats_turn_ended ON chats_turn;
DROP TRIGGER chats_turn_begun ON chats_turn;
DROP FUNCTION chats_turn_changed();
"""


class Migration(migrations.Migration):
    dependencies = [("chats", "0002_rev_triggers"), ("library", "0001_initial")]

    operations = [
        migrations.RunSQL(name_state(COLUMNS), name_state(FORMER_COLUMNS)),
        migrations.RunSQL(CREATE, DROP),
    ]
