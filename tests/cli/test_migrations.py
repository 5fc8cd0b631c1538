"""Migrations are safe while the version before still serves, can be undone, and are complete."""

from __future__ import annotations

import re
import subprocess
import threading

import psycopg
import pytest
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.core.management import call_command
from django.db import connection
from django.db.migrations import CreateModel, Migration
from django.db.migrations.loader import MigrationLoader
from django_migration_linter import MigrationLinter
from django_migration_linter.sql_analyser import PostgresqlAnalyser, analyse_sql_statements

from tests.cli.conftest import Run

# The last ones from before there was anybody to upgrade; what comes later is judged.
BASELINE = {"accounts": 3, "chats": 6, "library": 3, "retrieval": 4}
# That may have millions of rows: an index made in the ordinary way would keep everybody from writing for minutes.
LARGE = (
    "chats_chat",
    "chats_message",
    "chats_turn",
    "chats_searchsegment",
    "library_passage",
    "library_embedding",
)
# What the judge would refuse, with the reason that it does no harm here: {(app, name): {code: reason}}.
ALLOWED: dict[tuple[str, str], dict[str, str]] = {}


def number_of(name: str) -> int:
    return int(name[:4])


@pytest.fixture(scope="module")
def loader() -> MigrationLoader:
    return MigrationLoader(None)


@pytest.fixture(scope="module")
def migrations(loader: MigrationLoader) -> list[Migration]:
    """Ours, of all apps."""
    return [
        each for (app, _name), each in sorted(loader.disk_migrations.items()) if app in BASELINE
    ]


def dangers(statements: list[str]) -> dict[str, str]:
    """Return what would harm the version before, which is serving: {code: explanation}."""
    errors, _ignored, _warnings = analyse_sql_statements(PostgresqlAnalyser, statements, [])
    found = {issue.code: issue.message for issue in errors}
    made = {name for sql in statements for name in re.findall(r'^CREATE TABLE "(\w+)"', sql)}
    for sql in statements:
        index = re.search(r'CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)[^(]* ON "?(\w+)"?', sql)
        if index and index[1] in LARGE and index[1] not in made:
            found["CREATE_INDEX"] = f"{index[1]} is large: AddIndexConcurrently, and atomic = False"
        check = re.search(r'ALTER TABLE "?(\w+)"? .*(ADD CONSTRAINT|SET NOT NULL)', sql)
        if check and check[1] in LARGE and check[1] not in made and "NOT VALID" not in sql:
            found["CONSTRAINT"] = (
                f"{check[1]} is large: AddConstraintNotValid, then ValidateConstraint"
            )
    return found


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ('ALTER TABLE "chats_chat" RENAME COLUMN "title" TO "name"', "RENAME_COLUMN"),
        ('ALTER TABLE "chats_chat" RENAME TO "chats_talk"', "RENAME_TABLE"),
        ('ALTER TABLE "chats_chat" DROP COLUMN "title"', "DROP_COLUMN"),
        ('DROP TABLE "chats_share" CASCADE', "DROP_TABLE"),
        ('ALTER TABLE "chats_share" ADD COLUMN "secret" text NOT NULL', "NOT_NULL"),
        ('ALTER TABLE "chats_message" ALTER COLUMN "role" TYPE text', "ALTER_COLUMN"),
        ('CREATE INDEX "by_role" ON "chats_message" ("role")', "CREATE_INDEX"),
        ("CREATE INDEX by_role ON chats_message USING gin (role)", "CREATE_INDEX"),
        ('ALTER TABLE "chats_turn" ADD CONSTRAINT "x" CHECK ("usage" IS NOT NULL)', "CONSTRAINT"),
    ],
)
def test_what_harms_the_version_before_is_seen(statement: str, code: str) -> None:
    assert code in dangers(["BEGIN;", statement, "COMMIT;"])


