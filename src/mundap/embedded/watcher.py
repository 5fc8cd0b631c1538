"""The watcher's process: `python -m mundap.embedded.watcher HOME`, started with the first part."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from mundap.embedded import supervisor

_INTERVAL_SECONDS = 2.0


def main() -> None:
    """Watch over the home's parts until they are stopped."""
    logging.basicConfig(level="INFO", format="{asctime} {message}", style="{")
    supervisor.watch(Path(sys.argv[1]), interval_seconds=_INTERVAL_SECONDS)


if __name__ == "__main__":
    main()
