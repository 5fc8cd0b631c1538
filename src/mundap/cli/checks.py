"""The checks behind `mundap doctor`: what each part is, whether it runs, what is wrong and what to do.

Nothing is started or written here. Whatever leaves this module has its secrets masked.
"""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

import psycopg
import redis
from psycopg.conninfo import conninfo_to_dict

from mundap.config import env
from mundap.config.redis_address import read_redis_address
from mundap.config.redis_servers import find_master, open_client
from mundap.embedded import supervisor
from mundap.embedded.supervisor import PartState
from mundap.errors import ConfigurationError, EmbeddedError

MASK = "***"
_MIN_POSTGRES = 15
MIN_PGVECTOR = (0, 8)
_MIN_REDIS = (6, 2)
_MIN_VALKEY = (7, 2)
_TIMEOUT_SECONDS = 5
_SECRET_NAME = re.compile("password|key|token|secret", re.IGNORECASE)
_SECRET_PARAMETERS = re.compile(rf"((?:{_SECRET_NAME.pattern})[^=&]*=)[^&#]*", re.IGNORECASE)


@dataclass(frozen=True)
class Problem:
    """What is wrong with a part and what to do about it."""

    what: str
    todo: str


@dataclass
class PartReport:
    """What is known about one part; `kind` is embedded, external, or none where it is not set up."""

    name: str
    kind: str
    is_running: bool | None = None
    is_in_use: bool | None = None
    versions: dict[str, str] = field(default_factory=dict)
    address: str | None = None
    folder: str | None = None
    log: str | None = None
    note: str | None = None
    problems: list[Problem] = field(default_factory=list)

    def add(self, what: str, todo: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(what, todo))


def masked(address: str) -> str:
    """Return the address without its password and keys."""
    try:
        parts = urlsplit(address)
        hosts = parts.netloc.rpartition("@")[2]
        _numbers = [urlsplit(f"//{host}").port for host in hosts.split(",")]
    except ValueError:
        return "(not readable as an address)"
    if not parts.scheme or "://" not in address:
        return "(not readable as an address)"
    secret = f":{MASK}" if parts.password is not None else ""
    user = f"{parts.username or ''}{secret}@" if "@" in parts.netloc else ""
    query = _SECRET_PARAMETERS.sub(rf"\1{MASK}", parts.query)
    shown = SplitResult(parts.scheme, f"{user}{hosts}", parts.path, query, "").geturl()
    # `unix:///path` would lose its empty host.
    return shown if "://" in shown else shown.replace(":", "://", 1)


def check_database(states: dict[str, PartState]) -> PartReport:
    """Return the report on the database, a given one or the embedded one."""
    if url := env.text("DATABASE_URL"):
        report = PartReport("database", "external", address=masked(url))
        _look_into_database(report, url)
        return report
    report = _embedded("database", states.get("postgres"), variable="DATABASE_URL")
    if (state := states.get("postgres")) and state.is_alive and state.url:
        _look_into_database(report, state.url)
    return report


def find_direct_database() -> PartReport | None:
    """Return the report on the database past a pooler; None where none is set up, as for most."""
    url = env.text("MUNDAP_DIRECT_DATABASE_URL")
    if not url:
        return None
    report = PartReport("database, direct", "external", address=masked(url))
    _look_into_database(report, url)
    return report


def check_cache(states: dict[str, PartState]) -> PartReport:
    """Return the report on Redis or Valkey, a given one or the embedded one."""
    if url := env.text("REDIS_URL"):
        report = PartReport("cache", "external", address=masked(url))
        _look_into_cache(report, url)
        return report
    report = _embedded("cache", states.get("valkey"), variable="REDIS_URL")
    if (state := states.get("valkey")) and state.is_alive and state.url:
        _look_into_cache(report, state.url)
    return report


def find_chat_cache() -> PartReport | None:
    """Return the report on the Redis that chats are cached in; None where it is no other one, as for most."""
    url = env.text("MUNDAP_CACHE_REDIS_URL")
    if not url:
        return None
    report = PartReport("cache of chats", "external", address=masked(url))
    _look_into_cache(report, url, name="MUNDAP_CACHE_REDIS_URL", may_be_cluster=True)
    return report


def check_embeddings(states: dict[str, PartState]) -> PartReport:
    """Return the report on the embedding endpoint, a given one or the local server."""
    url, key = env.text("MUNDAP_EMBEDDING_BASE_URL"), env.text("MUNDAP_EMBEDDING_API_KEY")
    if url:
        report = PartReport("embeddings", "external", address=masked(url))
        report.note = _about_key(key, model=env.text("MUNDAP_EMBEDDING_MODEL"))
        if not env.text("MUNDAP_EMBEDDING_MODEL"):
            report.add(
                "MUNDAP_EMBEDDING_MODEL is not set.", "Set it to one of the endpoint's models."
            )
        _call_endpoint(report, url, key)
        return report
    report = _embedded("embeddings", states.get("embeddings"), variable="MUNDAP_EMBEDDING_BASE_URL")
    state = states.get("embeddings")
    if state and state.is_alive and state.url:
        _call_endpoint(report, state.url, state.key or "")
    return report


