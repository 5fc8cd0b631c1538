"""`mundap web`: a web process and nothing beside it, one of any number behind a proxy."""

from __future__ import annotations

import click

from mundap.cli.runtime import started
from mundap.cli.serving import listen, serve, where_to_listen


@click.command("web")
@where_to_listen(8000)
def command(host: str, port: int) -> None:
    """Serve pages and the API until stopped; background work is left to `mundap worker`."""
    listener = listen(host, port)
    with started():
        click.echo(f"Mundap serves on {host}, port {listener.getsockname()[1]}.", err=True)
        serve(listener)
