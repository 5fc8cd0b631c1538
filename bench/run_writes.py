"""What the store adds to a write: with its triggers and its cache, and without them.

Two copies of one database, in one the store's triggers are dropped. Measured are a turn's two transactions and a change
of the title in process, and the change of a title over HTTP, which answers with the whole chat; the server without the
store has no Redis either, which also counts requests. Beside it: the store without Redis, and without the search index.
All take turns in each repetition.
Prints JSON: `python bench/run_writes.py [--repetitions 7] [--writes 100]`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from harness import (
    Parts,
    Serving,
    cores,
    middle,
    report,
    run_script,
    running_parts,
    serving,
    settings_environment,
)

CHATS, MESSAGES, CHARACTERS = 200, 40, 600
WITH, WITHOUT, NO_SEARCH = "store", "without_store", "without_search_index"
NO_REDIS = "store_without_redis"
STEPS = {"begin": "turn: begin", "finish": "turn: finish", "retitle": "title, in process"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--writes", type=int, default=100)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        parts = stack.enter_context(running_parts())
        os.environ |= settings_environment(parts)
        user = run_script("random_chats.py", f"{CHATS}x{MESSAGES}x{CHARACTERS}")["users"][0]
        copies = {name: _copy(parts, name) for name in (WITHOUT, NO_SEARCH)}
        dropped = {
            WITHOUT: _drop_triggers(copies[WITHOUT], _IS_OF_STORE),
            NO_SEARCH: _drop_triggers(copies[NO_SEARCH], f"NOT ({_IS_OF_STORE})"),
        }
        databases = {WITH: parts.database_url, **copies}
        nothing = f"unix://{parts.home}/none?db=0"  # where no Redis listens
        servers = {
            WITH: stack.enter_context(_server(parts.database_url, parts.redis_url)),
            NO_REDIS: stack.enter_context(_server(parts.database_url, nothing)),
            # No body is kept here: without the triggers nothing could tell that it is an old one.
            WITHOUT: stack.enter_context(_server(copies[WITHOUT], nothing)),
        }
        times = _measure(databases, servers, user, arguments)
    results = {
        "messages_a_chat": MESSAGES,
        "writes_a_repetition": arguments.writes,
        "triggers_dropped": dropped,
        "ms": {
            step: {name: middle(each) for name, each in found.items()}
            for step, found in times.items()
        },
        "more_ms_with_the_store": _differences(times, WITHOUT),
        "more_ms_with_redis": _differences(times, NO_REDIS),
        "more_ms_with_the_search_index": _differences(times, NO_SEARCH),
    }
    print(json.dumps(report("run_writes.py", ("redis",), **results), indent=2))


# --- databases with and without

_IS_OF_STORE = "tgname LIKE 'chats\\_%' AND tgname NOT LIKE '%search%'"


def _copy(parts: Parts, name: str) -> str:
    """Return the address of a copy of the database, which nobody may be using."""
    with psycopg.connect(
        parts.database_url.replace("/mundap?", "/postgres?"), autocommit=True
    ) as db:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE mundap")
        db.execute(statement.format(sql.Identifier(f"bench_{name}")))
    return parts.database_url.replace("/mundap?", f"/bench_{name}?")


def _drop_triggers(database: str, condition: str) -> list[str]:
    """Drop the triggers of ours that are meant; return their names."""
    with psycopg.connect(database, autocommit=True) as db:
        found = db.execute(
            f"SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND {condition}"  # noqa: S608
        ).fetchall()
        for name, table in found:
            db.execute(
                sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(name), sql.Identifier(table))
            )
    return sorted(name for name, _table in found)


# --- measuring


def _measure(
    databases: dict[str, str],
    servers: dict[str, Serving],
    user: dict[str, Any],
    arguments: argparse.Namespace,
) -> dict[str, dict[str, list[float]]]:
    """Return each step's median milliseconds in each repetition, by what was there or not."""
    times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for repetition in range(arguments.repetitions):
        chat = user["chats"][repetition % len(user["chats"])]
        for name, database in databases.items():
            for step, each in _steps(database, user, chat, arguments.writes).items():
                times[STEPS[step]][name].append(each)
        for name, server in servers.items():
            times["title, over HTTP"][name].append(
                _patch(server, user["token"], user["chats"][-1], arguments.writes)
            )
    return times


def _steps(database: str, user: dict[str, Any], chat: str, writes: int) -> dict[str, float]:
    """Return the median milliseconds of each step of writes in a process of their own."""
    arguments = (str(user["user"]), chat, str(writes))
    times = run_script("turn_steps.py", *arguments, environment={"DATABASE_URL": database})
    return {step: statistics.median(each) for step, each in times.items()}


@contextmanager
def _server(database: str, redis: str) -> Iterator[Serving]:
    with serving(
        "mundap.config.asgi:application",
        core=cores()[0],
        environment={"DATABASE_URL": database, "REDIS_URL": redis},
    ) as server:
        yield server


def _patch(server: Serving, token: str, chat: str, writes: int) -> float:
    """Return the median milliseconds of changing the chat's title, each to another one."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    times = []
    for number in range(writes + 5):
        title = f"Title {number} {time.time()}"
        begun = time.perf_counter()
        connection.request(
            "PATCH", f"/api/v1/chats/{chat}/", body=json.dumps({"title": title}), headers=headers
        )
        response = connection.getresponse()
        content = response.read()
        times.append((time.perf_counter() - begun) * 1000)
        assert response.status == 200, (response.status, content)
        assert json.loads(content)["title"] == title
    connection.close()
    return statistics.median(times[5:])


def _differences(times: dict[str, dict[str, list[float]]], without: str) -> dict[str, Any]:
    """Return what the store's side takes longer, by the repetitions' own differences."""
    return {
        step: middle(a - b for a, b in zip(found[WITH], found[without], strict=True))
        for step, found in times.items()
        if without in found
    }


if __name__ == "__main__":
    main()
