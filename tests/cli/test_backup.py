"""A backup made while people write, and an empty installation that becomes what it holds."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import psycopg
import pytest
from click.testing import CliRunner
from django_redis import get_redis_connection

from mundap.cli import backup, postgres_tools, restore
from mundap.cli.archives import DATABASE, MANIFEST, new_archive, open_archive
from mundap.cli.kept_settings import settings_without_secrets
from mundap.errors import ConfigurationError, Conflict, InvalidInput
from tests.cli.conftest import Run
from tests.nodes.nginx import make_certificate

SSL_REQUEST = (80877103).to_bytes(4, "big")  # what a client that wants TLS begins with
WRITE_USER = """
    INSERT INTO accounts_user (id, password, is_superuser, email, language, is_staff, is_active, date_joined, theme)
    VALUES (gen_random_uuid(), '', false, gen_random_uuid() || '@example.org', '', false, true, now(), '')
"""
MAKE_TOKEN = """
from mundap.accounts import services, tokens
root, _is_new = services.make_admin("keeper@example.org", password="correct horse battery staple")
print(tokens.make_token(root, name="backup")[1])
"""


@pytest.fixture(scope="module")
def made(
    run: Run, handbook: Path, command_environment: dict[str, str], tmp_path_factory
) -> tuple[Path, dict, str]:
    """A backup, what its command said, and the API token of somebody in it."""
    token = run("shell", "-v", "0", "-c", MAKE_TOKEN).stdout.strip()
    path = tmp_path_factory.mktemp("backups") / "mundap.zip"
    is_over = threading.Event()

    def write() -> None:
        with psycopg.connect(command_environment["DATABASE_URL"], autocommit=True) as other:
            while not is_over.wait(0.01):
                other.execute(WRITE_USER)

    people = threading.Thread(target=write)
    people.start()
    try:
        done = run("backup", str(path), "--json", OPENAI_API_KEY="sk-very-secret")
    finally:
        is_over.set()
        people.join()
    assert done.returncode == 0, done.stderr
    return path, json.loads(done.stdout), token


def test_an_empty_installation_becomes_what_it_holds(
    run: Run, made: tuple[Path, dict, str], new_database: Callable[[str], str]
) -> None:
    path, said, token = made
    # As PostgreSQL's own image makes one: without pgvector, for a user who may add it.
    url = new_database("restored", "template0").replace("//mundap@", "//postgres@")
    with psycopg.connect(url) as target:
        target.execute("CREATE FUNCTION somebody_elses() RETURNS int LANGUAGE sql AS 'SELECT 7'")
    redis = get_redis_connection("default")
    redis.set("mundap1:of-another-time", "x")
    redis.set("somebody-elses", "x")
    done = run("restore", str(path), "--json", DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    restored = json.loads(done.stdout)
    assert restored["rows"] == said["rows"]
    assert restored["other_keys"] == []
    assert [redis.exists(key) for key in ("mundap1:of-another-time", "somebody-elses")] == [0, 1]
    answer = run("ask", "How much holiday is there?", "--collection", "handbook", DATABASE_URL=url)
    assert "thirty days" in answer.stdout
    who = f"from mundap.accounts.tokens import find_token; print(find_token({token!r}).user.email)"
    assert (
        run("shell", "-v", "0", "-c", who, DATABASE_URL=url).stdout.strip() == "keeper@example.org"
    )
    # It holds something now, and that is not replaced unasked, nor while others use it.
    with psycopg.connect(url, autocommit=True) as target, psycopg.connect(url):
        assert target.execute("SELECT somebody_elses()").fetchone() == (7,)
        with pytest.raises(Conflict, match="--replace"):
            restore._require_room(target, replace=False)
        with pytest.raises(Conflict, match="1 other connections"):
            restore._require_room(target, replace=True)
        target.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('chats', '0999_x', now())"
        )
        with pytest.raises(Conflict, match="empty database"):
            restore._require_room(target, replace=True)


def test_nothing_is_changed_unless_all_is_restored(
    run: Run,
    made: tuple[Path, dict, str],
    command_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    """A backup that holds fewer rows than it says is undone, with the installation as it was."""
    path = changed(made[0], tmp_path / "fewer.zip", rows={"accounts_user": 0})
    done = run("restore", str(path), "--replace")
    assert done.returncode == 1
    assert "rows are missing" in done.stderr
    with psycopg.connect(command_environment["DATABASE_URL"]) as connection:
        slugs = connection.execute("SELECT slug FROM library_collection").fetchall()
    assert ("handbook",) in slugs


def changed(path: Path, to: Path, **manifest: object) -> Path:
    """Return a copy of the backup whose manifest says something else."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == MANIFEST:
                content = json.dumps(json.loads(content) | manifest).encode()
            new.writestr(name, content)
    return to


def test_the_file_is_private_and_without_secrets(made: tuple[Path, dict, str]) -> None:
    path, said, token = made
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size == said["bytes"]
    assert [each.name for each in path.parent.iterdir()] == [path.name], "nothing is left beside it"
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        texts = archive.read("settings.env") + archive.read(MANIFEST)
    assert b"#OPENAI_API_KEY=\n" in texts
    for secret in (b"sk-very-secret", os.environ["SECRET_KEY"].encode(), token.encode()):
        assert secret not in texts


