"""What all tests of several machines need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.test import testcases

FLUSHES = 5


@pytest.fixture(scope="session", autouse=True)
def _flush_beside_servers() -> Iterator[None]:
    """Empty the database again where a server that goes on (with a title, its clock) deadlocks with that."""

    def call(name: str, *arguments: Any, **options: Any) -> None:
        for left in reversed(range(FLUSHES)):
            try:
                call_command(name, *arguments, **options)
                return
            except CommandError as exc:
                if not left or not _is_deadlock(exc):
                    raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testcases, "call_command", call)
        yield


def _is_deadlock(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, psycopg.errors.DeadlockDetected):
            return True
        error = error.__cause__
    return False
