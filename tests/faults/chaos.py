"""The chaos run: people use several server processes while everything around fails; a checker judges what they saw.

`python -m tests.faults.chaos [--seconds 60] [--seed N] [--history FILE]`, or `make chaos DURATION=600`. Progress goes
to standard error; the last line of standard output is one JSON object, and nothing is printed after it. The status is 1
when a promise was broken. The seed settles who does what and which fault comes when; the machine settles the rest.

Clocks that jump need no fault of their own: nothing is timed by a wall clock here or in what is tested, where leases
are compared by the database with its own time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import redis

from mundap.embedded import supervisor
from tests.faults import roles, stored, talks
from tests.faults.arena import POOL, Arena, running_arena
from tests.faults.checker import Report, check, explain
from tests.faults.clients import Session, World
from tests.faults.fault_deck import FaultDeck
from tests.faults.history import History, read_history
from tests.faults.node_deck import NodeDeck

NODES = 3
OWNERS = ("u1", "u2", "u3", "u4")
TALKERS = ("t1", "t2", "t3")  # who follow long answers
TALKS = 4  # of each at once
STRANGER = "u9"
ASYNC_POOL = 8  # config/async_database.py
REDIS_CONNECTIONS = 40  # a node's: bodies, and the cache framework's
PROGRESS_SECONDS = 10.0
METRICS = ("mundap_chat_reads", "mundap_cache", "mundap_redis_failures")
DIFFERING = 'mundap_cache_self_checks_total{result="different"}'


@dataclass(frozen=True)
class Person:
    """A user and a token of theirs."""

    name: str
    id: str
    token: str


def main() -> int:
    """Run, and return the process's status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--history", type=Path, default=None)
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(2**31) if arguments.seed is None else arguments.seed
    say(f"seed {seed}")
    path = arguments.history or Path(tempfile.gettempdir()) / f"mundap-chaos-{seed}.jsonl"
    home = Path(tempfile.mkdtemp(prefix="mundap-chaos-"))
    home.chmod(0o711)  # an ordinary user must reach the data folder when this runs as root
    try:
        with supervisor.running(home, postgres=True, valkey=False, embeddings=False) as parts:
            report = asyncio.run(
                run(home, parts.database_url or "", path, seconds=arguments.seconds, seed=seed)
            )
    finally:
        shutil.rmtree(home, ignore_errors=True)
    paused = f"with Redis paused {report.p99_paused_ms} ms"
    say("\n".join([f"99 % of reads within {report.p99_calm_ms} ms; {paused}", *report.told]))
    say(f"history: {path}")
    if not report.is_clean:
        say(explain(report))
    sys.stderr.flush()
    sys.stdout.write(json.dumps(report.summary()) + "\n")
    sys.stdout.flush()
    return 0 if report.is_clean else 1


async def run(home: Path, database: str, path: Path, *, seconds: float, seed: int) -> Report:
    """Let people and faults loose on three nodes for a while; return what the checker says of the history."""
    chance = random.Random(seed)  # noqa: S311 - so that a seed repeats a run
    environment = {
        "MUNDAP_HOME": str(home),
        "DATABASE_URL": database,
        "SECRET_KEY": "only-for-the-chaos-run-0123456789-abcdefghijklmnop",
        "DJANGO_SETTINGS_MODULE": "mundap.config.settings",
    }
    people = _make_people(environment, [*OWNERS, *TALKERS, STRANGER])
    history = History(path)
    log = path.with_suffix(".log")
    async with running_arena(
        home, nodes=NODES, environment=environment, chance=chance, log=log
    ) as arena:
        say(f"{NODES} nodes are up; {seconds:.0f} s of faults")
        begun = time.monotonic()
        await _live(arena, history, people, home=home, database=database, until=begun + seconds)
        history.add("run", seconds=round(time.monotonic() - begun, 1), seed=seed)
        await asyncio.to_thread(stored.wait_until_quiet, database)
        bound = NODES * (POOL + ASYNC_POOL)
        await asyncio.to_thread(stored.record_connections, database, history, bound=bound)
        clients = await arena.redis.call(redis.Redis.client_list)
        history.add(
            "left", what="Redis clients", count=len(clients), bound=NODES * REDIS_CONNECTIONS
        )
        await _record_metrics(arena, history)
    names = {person.id: person.name for person in people.values()}
    stored.record_stored(database, history, names=names)
    stored.record_answers(arena.model.answers, history)
    history.close()
    return check(read_history(path))


def _make_people(environment: dict[str, str], names: list[str]) -> dict[str, Person]:
    """Make the people and what they ask about, in a process of its own: this one has no Django."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.cast", *names],
        check=True,
        stdout=subprocess.PIPE,
        env=os.environ | environment,
    )
    made: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {name: Person(name, one["id"], one["token"]) for name, one in made.items()}


async def _live(
    arena: Arena,
    history: History,
    people: Mapping[str, Person],
    *,
    home: Path,
    database: str,
    until: float,
) -> None:
    """Run all sessions and faults until the moment; return when every session has had its last reply."""
    limits = httpx2.Limits(max_connections=200, max_keepalive_connections=60)
    async with httpx2.AsyncClient(timeout=60, limits=limits) as http:
        world = World(history, [node.url for node in arena.nodes], http, arena.chance)
        sessions = [asyncio.create_task(each) for each in _sessions(world, people)]
        progress = asyncio.create_task(_tell(history))
        try:
            await asyncio.gather(
                FaultDeck(arena, world, home=home).play(until=until),
                NodeDeck(arena, world, database=database).play(until=until),
            )
        finally:
            world.is_over = True
            progress.cancel()
            await asyncio.gather(*sessions)
            await asyncio.gather(progress, return_exceptions=True)


def _sessions(world: World, people: Mapping[str, Person]) -> list[Any]:
    """Return what each session does.

    Two readers and a writer for each owner, a second writer for two of them; talkers, and a reader of what they have.
    """
    lives: list[Any] = []
    for number, owner in enumerate(OWNERS):
        crew = [roles.read, roles.read, roles.write] + [roles.write] * (number % 2)
        for place, role in enumerate(crew):
            person = people[owner]
            session = Session(world, name=f"{owner}.{place}", user=owner, token=person.token)
            lives.append(role(session, world))
    for owner in TALKERS:
        for place, role in enumerate([talks.talk] * TALKS + [roles.read]):
            token = people[owner].token
            session = Session(world, name=f"{owner}.{place}", user=owner, token=token)
            lives.append(role(session, world))
    for place in range(2):
        person = people[STRANGER]
        session = Session(world, name=f"stranger.{place}", user=STRANGER, token=person.token)
        lives.append(roles.pry(session, world))
    return lives


async def _record_metrics(arena: Arena, history: History) -> None:
    """Record what the nodes count of the cache since they were started last; no hit may differ from Postgres."""
    async with httpx2.AsyncClient(timeout=10) as http:
        for node in arena.nodes:
            lines = (await http.get(f"{node.url}/metrics")).text.splitlines()
            counts = {
                name: float(number)
                for name, _space, number in (line.rpartition(" ") for line in lines)
                if name.startswith(METRICS) and "_created" not in name and float(number)
            }
            history.add("metrics", node=node.number, counts=counts)
            differing = int(counts.get(DIFFERING, 0))
            history.add("left", what="bodies unlike Postgres", count=differing, bound=0)


async def _tell(history: History) -> None:
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        say(f"{history.operations} operations, {history.faults} faults")


def say(text: str) -> None:
    """Tell people how it goes."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
