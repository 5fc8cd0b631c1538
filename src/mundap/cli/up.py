"""`mundap up`: everything needed is started, an empty shelf is filled in the background, pages are served."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from mundap.cli.runtime import started
from mundap.cli.serving import listen, serve, where_to_listen
from mundap.cli.worker import STOP_SECONDS

if TYPE_CHECKING:
    from mundap.library.models import Collection

WORKER_CHECK_SECONDS = 2.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - as somebody may say
FIRST_SHELF = {
    "source": "pypi:django==5.2.19#docs",
    "slug": "django",
    "title": "Django",
    "version": "5.2",
    "base_url": "https://docs.djangoproject.com/en/5.2/",
    "home_page": "https://www.djangoproject.com/",
    "licence": "BSD-3-Clause",
}


@click.command("up")
@where_to_listen(8000)
@click.option("--no-shelf", is_flag=True, help="Leave an empty shelf empty.")
def command(host: str, port: int, no_shelf: bool) -> None:
    """Start everything needed and serve until stopped."""
    begun = time.perf_counter()
    listener = listen(host, port)
    with started():
        if not no_shelf:
            _fill_empty_shelf()
        with _worker():
            _welcome(host, listener.getsockname()[1], time.perf_counter() - begun)
            serve(listener)


def _fill_empty_shelf() -> None:
    """Put Django's documentation on an empty shelf, or back in the queue where it failed; the worker reads it."""
    from mundap.library.models import Collection

    first = Collection.objects.filter(slug=FIRST_SHELF["slug"], source=FIRST_SHELF["source"])
    first.filter(state=Collection.State.FAILED).update(state=Collection.State.EMPTY, error="")
    if not Collection.objects.exists():
        Collection.objects.get_or_create(
            slug=FIRST_SHELF["slug"],
            defaults=FIRST_SHELF | {"title_no": 1, "visibility": Collection.Visibility.EVERYONE},
        )


@contextmanager
def _worker() -> Iterator[None]:
    """Keep a background worker beside the server, in a session of its own so that Ctrl-C reaches it from us."""
    is_over = threading.Event()
    keeper = threading.Thread(target=_keep_worker, args=(is_over,))
    keeper.start()
    try:
        yield
    finally:
        is_over.set()
        keeper.join()


def _keep_worker(is_over: threading.Event) -> None:
    """Start the worker, again when it dies, until it is over. What it was doing is taken up by the next one."""
    command = [sys.executable, "-m", "mundap.cli.main", "worker", "--with-starter"]
    while not is_over.is_set():
        # Its standard input ends when this process does, however it does.
        with subprocess.Popen(command, start_new_session=True, stdin=subprocess.PIPE) as process:
            while process.poll() is None and not is_over.wait(WORKER_CHECK_SECONDS):
                pass
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # and those that read pages for it
        if not is_over.wait(WORKER_CHECK_SECONDS):
            click.echo("The background worker ended by itself; it is started again.", err=True)


def _welcome(host: str, port: int, seconds: float) -> None:
    from django.conf import settings

    from mundap.accounts.services import make_demo_account
    from mundap.library.models import Collection

    name = (
        "localhost" if host in {*_LOOPBACK, *_EVERYWHERE} else f"[{host}]" if ":" in host else host
    )
    click.echo(f"\nMundap is ready at http://{name}:{port}/   ({seconds:.1f} s)")
    if host not in _LOOPBACK:
        names = ", ".join(settings.ALLOWED_HOSTS)
        click.echo(f"  It answers by the names in MUNDAP_ALLOWED_HOSTS, and no other: {names}")
    if not settings.IS_PRODUCTION and (demo := make_demo_account()):
        click.echo(f"  Log in as {demo.email} with the password {demo.password}")
    for collection in Collection.objects.order_by("category", "title_no")[:5]:
        name = f"{collection.title} {collection.version}".rstrip()
        click.echo(f"  On the shelf: {name}{_state(collection)}")
    if settings.CHAT_MODEL and settings.CHAT_BASE_URL:
        click.echo(f"  Answers by {settings.CHAT_MODEL}")
    else:
        click.echo(
            "  Answers are quotations; set OPENAI_BASE_URL and MUNDAP_CHAT_MODEL for a language model's"
        )
    click.echo("  Stop with Ctrl-C\n")


def _state(collection: Collection) -> str:
    """Return what a person should know of a collection before asking it, if anything."""
    match collection.state:
        case "empty" | "ingesting" if collection.source:
            return ", being read in the background"
        case "failed":
            return f", which could not be read: {collection.error}"
    return ""
