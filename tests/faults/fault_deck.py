"""The faults of Redis and PostgreSQL during a run, one after the other from a shuffled deck.

Each kind comes before any comes again. What happens to the nodes meanwhile is dealt from `node_deck.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import redis

from mundap.embedded.postgres import Postgres
from tests.faults import tampering
from tests.faults.arena import Arena
from tests.faults.clients import World
from tests.faults.proxy import Weather

Fault = Callable[[], Awaitable[None]]
CALM_SECONDS = (0.2, 1.0)  # after values were changed
RECOVERY_SECONDS = (1.0, 2.5)  # after an outage: the servers leave Redis alone for two seconds
SETTLE_SECONDS = 10.0  # before the end: the database is left alone
POSTGRES_SECONDS = 60.0
LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"


class FaultDeck:
    """The faults that can happen to an arena, and their record."""

    def __init__(self, arena: Arena, world: World, *, home: Path | None) -> None:
        self._arena = arena
        self._world = world
        self._chance = arena.chance
        self._home = home

    async def play(self, *, until: float) -> None:
        """Let faults happen until a moment of the monotonic clock."""
        kills = self._kills()
        deck: list[tuple[str, Fault]] = []
        # What takes long comes early, so that all of it has healed at the end.
        early = list(kills.items())
        while time.monotonic() < until:
            deck = deck or self._shuffled({**self._faults(), **(kills if not early else {})})
            if early and self._chance.random() < 0.3:
                name, fault = early.pop()
            else:
                name, fault = deck.pop()
            if name in kills and until - time.monotonic() < SETTLE_SECONDS:
                continue
            await self._happen(name, fault)
            is_outage = name not in tampering.CHANGES
            await self._hold(*(RECOVERY_SECONDS if is_outage else CALM_SECONDS))

    async def _happen(self, name: str, fault: Fault) -> None:
        start = time.monotonic()
        with contextlib.suppress(redis.RedisError):  # ours may fail as well: what was begun is done
            await fault()
        self._world.history.add("fault", name=name, start=start, end=time.monotonic())

    def _shuffled(self, faults: dict[str, Fault]) -> list[tuple[str, Fault]]:
        deck = list(faults.items())
        self._chance.shuffle(deck)
        return deck

    def _kills(self) -> dict[str, Fault]:
        return {"postgres": self._restart_postgres} if self._home is not None else {}

    def _faults(self) -> dict[str, Fault]:
        weathers = {
            "proxy slow": Weather(delay_seconds=0.05),
            "proxy late": Weather(delay_seconds=0.3),  # replies come after the time-out
            "black hole": Weather(is_black_hole=True),
            "cut off": Weather(is_cut=True),
            "loading": Weather(reply=LOADING),
            "broken protocol": Weather(rubbish_share=0.5),
        }
        return {
            **{
                name: functools.partial(self._tamper, change)
                for name, change in tampering.CHANGES.items()
            },
            **{name: functools.partial(self._weather, w) for name, w in weathers.items()},
            "one node cut off": functools.partial(self._weather, Weather(is_cut=True), nodes=1),
            "one node in a black hole": functools.partial(
                self._weather, Weather(is_black_hole=True), nodes=1
            ),
            "old values": self._bring_back_old_values,
            "redis paused": self._pause,
            "redis killed, old snapshot": self._kill_redis,
            "redis gone": self._take_redis_away,
            "redis full": functools.partial(
                self._configure, {"maxmemory": "1", "maxmemory-policy": "noeviction"}
            ),
            "redis read-only": functools.partial(self._replicate, "yes"),
            "redis without its master": functools.partial(self._replicate, "no"),
            "redis wants a password": self._want_password,
            "clients paused": self._pause_clients,
            "connections killed": self._kill_connections,
        }

    # --- what is stored in Redis
    async def _tamper(self, change: tampering.Change) -> None:
        for _round in range(3):
            await self._arena.redis.call(change, self._chance)
            await self._hold(0.1, 0.4)

    async def _bring_back_old_values(self) -> None:
        """As a replica does that was behind when it took over."""
        old = await self._arena.redis.call(tampering.values)
        for _round in range(3):
            await self._hold(0.2, 0.6)
            await self._arena.redis.call(tampering.write, old)

    # --- the server and the way to it
    async def _weather(self, weather: Weather, *, nodes: int = 0) -> None:
        proxies = self._chance.sample(self._arena.proxies, nodes or len(self._arena.proxies))
        with contextlib.ExitStack() as stack:
            for proxy in proxies:
                stack.enter_context(proxy.in_weather(weather))
            await self._hold(0.5, 2.0)

    async def _pause(self) -> None:
        self._arena.redis.pause()
        try:
            await self._hold(1.0, 3.0)
        finally:
            self._arena.redis.resume()

    async def _kill_redis(self) -> None:
        server = self._arena.redis
        await asyncio.to_thread(server.keep_snapshot)
        await self._hold(0.3, 1.0)
        server.kill()
        await self._hold(0.1, 0.8)
        await asyncio.to_thread(server.restart_with_old_snapshot)

    async def _take_redis_away(self) -> None:
        """Long enough for readers elsewhere to need the drafts."""
        self._arena.redis.kill()
        await self._hold(3.0, 6.0)
        await asyncio.to_thread(self._arena.redis.start)

    async def _configure(self, settings: dict[str, str]) -> None:
        before = {
            name: (await self._arena.redis.call(redis.Redis.config_get, name))[name]
            for name in settings
        }
        try:
            for name, value in settings.items():
                await self._arena.redis.call(redis.Redis.config_set, name, value)
            await self._hold(0.5, 1.5)
        finally:
            for name, value in before.items():
                await self._arena.redis.call(redis.Redis.config_set, name, value)

    async def _replicate(self, serves_stale: str) -> None:
        """Make it the replica of a master that is not there."""
        call = self._arena.redis.call
        try:
            await call(redis.Redis.config_set, "replica-serve-stale-data", serves_stale)
            await call(redis.Redis.replicaof, "127.0.0.1", 1)
            await self._hold(0.5, 1.5)
        finally:
            await call(redis.Redis.replicaof, "NO", "ONE")
            await call(redis.Redis.config_set, "replica-serve-stale-data", "yes")

    async def _want_password(self) -> None:
        with self._arena.redis.client(single_connection_client=True) as client:
            client.config_set("requirepass", "a password")
            try:
                client.client_kill_filter(_type="normal", skipme=True)
                await self._hold(0.5, 1.5)
            finally:
                client.config_set("requirepass", "")

    async def _pause_clients(self) -> None:
        await self._arena.redis.call(lambda client: client.client_pause(800))
        await self._hold(0.8, 1.0)

    async def _kill_connections(self) -> None:
        for _round in range(5):
            await self._arena.redis.call(
                lambda client: client.client_kill_filter(_type="normal", skipme=True)
            )
            await self._hold(0.05, 0.3)

    # --- the database
    async def _restart_postgres(self) -> None:
        """Stop the database as a crash does; the home's watcher starts it again."""
        assert self._home is not None
        postgres = Postgres(self._home)
        pid = postgres.process.pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGQUIT)
        end = time.monotonic() + POSTGRES_SECONDS
        while postgres.process.pid() == pid or not postgres.is_ready():
            assert time.monotonic() < end, "PostgreSQL did not come back"
            await asyncio.sleep(0.05)

    async def _hold(self, least: float, most: float) -> None:
        await asyncio.sleep(self._chance.uniform(least, most))