@pytest.mark.parametrize(
    "statement",
    [
        'ALTER TABLE "chats_share" ADD COLUMN "secret" text DEFAULT \'\' NOT NULL',
        'ALTER TABLE "chats_message" ADD COLUMN "note" text NULL',
        'CREATE INDEX CONCURRENTLY "by_role" ON "chats_message" ("role")',
        'CREATE INDEX "by_state" ON "library_run" ("state")',
    ],
)
def test_what_does_no_harm_passes(statement: str) -> None:
    assert not dangers([statement])


@pytest.mark.django_db(transaction=True)
def test_migrations_are_safe_while_the_version_before_serves(migrations: list[Migration]) -> None:
    linter, found = MigrationLinter(no_output=True), {}
    for each in migrations:
        key = (each.app_label, each.name)
        if number_of(each.name) > BASELINE[each.app_label]:
            seen = dangers(linter.get_sql(*key))
            left = {code: why for code, why in seen.items() if code not in ALLOWED.get(key, {})}
            found |= {key: left} if left else {}
    assert not found, "make it in two steps, one a version; or say in ALLOWED why it does no harm"


def test_what_is_made_beside_running_work_is_alone(migrations: list[Migration]) -> None:
    """What is not one transaction may break off in the middle; only such indexes are then made anew."""
    online = (AddIndexConcurrently, RemoveIndexConcurrently)
    for each in migrations:
        if not each.atomic:
            assert all(isinstance(one, online) for one in each.operations), each


def test_migrations_can_be_undone(migrations: list[Migration]) -> None:
    final = [
        f"{each}: {one}" for each in migrations for one in each.operations if not one.reversible
    ]
    assert not final


@pytest.mark.django_db
def test_what_is_new_lets_the_version_before_delete(migrations: list[Migration]) -> None:
    """Django lets go of what is deleted only in a version that has the model; for others PostgreSQL has to."""
    new = [
        f"{each.app_label}_{one.name.lower()}"
        for each in migrations
        for one in each.operations
        if number_of(each.name) > BASELINE[each.app_label] and isinstance(one, CreateModel)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint"
            " WHERE contype = 'f' AND confdeltype = 'a' AND conrelid::regclass::text = ANY(%s)",
            [new],
        )
        assert new and not cursor.fetchall(), (
            "say ON DELETE, as in accounts/migrations/0007_let_go.py"
        )


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_back_and_forth_again_while_others_work(
    run: Run, command_environment: dict[str, str]
) -> None:
    """Back to the baseline; then up to date, while a long transaction holds a table that this needs."""
    back = "; ".join(f"call_command('migrate', '{app}', '{BASELINE[app]:04}')" for app in BASELINE)
    done = run("shell", "-c", f"from django.core.management import call_command; {back}")
    assert done.returncode == 0, done.stderr
    url = command_environment["DATABASE_URL"]
    with psycopg.connect(url) as long, psycopg.connect(url, autocommit=True) as other:
        long.execute("SELECT count(*) FROM chats_share")
        ended: list[subprocess.CompletedProcess[str]] = []
        migrating = threading.Thread(target=lambda: ended.append(run("migrate")))
        migrating.start()
        waits = (
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'chats_share'::regclass"
        )
        while not other.execute(waits).fetchone()[0]:
            assert migrating.is_alive(), ended
        # It waits for the long one. Whoever comes now stands behind it, but not for long.
        other.execute("SET statement_timeout = '20s'")
        other.execute("SELECT count(*) FROM chats_share")
        long.rollback()
        migrating.join()
    assert ended[0].returncode == 0, ended[0].stderr
    assert "Waiting for a moment without others" in ended[0].stderr
    # A newer version's database is served on request only.
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('chats', '0999_tomorrow', now())"
        )
        refused = run("shell", "-c", "")
        done = run("shell", "-c", "", MUNDAP_NEWER_DATABASE="1")
        other.execute("DELETE FROM django_migrations WHERE name = '0999_tomorrow'")
    assert refused.returncode == 1
    assert "mundap migrate chats 00" in refused.stderr
    assert done.returncode == 0, done.stderr
