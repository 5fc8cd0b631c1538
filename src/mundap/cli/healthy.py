"""`mundap healthy`: whether the process beside it does its work, for the health checks of containers."""

from __future__ import annotations

import http.client
import platform

import click
import psycopg

from mundap.config import env
from mundap.errors import ConfigurationError

_TIMEOUT_SECONDS = 5
# Workers say every 5 s that they are there, and are held to be gone after 20.
_WORKER = (
    "SELECT EXISTS (SELECT FROM library_worker"
    " WHERE name LIKE %s AND NOT is_command AND seen_at > now() - interval '20 seconds')"
)


@click.command("healthy")
@click.argument("role", type=click.Choice(["web", "worker", "embeddings"]))
@click.option("--port", type=int, help="Where it listens, if not at its own default.")
def command(role: str, port: int | None) -> None:
    """Say by the exit status whether the web process, worker or embedding server on this machine does its work."""
    match role:
        case "web":
            problem = _problem_of_server(port or 8000, "/healthz")
        case "embeddings":
            problem = _problem_of_server(port or 8001, "/health")
        case _:
            problem = _problem_of_worker()
    if problem:
        raise click.ClickException(problem)
    click.echo("ok")


def _problem_of_server(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as exc:
        return f"Port {port} does not answer: {exc}"
    finally:
        connection.close()
    return "" if status == http.client.OK else f"Port {port} answers {status}."


def _problem_of_worker() -> str:
    url = env.text("DATABASE_URL")
    if not url:
        raise ConfigurationError("DATABASE_URL is not set, where workers say that they are there.")
    try:
        with psycopg.connect(url, connect_timeout=_TIMEOUT_SECONDS) as connection:
            row = connection.execute(_WORKER, [f"{platform.node()[:150]}, process %"]).fetchone()
    except psycopg.Error as exc:
        return f"The database does not answer: {exc}"
    return "" if row and row[0] else "No worker of this machine has been heard of for 20 seconds."
