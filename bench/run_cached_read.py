"""How fast a chat is read by an API token through the cache, beside the limit and the original, and without Redis.

One server process on a core of its own, a chat of 40 messages of 600 characters, wrk. In each repetition every server
has its turn, so that a noisy machine is noisy for all. Replies are compared with PostgreSQL's rows before and after.
Prints JSON: `python bench/run_cached_read.py [--connections 16 64] [--repetitions 5] [--seconds 2] [--peers FOLDER]`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import redis

import peers
from harness import (
    Load,
    Parts,
    Serving,
    cores,
    killed_redis,
    load,
    middle,
    paused_redis,
    report,
    rounded,
    run_script,
    running_parts,
    serving,
    settings_environment,
    summary,
)

MESSAGES, CHARACTERS = 40, 600
LONG_MESSAGES, LONG_CHARACTERS = 40, 5_000  # 200 KB of text
PACKAGES = ("redis", "hiredis", "psycopg-pool", "uvloop", "httptools")


@dataclass(frozen=True)
class Target:
    """Something that wrk asks, again and again."""

    name: str
    server: Serving
    path: str
    headers: Mapping[str, str]
    body_bytes: int


@dataclass(frozen=True)
class OurChat:
    """A chat of ours, and who may read it."""

    id: str
    token: str

    @property
    def path(self) -> str:
        """Where it is read."""
        return f"/api/v1/chats/{self.id}/"

    @property
    def headers(self) -> dict[str, str]:
        """What its reader sends."""
        return {"Authorization": f"Bearer {self.token}"}


def main() -> None:
    arguments = _arguments()
    core = cores()[0]
    folder = peers.find_peers(arguments.peers)
    with ExitStack() as stack:
        parts = stack.enter_context(running_parts())
        os.environ |= settings_environment(parts)
        sizes = (f"1x{MESSAGES}x{CHARACTERS}", f"1x{LONG_MESSAGES}x{LONG_CHARACTERS}")
        chat, long_chat = (
            OurChat(each["chats"][0], each["token"])
            for each in run_script("random_chats.py", *sizes)["users"]
        )
        ours = stack.enter_context(serving("mundap.config.asgi:application", core=core))
        body, etag = _checked_read(ours, chat, parts)
        long_body, _etag = _checked_read(ours, long_chat, parts)
        targets = [
            Target("ours_200", ours, chat.path, chat.headers, len(body)),
            Target("ours_304", ours, chat.path, chat.headers | {"If-None-Match": etag}, 0),
            *_peer_targets(stack, folder, parts, core=core, body=body),
        ]
        before = _counted(ours)
        measured = _measure(targets, arguments)
        reads = {name: value - before.get(name, 0) for name, value in _counted(ours).items()}
        memory = {
            f"{MESSAGES} messages of {CHARACTERS} characters": _memory(parts, chat, body),
            f"{LONG_MESSAGES} messages of {LONG_CHARACTERS} characters": _memory(
                parts, long_chat, long_body
            ),
        }
        assert _checked_read(ours, chat, parts) == (body, etag)
        without = _without_redis(targets[0], chat, parts, arguments)
    results = {
        "messages": MESSAGES,
        "characters": CHARACTERS,
        "body_bytes": len(body),
        "peers": "beside ours" if folder else "left out: their folder was not found",
        "connections": measured,
        "our_reads": reads,
        "redis_bytes": memory,
        "without_redis": without,
    }
    print(json.dumps(report("run_cached_read.py", PACKAGES, **results), indent=2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    peers.add_argument(parser)
    return parser.parse_args()


def _peer_targets(
    stack: ExitStack, folder: Path | None, parts: Parts, *, core: int, body: bytes
) -> Iterator[Target]:
    size = {"BODY_BYTES": str(len(body))}
    bare = stack.enter_context(serving("bare_app:app", core=core, environment=size))
    yield Target("bare_asgi", bare, "/", {}, len(body))
    if folder is None:
        return
    for application in ("get", "head_and_get"):
        server = stack.enter_context(
            peers.limit(folder, parts, core=core, application=application, body=body)
        )
        assert _get(server, "/", {})[:2] == (200, body)
        yield Target(f"limit_{application}", server, "/", {}, len(body))
    original = stack.enter_context(peers.original(folder, parts, core=core, messages=MESSAGES))
    path = f"/chat/{original.chat}/"
    status, content, _etag = _get(original.server, path, original.headers)
    assert status == 200
    assert len(json.loads(content)["chatlog"]) == MESSAGES + 1
    yield Target("original", original.server, path, original.headers, len(content))


# --- measuring


def _measure(targets: list[Target], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return for each number of connections what each target did, and ours as shares of the others."""
    loads: dict[int, dict[str, list[Load]]] = defaultdict(lambda: defaultdict(list))
    for repetition in range(arguments.repetitions + 1):
        for connections in arguments.connections:
            for target in targets:
                seconds = arguments.seconds if repetition else 1  # the first is to warm up
                seen = _load(target, connections, seconds)
                if repetition:
                    loads[connections][target.name].append(seen)
    return {
        str(connections): {name: summary(each) for name, each in found.items()}
        | {"ratios": _ratios(found), "server_cpu_us_of_steps": _steps(found)}
        for connections, found in loads.items()
    }


def _load(target: Target, connections: int, seconds: int) -> Load:
    seen = load(
        target.server,
        target.path,
        headers=target.headers,
        connections=connections,
        seconds=seconds,
    )
    # What came is what was asked for: no status above 399, and the body with its headers each time.
    assert seen.errors == 0, (target.name, seen)
    assert 0 < seen.bytes_per_request - 0.9 * target.body_bytes < 5_000 + 0.2 * target.body_bytes
    return seen


