"""Where the home folder is, and that its secrets are private and the same for everybody."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mundap.embedded.home import home_folder, home_path, load_or_make_secret
from mundap.errors import EmbeddedError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_is_where_the_environment_says(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MUNDAP_HOME", str(tmp_path / "a folder" / "of mine"))
    assert home_folder() == tmp_path / "a folder" / "of mine"
    assert home_folder().is_dir()


def test_is_the_users_data_folder_otherwise(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("MUNDAP_HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home_path().name == "mundap"
    assert home_path().is_relative_to(tmp_path)
    assert not home_path().exists()


def test_a_tilde_and_a_relative_path_are_understood(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MUNDAP_HOME", "~/mine")
    assert home_path() == tmp_path / "mine"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MUNDAP_HOME", "here")
    assert home_path() == tmp_path / "here"


def test_nobody_else_can_look_into_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MUNDAP_HOME", str(tmp_path / "home"))
    home = home_folder()
    assert mode(home) & 0o066 == 0
    assert [mode(home / name) for name in ("secrets", "log", "run")] == [0o700] * 3


def test_a_file_in_its_place_is_refused(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "home").write_text("I was here first")
    monkeypatch.setenv("MUNDAP_HOME", str(tmp_path / "home"))
    with pytest.raises(EmbeddedError, match="Set MUNDAP_HOME to a folder of your own"):
        home_folder()
    monkeypatch.setenv("MUNDAP_HOME", str(tmp_path / "home" / "below"))
    with pytest.raises(EmbeddedError, match="cannot be written"):
        home_folder()


def test_an_impossible_path_is_refused(monkeypatch) -> None:
    monkeypatch.setenv("MUNDAP_HOME", "~nobody-has-this-name/mundap")
    with pytest.raises(EmbeddedError, match="MUNDAP_HOME="):
        home_folder()


def test_a_secret_stays_the_same_and_private(tmp_path: Path) -> None:
    secret = load_or_make_secret(tmp_path, "secret-key")
    assert len(secret) >= 50
    assert load_or_make_secret(tmp_path, "secret-key") == secret
    assert load_or_make_secret(tmp_path, "token-key") != secret
    assert [mode(path) for path in (tmp_path / "secrets").iterdir()] == [0o600] * 2


def test_all_who_ask_at_once_get_the_same_secret(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from mundap.embedded.home import *;"
        "print(load_or_make_secret(Path(sys.argv[1]), 'secret-key'))"
    )

    def ask(_: int) -> str:
        command = [sys.executable, "-c", program, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(ask, range(6)))) == 1
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == ["secret-key"]


def test_a_secret_that_others_could_read_is_closed(tmp_path: Path) -> None:
    secret = load_or_make_secret(tmp_path, "secret-key")
    (tmp_path / "secrets" / "secret-key").chmod(0o644)
    assert load_or_make_secret(tmp_path, "secret-key") == secret
    assert mode(tmp_path / "secrets" / "secret-key") == 0o600


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_broken_secret_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "secret-key").write_bytes(content)
    with pytest.raises(EmbeddedError, match="secret-key"):
        load_or_make_secret(tmp_path, "secret-key")


def test_asking_for_the_path_makes_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MUNDAP_HOME", str(tmp_path / "home"))
    home_path()
    assert not list(tmp_path.iterdir())
