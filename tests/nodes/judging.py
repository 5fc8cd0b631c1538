"""What the runs of several processes end with: what is stored is written down, and the whole history judged."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.db import connection

from tests.faults import stored
from tests.faults.checker import Report, check
from tests.faults.history import History, read_history


def database() -> str:
    """Return the address of the tests' database, past all that stands before it."""
    _base, _mark, query = os.environ["DATABASE_URL"].partition("?")
    return f"postgresql://mundap@/{connection.settings_dict['NAME']}?{query}"


async def judge(path: Path, history: History, *, people: Mapping[str, Any]) -> Report:
    """Wait until nothing runs any more, end the history at `path` with what is stored, and judge it."""
    await asyncio.to_thread(stored.wait_until_quiet, database())
    names = {one["id"]: name for name, one in people.items()}
    stored.record_stored(database(), history, names=names)
    history.close()
    return check(read_history(path))
