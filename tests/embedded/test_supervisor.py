"""Starting, sharing and stopping, with every way in which a process can leave."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from tests.embedded.conftest import pids_of, until

from mundap.embedded import supervisor


def answers(database_url: str, redis_url: str) -> bool:
    with psycopg.connect(database_url) as connection, redis.from_url(redis_url) as cache:
        return connection.execute("SELECT 1").fetchone() == (1,) and cache.ping()


def remember(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE remembered (word text)")
        connection.execute("INSERT INTO remembered VALUES ('문답')")


def recall(database_url: str) -> list[tuple[str]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute("SELECT word FROM remembered").fetchall()


def is_answering(user) -> bool:
    try:
        return answers(user.database_url, user.redis_url)
    except (psycopg.OperationalError, redis.ConnectionError):
        return False


def test_starts_both_and_stops_them(new_home: Path) -> None:
    with supervisor.running(new_home, postgres=True, valkey=True, embeddings=False) as endpoints:
        assert answers(str(endpoints.database_url), str(endpoints.redis_url))
        assert all(pids_of(new_home).values())
        assert endpoints.embedding_url is None
        assert endpoints.embedding_key is None
    assert not any(pids_of(new_home).values())


def test_starts_only_what_is_asked_for(new_home: Path) -> None:
    with supervisor.running(new_home, postgres=False, valkey=True, embeddings=False) as endpoints:
        assert endpoints.database_url is None
        assert pids_of(new_home)["postgres"] is None
        assert not (new_home / "postgres").exists()
    with supervisor.running(new_home, postgres=False, valkey=False, embeddings=False):
        assert not any(pids_of(new_home).values())


def test_data_outlive_a_restart(home: Path) -> None:
    with supervisor.running(home, postgres=True, valkey=False, embeddings=False) as endpoints:
        remember(str(endpoints.database_url))
    with supervisor.running(home, postgres=True, valkey=False, embeddings=False) as endpoints:
        assert recall(str(endpoints.database_url)) == [("문답",)]


def test_a_second_context_in_the_same_process_shares(home: Path) -> None:
    with supervisor.running(home, postgres=True, valkey=True, embeddings=False) as outer:
        before = pids_of(home)
        with supervisor.running(home, postgres=True, valkey=True, embeddings=False) as inner:
            assert inner == outer
        assert pids_of(home) == before
        assert answers(str(outer.database_url), str(outer.redis_url))


def test_two_processes_share_and_the_last_one_stops(home: Path, user) -> None:
    first = user(home)
    first.said()
    before = pids_of(home)
    second = user(home)
    assert second.said() == first.said()
    assert first.leave() == 0
    assert pids_of(home) == before
    assert answers(second.database_url, second.redis_url)
    assert second.leave() == 0
    assert not any(pids_of(home).values())


def test_many_processes_start_the_same_home_at_once(new_home: Path, user) -> None:
    users = [user(new_home) for _ in range(5)]
    assert len({each.database_url for each in users}) == 1
    assert answers(users[0].database_url, users[0].redis_url)
    for each in users:
        assert each.leave() == 0
    assert not any(pids_of(new_home).values())


def test_many_processes_leave_at_once(home: Path, user) -> None:
    users = [user(home) for _ in range(4)]
    for each in users:
        each.said()
    for each in users:
        each._process.stdin.close()
    assert [each.leave() for each in users] == [0] * 4
    assert not any(pids_of(home).values())


def test_two_homes_at_once(home: Path, other_home: Path, user) -> None:
    one, other = user(home), user(other_home)
    remember(one.database_url)
    with pytest.raises(psycopg.errors.UndefinedTable):
        recall(other.database_url)
    one.leave()
    assert all(pids_of(other_home).values())
    assert answers(other.database_url, other.redis_url)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_user_stops_the_servers(home: Path, user, number: int) -> None:
    terminated = user(home)
    terminated.said()
    assert terminated.signal(number) == 128 + number
    assert not any(pids_of(home).values())


def test_ctrl_c_reaches_the_user_and_not_the_servers(home: Path, user, capfd) -> None:
    staying, interrupted = user(home), user(home)
    staying.said(), interrupted.said()
    before = pids_of(home)
    interrupted.press_ctrl_c()
    assert pids_of(home) == before
    assert answers(staying.database_url, staying.redis_url)
    staying.press_ctrl_c()
    assert not any(pids_of(home).values())
    capfd.readouterr()


def test_servers_of_a_killed_user_are_taken_over(home: Path, user) -> None:
    killed, heir = user(home), user(home)
    remember(killed.database_url)
    before = pids_of(home)
    killed.signal(signal.SIGKILL)
    assert recall(heir.database_url) == [("문답",)]
    third = user(home)
    third.said()
    heir.signal(signal.SIGKILL)
    assert recall(third.database_url) == [("문답",)]
    assert pids_of(home) == before
    third.leave()
    assert not any(pids_of(home).values())


def test_servers_of_a_killed_user_stop_by_themselves(home: Path, user) -> None:
    killed = user(home)
    remember(killed.database_url)
    killed.signal(signal.SIGKILL)
    until(lambda: not any(pids_of(home).values()))
    assert recall(user(home).database_url) == [("문답",)]


@pytest.mark.parametrize("part", ["postgres", "valkey"])
def test_a_server_that_dies_is_started_again_while_it_is_used(home, user, part: str) -> None:
    lasting = user(home)
    remember(lasting.database_url)
    # The watcher restarts what it has seen alive, so it is let look around first.
    until(lambda: f"watching {part}" in (home / "log" / "watcher.log").read_text())
    first = pids_of(home)[part]
    os.kill(first or 0, signal.SIGKILL)
    until(lambda: pids_of(home)[part] not in {None, first})
    until(lambda: is_answering(lasting))
    assert recall(lasting.database_url) == [("문답",)]


def test_servers_stop_even_when_their_home_was_deleted(home: Path, user) -> None:
    lasting = user(home)
    lasting.said()
    pids = [psutil.Process(pid) for pid in pids_of(home).values() if pid]
    assert len(pids) == 3
    shutil.rmtree(home)
    lasting.leave()
    _, alive = psutil.wait_procs(pids, timeout=0)
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.parametrize("part", ["postgres", "valkey"])
def test_a_killed_server_is_started_again_at_the_same_place(home: Path, user, part: str) -> None:
    first = user(home)
    remember(first.database_url)
    os.kill(pids_of(home)[part] or 0, signal.SIGKILL)
    second = user(home)
    assert recall(second.database_url) == [("문답",)]
    # The first user's addresses are good again too.
    assert second.said() == first.said()
    assert answers(first.database_url, first.redis_url)


def test_everything_killed_at_once(home: Path, user) -> None:
    victim = user(home)
    remember(victim.database_url)
    pids = [pid for pid in pids_of(home).values() if pid]
    for pid in [victim._process.pid, *pids]:
        os.kill(pid, signal.SIGKILL)
    victim._process.wait(10)
    again = user(home)
    assert recall(again.database_url) == [("문답",)]


def test_servers_stop_when_the_block_fails(home: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        supervisor.running(home, postgres=False, valkey=True, embeddings=False),
    ):
        1 / 0  # noqa: B018
    assert not any(pids_of(home).values())


def test_a_forked_child_does_not_stop_what_its_parent_uses(home: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from mundap.embedded import supervisor
with supervisor.running(Path(sys.argv[1]), postgres=False, valkey=True, embeddings=False) as found:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        import redis
        with redis.from_url(found.redis_url) as cache:
            print(cache.ping())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(home)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == ["True"]
    assert not any(pids_of(home).values())


def test_open_transactions_do_not_keep_the_server(home: Path) -> None:
    with supervisor.running(home, postgres=True, valkey=False, embeddings=False) as endpoints:
        connection = psycopg.connect(str(endpoints.database_url))
        connection.execute("SELECT 1")
    assert not any(pids_of(home).values())
    connection.close()


def test_discard_leaves_nothing(new_home: Path) -> None:
    with supervisor.running(new_home, postgres=True, valkey=True, embeddings=False):
        data = (new_home / "postgres").resolve()
        assert data.is_dir()
    supervisor.discard(new_home)
    assert not new_home.exists()
    assert not data.exists()