def check_chat_model() -> PartReport:
    """Return the report on the chat model's endpoint."""
    url, key, model = (
        env.text(name) for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "MUNDAP_CHAT_MODEL")
    )
    if not url and not model:
        report = PartReport("chat model", "none")
        report.note = "answers are quotations; set OPENAI_BASE_URL and MUNDAP_CHAT_MODEL for a language model's"
        return report
    report = PartReport("chat model", "external", address=masked(url) if url else None)
    limits = ("MUNDAP_SPENDING_PER_MONTH", "MUNDAP_TOTAL_SPENDING_PER_MONTH")
    if any(map(env.amount, limits)) and model not in env.prices("MUNDAP_MODEL_PRICES"):
        report.add(
            f"Spending is limited, but {model} has no price, so it counts as free.",
            f"Set MUNDAP_MODEL_PRICES={model}=input/output, the prices of a million tokens.",
        )
    report.note = _about_key(key, model=model)
    if not url:
        report.add(
            "MUNDAP_CHAT_MODEL is set, but OPENAI_BASE_URL is not, so answers stay quotations.",
            "Set OPENAI_BASE_URL, for example to https://api.openai.com/v1.",
        )
    elif not model:
        report.add(
            "OPENAI_BASE_URL is set, but MUNDAP_CHAT_MODEL is not, so answers stay quotations.",
            "Set MUNDAP_CHAT_MODEL to one of the endpoint's models.",
        )
    if url:
        _call_endpoint(report, url, key)
    return report


def find_reranker() -> PartReport | None:
    """Return the report on the rerank endpoint; None where none is set up, as for most."""
    url, key, model = (
        env.text(f"MUNDAP_RERANK_{name}") for name in ("BASE_URL", "API_KEY", "MODEL")
    )
    if not url and not model:
        return None
    report = PartReport("rerank", "external", address=masked(url) if url else None)
    report.note = _about_key(key, model=model)
    for name, value in (("MUNDAP_RERANK_BASE_URL", url), ("MUNDAP_RERANK_MODEL", model)):
        if not value:
            report.add(f"{name} is not set, so search keeps its own order.", "Set both or none.")
    if url:
        _call_endpoint(report, url, key)
    return report


def _embedded(name: str, state: PartState | None, *, variable: str) -> PartReport:
    if env.text("MUNDAP_ENV") == "production" and not env.flag("MUNDAP_EMBEDDED", default=False):
        report = PartReport(name, "none", is_running=False)
        report.add(
            f"{variable} is not set, and with MUNDAP_ENV=production nothing is started unasked.",
            f"Set {variable}, or MUNDAP_EMBEDDED=1 to use embedded servers all the same.",
        )
        return report
    report = PartReport(name, "embedded", is_running=False)
    if state is None:
        return report
    report.is_running = state.is_alive
    report.is_in_use = state.is_in_use if state.is_alive else None
    report.versions = dict(state.versions)
    report.address = masked(state.url) if state.url and state.is_alive else None
    report.folder, report.log = state.folder, state.log
    if not state.is_alive:
        report.note = "starts with the first command that needs it"
    elif state.is_in_use is False:
        report.note = "left running by a killed process; stops by itself in a few seconds"
    if state.error:
        what, _, todo = state.error.partition(". ")
        report.add(f"{what}.", todo)
    return report


def _look_into_database(report: PartReport, url: str) -> None:
    """Fill in the versions and what the application would stumble over."""
    report.is_running = False
    if urlsplit(url).scheme not in {"postgresql", "postgres"}:
        report.add(
            "DATABASE_URL is not the address of a PostgreSQL.",
            "Write it as postgresql://user:password@host:5432/name.",
        )
        return
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # whose text repeats the address with its password
        report.add("DATABASE_URL cannot be read.", "Quote special characters in it, as %40 for @.")
        return
    try:
        with psycopg.connect(url, connect_timeout=_TIMEOUT_SECONDS, autocommit=True) as connection:
            report.is_running = True
            _inspect_database(report, connection)
    except psycopg.Error as exc:
        what = "answers, but" if report.is_running else "cannot be reached:"
        report.add(
            f"The database {what} {_without_secrets(str(exc), url)}",
            "Check that the server runs and that the address, user and password are right.",
        )


def _inspect_database(report: PartReport, connection: psycopg.Connection) -> None:
    version = connection.info.server_version
    report.versions["PostgreSQL"] = connection.info.parameter_status("server_version") or "?"
    if version // 10_000 < _MIN_POSTGRES:
        report.add(
            f"PostgreSQL {report.versions['PostgreSQL']} is too old.",
            f"Use PostgreSQL {_MIN_POSTGRES} or newer.",
        )
    row = connection.execute(
        "SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector'),"
        " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector'),"
        " has_database_privilege(current_database(), 'CREATE')"
        "   AND coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),"
        " current_database(), current_setting('server_encoding')"
    ).fetchone()
    if row is None:
        return
    installed, available, may_create, name, encoding = row
    if installed:
        report.versions["pgvector"] = installed
    _judge_pgvector(report, installed, available, name)
    if not may_create:
        report.add(
            f'The user may not make tables in the database "{name}".',
            f'As its owner: ALTER DATABASE "{name}" OWNER TO "{connection.info.user}";',
        )
    if encoding != "UTF8":
        report.add(
            f'The database "{name}" has the encoding {encoding}.',
            "Make a new one: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0;",
        )


