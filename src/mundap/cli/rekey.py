"""`mundap rekey`: brings what is kept under former keys under the present ones, and says what still needs them."""

from __future__ import annotations

import json

import click

from mundap.cli.runtime import started


@click.command("rekey")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def command(*, is_json: bool) -> None:
    """Bring sessions, links and second steps under the present keys, and say what still needs the former ones."""
    with started():
        from mundap.accounts import second_step
        from mundap.accounts.rekeying import rekey_sessions
        from mundap.accounts.tokens import count_under_former_keys
        from mundap.chats import sharing

        report = {
            "sessions": rekey_sessions(),
            "second_steps": second_step.rekey(),
            "links": sharing.rekey(),
            "tokens_left": count_under_former_keys(),
        }
    if is_json:
        click.echo(json.dumps(report))
        return
    click.echo(
        f"Under the present keys now: {report['sessions']} sessions, and, brought there just now, "
        f"{report['second_steps']} second steps and {report['links']} links."
    )
    if report["tokens_left"]:
        click.echo(
            f"{report['tokens_left']} API tokens have not been used since MUNDAP_TOKEN_KEY was changed; only their "
            "next use brings them under the new one. Keep the former key in MUNDAP_TOKEN_KEY_FALLBACKS for them."
        )
