"""`mundap worker`: background work, as a Celery worker with its own clock."""

from __future__ import annotations

import warnings

import click

from mundap.cli.runtime import started


@click.command("worker")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="Tasks at once.",
)
def command(concurrency: int) -> None:
    """Do background work until stopped: read sources, index passages, fill in vectors."""
    with started():
        from mundap.config.celery import app

        # It warns of root because of pickled tasks; ours are JSON.
        warnings.filterwarnings("ignore", message="You're running the worker with superuser")

        # Threads: the work waits for the database and the embedding server, and parsing forks by itself.
        options = ["--pool=threads", f"--concurrency={concurrency}", "--loglevel=WARNING"]
        # The clock keeps no file: what is due is asked of Postgres, not remembered.
        alone = [
            "--without-gossip",
            "--without-mingle",
            "--beat",
            "--scheduler=celery.beat:Scheduler",
        ]
        app.worker_main(["--quiet", "worker", *options, *alone])
