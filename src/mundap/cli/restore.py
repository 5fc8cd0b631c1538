"""`mundap restore`: a backup becomes what the installation holds: all of it or, should anything fail, nothing."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import click
import psycopg
from psycopg import sql

from mundap.cli.archives import CHUNK_BYTES, Archive, open_archive
from mundap.cli.backup import note, require_success, with_progress
from mundap.cli.postgres_tools import Tools, find_tools
from mundap.cli.runtime import started
from mundap.config import env
from mundap.errors import Conflict, InvalidInput

_WHAT_DIES = {
    "SECRET_KEY": "everybody has to sign in again",
    "MUNDAP_TOKEN_KEY": "API tokens, shared links and second steps do not work",
}
# The schema is there. The setting is written for any server, and known to those from 17 on.
_LEFT_OUT = re.compile(rb"(?m)^(CREATE SCHEMA .*|SET transaction_timeout = 0);\n")
_PREAMBLE_BYTES = 16_384
_HOLDS = ("accounts_user", "library_collection", "chats_chat")
_FUNCTIONS = """
    SELECT p.oid::regprocedure::text FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace AND p.proname = ANY(%s)
"""
_MADE = re.compile(r"CREATE (?:OR REPLACE )?FUNCTION (\w+)")
_OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
"""


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Replace what the installation holds.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def command(file: Path, *, replace: bool, is_json: bool) -> None:
    """Restore the backup FILE into an empty installation."""
    begun = time.perf_counter()
    click.echo("Checking the backup …", err=True)
    archive = open_archive(file)
    with started(is_migrated=False):
        lost = restore(archive, replace=replace)
    seconds = round(time.perf_counter() - begun, 1)
    rows = archive.manifest["rows"]
    if is_json:
        click.echo(json.dumps({"seconds": seconds, "rows": rows, "other_keys": lost}))
        return
    click.echo(f"Restored as of {archive.manifest['made_at']}, in {seconds} s:")
    click.echo("  " + ", ".join(f"{number} {table}" for table, number in rows.items()))
    for name in lost:
        click.echo(
            f"{name} is not the one that the backup was made with, so {_WHAT_DIES[name]}. "
            f"Set it to that one, or name that one in {name}_FALLBACKS."
        )
    if archive.manifest["without_vectors"]:
        click.echo("It has no vectors: a worker computes them, and words are searched meanwhile.")


def restore(archive: Archive, *, replace: bool) -> list[str]:
    """Make the installation what the backup holds; return the keys that it was made with others of.

    Raises InvalidInput, Conflict and ConfigurationError before anything is changed, MundapError after everything was
    undone.
    """
    from django.db import connection

    from mundap.cli.migrating import bring_up_to_date, require_pgvector

    _refuse_newer(archive)
    url = env.direct_database_url()
    tools = find_tools(url)
    connection.close()
    with psycopg.connect(url, connect_timeout=5, autocommit=True) as target:
        _require_room(target, replace=replace)
        require_pgvector(target.cursor())  # the dump has what is ours alone
        emptying = _emptying(target)
    _load(tools, archive, emptying=emptying)
    bring_up_to_date()
    _forget_cached()
    note("backup.restored", archive.path)
    return _other_keys(archive.manifest["keys"])


def _refuse_newer(archive: Archive) -> None:
    if newer := _unknown(archive.manifest["migrations"]):
        raise InvalidInput(
            f"The backup was made by a newer Mundap ({archive.manifest['mundap']}): it has {newer}. "
            "Install that version."
        )


def _unknown(migrations: Iterable[Sequence[str]]) -> str | None:
    """Return a migration that this version does not know, if there is one."""
    from django.db.migrations.loader import MigrationLoader

    known = set(MigrationLoader(None).disk_migrations)
    return next((f"{app}.{name}" for app, name in migrations if (app, name) not in known), None)


def _require_room(target: psycopg.Connection, *, replace: bool) -> None:
    """Raise Conflict where the installation holds something that is not to be replaced, or others use it."""
    held = [table for table in _HOLDS if _has_rows(target, table)]
    if held and not replace:
        raise Conflict(
            f"The installation is not empty: it has rows in {', '.join(held)}. With --replace all that it holds is "
            "deleted, and what the backup holds put in its place."
        )
    is_made = target.execute("SELECT to_regclass('django_migrations')").fetchone() != (None,)
    applied = target.execute("SELECT app, name FROM django_migrations") if is_made else ()
    if newer := _unknown(applied):  # whose tables we would leave behind
        raise Conflict(
            f"The database is a newer Mundap's: it has {newer}. Restore into an empty database."
        )
    others = target.execute(_OTHERS).fetchone()
    if others and others[0]:
        raise Conflict(
            f"{others[0]} other connections use the database. Stop Mundap's other processes first."
        )


