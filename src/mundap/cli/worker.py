"""`mundap worker`: background work, as a Celery worker with its own clock."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings

import click

from mundap.cli.runtime import started

STOP_SECONDS = 15.0  # what runs then is taken up again by the next worker


@click.command("worker")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Tasks at once.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="Processes that read pages, some 100 MB each while there are any to read.",
)
@click.option("--with-starter", is_flag=True, hidden=True, help="End when standard input does.")
def command(concurrency: int, processes: int, with_starter: bool) -> None:
    """Do background work until stopped: read sources, index passages, fill in vectors."""
    if with_starter:
        threading.Thread(target=_end_with_starter, daemon=True).start()
    with started():
        from django.conf import settings

        from mundap.config.celery import app
        from mundap.library.reading_pool import pool
        from mundap.library.workers import at_work
        from mundap.web.metrics import shown_at

        pool.processes = processes

        # It warns of root because of pickled tasks; ours are JSON.
        warnings.filterwarnings("ignore", message="You're running the worker with superuser")

        # Threads: the work waits for the database and the embedding server, and parsing forks by itself.
        options = ["--pool=threads", f"--concurrency={concurrency}"]
        alone = ["--without-gossip", "--without-mingle"]
        with shown_at(settings.WORKER_METRICS), at_work(is_command=False):
            app.worker_main(["--quiet", "worker", *options, *alone])


def _end_with_starter() -> None:
    """End this worker, the leader of its process group, when the process that holds its standard input is gone."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os.killpg(0, signal.SIGKILL)
