"""`mundap up`, as on a laptop: nothing is there before, nothing is left running after."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mundap.cli import up
from mundap.embedded import supervisor
from tests.cli.conftest import COMMAND, Run


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "a home"
    supervisor.discard(tmp_path / "a home")


@contextmanager
def serving(home: Path, *, leave_by: signal.Signals = signal.SIGINT) -> Iterator[str]:
    """Give what `mundap up` printed until it was ready; leave by Ctrl-C, or another signal."""
    servers = ("DATABASE_URL", "REDIS_URL", "MUNDAP_EMBEDDING", "SECRET_KEY")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(servers)
    }
    with subprocess.Popen(
        [*COMMAND, "up", "--port", "0", "--no-shelf"],
        env=environment | {"MUNDAP_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        printed = ""
        try:
            for line in process.stdout:
                printed += line
                if "Ctrl-C" in line:
                    break
            yield printed
        finally:
            process.send_signal(leave_by)
            process.stdout.close()
            process.wait(timeout=60)
    assert process.returncode == {signal.SIGINT: 0}.get(leave_by, -leave_by)


def test_up_serves_and_stops_everything(home: Path) -> None:
    with serving(home) as printed:
        address = re.search(r"http://localhost:\d+/", printed)
        assert address, printed
        email, password = re.search(r"Log in as (\S+) with the password (\S+)", printed).groups()
        with urllib.request.urlopen(f"{address[0]}readyz") as reply:
            assert reply.status == 200
        request = urllib.request.Request(
            f"{address[0]}_allauth/app/v1/auth/login",
            data=json.dumps({"email": email, "password": password}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as reply:
            assert json.load(reply)["meta"]["session_token"]
    left = subprocess.run(["pgrep", "-f", str(home)], capture_output=True, text=True)
    assert left.stdout == ""


def test_nothing_is_left_of_an_up_that_is_killed(home: Path) -> None:
    with serving(home, leave_by=signal.SIGKILL):
        pass
    deadline = time.monotonic() + 40
    while subprocess.run(["pgrep", "-f", str(home)], capture_output=True).stdout:
        assert time.monotonic() < deadline, "something still runs"
        time.sleep(0.1)


@pytest.mark.django_db
def test_whoever_serves_a_network_is_told_by_which_names(
    settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.ALLOWED_HOSTS = ["localhost", "ask.lan"]
    up._welcome(up._EVERYWHERE[0], 8000, 0.1)
    said = capsys.readouterr().out
    assert "http://localhost:8000/" in said
    assert "MUNDAP_ALLOWED_HOSTS, and no other: localhost, ask.lan" in said
    up._welcome("::1", 8000, 0.1)
    assert "MUNDAP_ALLOWED_HOSTS" not in capsys.readouterr().out


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_wrong_usage(run: Run, port: str) -> None:
    done = run("up", "--port", port)
    assert done.returncode == 2
    assert "Invalid value for '--port'" in done.stderr


def test_a_port_that_is_taken_is_said_at_once(run: Run) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("up", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "Choose another --port" in done.stderr
