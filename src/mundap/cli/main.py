"""The `mundap` command: finds the subcommand, and is the edge where errors become messages and exit codes."""

from __future__ import annotations

import importlib
import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from dotenv import load_dotenv

from mundap.cli.runtime import started
from mundap.errors import ConfigurationError, MundapError

# Each command is a click command of the same name in a module of its own, loaded when it is asked for.
COMMANDS = {
    "up": "Start everything needed and serve until stopped.",
    "ask": "Answer a question from a collection.",
    "ingest": "Put documents on the shelf, or bring them up to date.",
    "eval": "Measure retrieval with a file of questions.",
    "create-admin": "Make an administrator.",
    "create-token": "Make an API token.",
    "rekey": "Bring what is kept under former keys under the present ones.",
    "web": "Serve until stopped, with nothing beside it.",
    "worker": "Do background work until stopped.",
    "embeddings": "Serve the local embedding models until stopped.",
    "healthy": "Say whether the process beside it does its work.",
    "backup": "Write everything but the secrets to one file.",
    "restore": "Put back what a backup holds.",
    "doctor": "Say what is running, where, and what is wrong.",
}

# Those that may be asked for while the database is not up to date, or is to be taken back.
_LEAVE_THE_DATABASE = {
    "compilemessages",
    "makemessages",
    "makemigrations",
    "migrate",
    "showmigrations",
    "sqlmigrate",
}


class _Commands(click.Group):
    """Mundap's commands; every other name is a Django management command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        if cmd_name in COMMANDS:
            module = importlib.import_module(f"mundap.cli.{cmd_name.replace('-', '_')}")
            command: click.Command = module.command
            return command
        return _management_command(cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("mundap: interrupted", err=True)
            ctx.exit(130)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        formatter.write_text(
            "Any Django management command works too: mundap shell, mundap dbshell …"
        )


def _management_command(name: str) -> click.Command:
    @click.command(
        name=name,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    @click.pass_context
    def run(ctx: click.Context) -> None:
        from django.core.management import execute_from_command_line, get_commands

        with started(is_migrated=name not in _LEAVE_THE_DATABASE):
            if name not in get_commands():
                raise click.UsageError(f"There is no command {name!r}. `mundap --help` lists them.")
            if name == "migrate":
                from mundap.cli.migrating import migrate_by_hand

                migrate_by_hand(ctx.args)
            else:
                execute_from_command_line(["mundap", name, *ctx.args])

    return run


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mundap", prog_name="mundap")
def cli() -> None:
    """Ask official documentation and your own references; every statement is cited."""
    _read_env_file()


def _read_env_file() -> None:
    """Take from the file .env of this folder what is not in the environment."""
    try:
        load_dotenv(Path.cwd() / ".env")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(
            f"The file .env of this folder cannot be read: {exc}. Run Mundap as the user whose it is, or elsewhere."
        ) from exc


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 failed with a message, 2 wrong usage, 130 interrupted."""
    with suppress(BrokenPipeError):
        try:
            cli.main(prog_name="mundap", standalone_mode=True)
        except MundapError as error:
            click.echo(f"mundap: {error.message}", err=True)
            for field, message in error.fields.items():
                if message != error.message:
                    click.echo(f"  {field}: {message}", err=True)
            sys.exit(1)
        except Exception:  # the edge: a bug is logged whole and named as one
            logging.getLogger("mundap").exception("mundap failed")
            click.echo("mundap: this is a bug in Mundap; the lines above say where.", err=True)
            sys.exit(1)


if __name__ == "__main__":
    main()
