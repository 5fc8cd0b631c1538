"""Bringing the database up to date beside processes that serve: one process migrates at a time, and none waits for it.

A statement that waits for a table's lock makes everybody wait behind it. So none waits longer than LOCK_WAIT; it is
tried again, between what the others do, for PATIENCE_SECONDS. `tests/test_migrations.py` sees to it that what is
done is safe for the version before, which still serves.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import click
import psycopg
from django.apps import apps
from django.conf import settings
from django.contrib.postgres.operations import AddIndexConcurrently
from django.core.management import call_command, execute_from_command_line
from django.db import DatabaseError, DataError, OperationalError, connection
from django.db.backends.utils import CursorWrapper
from django.db.migrations.executor import MigrationExecutor

from mundap.cli.checks import MIN_PGVECTOR, version_of
from mundap.config import env
from mundap.config.own_session import past_the_pooler
from mundap.errors import ConfigurationError

LOCK = 0x6D756E646170  # "mundap": one process a database migrates at a time
LOCK_WAIT = "2s"
PATIENCE_SECONDS = 600.0
_PAUSE_SECONDS = (0.5, 2.0)
_LOOK_SECONDS = 0.2
_IN_THE_WAY = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
# Whoever has been in a transaction for longest is most likely what is waited for.
_OLDEST = """
    SELECT pid, application_name, state, extract(epoch FROM now() - xact_start)::int FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
    ORDER BY xact_start LIMIT 1
"""


def bring_up_to_date() -> None:
    """Apply what is missing. Raises ConfigurationError with the way out."""
    with _explained(), past_the_pooler(), migration_lock():
        with connection.cursor() as cursor:
            require_time_zone(cursor, settings.TIME_ZONE)
        executor = MigrationExecutor(connection)
        _refuse_newer(executor)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            with connection.cursor() as cursor:
                require_pgvector(cursor)
            click.echo("Bringing the database up to date …", err=True)
            _patiently(lambda: call_command("migrate", verbosity=0, interactive=False))


def migrate_by_hand(arguments: Sequence[str]) -> None:
    """Run Django's own `migrate`, with the same care. Raises ConfigurationError."""
    with _explained(), past_the_pooler(), migration_lock():
        with connection.cursor() as cursor:
            require_pgvector(cursor)
        _patiently(lambda: execute_from_command_line(["mundap", "migrate", *arguments]))


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except DatabaseError as exc:
        raise ConfigurationError(f"The database could not be brought up to date: {exc}") from exc
    finally:
        connection.close()


@contextmanager
def migration_lock() -> Iterator[None]:
    """Hold the lock on a connection of its own; Django's pool would wait long for a server that is not there."""
    try:
        holder = psycopg.connect(env.direct_database_url(), autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as exc:
        raise ConfigurationError(
            f"The database cannot be reached: {str(exc).strip()}. Check DATABASE_URL; `mundap doctor` tells more."
        ) from exc
    with holder:
        # Asked for again and again: a statement that waits for it is a transaction, which an index that is made beside
        # running work waits for in its turn, for ever.
        while holder.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone() == (False,):
            time.sleep(_LOOK_SECONDS)
        yield


def _patiently(migrate: Callable[[], object]) -> None:
    """Run migrations, again while others are in the way; what was applied stays. Raises ConfigurationError."""
    deadline, is_said = time.monotonic() + PATIENCE_SECONDS, False
    try:
        while True:
            try:
                with connection.cursor() as cursor:
                    cursor.execute(f"SET lock_timeout = '{LOCK_WAIT}'")
                _drop_half_made_indexes()
                migrate()
            except OperationalError as exc:
                if not isinstance(exc.__cause__, _IN_THE_WAY):
                    raise
                if time.monotonic() > deadline:
                    raise ConfigurationError(
                        f"The database could not be brought up to date: {_who_is_in_the_way()} End it, and try again."
                    ) from exc
                if not is_said:
                    click.echo(
                        f"Waiting for a moment without others: {_who_is_in_the_way()}", err=True
                    )
                is_said = True
                time.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311
            else:
                return
    finally:
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")


def _drop_half_made_indexes() -> None:
    """Drop what a migration left that makes indexes beside running work, and was broken off: it begins anew."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    names = [
        operation.index.name
        for migration, _is_backwards in plan
        for operation in migration.operations
        if isinstance(operation, AddIndexConcurrently)
    ]
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"DROP INDEX IF EXISTS {connection.ops.quote_name(name)}")


def _who_is_in_the_way() -> str:
    with connection.cursor() as cursor:
        cursor.execute(_OLDEST)
        row = cursor.fetchone()
    if row is None:
        return "A table is being used."
    pid, name, state, seconds = row
    return f"The oldest transaction is that of process {pid} ({name or 'unnamed'}, {state}, {seconds} s)."


def _refuse_newer(executor: MigrationExecutor) -> None:
    """Refuse a database that a newer Mundap has changed, unless one was told that it may be served."""
    loader = executor.loader
    ours = {config.label for config in apps.get_app_configs() if config.name.startswith("mundap.")}
    known = set(loader.disk_migrations)
    newer = sorted(key for key in loader.applied_migrations if key[0] in ours and key not in known)
    if not newer or settings.SERVES_NEWER_DATABASE:
        return
    leaves = {app: name for app, name in loader.graph.leaf_nodes() if app in ours}
    back = "\n".join(
        f"  mundap migrate {app} {leaves[app]}" for app in dict(newer) if app in leaves
    )
    raise ConfigurationError(
        f"The database was made by a newer Mundap: it has {'.'.join(newer[0])}, which this version does not know. "
        f"Install that version. To go back to this one, either set MUNDAP_NEWER_DATABASE=1, which one version's step "
        f"allows, or have the newer version undo its changes first:\n{back}"
    )


def require_time_zone(cursor: CursorWrapper | psycopg.Cursor, name: str) -> None:
    """See to it that the database can count days in this time zone. Raises ConfigurationError."""
    try:
        cursor.execute("SELECT now() AT TIME ZONE %s", [name])
    except (DataError, psycopg.DataError) as exc:
        raise ConfigurationError(
            f"MUNDAP_TIME_ZONE={name!r} is a time zone that the database server does not know. "
            "Write it by its full name, as in Asia/Seoul."
        ) from exc


def require_pgvector(cursor: CursorWrapper | psycopg.Cursor) -> None:
    """See to it that the database has pgvector, and no old one. Raises ConfigurationError with what is to be done."""
    name = connection.settings_dict["NAME"]
    try:
        # A look first: it needs no right, and says nothing.
        if (found := _find_pgvector(cursor)) is None:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
            found = _find_pgvector(cursor)
    except (DatabaseError, psycopg.Error) as exc:
        raise ConfigurationError(
            f"The database {name!r} has no pgvector. Have its superuser run, in that database: "
            "CREATE EXTENSION vector;   (where the server does not know it, install pgvector 0.8 or newer first)"
        ) from exc
    if found and version_of(found) < MIN_PGVECTOR:
        raise ConfigurationError(
            f"The database {name!r} has pgvector {found}; Mundap needs 0.8 or newer. Install that on the server, and "
            "have its superuser run, in that database: ALTER EXTENSION vector UPDATE;"
        )


def _find_pgvector(cursor: CursorWrapper | psycopg.Cursor) -> str | None:
    cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    row = cursor.fetchone()
    return row[0] if row else None
