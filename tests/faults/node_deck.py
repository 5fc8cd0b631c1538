"""What happens to server processes during a run: killed, stopped past their leases, restarted one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import psycopg

from tests.faults.arena import SHUTDOWN_SECONDS, Arena
from tests.faults.clients import World
from tests.faults.nodes import Node

STOPPED_SECONDS = 20.5  # a lease and a reaper's round; the model is waited for longer
CLOSE_SECONDS = 8.0  # beyond what running answers get: storing them, closing connections
BUSY_ANSWERS, BUSY_WAITS = 3, 30  # that a node should write, and how often that is waited for
CALM_SECONDS = (0.5, 2.0)
# Before the end nothing happens whose turns would have to wait for their leases.
SETTLE_SECONDS = 20.0

_BUSY = """
    SELECT split_part(runner, ':', 2)::int, count(*) FROM chats_turn
    WHERE status = 'running' AND lease_until > clock_timestamp() + interval '12 s' GROUP BY 1
"""

Fault = Callable[[], Awaitable[None]]


class NodeDeck:
    """The faults that can happen to the nodes, and their record."""

    def __init__(self, arena: Arena, world: World, *, database: str) -> None:
        self._url = database
        self._arena = arena
        self._world = world
        self._chance = arena.chance

    async def play(self, *, until: float) -> None:
        """Let them happen until a moment of the monotonic clock: each kind before any comes again."""
        deck: list[Fault] = []
        await self._hold()
        while until - time.monotonic() > SETTLE_SECONDS:
            if not deck:
                deck = [self._kill, self._kill, self._restart_all, self._stop_past_its_lease]
                self._chance.shuffle(deck)
            await deck.pop()()
            await self._hold()
        self._world.is_settling = True

    async def _kill(self) -> None:
        """Kill a node in the middle of answers, and start it again."""
        node, pid = await self._busiest()
        start = time.monotonic()
        node.kill()
        await asyncio.sleep(self._chance.uniform(0.1, 0.5))
        node.launch()
        await node.until_ready()
        self._note("node killed", node, pid=pid, start=start)

    async def _stop_past_its_lease(self) -> None:
        """Stop a node until others have ended its turns: it must not notice by storing what it still has."""
        node, pid = await self._busiest()
        self._world.away.add(node.number)
        start = time.monotonic()
        node.pause()
        try:
            await asyncio.sleep(STOPPED_SECONDS)
        finally:
            node.resume()
            self._world.away.discard(node.number)
        self._note("node stopped", node, pid=pid, start=start)

    async def _restart_all(self) -> None:
        """As with a new version: one node after the other is taken out, ends, and comes back."""
        for node in self._arena.nodes:
            pid, start = node.pid, time.monotonic()
            self._world.away.add(node.number)
            try:
                await node.end(within_seconds=SHUTDOWN_SECONDS + CLOSE_SECONDS)
                took = time.monotonic() - start
                node.launch()
                await node.until_ready()
            finally:
                self._world.away.discard(node.number)
            self._note("node restarted", node, pid=pid, start=start)
            self._world.history.add(
                "left",
                what="seconds that a node took to end",
                count=round(took, 2),
                bound=SHUTDOWN_SECONDS + CLOSE_SECONDS - 1,
            )

    async def _busiest(self) -> tuple[Node, int]:
        """Return the node that writes most answers, once some are written, and its process."""
        busy: Counter[int] = Counter()
        for _wait in range(BUSY_WAITS):
            busy = await asyncio.to_thread(self._answers_by_process)
            if max(busy.values(), default=0) >= BUSY_ANSWERS:
                break
            await asyncio.sleep(0.1)
        node = max(self._arena.nodes, key=lambda each: busy[each.pid])
        return node, node.pid

    def _answers_by_process(self) -> Counter[int]:
        """Return how many answers each living process writes; none while the database is away."""
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self._url) as database:
            return Counter(dict(database.execute(_BUSY).fetchall()))
        return Counter()

    def _note(self, name: str, node: Node, *, pid: int, start: float) -> None:
        self._world.history.add(
            "fault", name=name, node=node.number, pid=pid, start=start, end=time.monotonic()
        )

    async def _hold(self) -> None:
        await asyncio.sleep(self._chance.uniform(*CALM_SECONDS))
