"""How quickly many slow answers at once reach their readers, and what they cost: one process, its own readers.

Each answer is begun a moment after the one before; measured is from when all have begun. The model stamps each token
when it sends it, so that the delay of each is known: model, server, client and their sockets. Delays and what was
stored are looked at when all is over. Server on one core; client, model, PostgreSQL and Valkey on the other.
Prints JSON: `python bench/run_streams.py [--streams 500] [--seconds 60] [--tokens-per-second 20] [--begin-seconds 30]`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psutil
import psycopg
import redis

import paced_model
import stream_client
from harness import (
    Parts,
    Serving,
    cores,
    model_environment,
    report,
    rounded,
    run_script,
    running_parts,
    serving,
    settings_environment,
    spread,
    stored_answers,
)
from stream_client import Followed, Lateness, Reading

PASSAGES = 1_000
USERS = 8
FILES_A_STREAM = 2  # of the server: the reader's connection and the model's
OTHER_FILES = 300
NEARLY_ALL = 0.9  # of a core, above which the core is what bounds
PACKAGES = ("openai", "uvloop", "httptools", "redis")


@dataclass
class Counts:
    """What the server and its neighbours have used up to a moment."""

    at: float
    cpu: dict[str, float]
    cores_busy: list[float]
    redis: dict[str, float]
    drafts: int
    wal_bytes: int


@dataclass
class Run:
    """What the load saw."""

    readings: list[Reading] = field(default_factory=list)
    lateness: Lateness = field(default_factory=Lateness)
    memory_mb: dict[str, float] = field(default_factory=dict)
    begin: Counts | None = None
    end: Counts | None = None


@dataclass(frozen=True)
class Bench:
    """The processes of a run."""

    parts: Parts
    server: Serving
    model: Serving
    tokens: list[str]
    questions: list[str]


def main() -> None:
    arguments = _arguments()
    _allow_files(arguments.streams * FILES_A_STREAM + OTHER_FILES)
    server_core, load_core = cores()
    seconds = arguments.begin_seconds + arguments.seconds
    tokens = int(seconds * arguments.tokens_per_second)
    pace = {"TOKENS": str(tokens), "TOKENS_PER_SECOND": str(arguments.tokens_per_second)}
    with ExitStack() as stack:
        parts = stack.enter_context(running_parts())
        model = stack.enter_context(serving("paced_model:app", core=load_core, environment=pace))
        os.environ |= settings_environment(
            parts, **model_environment(model.url), **_limits(arguments.streams, seconds)
        )
        users, questions = run_script("random_shelf.py", str(PASSAGES), str(USERS))
        server = stack.enter_context(serving("mundap.config.asgi:application", core=server_core))
        print(f"server {server.pid}, client {os.getpid()}", file=sys.stderr)
        bench = Bench(parts, server, model, users, questions)
        gc.disable()  # what comes is only kept; a collection would look at all of it
        run = stream_client.run(_load(bench, arguments))
        gc.enable()
        seen = [stream_client.followed(reading) for reading in run.readings]
        stored = stored_answers(parts, (each.answer for each in seen))
    results = {
        "passages": PASSAGES,
        "streams": arguments.streams,
        "tokens_per_second": arguments.tokens_per_second,
        "tokens_a_stream": tokens,
        "text": _texts(seen, stored, tokens),
        **_summary(run, seen, rate=arguments.tokens_per_second),
    }
    print(json.dumps(report("run_streams.py", PACKAGES, **results), indent=2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60, help="with all of them open")
    parser.add_argument("--tokens-per-second", type=float, default=20)
    parser.add_argument("--begin-seconds", type=float, default=30, help="to begin them all")
    return parser.parse_args()


def _allow_files(number: int) -> None:
    """Let this process, and those that it starts, open so many files. Exits where they may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        if hard != resource.RLIM_INFINITY and hard < number:
            sys.exit(f"{number} open files are needed, {hard} are allowed: ulimit -n {number}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


def _limits(streams: int, seconds: float) -> dict[str, str]:
    """Return the limits that such a load would meet."""
    return {
        "MUNDAP_TURNS_PER_USER": str(streams),
        "MUNDAP_TURNS_PER_PROCESS": str(streams + 1),
        "MUNDAP_TURN_SECONDS": str(int(seconds * 10) + 300),
        "MUNDAP_ANSWER_MAX_CHARACTERS": "1000000",
    }


# --- load


async def _load(bench: Bench, arguments: argparse.Namespace) -> Run:
    """Begin the streams one after the other, hold them all for a while, and read them to their ends."""
    run = Run()
    await _warm_up(bench)
    run.memory_mb["before"] = _memory_mb(bench.server)
    watching = asyncio.create_task(run.lateness.watch())
    begun = time.monotonic()
    pause = arguments.begin_seconds * 0.8 / arguments.streams
    for number in range(arguments.streams):
        await asyncio.sleep(max(begun + number * pause - time.monotonic(), 0))
        run.readings.append(await _begin(bench, number))
    await asyncio.gather(*(reading.has_text for reading in run.readings))
    run.lateness.ms.clear()
    run.memory_mb["all begun"] = _memory_mb(bench.server)
    run.begin = await asyncio.to_thread(_counts, bench)
    await asyncio.sleep(arguments.seconds)
    run.end = await asyncio.to_thread(_counts, bench)
    run.memory_mb["at the end"] = _memory_mb(bench.server)
    watching.cancel()
    await asyncio.gather(*(reading.ended for reading in run.readings))
    return run


async def _warm_up(bench: Bench) -> None:
    """Have statements prepared and the collection's terms read, with an answer that is stopped."""
    reading = await _begin(bench, 0)
    await reading.has_text
    turn = stream_client.followed(reading).turn
    headers = {"Authorization": f"Bearer {bench.tokens[0]}"}
    await (
        await stream_client.ask(bench.server.url, f"/api/v1/turns/{turn}/stop/", headers, {})
    ).ended
    await reading.ended


async def _begin(bench: Bench, number: int) -> Reading:
    token = bench.tokens[number % len(bench.tokens)]
    body = {"collection": "bench", "text": bench.questions[number % len(bench.questions)]}
    return await stream_client.ask(
        bench.server.url, "/api/v1/chats/", stream_client.streaming(token), body
    )


# --- counting


def _memory_mb(server: Serving) -> float:
    return float(psutil.Process(server.pid).memory_info().rss) / 2**20


def _counts(bench: Bench) -> Counts:
    with psycopg.connect(bench.parts.database_url) as connection:
        row = connection.execute(
            """
            SELECT n_tup_ins + n_tup_upd, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')
            FROM pg_stat_user_tables WHERE relname = 'chats_turndraft'
            """
        ).fetchone()
    assert row is not None
    with redis.Redis.from_url(bench.parts.redis_url) as client:
        info = client.info("stats")
        commands = client.info("commandstats")
    now = time.monotonic()
    pids = {"server": bench.server.pid, "model": bench.model.pid, "client": os.getpid()}
    return Counts(
        at=now,
        cpu={name: Serving("", pid).cpu_seconds() for name, pid in pids.items()},
        cores_busy=[
            sum(times[:2]) + times.system + times.softirq + times.irq
            for core in cores()
            for times in [psutil.cpu_times(percpu=True)[core]]
        ],
        redis={
            "commands": info["total_commands_processed"],
            "xadd": commands.get("cmdstat_xadd", {}).get("calls", 0),
            "bytes_in": info["total_net_input_bytes"],
            "bytes_out": info["total_net_output_bytes"],
        },
        drafts=row[0],
        wal_bytes=int(row[1]),
    )


# --- report


def _texts(
    seen: list[Followed], stored: Mapping[str, tuple[str, str]], tokens: int
) -> dict[str, Any]:
    """Return whether anything was dropped: each stream beside what is stored, and both beside the model's tokens."""
    texts = {each.answer: each.text for each in seen}
    errors = [error for each in seen for error in each.errors]
    return {
        "streams": len(seen),
        "stored_complete": sum(state == "complete" for state, _text in stored.values()),
        "equal_to_stored": sum(text == texts[answer] for answer, (_s, text) in stored.items()),
        "with_all_tokens": sum(len(paced_model.stamps(each.text)) == tokens for each in seen),
        "errors": len(errors),
        "first_error": errors[0] if errors else None,
    }


def _summary(run: Run, seen: list[Followed], *, rate: float) -> dict[str, Any]:
    assert run.begin is not None
    assert run.end is not None
    seconds = run.end.at - run.begin.at
    deltas = [
        (at, paced_model.stamps(delta))
        for each in seen
        for at, delta in each.deltas
        if run.begin.at <= at < run.end.at
    ]
    delays = [paced_model.seconds_between(stamp, at) for at, stamps in deltas for stamp in stamps]
    shares = {
        name: rounded((run.end.cpu[name] - run.begin.cpu[name]) / seconds) for name in run.end.cpu
    }
    busy = [
        (b - a) / seconds for a, b in zip(run.begin.cores_busy, run.end.cores_busy, strict=True)
    ]
    grown = {
        name: rounded((run.memory_mb[name] - run.memory_mb["before"]) * 1024 / len(seen))
        for name in ("all begun", "at the end")
    }
    return {
        "seconds": rounded(seconds),
        "delay_ms": spread(delay * 1000 for delay in delays),
        "tokens_read_per_second": rounded(len(delays) / seconds),
        "deltas_read_per_second": rounded(len(deltas) / seconds),
        "cpu_share_of_a_core": shares,
        "cores_busy": {"server": rounded(busy[0]), "load": rounded(busy[1])},
        "bound_by": _bound(shares["server"], *busy),
        "server_cpu_us_per_token": rounded(shares["server"] * seconds / max(len(delays), 1) * 1e6),
        "client_late_ms": spread(run.lateness.ms),
        "model_late_ms": spread(_model_lateness(seen, rate)),
        "memory_mb": {name: rounded(value) for name, value in run.memory_mb.items()},
        "memory_kb_per_stream": grown,
        "text_kb_per_stream_at_the_end": rounded(
            statistics.fmean(len(each.text) for each in seen) / 1024
        ),
        "redis_per_second": {
            name: rounded((run.end.redis[name] - run.begin.redis[name]) / seconds)
            for name in run.end.redis
        },
        "drafts_per_second": rounded((run.end.drafts - run.begin.drafts) / seconds),
        "wal_bytes_per_second": rounded((run.end.wal_bytes - run.begin.wal_bytes) / seconds),
    }


def _bound(server: float, server_core: float, load_core: float) -> str:
    """Return what keeps it from being quicker."""
    if server >= NEARLY_ALL:
        return "the server's core: what arrives meanwhile goes out as one longer delta"
    if server_core >= NEARLY_ALL:
        return "other work on the server's core: measure again on a quiet machine"
    if load_core >= NEARLY_ALL:
        return "the core of the load: client, model, PostgreSQL and Valkey"
    return "the model's pace"


def _model_lateness(seen: list[Followed], rate: float) -> Iterator[float]:
    """Yield how much later than its pace the model sent each token: because it, or its reader, was slow."""
    for each in seen:
        stamps = paced_model.stamps(each.text)
        begin = stamps[0] if stamps else 0
        for number, stamp in enumerate(itertools.islice(stamps, 0, None, 20)):
            due = number * 20 / rate
            yield ((stamp - begin) % 2**32 / 1e6 - due) * 1000


if __name__ == "__main__":
    main()