def test_what_is_damaged_is_refused(made: tuple[Path, dict, str], tmp_path: Path) -> None:
    content = made[0].read_bytes()
    with zipfile.ZipFile(made[0]) as archive:
        place = archive.getinfo(DATABASE).header_offset + 200
    for name, damaged in {
        "flipped": content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
        "cut": content[: len(content) // 2],
        "empty": b"",
        "other": b"PGDMP" * 100,
    }.items():
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(InvalidInput, match="damaged"):
            open_archive(tmp_path / name)
    with pytest.raises(InvalidInput, match="no file"):
        open_archive(tmp_path / "missing")


def test_a_newer_one_is_refused(made: tuple[Path, dict, str], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="newer"):
        open_archive(changed(made[0], tmp_path / "format.zip", format=99))
    newer = changed(made[0], tmp_path / "newer.zip", migrations=[["chats", "0999_tomorrow"]])
    with pytest.raises(InvalidInput, match=r"newer Mundap .* chats.0999_tomorrow"):
        restore._refuse_newer(open_archive(newer))


def test_the_oldest_of_a_folder_are_deleted(tmp_path: Path) -> None:
    names = [f"mundap-2026010{day}T000000Z.zip" for day in range(1, 6)]
    with suppress(RuntimeError), new_archive(tmp_path / names[0]) as (_writer, draft):
        killed, running = (tmp_path / f"{draft.name[: -len('.part')]}{each}.part" for each in "ab")
        raise RuntimeError
    for name in (*names, "mundap.zip", "other.txt", killed, running):
        (tmp_path / name).touch()
    os.utime(killed, (0, 0))
    deleted = [path.name for path in backup._delete_older(tmp_path, keep=2)]
    assert deleted == [killed.name, *names[:3]]
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*names[3:], "mundap.zip", "other.txt", running.name}


def test_where_it_cannot_go_is_said(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    for target, words in {
        "there": "is there already",
        "no/where": "no folder",
    }.items():
        done = CliRunner().invoke(backup.command, [str(tmp_path / target)])
        assert words in str(done.exception)


def test_programs_are_as_new_as_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    own = postgres_tools._choose(15, is_encrypted=False)
    assert own == postgres_tools._choose(18, is_encrypted=False)
    for is_encrypted in (False, True):
        with pytest.raises(ConfigurationError, match="postgresql-client-19"):
            postgres_tools._choose(19, is_encrypted=is_encrypted)
    for name in ("pg_dump", "pg_restore", "psql"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 19.2 (Debian)'\n")
        (tmp_path / name).chmod(0o755)
    assert postgres_tools._choose(18, is_encrypted=False) == own
    assert postgres_tools._choose(19, is_encrypted=True) == (tmp_path, None)


@pytest.mark.usefixtures("handbook")
def test_a_server_that_wants_tls_is_backed_up(
    run: Run, command_environment: dict[str, str], tmp_path: Path
) -> None:
    address = command_environment["DATABASE_URL"]
    with tls_before(address, tmp_path) as (port, certificate):
        verified = f"sslmode=verify-full&sslrootcert={certificate}"
        url = f"postgresql://mundap@127.0.0.1:{port}/{urlsplit(address).path[1:]}?{verified}"
        done = run("backup", str(tmp_path / "a.zip"), DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    assert open_archive(tmp_path / "a.zip").manifest["rows"]["library_document"]


@contextmanager
def tls_before(address: str, folder: Path) -> Iterator[tuple[int, Path]]:
    """Let a server that is reached by its socket alone be reached by TLS alone; gives the port and the certificate."""
    certificate, key = make_certificate(folder)
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(certificate, key)
    path = f"{dict(parse_qsl(urlsplit(address).query))['host']}/.s.PGSQL.5432"

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            while some := await reader.read(65_536):
                writer.write(some)
                await writer.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            if (await reader.readexactly(8))[4:] == SSL_REQUEST:
                writer.write(b"S")
                await writer.start_tls(secure)
                behind, into = await asyncio.open_unix_connection(path)
                await asyncio.gather(pass_on(reader, into), pass_on(behind, writer))

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1], certificate
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_settings_are_kept_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://mundap:hunter2@db/mundap")
    monkeypatch.setenv("MUNDAP_TOKEN_KEY_FALLBACKS", "hunter3")
    monkeypatch.setenv("MUNDAP_CHAT_CONTEXT_TOKENS", "9000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter4")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://traces.example.org")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hunter5")
    monkeypatch.setenv("MUNDAP_TRUSTED_ORIGINS", "https://a.example.org,https://b.example.org")
    lines = settings_without_secrets().splitlines()
    assert "MUNDAP_TRUSTED_ORIGINS=https://a.example.org,https://b.example.org" in lines
    assert "DATABASE_URL=postgresql://mundap:***@db/mundap" in lines
    assert "#MUNDAP_TOKEN_KEY_FALLBACKS=" in lines
    assert "MUNDAP_CHAT_CONTEXT_TOKENS=9000" in lines
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=https://traces.example.org" in lines
    assert "hunter" not in " ".join(lines)