def _ratios(found: Mapping[str, list[Load]]) -> dict[str, Any]:
    """Return how much of one's speed another has, by the repetitions' own ratios.

    By requests a second, and by processor time a request, which other work on the machine disturbs less.
    """
    pairs = [
        ("ours_200", "limit_head_and_get"),
        ("ours_200", "limit_get"),
        ("ours_200", "original"),
        ("ours_304", "ours_200"),
    ]
    ratios = {}
    for mine, other in pairs:
        if other in found:
            runs = list(zip(found[mine], found[other], strict=True))
            ratios[f"{mine} / {other}"] = {
                "requests": middle(a.requests_per_second / b.requests_per_second for a, b in runs),
                "server_cpu": middle(b.server_cpu_us / a.server_cpu_us for a, b in runs),
            }
    return ratios


def _steps(found: Mapping[str, list[Load]]) -> dict[str, float]:
    """Return what steps of a read cost the server, as differences between targets."""
    cpu = {
        name: statistics.median(each.server_cpu_us for each in loads)
        for name, loads in found.items()
    }
    steps = {"ASGI server and sending": cpu["bare_asgi"]}
    if "limit_get" in cpu:
        steps |= {
            "GET from Redis": cpu["limit_get"] - cpu["bare_asgi"],
            "head row from PostgreSQL": cpu["limit_head_and_get"] - cpu["limit_get"],
            "ours beyond the limit": cpu["ours_200"] - cpu["limit_head_and_get"],
        }
    steps["ours: body after the head (200 against 304)"] = cpu["ours_200"] - cpu["ours_304"]
    return {name: round(value) for name, value in steps.items()}


def _memory(parts: Parts, chat: OurChat, body: bytes) -> dict[str, int | None]:
    """Return the bytes that the chat takes in Redis, with all that belongs to its key; None where it is not kept."""
    key = f"mundap1:{{{chat.id}}}:body"
    with redis.Redis.from_url(parts.redis_url) as client:
        return {"body": len(body), "value": client.strlen(key), "memory": client.memory_usage(key)}


# --- without Redis


def _without_redis(
    target: Target, chat: OurChat, parts: Parts, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Return what reads do while Redis is paused and while it is killed; its replies must stay right."""
    states: dict[str, Callable[[Parts], Any]] = {
        "running": lambda _parts: nullcontext(),
        "paused": paused_redis,
        "killed": killed_redis,
    }
    loads: dict[tuple[int, str], list[Load]] = defaultdict(list)
    recovered = []
    for _repetition in range(arguments.repetitions):
        for name, state in states.items():
            for connections in arguments.connections:
                with state(parts):
                    # From the first moment on: the requests that wait for a timeout count too.
                    seen = _load(target, connections, arguments.seconds)
                    loads[connections, name].append(seen)
                    _checked_read(target.server, chat, parts)
                recovered.append(_wait_until_cached(target))
    return {
        str(connections): {
            name: summary(loads[connections, name])
            | {
                "p99_ms_more_than_running": _growth(
                    loads[connections, name], loads[connections, "running"]
                )
            }
            for name in states
        }
        for connections in arguments.connections
    } | {"most_seconds_until_cached_again": rounded(max(recovered))}


def _wait_until_cached(target: Target) -> float:
    """Return the seconds until reads come from Redis again."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < 30:
        before = _counted(target.server)["chat_reads cached"]
        _get(target.server, target.path, target.headers)
        if _counted(target.server)["chat_reads cached"] > before:
            return time.perf_counter() - begun
        time.sleep(0.05)
    raise TimeoutError("no read comes from Redis")


def _counted(server: Serving) -> dict[str, int]:
    """Return what the server has counted: reads by where they came from, and self-checks by what they found."""
    status, content, _etag = _get(server, "/metrics", {})
    assert status == 200
    found = re.findall(
        r'^mundap_(chat_reads|cache_self_checks)_total\{result="(\w+)"\} ([0-9.e+]+)$',
        content.decode(),
        re.MULTILINE,
    )
    counted = {f"{name} {result}": int(float(value)) for name, result, value in found}
    return {"cache_self_checks different": 0} | counted


def _growth(loads: list[Load], normal: list[Load]) -> dict[str, float]:
    return middle(one.p99_ms - other.p99_ms for one, other in zip(loads, normal, strict=True))


# --- being right


def _checked_read(server: Serving, chat: OurChat, parts: Parts) -> tuple[bytes, str]:
    """Return the body and its etag, read often and each time what PostgreSQL has."""
    with psycopg.connect(parts.database_url) as connection:
        head = connection.execute(
            "SELECT rev, etag, title FROM chats_chat WHERE id = %s", [chat.id]
        ).fetchone()
        rows = connection.execute(
            "SELECT id, role, text FROM chats_message WHERE chat_id = %s ORDER BY position",
            [chat.id],
        ).fetchall()
    assert head is not None
    replies = {_get(server, chat.path, chat.headers) for _ in range(20)}
    assert len(replies) == 1, "replies differ"
    status, body, etag = replies.pop()
    shown = json.loads(body)
    assert (status, etag) == (200, f'"{head[0]}-{head[1].hex}"')
    assert (shown["rev"], shown["title"]) == (head[0], head[2])
    assert [(each["id"], each["role"], each["text"]) for each in shown["messages"]] == [
        (str(message), role, text) for message, role, text in rows
    ]
    assert _get(server, chat.path, chat.headers | {"If-None-Match": etag}) == (304, b"", etag)
    return body, etag


def _get(server: Serving, path: str, headers: Mapping[str, str]) -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    connection.request("GET", path, headers=dict(headers))
    response = connection.getresponse()
    answer = response.status, response.read(), response.getheader("ETag", "")
    connection.close()
    return answer


if __name__ == "__main__":
    main()
