"""The chaos run keeps every promise; and the checker notices when one part of the protocol is broken."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx2
import pytest

from tests.database import database_url
from tests.faults import roles, stored, talks, tampering
from tests.faults.arena import Arena, running_arena
from tests.faults.checker import Report, check, explain
from tests.faults.clients import Chat, Session, World
from tests.faults.failover import lose_a_commit
from tests.faults.history import History, read_history
from tests.faults.nodes import APPLICATION
from tests.faults.paced_model import Manner
from tests.faults.people import make_people
from tests.faults.reading import Reading

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60
MOST_SECONDS = 8.0  # that a broken variant gets to show itself
SOUND_SECONDS = 3.0
STEP_SECONDS = 0.2
PEOPLE = ("u1", "u2", "u3", "u9")
CREW = (roles.write, roles.read)
People = Mapping[str, Mapping[str, str]]
PAUSED_READ_MS = (
    3_000  # far above one time-out: what must not happen is that a paused Redis holds readers
)


def test_everything_fails_for_a_minute_and_no_promise_is_broken(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.faults.chaos", "--seconds", str(SECONDS)),
            *("--history", str(tmp_path / "history.jsonl")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith(("MUNDAP_", "OPENAI_"))},
    )
    summary = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, f"seed {summary['seed']}\n{done.stderr}"
    assert summary["operations"] > 1000
    assert summary["faults"] > 10
    assert not any(summary[kind] for kind in ("stale", "lost", "duplicate", "foreign", "stuck")), (
        done.stderr
    )
    report = check(read_history(tmp_path / "history.jsonl"))
    assert report.p99_paused_ms < PAUSED_READ_MS, f"seed {summary['seed']}"
    assert {"complete", "interrupted", "failed"} <= report.states.keys(), report.told


# What is broken, what the checker must say, and the sign on which the trial ends with a kill.
BROKEN = [
    ("believe_any_state", "stale", "stale"),
    ("compare_rev_only", "stale", "stale"),
    ("believe_any_owner", "foreign", "foreign"),
    ("ask_no_owner", "foreign", "foreign"),
    ("ignore_keys", "duplicate", "duplicate"),
    ("write_back_later", "lost", "stale"),
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("variant", "kind", "sign"), BROKEN)
def test_a_broken_protocol_is_noticed(tmp_path: Path, variant: str, kind: str, sign: str) -> None:
    report = asyncio.run(_tried(tmp_path, make_people(*PEOPLE), variant=variant, sign=sign))
    assert kind in report.kinds, explain(report)


@pytest.mark.django_db(transaction=True)
def test_the_same_trial_finds_nothing_in_the_protocol_itself(tmp_path: Path) -> None:
    report = asyncio.run(_tried(tmp_path, make_people(*PEOPLE)))
    assert report.is_clean, explain(report)


async def _tried(folder: Path, people: People, *, variant: str = "", sign: str = "") -> Report:
    """Put one node on trial among swapped values and failovers; a broken one is killed when the sign was seen."""
    history = History(folder / "history.jsonl")
    chance = random.Random(1)  # noqa: S311
    arena = running_arena(
        folder,
        nodes=1,
        environment={"DATABASE_URL": database_url(), "BROKEN": variant},
        application="tests.faults.broken:application" if variant else APPLICATION,
        chance=chance,
        log=folder / "node.log",
    )
    async with arena as parts, httpx2.AsyncClient(timeout=30) as http:
        world = World(history, [parts.nodes[0].url], http, chance)
        others = [
            asyncio.create_task(role(_session(world, people, name), world))
            for name, role in (*((n, r) for n in ("u1", "u2") for r in CREW), ("u9", roles.pry))
        ]
        try:
            await _go_through_it(parts, _session(world, people, "u3"), people["u3"]["token"], sign)
        finally:
            world.is_over = True
            if variant:
                parts.nodes[0].kill()
            await asyncio.gather(*others)
    return _judged(history, people)


async def _go_through_it(arena: Arena, session: Session, token: str, sign: str) -> None:
    world = session.world
    asked = await session.ask(None, key="first", token="q-u3-0")
    chat = Chat(asked["chat"], "u3")
    await session.rename(chat)
    end = time.monotonic() + (MOST_SECONDS if sign else SOUND_SECONDS)
    while time.monotonic() < end:
        await arena.redis.call(tampering.swap, world.chance)
        await lose_a_commit(arena, chat, database=database_url(user="postgres"), token=token)
        await session.rename(chat)
        await session.read(chat)
        await asyncio.sleep(STEP_SECONDS)
        world.history.flush()
        if sign and sign in check(read_history(world.history.path)).kinds:
            return


# What is broken, what the checker must say, and for how long there is text before the process is stopped.
BROKEN_TURNS = [
    ("finish_unfenced", "stuck", 1.5),
    (
        "forget_the_text",
        "lost",
        8.0,
    ),  # far beyond what a killed process may lose, also on a busy machine
    ("skip_a_character", "stuck", 0.0),
]
LONG_ANSWER, SHORT_ANSWER = Manner(words=180, milliseconds=80), Manner(words=30, milliseconds=80)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("variant", "kind", "seconds"), BROKEN_TURNS)
def test_a_broken_turn_is_noticed(tmp_path: Path, variant: str, kind: str, seconds: float) -> None:
    people = make_people("u1")
    report = asyncio.run(_turn_tried(tmp_path, people, variant=variant, stop_after=seconds))
    assert kind in report.kinds, explain(report)


@pytest.mark.django_db(transaction=True)
def test_the_same_trial_finds_nothing_in_a_turn_itself(tmp_path: Path) -> None:
    people = make_people("u1")
    report = asyncio.run(_turn_tried(tmp_path, people, variant="expire_soon", stop_after=1.5))
    assert report.is_clean, explain(report)
    assert report.states == {"interrupted": 1}


async def _turn_tried(folder: Path, people: People, *, variant: str, stop_after: float) -> Report:
    """Have a long answer followed at two nodes; its own is stopped until the other has ended it, and then goes on."""
    history = History(folder / "history.jsonl")
    chance = random.Random(1)  # noqa: S311
    arena = running_arena(
        folder,
        nodes=2,
        environment={"DATABASE_URL": database_url(), "BROKEN": variant},
        application="tests.faults.broken:application",
        chance=chance,
        log=folder / "node.log",
    )
    async with arena as parts, httpx2.AsyncClient(timeout=30) as http:
        world = World(history, [node.url for node in parts.nodes], http, chance)
        session, reading = _session(world, people, "u1"), Reading()
        world.away = {1}
        while not reading.told:  # on a busy machine the text begins later
            asked = await session.ask(
                None,
                key="first",
                token=f"q-u1-1{(LONG_ANSWER if stop_after else SHORT_ANSWER).suffix}",
                reading=reading,
                give_up=stop_after or 1.0,
            )
        chat, turn = asked["chat"], asked["turn"]
        world.away, start = {0}, time.monotonic()
        if stop_after:
            parts.nodes[0].pause()
        await asyncio.gather(
            session.follow(chat, turn, reading=reading),
            talks.follow(session, chat, turn, Reading()),
        )
        if stop_after:
            parts.nodes[0].resume()
            end, pid = time.monotonic(), parts.nodes[0].pid
            history.add("fault", name="node stopped", node=0, pid=pid, start=start, end=end)
        world.away = {1}
        await talks.follow(session, chat, turn, Reading())
    return _judged(history, people)


def _judged(history: History, people: People) -> Report:
    names = {one["id"]: name for name, one in people.items()}
    stored.record_stored(database_url(), history, names=names)
    history.close()
    return check(read_history(history.path))


def _session(world: World, people: People, name: str) -> Session:
    return Session(world, name=name, user=name, token=people[name]["token"])
