"""Commands are run as a person runs them: a process of their own, against a database of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import database

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [sys.executable, "-m", "mundap.cli.main"]

HANDBOOK = """# Handbook

## Holidays

Everybody has thirty days of holiday a year. Ask for them in the calendar two weeks ahead.

## Expenses

Send receipts to `expenses@example.org` by the fifth of the month:

```
subject: receipts MONTH
```
"""


@pytest.fixture(scope="session")
def new_database() -> Callable[[str], str]:
    """Makes an empty database of a name on the test run's server; gives its address."""
    return database.new_database


@pytest.fixture(scope="session")
def command_environment(new_database: Callable[[str], str]) -> dict[str, str]:
    """The environment of a person whose servers are the test run's, with an empty database."""
    return os.environ | {"DATABASE_URL": new_database("commands")}


@pytest.fixture(scope="session")
def run(command_environment: dict[str, str]) -> Run:
    def run_command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            env=command_environment | variables,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    return run_command


@pytest.fixture(scope="session")
def handbook(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small reference on the shelf as `handbook`; gives its folder."""
    folder = tmp_path_factory.mktemp("handbook")
    (folder / "handbook.md").write_text(HANDBOOK, encoding="utf-8")
    done = run(
        "ingest", f"dir:{folder}", "--slug", "handbook", "--category", "TEAM", "--wait-vectors"
    )
    assert done.returncode == 0, done.stderr
    return folder
