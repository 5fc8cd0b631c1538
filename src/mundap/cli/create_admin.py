"""`mundap create-admin`: makes an administrator, or makes one of somebody who has an account."""

from __future__ import annotations

import secrets
import sys

import click

from mundap.cli.runtime import started


@click.command("create-admin")
@click.argument("email")
@click.option(
    "--password",
    envvar="MUNDAP_ADMIN_PASSWORD",
    help="Better given by the variable MUNDAP_ADMIN_PASSWORD, which no list of processes shows.",
)
def command(email: str, password: str | None) -> None:
    """Make EMAIL an administrator.

    Without a password it is asked for; where nobody can be asked, one is made and printed.
    """
    with started():
        from mundap.accounts.selectors import find_user_by_email
        from mundap.accounts.services import make_admin

        is_made_up = False
        if not password and find_user_by_email(email) is None:
            is_made_up = not sys.stdin.isatty()
            password = secrets.token_urlsafe(12) if is_made_up else _ask()
        user, is_new = make_admin(email, password=password)
    click.echo(f"{user.email} is {'a new administrator' if is_new else 'now an administrator'}.")
    if is_made_up:
        click.echo(f"Password: {password}")


def _ask() -> str:
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return answer