def _judge_pgvector(
    report: PartReport, installed: str | None, available: str | None, database: str
) -> None:
    wanted = ".".join(str(part) for part in MIN_PGVECTOR)
    where = f'As a superuser, in the database "{database}"'
    if installed and version_of(installed) >= MIN_PGVECTOR:
        return
    if not available or version_of(available) < MIN_PGVECTOR:
        found = f"only pgvector {available}" if available else "no pgvector"
        statement = "ALTER EXTENSION vector UPDATE;" if installed else "CREATE EXTENSION vector;"
        report.add(
            f"The database server has {found}; Mundap needs {wanted} or newer.",
            f"Install it on the server (Debian: postgresql-N-pgvector). {where}: {statement}",
        )
    elif installed:
        report.add(
            f'The database "{database}" uses pgvector {installed}; Mundap needs {wanted} or newer.',
            f"{where}: ALTER EXTENSION vector UPDATE;",
        )
    else:
        report.add(
            f'The database "{database}" does not have pgvector.',
            f"{where}: CREATE EXTENSION vector;",
        )


def _look_into_cache(
    report: PartReport, url: str, *, name: str = "REDIS_URL", may_be_cluster: bool = False
) -> None:
    report.is_running = False
    try:
        read_redis_address(url, name=name, may_be_cluster=may_be_cluster)
    except ConfigurationError as exc:
        what, _, todo = exc.message.partition(". ")
        report.add(f"{what}.", todo)
        return
    try:
        with open_client(url, timeout_seconds=_TIMEOUT_SECONDS) as client:
            report.is_running = bool(client.ping())
            info = client.info()
            if master := find_master(client):
                report.note = f"the master is {master[0]}:{master[1]}"
    except (
        redis.RedisError,
        OSError,
        ValueError,
    ) as exc:  # the last from a server that is no Redis
        what = "answers, but" if report.is_running else "cannot be reached:"
        report.add(
            f"The cache {what} {_without_secrets(str(exc), url)}",
            "Check that the server runs and that the address, user and password are right.",
        )
        return
    is_valkey = "valkey_version" in info
    version = str(info.get("valkey_version") or info.get("redis_version") or "0")
    product, least = ("Valkey", _MIN_VALKEY) if is_valkey else ("Redis", _MIN_REDIS)
    report.versions[product] = version
    if version_of(version) < least:
        needed = ".".join(str(part) for part in least)
        report.add(f"{product} {version} is too old.", f"Use {product} {needed} or newer.")
    if int(info.get("maxmemory", 0)) and str(info.get("maxmemory_policy")).startswith("allkeys"):
        report.add(
            f"The cache evicts any key ({info['maxmemory_policy']}), so also waiting background work.",
            "Set maxmemory-policy to volatile-lru.",
        )


def _call_endpoint(report: PartReport, url: str, key: str) -> None:
    """Ask a model endpoint for its list of models, which costs nothing."""
    report.is_running = False
    try:
        with _endpoint_answer(url, key) as status:
            report.is_running = True
    except (OSError, ValueError, http.client.HTTPException) as exc:
        reason = getattr(exc, "reason", exc)
        report.add(
            f"The endpoint cannot be reached: {_without_secrets(str(reason), url, key)}",
            "Check the address, and that the server runs.",
        )
        return
    if status in {401, 403}:
        report.add(f"The endpoint refuses the key ({status}).", "Set the right API key.")
    elif status >= http.client.INTERNAL_SERVER_ERROR:
        report.add(f"The endpoint is in trouble ({status}).", "Look at that server's own log.")


@contextmanager
def _endpoint_answer(url: str, key: str) -> Iterator[int]:
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError("the address does not begin with http:// or https://")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(f"{url.rstrip('/')}/models", headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
            yield response.status
    except urllib.error.HTTPError as refusal:
        refusal.close()
        yield refusal.code


def _about_key(key: str, *, model: str) -> str:
    return f"model {model or 'not set'}, key {MASK if key else 'not set'}"


def _without_secrets(text: str, url: str, key: str = "") -> str:
    """Return a library's message on one line, without the secrets it may repeat."""
    secrets = [key]
    try:
        parts = urlsplit(url)
        secrets.append(parts.password or "")
        secrets += [value for name, value in parse_qsl(parts.query) if _SECRET_NAME.search(name)]
    except ValueError:
        secrets.append(url)
    for secret in filter(None, secrets):
        text = text.replace(secret, MASK)
    return " ".join(text.split())


def version_of(text: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def part_states(home: Path) -> tuple[dict[str, PartState], EmbeddedError | None]:
    """Return what the supervisor knows of the home's parts by name, and what kept it from knowing."""
    try:
        return {state.name: state for state in supervisor.inspect(home)}, None
    except EmbeddedError as exc:
        return {}, exc
