"""The roles of a larger installation: web processes, workers and the embedding server, each a process by itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, Run

KEY = "a-key-of-the-embedding-server"


@contextmanager
def role(*arguments: str, folder: Path | None = None, **variables: str) -> Iterator[int]:
    """Run the role at a free port, which is given once it listens there."""
    with subprocess.Popen(
        [*COMMAND, *arguments, "--port", "0"],
        cwd=folder,
        env=os.environ | variables,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            printed = ""
            for line in process.stderr:
                printed += line
                if port := re.search(r"port (\d+)", line):
                    yield int(port[1])
                    break
            else:
                pytest.fail(printed)
        finally:
            process.terminate()
            process.stderr.close()
            process.wait(timeout=60)


def test_a_web_process_serves_and_is_healthy(run: Run, command_environment: dict[str, str]) -> None:
    with role("web", DATABASE_URL=command_environment["DATABASE_URL"]) as port:
        deadline = time.monotonic() + 60
        while (done := run("healthy", "web", "--port", str(port))).returncode:
            assert time.monotonic() < deadline, done.stderr
        assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
    done = run("healthy", "web", "--port", str(port))
    assert (done.returncode, "does not answer" in done.stderr) == (1, True)


def test_the_embedding_server_wants_its_key(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MUNDAP_EMBEDDING_API_KEY", raising=False)
    (tmp_path / ".env").write_text(
        f"MUNDAP_EMBEDDING_API_KEY={KEY}\n"
    )  # as beside a unit of systemd
    with role("embeddings", folder=tmp_path) as port:
        assert run("healthy", "embeddings", "--port", str(port)).returncode == 0
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/embeddings",
            data=json.dumps({"model": "mundap-1", "input": "holidays"}).encode(),
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        assert refused.value.code == 401
        refused.value.close()
        request.add_header("Authorization", f"Bearer {KEY}")
        with urllib.request.urlopen(request) as reply:
            assert len(json.load(reply)["data"][0]["embedding"]) == 896


def test_a_worker_is_healthy_while_it_is_heard_of(run: Run) -> None:
    check = f"__import__('subprocess').run({[*COMMAND, 'healthy', 'worker']!r}).returncode"
    at_work = "from mundap.library.workers import at_work\nwith at_work(is_command=False):\n"
    done = run("shell", "-v", "0", "-c", f"{at_work}  print({check})\nprint({check})")
    assert re.findall(r"^\d$", done.stdout, re.MULTILINE) == ["0", "1"], done.stderr


@pytest.mark.parametrize("command", ["web", "worker", "migrate"])
def test_production_does_not_start_without_secrets(run: Run, command: str) -> None:
    done = run(command, MUNDAP_ENV="production", SECRET_KEY="", MUNDAP_TOKEN_KEY="")
    assert done.returncode == 1
    assert "SECRET_KEY, MUNDAP_TOKEN_KEY" in done.stderr
    assert "openssl rand -hex 32" in done.stderr


def test_the_embedding_server_does_not_start_without_a_key(run: Run) -> None:
    done = run("embeddings", MUNDAP_EMBEDDING_API_KEY="")
    assert done.returncode == 1
    assert "MUNDAP_EMBEDDING_API_KEY is not set" in done.stderr
