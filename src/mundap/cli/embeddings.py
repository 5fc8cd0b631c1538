"""`mundap embeddings`: the local embedding models as a server of their own, for web processes and workers elsewhere."""

from __future__ import annotations

import click

from mundap.cli.serving import listen, where_to_listen
from mundap.config import env
from mundap.errors import ConfigurationError


@click.command("embeddings")
@where_to_listen(8001)
def command(host: str, port: int) -> None:
    """Serve the local embedding models by OpenAI's protocol until stopped.

    It asks for the key MUNDAP_EMBEDDING_API_KEY, and needs no database.
    """
    key = env.text("MUNDAP_EMBEDDING_API_KEY")
    if not key:
        raise ConfigurationError(
            "MUNDAP_EMBEDDING_API_KEY is not set. It is the key that this server asks for: a long random text, "
            "the same for web processes and workers."
        )
    listener = listen(host, port)

    from mundap.embedded.embeddings import serve

    click.echo(f"Embeddings are served on {host}, port {listener.getsockname()[1]}.", err=True)
    serve(listener, key=key)
