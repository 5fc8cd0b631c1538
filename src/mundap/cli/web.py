"""`mundap web`: a web process and nothing beside it, one of any number behind a proxy."""

from __future__ import annotations

import click

from mundap.cli.runtime import started
from mundap.cli.serving import listen, serve


@click.command("web")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
def command(host: str, port: int) -> None:
    """Serve pages and the API until stopped; background work is left to `mundap worker`."""
    listener = listen(host, port)
    with started():
        click.echo(f"Mundap serves on {host}, port {listener.getsockname()[1]}.", err=True)
        serve(listener)