def _has_rows(target: psycopg.Connection, table: str) -> bool:
    if target.execute("SELECT to_regclass(%s)", [table]).fetchone() == (None,):
        return False
    query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(table))
    return target.execute(query).fetchone() == (True,)


def _emptying(target: psycopg.Connection) -> str:
    """Return the statements that take away our tables and functions; what else is in the database stays."""
    from django.apps import apps
    from django.db.migrations import RunSQL
    from django.db.migrations.loader import MigrationLoader

    migrations = MigrationLoader(None).disk_migrations.values()
    ours = [one for each in migrations for one in each.operations if isinstance(one, RunSQL)]
    functions = sorted({name for one in ours for name in _MADE.findall(str(one.sql))})
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}  # noqa: SLF001
    drops = [
        sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(sql.Identifier(table)).as_string(target)
        for table in sorted(tables | {"django_migrations"})
    ]
    drops += [
        f"DROP FUNCTION {name} CASCADE" for (name,) in target.execute(_FUNCTIONS, [functions])
    ]
    return ";\n".join(drops)


def _load(tools: Tools, archive: Archive, *, emptying: str) -> None:
    """Let psql do everything in one transaction, which is committed only when all the rows are there."""
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(
            tools.command("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=tools.environment,
        ) as process:
            into: Any = process.stdin
            try:
                schema = sql.Identifier(archive.manifest["schema"]).as_string()
                into.write(f"SET client_min_messages = warning;\nBEGIN;\n{emptying};\n".encode())
                for chunk in with_progress(_statements(tools, archive), "Written to the database"):
                    into.write(chunk)
                into.write(f"SET search_path = {schema};\n{_recount(archive)}\nCOMMIT;\n".encode())
            except BrokenPipeError:
                pass  # it says why
            except BaseException:
                process.kill()
                raise
        require_success("psql", process.returncode, said)


def _statements(tools: Tools, archive: Archive) -> Iterator[bytes]:
    """Yield the dump as statements. Raises MundapError where it is broken: what came is not to be committed."""
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(
            tools.command("pg_restore", "--file=-", "--no-owner", "--no-privileges"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env=tools.environment,
        ) as process:
            feeder = threading.Thread(target=_feed, args=(archive, process.stdin))
            feeder.start()
            try:
                yield from _understood(process.stdout)
            except BaseException:
                process.kill()
                raise
            finally:
                feeder.join()
        require_success("pg_restore", process.returncode, said)


def _feed(archive: Archive, into: IO[bytes] | None) -> None:
    """Write the dump to pg_restore; one that breaks off is an error to it."""
    with suppress(BrokenPipeError, InvalidInput), closing(into or BytesIO()) as file:
        for chunk in archive.database():
            file.write(chunk)


def _understood(file: IO[bytes] | None) -> Iterator[bytes]:
    if file:
        yield _LEFT_OUT.sub(b"", file.read(_PREAMBLE_BYTES))
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _recount(archive: Archive) -> str:
    """Return a statement that fails unless there are as many rows as there were."""
    wrong = " OR ".join(
        f"(SELECT count(*) FROM {table}) <> {int(number)}"  # noqa: S608 - an identifier, a number
        for table, number in archive.manifest["rows"].items()
        if table.isidentifier()
    )
    return f"DO $$ BEGIN IF {wrong} THEN RAISE EXCEPTION 'rows are missing'; END IF; END $$;"


def _forget_cached() -> None:
    """Empty what Redis holds of ours: it is of another time."""
    from django.conf import settings
    from redis.exceptions import RedisError

    from mundap.config.redis_servers import open_client

    try:
        for address in {settings.REDIS_URL, settings.CACHE_REDIS_URL or settings.REDIS_URL}:
            with open_client(address, timeout_seconds=2) as redis:
                for key in redis.scan_iter(match="mundap1:*", count=1000):
                    redis.unlink(key)
    except (RedisError, OSError) as exc:
        click.echo(f"Redis could not be emptied, which does no harm: {exc}", err=True)


def _other_keys(made_with: Mapping[str, str]) -> list[str]:
    from django.conf import settings

    from mundap.config.keys import key_id

    known = {
        "SECRET_KEY": [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS],
        "MUNDAP_TOKEN_KEY": [settings.TOKEN_KEY, *settings.TOKEN_KEY_FALLBACKS],
    }
    return [
        name
        for name, keys in known.items()
        if made_with.get(name) not in {key_id(each) for each in keys}
    ]
