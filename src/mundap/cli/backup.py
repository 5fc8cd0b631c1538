"""`mundap backup`: the database and the settings in one file, as of one moment, while people go on."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import click
import psycopg
from psycopg import sql

from mundap.cli.archives import (
    CHUNK_BYTES,
    DATABASE,
    SETTINGS,
    Archive,
    new_archive,
    open_archive,
    packed,
)
from mundap.cli.kept_settings import SECRETS, settings_without_secrets
from mundap.cli.postgres_tools import Tools, find_tools
from mundap.cli.runtime import started
from mundap.config import env
from mundap.errors import InvalidInput, MundapError

PROGRESS_SECONDS = 2.0
COUNTED = (
    *("accounts_user", "chats_chat", "chats_message", "library_collection", "library_document"),
    *("library_passage", "library_embedding", "library_storedfile"),
)
VECTORS = "library_embedding"
_NAME = "mundap-{:%Y%m%dT%H%M%SZ}.zip"
_NAMES = re.compile(r"mundap-\d{8}T\d{6}Z\.zip")
_DRAFTS = re.compile(rf"\.{_NAMES.pattern}\.\w+\.part")  # as `new_archive` names them


@click.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--keep", type=click.IntRange(1), help="TARGET is a folder; keep so many of its newest."
)
@click.option("--without-vectors", is_flag=True, help="Leave out what can be computed again.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def command(target: Path, *, keep: int | None, without_vectors: bool, is_json: bool) -> None:
    """Write a backup to the file TARGET, or under a name of its own into the folder TARGET."""
    begun = time.perf_counter()
    settings = settings_without_secrets()
    path = _path_in(target, is_folder=keep is not None)
    with started(is_migrated=False):  # a new version, too, makes it of what the one before left
        manifest = write_backup(path, settings=settings, without_vectors=without_vectors)
        note("backup.made", path)
    deleted = _delete_older(path.parent, keep=keep) if keep else []
    report = {
        "file": str(path.resolve()),
        "bytes": path.stat().st_size,
        "seconds": round(time.perf_counter() - begun, 1),
        "rows": manifest["rows"],
        "deleted": [str(each) for each in deleted],
    }
    if is_json:
        click.echo(json.dumps(report, ensure_ascii=False))
        return
    click.echo(f"{path}: {report['bytes'] / 1e6:.1f} MB, checked, in {report['seconds']} s.")
    click.echo(f"Its secrets are not in it; keep {', '.join(SECRETS)} elsewhere.")
    for each in deleted:
        click.echo(f"Deleted {each}.")


def note(action: str, path: Path) -> None:
    """Write a line of the audit log, where the database has one already."""
    from django.db import DatabaseError

    from mundap.accounts import audit

    with suppress(DatabaseError):
        audit.record(action, about=f"file:{path.name}")


def _path_in(target: Path, *, is_folder: bool) -> Path:
    if is_folder or target.is_dir():
        if not target.is_dir():
            raise InvalidInput(f"There is no folder {target}.")
        return target / _NAME.format(datetime.now(UTC))
    if target.exists():
        raise InvalidInput(f"{target} is there already. Name another file, or a folder.")
    if not target.parent.is_dir():
        raise InvalidInput(f"There is no folder {target.parent}.")
    return target


def _delete_older(folder: Path, *, keep: int) -> list[Path]:
    """Delete the folder's backups but the newest, and what is left of any that was killed; return them.

    What is named otherwise stays.
    """
    files = sorted(folder.iterdir())
    yesterday = time.time() - 86_400
    broken_off = [
        path
        for path in files
        if _DRAFTS.fullmatch(path.name)
        and path.stat().st_mtime < yesterday  # others may be at work
    ]
    older = broken_off + [path for path in files if _NAMES.fullmatch(path.name)][:-keep]
    for path in older:
        path.unlink()
    return older


def write_backup(path: Path, *, settings: str, without_vectors: bool) -> Mapping[str, Any]:
    """Write and check the backup; return its manifest. Raises MundapError, and then there is no file."""
    url = env.direct_database_url()
    tools = find_tools(url)
    with new_archive(path) as (writer, draft):
        with _snapshot(url) as moment:
            writer.add(DATABASE, packed(_dumped(tools, moment, without_vectors=without_vectors)))
        writer.add(SETTINGS, [settings.encode()])
        manifest = _manifest(moment, without_vectors=without_vectors)
        writer.close(manifest)
        click.echo("Checking it …", err=True)
        _check(tools, open_archive(draft))
    return manifest


@dataclass(frozen=True, slots=True)
class _Moment:
    """What the database holds at one moment, which pg_dump is shown, too."""

    snapshot: str
    schema: str
    server: str
    rows: Mapping[str, int]
    migrations: list[tuple[str, str]]


@contextmanager
def _snapshot(url: str) -> Iterator[_Moment]:
    with psycopg.connect(url, connect_timeout=5) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        count = "SELECT count(*) FROM {}"
        try:
            rows = {
                table: connection.execute(sql.SQL(count).format(sql.Identifier(table))).fetchone()
                for table in COUNTED
            }
        except psycopg.errors.UndefinedTable as exc:
            raise InvalidInput("There is nothing to back up: the database is empty.") from exc
        known = connection.execute("SELECT pg_export_snapshot(), current_schema()").fetchone()
        applied = connection.execute("SELECT app, name FROM django_migrations ORDER BY id")
        snapshot, schema = known or ("", "")
        yield _Moment(
            snapshot,
            schema,
            connection.info.parameter_status("server_version") or "",
            {table: row[0] if row else 0 for table, row in rows.items()},
            applied.fetchall(),
        )


def _dumped(tools: Tools, moment: _Moment, *, without_vectors: bool) -> Iterator[bytes]:
    """Yield what pg_dump writes, with progress on standard error."""
    options = [f"--snapshot={moment.snapshot}", f"--schema={moment.schema}"]
    # Compressed by us: few builds of pg_dump have a compression that is quick.
    options += ["--format=custom", "--compress=0", "--no-owner", "--no-privileges"]
    # A migration that waits for us is tried again, so this may not wait for it, either.
    options += ["--lock-wait-timeout=60s"]
    if without_vectors:
        options.append(f"--exclude-table-data={moment.schema}.{VECTORS}")
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(
            tools.command("pg_dump", *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            env=tools.environment,
        ) as process:
            try:
                yield from with_progress(_chunks(process.stdout), "Read from the database")
            except BaseException:
                process.kill()
                raise
        require_success("pg_dump", process.returncode, said)


def _chunks(file: IO[bytes] | None) -> Iterator[bytes]:
    while file and (chunk := file.read(CHUNK_BYTES)):
        yield chunk


def with_progress(chunks: Iterable[bytes], what: str) -> Iterator[bytes]:
    """Yield the chunks, and say every few seconds how much it is."""
    done, said_at = 0, time.monotonic()
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        if time.monotonic() - said_at > PROGRESS_SECONDS:
            click.echo(f"{what}: {done / 1e6:.0f} MB …", err=True)
            said_at = time.monotonic()


def require_success(name: str, status: int, said: IO[bytes]) -> None:
    """Raise MundapError with what the program said, unless it has ended well."""
    if status:
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()
        raise MundapError(f"{name} failed: {' '.join(lines[-3:]) or f'status {status}'}")


def _check(tools: Tools, archive: Archive) -> None:
    """Have pg_restore read all of the dump. Raises MundapError."""
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(
            tools.command("pg_restore", "--file=/dev/null"),
            stdin=subprocess.PIPE,
            stderr=said,
            env=tools.environment,
        ) as process:
            try:
                for chunk in archive.database():
                    process.stdin.write(chunk)  # type: ignore[union-attr]
            except BrokenPipeError:
                pass  # it says why
        require_success("pg_restore", process.returncode, said)


def _manifest(moment: _Moment, *, without_vectors: bool) -> dict[str, Any]:
    rows = dict(moment.rows) | ({VECTORS: 0} if without_vectors else {})
    return {
        "mundap": version("mundap"),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "server": moment.server,
        "schema": moment.schema,
        "without_vectors": without_vectors,
        "rows": rows,
        "migrations": moment.migrations,
        "keys": _key_ids(),
    }


def _key_ids() -> dict[str, str]:
    from django.conf import settings

    from mundap.config.keys import key_id

    return {
        "SECRET_KEY": key_id(settings.SECRET_KEY),
        "MUNDAP_TOKEN_KEY": key_id(settings.TOKEN_KEY),
    }
