"""`mundap create-token`: makes an API token; standard output holds it and nothing else."""

from __future__ import annotations

import click

from mundap.cli.runtime import started
from mundap.errors import NotFound


@click.command("create-token")
@click.argument("email")
@click.option("--name", default="command line", show_default=True, help="Tells it from others.")
def command(email: str, name: str) -> None:
    """Make an API token for EMAIL and print it; it is not shown again."""
    with started():
        from mundap.accounts.selectors import find_user_by_email
        from mundap.accounts.tokens import make_token

        user = find_user_by_email(email)
        if user is None:
            raise NotFound(
                f"Nobody has an account as {email}. To make one: mundap create-admin {email}"
            )
        _token, secret = make_token(user, name=name)
    click.echo(secret)
