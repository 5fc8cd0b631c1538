"""`mundap doctor`: says what runs, in which version and where, and what is wrong. Starts nothing."""

from __future__ import annotations

import json
import os
import platform
import secrets
import shutil
import sys
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from mundap.cli.checks import (
    PartReport,
    check_cache,
    check_chat_model,
    check_database,
    check_embeddings,
    find_chat_cache,
    find_direct_database,
    find_reranker,
    part_states,
)
from mundap.config import env
from mundap.config.production_checks import SECRETS, check_production
from mundap.config.redis_checks import check_redis
from mundap.embedded import unprivileged
from mundap.embedded.home import home_path
from mundap.errors import ConfigurationError, EmbeddedError

_MIN_PYTHON = (3, 11)
_MIN_FREE_BYTES = 500_000_000


@click.command("doctor")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(ctx: click.Context, *, is_json: bool) -> None:
    """Say what is running, where, and what is wrong. Exit status 1 when something is."""
    report = _examine()
    if is_json:
        click.echo(json.dumps(report, ensure_ascii=False))
    else:
        _print(report)
    ctx.exit(0 if report["ok"] else 1)


def _examine() -> dict[str, Any]:
    system = PartReport("system", "none")
    home = _home(system)
    states: dict[str, Any] = {}
    if home is not None:
        states, failure = part_states(home)
        if failure and not system.problems:
            system.add(failure.message, "Make the folder readable, or set MUNDAP_HOME to another.")
    parts = []
    try:
        _check_environment(system)
        parts = [
            check_database(states),
            *filter(None, [find_direct_database()]),
            check_cache(states),
            *filter(None, [find_chat_cache()]),
            check_embeddings(states),
            check_chat_model(),
            *filter(None, [find_reranker()]),
        ]
        _check_settings(system)
    except ConfigurationError as exc:
        system.add(exc.message, "Correct it in the environment or in .env.")
    problems = [
        {"part": part.name} | asdict(problem)
        for part in [system, *parts]
        for problem in part.problems
    ]
    return {
        "ok": not problems,
        "version": version("mundap"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "environment": env.text("MUNDAP_ENV", "development"),
        "home": _about_home(home),
        "parts": [_as_json(part) for part in parts],
        "problems": problems,
    }


def _home(system: PartReport) -> Path | None:
    try:
        home = home_path()
    except EmbeddedError as exc:
        system.add(exc.message, "Set MUNDAP_HOME to a folder of your own.")
        return None
    folder = _nearest_existing(home)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        system.add(
            f"The home folder {home} cannot be written.",
            "Set MUNDAP_HOME to a folder of your own, or give this one to the user who runs Mundap.",
        )
    free = _free_bytes(home)
    if free < _MIN_FREE_BYTES:
        system.add(
            f"Only {_in_gigabytes(free)} are free for {home}.",
            "Make room, or set MUNDAP_HOME to a folder on a larger disk.",
        )
    return home


def _check_environment(system: PartReport) -> None:
    env.choice("MUNDAP_ENV", ("development", "production"), default="development")
    if sys.version_info < _MIN_PYTHON:
        system.add(
            f"Python {platform.python_version()} is too old.",
            f"Use Python {'.'.join(str(part) for part in _MIN_PYTHON)} or newer.",
        )
    is_production = env.text("MUNDAP_ENV") == "production"
    missing = [name for name in SECRETS if not env.text(name)]
    if is_production and missing and not env.flag("MUNDAP_EMBEDDED", default=False):
        system.add(
            f"With MUNDAP_ENV=production these must be set: {', '.join(missing)}.",
            "Set each to a long random text of its own and keep it.",
        )


def _check_settings(system: PartReport) -> None:
    """Read all settings, and check them, as every other command does when it starts. Raises ConfigurationError."""
    for name in SECRETS:
        if not env.text(name):  # those others keep one under the home
            os.environ[name] = secrets.token_urlsafe(48)
    import_module("mundap.config.settings")
    os.environ["DJANGO_SETTINGS_MODULE"] = "mundap.config.settings"
    serious = [message for message in check_redis() if message.is_serious()]
    for message in [*serious, *check_production()]:
        system.add(message.msg, message.hint or "")


def _about_home(home: Path | None) -> dict[str, Any] | None:
    if home is None:
        return None
    data = (home / "postgres").resolve()
    # Only root has data there, and only root can see whether a home in a closed folder is still there.
    folders = unprivileged.list_system_folders() if os.geteuid() == 0 else ()
    lost = [
        str(folder)
        for folder, owner in folders
        if (owner / "postgres").resolve() != folder / "postgres"
    ]
    return {
        "path": str(home),
        # Not Path.exists, which raises for what lies in a closed folder.
        "exists": os.path.exists(home),  # noqa: PTH110
        "data": str(data) if os.path.exists(data) else None,  # noqa: PTH110
        "free_bytes": _free_bytes(home),
        "data_without_home": lost,
    }


def _free_bytes(home: Path) -> int:
    data = (home / "postgres").resolve()
    return min(shutil.disk_usage(_nearest_existing(path)).free for path in (home, data))


def _nearest_existing(path: Path) -> Path:
    while not os.path.lexists(path):
        path = path.parent
    return path


def _as_json(part: PartReport) -> dict[str, Any]:
    document = asdict(part)
    return document | {"running": document.pop("is_running"), "in_use": document.pop("is_in_use")}


def _print(report: dict[str, Any]) -> None:
    click.echo(
        f"Mundap {report['version']}, Python {report['python']}, {report['system']}, "
        f"{report['environment']}"
    )
    if home := report["home"]:
        free = _in_gigabytes(home["free_bytes"])
        is_new = "" if home["exists"] else ", not made yet"
        click.echo(f"home        {home['path']} ({free} free{is_new})")
        for folder in home["data_without_home"]:
            click.echo(
                f"            {folder} belongs to a home that is gone; delete it if you like"
            )
    for part in report["parts"]:
        _print_part(part)
    click.echo()
    for problem in report["problems"]:
        click.secho(f"{problem['part']}: {problem['what']}", fg="red")
        click.echo(f"  {problem['todo']}")
    if report["ok"]:
        click.echo("Nothing is wrong.")


def _print_part(part: dict[str, Any]) -> None:
    states = {True: "running", False: "not running", None: ""}
    kind = "not set up" if part["kind"] == "none" else part["kind"]
    words = [kind, states[part["running"]] if part["kind"] != "none" else ""]
    words += [f"{name} {number}" for name, number in part["versions"].items()]
    click.echo(f"{part['name']:<12}{', '.join(filter(None, words))}")
    lines = (part["note"], part["address"], part["folder"] and f"data {part['folder']}")
    for line in filter(None, (*lines, part["log"] and f"log {part['log']}")):
        click.echo(f"            {line}")


def _in_gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB"
