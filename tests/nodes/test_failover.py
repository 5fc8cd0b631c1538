"""A master of Redis dies while people chat, and another server takes its place: nothing is lost or stale, all goes on.

Once with Sentinels, for everything; once with a cluster, for bodies and streams.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from kombu import Connection

from mundap.cli import checks
from mundap.config.redis_address import read_redis_address
from tests.database import database_url
from tests.faults import roles, talks
from tests.faults.arena import node_environment
from tests.faults.checker import Report, explain
from tests.faults.clients import Session, World
from tests.faults.history import History
from tests.faults.nodes import Node
from tests.faults.paced_model import Manner, PacedModel, serving_model
from tests.faults.people import make_people
from tests.faults.reading import Reading
from tests.nodes.judging import judge
from tests.nodes.redis_groups import Cluster, Group, Watched

LONG_ANSWER = Manner(words=32, milliseconds=80)
BEFORE_SECONDS, WAIT_SECONDS = 0.6, 40.0
pytestmark = [pytest.mark.nodes, pytest.mark.django_db(transaction=True)]
HITS = "mundap_cache_hits_total "


@pytest.mark.parametrize("kind", [Watched, Cluster])
def test_a_master_dies_in_mid_traffic(
    tmp_path: Path, kind: type[Group], monkeypatch: pytest.MonkeyPatch
) -> None:
    people = make_people("u1", "u2")
    model = PacedModel()
    with kind(tmp_path) as group, serving_model(model) as address:
        for name, value in group.environment.items():
            monkeypatch.setenv(name, value)
        assert not _doctors_problems()
        environment = (
            node_environment(address) | {"DATABASE_URL": database_url()} | group.environment
        )
        nodes = [Node(n, environment=environment, log=tmp_path / "node.log") for n in range(2)]
        try:
            for node in nodes:
                node.launch()
            report = asyncio.run(_lived_through(group, nodes, people, tmp_path / "history.jsonl"))
        finally:
            for node in nodes:
                node.kill()
    assert any("cannot be reached" in problem for problem in _doctors_problems())
    assert report.is_clean, explain(report)
    assert report.states.keys() == {"complete"}


def _doctors_problems() -> list[str]:
    report = checks.find_chat_cache() or checks.check_cache({})
    return [problem.what for problem in report.problems]


async def _lived_through(
    group: Group, nodes: list[Node], people: dict[str, dict[str, str]], path: Path
) -> Report:
    history, chance = History(path), random.Random(1)  # noqa: S311
    await asyncio.gather(*(node.until_ready() for node in nodes))
    async with httpx2.AsyncClient(timeout=30) as http:
        world = World(history, [node.url for node in nodes], http, chance)
        session, *others = (
            Session(world, name=f"{user}.{place}", user=user, token=people[user]["token"])
            for place, user in enumerate(("u1", "u2", "u2"))
        )
        lives = [
            asyncio.create_task(role(other, world))
            for role, other in zip((roles.write, roles.read), others, strict=True)
        ]
        try:
            ready = (await http.get(f"{nodes[0].url}/readyz")).json()
            assert ready["missing"] == ["workers"], ready  # which nobody needs here
            await _are_hit(http, nodes)
            await _fail_over(group, session)
            # All three who use it find the new master: our own client, the cache framework and Celery.
            await _are_hit(http, nodes)
            await _until(lambda: _is_ready(http, nodes, before=ready))
            if isinstance(group, Watched):
                await asyncio.to_thread(_carry_a_hint, group.url)
        finally:
            world.is_over = True
            await asyncio.gather(*lives)
    return await judge(path, history, people=people)


async def _fail_over(group: Group, session: Session) -> None:
    """Have an answer followed at the other node while the master dies that it is told through."""
    world, reading = session.world, Reading()
    world.away = {1}
    asked = await session.ask(
        None,
        key="long",
        token=talks.name_question(session, LONG_ANSWER),
        reading=reading,
        give_up=BEFORE_SECONDS,
    )
    world.away = {0}
    following = asyncio.create_task(session.follow(asked["chat"], asked["turn"], reading=reading))
    known = len(reading.told)
    await _until(lambda: _is_told_more(reading, known))  # so that it is read there from the stream
    world.away = set()
    group.kill_master(f"mundap1:{{{asked['turn']}}}:events")
    start = time.monotonic()
    await following
    assert reading.is_ended
    world.history.add("fault", name="redis gone", start=start, end=time.monotonic())


def _carry_a_hint(url: str) -> None:
    """Send a message and take it, as Celery does."""
    address = read_redis_address(url)
    options = {"transport_options": address.broker_options | {"socket_timeout": 5}}
    with Connection(address.broker_url, **options) as broker, broker.SimpleQueue("hints") as queue:
        queue.put("hint")
        assert queue.get(timeout=5).payload == "hint"


async def _is_told_more(reading: Reading, known: int) -> bool:
    return len(reading.told) > known


async def _are_hit(http: httpx2.AsyncClient, nodes: list[Node]) -> None:
    """Return when each node has taken a body from Redis that it had not taken before."""
    before = [await _hits(http, node) for node in nodes]

    async def are_more() -> bool:
        now = [await _hits(http, node) for node in nodes]
        return all(count > old for count, old in zip(now, before, strict=True))

    await _until(are_more)


async def _hits(http: httpx2.AsyncClient, node: Node) -> float:
    lines = (await http.get(f"{node.url}/metrics")).text.splitlines()
    return sum(float(line.removeprefix(HITS)) for line in lines if line.startswith(HITS))


async def _is_ready(http: httpx2.AsyncClient, nodes: list[Node], *, before: dict[str, Any]) -> bool:
    """Tell whether each node has its Redis; with Sentinels, with another master than before."""
    now = [(await http.get(f"{node.url}/readyz")).json() for node in nodes]
    is_other = all(
        one.get("redis_master") != before["redis_master"] for one in now if "redis_master" in before
    )
    return is_other and all(one["missing"] == ["workers"] for one in now)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.05)
