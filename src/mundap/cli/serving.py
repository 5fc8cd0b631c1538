"""The web server of `mundap up` and `mundap web`: where it listens, and how it stops."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

import click

from mundap.errors import ConfigurationError

# Longer than a proxy keeps a connection that it may send the next question over (nginx: 60 s): who closes first must
# be the proxy, or a question meets a connection that is just being closed, and fails.
KEEP_ALIVE_SECONDS = 75


def where_to_listen(port: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return what adds the options `--host` and `--port` to a command, with this port unless another is chosen."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        ports = click.IntRange(0, 65_535)
        of_port = "Port to listen on; 0 picks a free one."
        add_port = click.option("--port", type=ports, default=port, show_default=True, help=of_port)
        of_host = "Address to listen on."
        add_host = click.option("--host", default="127.0.0.1", show_default=True, help=of_host)
        return add_host(add_port(command))

    return add


def listen(host: str, port: int) -> socket.socket:
    """Return the listening socket, made first: a port that is taken is known before anything starts."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as exc:
        why = str(exc.strerror).partition(" (")[0]  # which adds the address once more
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}: {why}. Choose another --port, as 8001, or --host."
        ) from exc


def serve(listener: socket.socket) -> None:
    """Serve pages and the API until stopped, and let running answers end."""
    import uvicorn
    from django.conf import settings

    from mundap.chats.runner import CLOSE_SECONDS
    from mundap.config.asgi import application

    config = uvicorn.Config(
        application,
        log_config=None,  # ours is in force already
        access_log=False,
        lifespan="on",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        # Readers are still told what becomes of the answers that are cut then.
        timeout_graceful_shutdown=int(settings.SHUTDOWN_SECONDS + CLOSE_SECONDS),
    )
    with suppress(KeyboardInterrupt):  # which is how one stops it
        uvicorn.Server(config).run(sockets=[listener])
    click.echo("Stopping …", err=True)
