"""What a command needs before its work: secrets, embedded parts, Django, and a database that is up to date."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import psycopg

from mundap.config import env
from mundap.embedded import supervisor
from mundap.embedded.home import home_folder, load_or_make_secret
from mundap.errors import ConfigurationError

LOCAL_MODEL = "mundap-1"  # as the embedding server of ours offers it
SECRETS = {
    "SECRET_KEY": "secret-key",
    "MUNDAP_TOKEN_KEY": "token-key",
    "MUNDAP_CACHE_KEY": "cache-key",
}


@contextmanager
def started(*, is_migrated: bool = True) -> Iterator[Path | None]:
    """Run the block with everything a command needs; gives the home folder, None where nothing needs one.

    Parts whose address is in the environment are used as they are; the others are started, or shared with the
    processes that run already, and stopped when the last one leaves.
    """
    missing = {
        "postgres": not env.text("DATABASE_URL"),
        "valkey": not env.text("REDIS_URL"),
        "embeddings": not env.text("MUNDAP_EMBEDDING_BASE_URL"),
    }
    is_production = env.text("MUNDAP_ENV") == "production"
    if is_production and not env.flag("MUNDAP_EMBEDDED", default=False):
        _refuse_unset_in_production()
        _setup_django(is_migrated=is_migrated)
        yield None
        return
    home = home_folder()
    for variable, name in SECRETS.items():
        if not env.text(variable):
            os.environ[variable] = load_or_make_secret(home, name)
    with ExitStack() as parts:
        endpoints = parts.enter_context(supervisor.running(home, **missing))
        os.environ.update(
            {
                name: value
                for name, value in {
                    "DATABASE_URL": endpoints.database_url,
                    "REDIS_URL": endpoints.redis_url,
                    "MUNDAP_EMBEDDING_BASE_URL": endpoints.embedding_url,
                    "MUNDAP_EMBEDDING_API_KEY": endpoints.embedding_key,
                }.items()
                if value
            }
        )
        if _is_leaving_local_model():
            local = supervisor.running(home, postgres=False, valkey=False, embeddings=True)
            _name_as_previous(parts.enter_context(local))
        _setup_django(is_migrated=is_migrated)
        yield home


def _is_leaving_local_model() -> bool:
    """Whether an endpoint of their own is set, while the local model's vectors still answer questions."""
    is_set = env.text("MUNDAP_EMBEDDING_MODEL") not in {"", LOCAL_MODEL}
    if not is_set or env.text("MUNDAP_EMBEDDING_PREVIOUS_BASE_URL"):
        return False
    query = "SELECT EXISTS (SELECT FROM retrieval_lexicalindex WHERE embedding_model = %s)"
    try:
        with psycopg.connect(env.text("DATABASE_URL"), connect_timeout=5) as connection:
            row = connection.execute(query, [LOCAL_MODEL]).fetchone()
    except psycopg.Error:  # a new database, or one that is away, of which others tell
        return False
    return bool(row and row[0])


def _name_as_previous(local: supervisor.Endpoints) -> None:
    os.environ["MUNDAP_EMBEDDING_PREVIOUS_BASE_URL"] = local.embedding_url or ""
    os.environ["MUNDAP_EMBEDDING_PREVIOUS_API_KEY"] = local.embedding_key or ""
    os.environ["MUNDAP_EMBEDDING_PREVIOUS_MODEL"] = LOCAL_MODEL


def _refuse_unset_in_production() -> None:
    required = ("SECRET_KEY", "MUNDAP_TOKEN_KEY", "MUNDAP_CACHE_KEY", "DATABASE_URL", "REDIS_URL")
    unset = [name for name in required if not env.text(name)]
    if not env.text("MUNDAP_EMBEDDING_BASE_URL"):
        unset.append("MUNDAP_EMBEDDING_BASE_URL")
    if unset:
        raise ConfigurationError(
            f"With MUNDAP_ENV=production these must be set: {', '.join(unset)}. "
            "Each secret is a long random text of its own, as `openssl rand -hex 32` makes one. "
            "To start embedded servers all the same, set MUNDAP_EMBEDDED=1."
        )


def _setup_django(*, is_migrated: bool) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "mundap.config.settings"
    import django

    django.setup()
    _refuse_wrong_settings()
    from mundap.accounts.audit import speak_as_command

    speak_as_command()
    if is_migrated:
        from mundap.cli.migrating import bring_up_to_date

        bring_up_to_date()


def _refuse_wrong_settings() -> None:
    from django.core import checks

    from mundap.config.production_checks import check_production

    found = checks.run_checks(tags=[checks.Tags.caches, checks.Tags.security])
    wrong = [each for each in found if each.is_serious() and not each.is_silenced()]
    if wrong:
        raise ConfigurationError("\n".join(f"{each.msg} {each.hint}" for each in wrong))
    for each in check_production():
        click.echo(f"Warning: {each.msg} {each.hint}", err=True)
