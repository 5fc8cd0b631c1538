"""What a crash, another program or another version left behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest
from tests.embedded.conftest import pids_of, until

from mundap.embedded import supervisor, unprivileged
from mundap.embedded.postgres import program
from mundap.embedded.process import Account
from mundap.errors import DataVersionMismatch, EmbeddedError


@contextmanager
def database(home: Path) -> Iterator[str]:
    with supervisor.running(home, postgres=True, valkey=False, embeddings=False) as endpoints:
        yield str(endpoints.database_url)


def fill(home: Path) -> Path:
    """Make a home whose database holds something; return its data folder."""
    with database(home) as url, psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    return (home / "postgres").resolve()


def kept(url: str) -> int:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT number FROM kept").fetchone()[0]


def test_a_pid_file_whose_number_is_somebody_elses_now(home: Path) -> None:
    data = fill(home)
    lines = [str(os.getpid()), str(data), "1700000000", "5432", str(data), "", "", "ready"]
    (data / "postmaster.pid").write_text("\n".join(lines) + "\n")
    shutil.chown(data / "postmaster.pid", data.stat().st_uid)
    with database(home) as url:
        assert kept(url) == 7


def test_old_sockets(home: Path) -> None:
    data = fill(home)
    for path in (data / ".s.PGSQL.5432", data / ".s.PGSQL.5432.lock", home / "run" / "valkey.sock"):
        path.write_text(f"{os.getpid()}\n")
    with supervisor.running(home, postgres=True, valkey=True, embeddings=False) as endpoints:
        assert kept(str(endpoints.database_url)) == 7


def test_a_lock_file_full_of_rubbish(home: Path) -> None:
    fill(home)
    for name in ("start", "users", "postgres", "valkey"):
        (home / "run" / f"{name}.lock").write_text("rubbish")
    with database(home) as url:
        assert kept(url) == 7


def test_a_first_start_that_was_cut_off(new_home: Path) -> None:
    new_home.mkdir(mode=0o711)
    (new_home / "postgres.new" / "base").mkdir(parents=True)
    (new_home / "postgres.new" / "PG_VERSION").write_text("18\n")
    with database(new_home) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("when", ["postgres.new/PG_VERSION", "postgres/postmaster.pid"])
def test_a_first_start_that_is_ended_by_a_signal(new_home, user, when: str, number: int) -> None:
    ended = user(new_home)
    until((new_home / when).exists)
    ended.signal(number)
    if number != signal.SIGKILL:
        assert not any(pids_of(new_home).values())
    with database(new_home) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT '[1,2]'::vector <-> '[1,2]'").fetchone() == (0.0,)
    assert {path.name for path in new_home.iterdir()} == {"postgres", "run", "log", "secrets"}


@pytest.mark.parametrize("files", [[], ["PG_VERSION"], ["PG_VERSION", "base/1/112"]])
def test_a_half_written_data_folder_is_moved_aside(new_home: Path, files: list[str]) -> None:
    (new_home / "postgres").mkdir(parents=True)
    for name in files:
        path = new_home / "postgres" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("18\n")
    with database(new_home) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    aside = list(new_home.glob("postgres.incomplete-*"))
    assert len(aside) == 1
    assert sum(path.is_file() for path in aside[0].rglob("*")) == len(files)


def test_a_database_that_was_never_made_is_made(home: Path) -> None:
    """The first start was killed after the data folder was complete."""
    fill(home)
    with database(home) as url:
        admin = url.replace("mundap@/mundap", "postgres@/postgres")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute("DROP DATABASE mundap")
            connection.execute("DROP ROLE mundap")
    with database(home) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT '[1,2]'::vector <-> '[1,2]'").fetchone() == (0.0,)


def test_a_damaged_data_folder_with_data_is_refused(home: Path) -> None:
    data = fill(home)
    (data / "global" / "pg_control").unlink()
    with pytest.raises(EmbeddedError, match=r"damaged.*backup"), database(home):
        pass
    assert (data / "base").is_dir(), "nothing was touched"


def test_a_link_to_data_that_are_gone_is_refused(new_home: Path) -> None:
    new_home.mkdir()
    (new_home / "postgres").symlink_to(new_home / "nowhere")
    with pytest.raises(EmbeddedError, match=r"is gone.*delete the link"), database(new_home):
        pass


def test_another_major_version_is_refused_with_a_way_out(home: Path) -> None:
    data = fill(home)
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(DataVersionMismatch) as refusal, database(home):
        pass
    message = refusal.value.message
    assert "PostgreSQL 16" in message
    assert "PostgreSQL 18" in message
    assert f"mv '{home}/postgres' '{home}/postgres-16'" in message
    assert "pg_dump" in message
    assert "pg_restore" in message
    assert (data / "global" / "pg_control").exists(), "nothing was touched"
    (data / "PG_VERSION").write_text("18\n")
    with database(home) as url:
        assert kept(url) == 7


def test_the_way_out_works(home: Path) -> None:
    """What the message says is done word for word, with the older PostgreSQL of the same wheel."""
    older, newer = programs("pginstall"), programs("pginstall18")
    if not (older / "initdb").exists():
        pytest.skip("the wheel has only one PostgreSQL")
    shutil.rmtree((home / "postgres").resolve())
    data = home / "postgres"
    account = unprivileged.account_for(data)
    run = partial(shell, account=account, path=older)
    data.mkdir(mode=0o700)
    shutil.chown(data, *((account.uid, account.gid) if account else (os.getuid(), os.getgid())))
    run(f"initdb -D '{data}' -U postgres -A trust -E UTF8 --no-locale")
    run(f"pg_ctl -D '{data}' -o \"-k '{data}' -h ''\" -w start")
    run(f"psql -h '{data}' -U postgres -c 'CREATE ROLE mundap LOGIN CREATEDB'")
    run(f"createdb -h '{data}' -U postgres -O mundap mundap")
    run(f"psql -h '{data}' -U postgres -c 'CREATE EXTENSION vector' mundap")
    run(f"psql -h '{data}' -U mundap -c 'CREATE TABLE kept AS SELECT 7 AS number' mundap")
    run(f"pg_ctl -D '{data}' -w stop")

    with pytest.raises(DataVersionMismatch) as refusal, database(home):
        pass
    lines = refusal.value.message.splitlines()
    move, start, dump, stop, restore = [line.strip() for line in lines if line.startswith("  ")]
    for command in (start, dump, stop):
        run(re.sub("(?<= )/tmp", str(data), command))
    dumped = data.with_name("postgres-16") / "mundap.dump"
    shell(move, account=None, path=older)
    with database(home) as url:
        address = url.replace("mundap@", "postgres@")
        command = restore.replace("ADDRESS", f"'{address}'").replace(
            "/tmp/mundap.dump", str(dumped)
        )
        shell(command, account=None, path=newer)
        assert kept(url) == 7


def programs(install: str) -> Path:
    return program("psql", None).parent.parent.parent / install / "bin"


def shell(command: str, *, account: Account | None, path: Path) -> None:
    """Run a command as a person would, with these programs first in the PATH."""
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd="/",
        env={"PATH": f"{path}:{os.environ['PATH']}", "LC_ALL": "C"},
        # Files and not pipes: a server that pg_ctl starts would keep a pipe open.
        stdout=subprocess.DEVNULL,
        stderr=None,
        **(account.popen_options() if account else {}),
    )
    assert done.returncode == 0, command


def test_a_server_that_somebody_started_by_hand_is_left_alone(home: Path) -> None:
    data = fill(home)
    account = unprivileged.account_for(data)
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={data}"]
    by_hand = subprocess.Popen(
        [str(program("postgres", account)), "-D", str(data), *options],
        cwd="/",
        stderr=subprocess.PIPE,
        text=True,
        **(account.popen_options() if account else {}),
    )
    try:
        assert by_hand.stderr is not None
        for line in by_hand.stderr:
            if "ready to accept connections" in line:
                break
        with pytest.raises(EmbeddedError, match=f"process {by_hand.pid}"), database(home):
            pass
        assert by_hand.poll() is None
    finally:
        by_hand.send_signal(signal.SIGINT)
        by_hand.communicate(timeout=30)
    with database(home) as url:
        assert kept(url) == 7


def test_a_killed_server_whose_last_process_is_still_busy(home: Path, user) -> None:
    """The data folder has one master at a time: a new server waits until the old one is all gone."""
    first = user(home)
    with psycopg.connect(first.database_url, autocommit=True) as busy:
        busy.execute("CREATE TABLE kept AS SELECT 7 AS number")
        # The backend is stopped, so it cannot notice that its server dies, until it goes on.
        backend = busy.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        os.kill(pids_of(home)["postgres"] or 0, signal.SIGKILL)
        second = user(home)
        os.kill(backend, signal.SIGCONT)
        assert kept(second.database_url) == 7
