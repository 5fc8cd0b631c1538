"""What ours is measured against, beside it: the limit (bare ASGI) and the original design, on the same two servers.

Both are files outside this repository, `limit_app.py` and `original_app.py` in one folder. Each gets a database of its
own on the run's PostgreSQL and a numbered database on its Valkey.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import redis
from psycopg import sql

from harness import HERE, Parts, Serving, serving

_EXPECTED = HERE.parents[1] / "shared" / "bench"
_ORIGINAL_NEEDS = ("djangorestframework-simplejwt", "httpx")
_LIMIT_REDIS = 1


@dataclass(frozen=True)
class Original:
    """The original with its chats: an address, and the header that signs in."""

    server: Serving
    chat: str
    headers: dict[str, str]


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Let the caller say where the peers are."""
    parser.add_argument(
        "--peers",
        type=Path,
        default=_EXPECTED,
        help="folder with limit_app.py and original_app.py; without it ours is measured alone",
    )


def find_peers(folder: Path) -> Path | None:
    """Return the folder if the peers are there."""
    return folder.resolve() if (folder / "limit_app.py").is_file() else None


@contextmanager
def limit(
    folder: Path, parts: Parts, *, core: int, application: str, body: bytes
) -> Iterator[Serving]:
    """Serve `body` by `limit_app`: one key of Redis, with `head_and_get` after one row of PostgreSQL."""
    database = _make_database(parts, "bench_limit")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS limit_head (id int PRIMARY KEY, owner int, rev bigint, etag uuid)"
        )
        connection.execute(
            "INSERT INTO limit_head VALUES (1, 7, 1, %s) ON CONFLICT DO NOTHING", [uuid4()]
        )
    place = _redis_url(parts, _LIMIT_REDIS)
    with redis.Redis.from_url(place) as cache:
        cache.set("/chat", body)
    with serving(
        f"limit_app:{application}",
        core=core,
        folder=folder,
        environment={"DATABASE_URL": database, "REDIS_URL": place},
    ) as server:
        yield server


@contextmanager
def original(
    folder: Path, parts: Parts, *, core: int, number: int = 0, chats: int = 1, messages: int = 40
) -> Iterator[Original]:
    """Serve the original with one user's chats, all of them in its cache; `number` tells several apart."""
    environment = {
        "DATABASE_URL": _make_database(parts, f"bench_original_{number}"),
        "REDIS_URL": _redis_url(parts, _LIMIT_REDIS + 1 + number),
    }
    python = _python(parts.home)
    done = subprocess.run(
        [python, "original_app.py", str(chats), str(messages)],
        cwd=folder,
        env={**os.environ, **environment},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    chat, token = done.stdout.split()
    with serving(
        "original_app:application", core=core, folder=folder, environment=environment, python=python
    ) as server:
        yield Original(server, chat, {"Authorization": f"Bearer {token}"})


def _python(home: Path) -> str:
    """Return a Python that has our packages, and besides them what only the original needs."""
    place = home / "peers"
    python = place / "bin" / "python"
    if not python.exists():
        venv.create(place, with_pip=True)
        packages = sysconfig.get_path("purelib", vars={"base": str(place)})
        (Path(packages) / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", *_ORIGINAL_NEEDS],
            check=True,
            stdout=sys.stderr,
        )
    return str(python)


def _make_database(parts: Parts, name: str) -> str:
    """Return the address of the database, made where it is not there yet."""
    with psycopg.connect(parts.database_url, autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if known.fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return parts.database_url.replace("/mundap?", f"/{name}?")


def _redis_url(parts: Parts, number: int) -> str:
    return parts.redis_url.replace("db=0", f"db={number}")
