"""Parts that cannot start: the error says what happened, shows the log's end and where the log is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.embedded.conftest import pids_of

from mundap.embedded import supervisor, valkey
from mundap.errors import EmbeddedError

# Files may not grow past 100 kB, as on a disk with no room left.
FULL_DISK = "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"


def test_no_room_for_the_data(new_home: Path, user) -> None:
    refused = user(new_home, prelude=FULL_DISK)
    said = refused.said()
    assert said["code"] == "embedded_error"
    assert "initdb failed" in said["error"]
    assert "File too large" in said["error"]
    assert str(new_home / "log" / "postgres.log") in said["error"]
    assert refused.leave() == 1
    assert not any(pids_of(new_home).values())
    assert not (new_home / "postgres").exists(), "nothing half-written is left"
    assert not (new_home / "postgres.new").exists()
    assert "error" not in user(new_home).said(), "with room again it works"


def test_no_room_at_all(new_home: Path, user) -> None:
    refused = user(new_home, prelude=FULL_DISK.replace("100_000", "0"))
    assert "Is the disk full" in refused.said()["error"]
    assert refused.leave() == 1
    assert not any(pids_of(new_home).values()), "nothing is left that could not be stopped"


def test_a_server_that_ends_at_once(home: Path) -> None:
    with supervisor.running(home, postgres=True, valkey=False, embeddings=False):
        data = (home / "postgres").resolve()
    with (data / "postgresql.conf").open("a") as settings:
        settings.write("\nno_such_setting = 1\n")
    with (
        pytest.raises(EmbeddedError) as failure,
        supervisor.running(home, postgres=True, valkey=True, embeddings=False),
    ):
        pass
    assert 'unrecognized configuration parameter "no_such_setting"' in failure.value.message
    assert str(home / "log" / "postgres.log") in failure.value.message
    assert not any(pids_of(home).values()), "the other part was stopped again"


def test_only_the_last_starts_words_are_shown(new_home: Path) -> None:
    for word in ("first", "second"):
        new_home.mkdir(exist_ok=True)
        with (
            pytest.raises(EmbeddedError) as failure,
            pytest.MonkeyPatch.context() as patch,
            supervisor.running(new_home, postgres=False, valkey=False, embeddings=False),
        ):
            patch.setitem(valkey._OPTIONS, f"{word}-wrong-option", "1")
            with supervisor.running(new_home, postgres=False, valkey=True, embeddings=False):
                pass
    assert "second-wrong-option" in failure.value.message
    assert "first-wrong-option" not in failure.value.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_written(new_home: Path) -> None:
    new_home.mkdir(mode=0o500)
    with (
        pytest.raises(EmbeddedError, match="MUNDAP_HOME"),
        supervisor.running(new_home, postgres=True, valkey=True, embeddings=False),
    ):
        pass


def test_logs_stay_small(home: Path) -> None:
    log = home / "log" / "valkey.log"
    for letter in ("a", "b"):
        with supervisor.running(home, postgres=False, valkey=True, embeddings=False):
            pass
        with log.open("a") as file:
            file.write(letter * 5_000_000)
    with supervisor.running(home, postgres=False, valkey=True, embeddings=False):
        assert log.stat().st_size < 100_000
    assert [path.name for path in sorted((home / "log").glob("valkey*"))] == [
        "valkey.log",
        "valkey.log.1",
    ]
    assert (home / "log" / "valkey.log.1").read_text().endswith("bbb")
    assert sum(path.stat().st_size for path in (home / "log").iterdir()) < 3_000_000
    shutil.rmtree(home / "log")
    with supervisor.running(home, postgres=False, valkey=True, embeddings=False):
        assert log.exists(), "a deleted log folder is made again"
