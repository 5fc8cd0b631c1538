"""What the runs of several processes end with: what is stored is written down, and the whole history judged."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.database import database_url
from tests.faults import stored
from tests.faults.checker import Report, check
from tests.faults.history import History, read_history


async def judge(path: Path, history: History, *, people: Mapping[str, Any]) -> Report:
    """Wait until nothing runs any more, end the history at `path` with what is stored, and judge it."""
    await asyncio.to_thread(stored.wait_until_quiet, database_url())
    names = {one["id"]: name for name, one in people.items()}
    stored.record_stored(database_url(), history, names=names)
    history.close()
    return check(read_history(path))
