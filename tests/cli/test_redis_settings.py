"""A wrong setting about Redis: no command starts with it, and doctor names it."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Run

PASSWORD = "wonderful-pa55word"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"redis://:{PASSWORD}@127.0.0.1:1/cache", "database that is not a number"),
        (f"rediss://:{PASSWORD}@127.0.0.1:1/0?ssl_ca_certs=/nowhere", "no such file"),
    ],
)
def test_it_is_refused_and_named(run: Run, url: str, says: str) -> None:
    for command in (["up", "--port", "0"], ["check"]):
        done = run(*command, REDIS_URL=url)
        assert done.returncode == 1
        assert done.stderr.startswith("mundap: REDIS_URL")
        assert says in done.stderr
        assert PASSWORD not in done.stderr
    done = run("doctor", "--json", REDIS_URL=url)
    assert done.returncode == 1
    assert any(says in problem["what"] for problem in json.loads(done.stdout)["problems"])
    assert PASSWORD not in done.stdout
