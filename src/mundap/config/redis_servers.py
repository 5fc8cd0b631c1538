"""How redis-py reaches an address: one server, the master that Sentinels name, or the nodes of a cluster.

Every client here gives up quickly and repeats nothing. Who uses them is elsewhere: `redis_client.py` (bodies and
streams), the settings (django-redis), Celery by its own transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, cast

import redis
from django_redis.pool import ConnectionFactory
from redis import asyncio as aio
from redis import sentinel as sync_sentinel
from redis.asyncio import sentinel as async_sentinel
from redis.asyncio.cluster import ClusterNode as AsyncNode
from redis.asyncio.cluster import RedisCluster as AsyncCluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

from mundap.config.redis_address import RedisAddress, read_redis_address

HEALTH_CHECK_SECONDS = 15
SENTINEL_SECONDS = 0.5  # that one of them gets to answer; whoever asked may have given up before
Address = tuple[str, int]


def open_async_client(
    url: str, *, connections: int, operation_seconds: float, client_name: str
) -> aio.Redis:
    """Return a client of the running loop, which connects when it is used. Its user bounds each operation's time."""
    address = read_redis_address(url, may_be_cluster=True)
    retry = AsyncRetry(NoBackoff(), 0)
    options: dict[str, Any] = {
        "max_connections": connections,
        "health_check_interval": HEALTH_CHECK_SECONDS,
        "client_name": client_name,
    }
    if address.is_cluster:
        # A time-out of its own, within the operation's: without an error it would ask a node that is silent for ever,
        # and never hear which other one has its slots.
        own: dict[str, Any] = {
            "socket_timeout": operation_seconds * 0.8,
            "socket_connect_timeout": operation_seconds / 2,
        }
        nodes = [AsyncNode(host, port) for host, port in address.hosts]
        cluster = AsyncCluster(
            startup_nodes=nodes, retry=retry, **own, **options, **_login(address), **_tls(address)
        )
        return cast("aio.Redis", cluster)
    options |= {"socket_timeout": None, "socket_connect_timeout": None, "retry": retry}
    if not address.master:
        return aio.Redis.from_pool(aio.ConnectionPool.from_url(url, **options))
    sentinels = _AsyncSentinels(  # type: ignore[no-untyped-call]
        address.hosts, sentinel_kwargs=_sentinel_options(address, AsyncRetry)
    )
    return aio.Redis.from_pool(
        async_sentinel.SentinelConnectionPool(
            address.master, sentinels, db=address.database, **_login(address), **options
        )
    )


async def close_async_client(client: aio.Redis) -> None:
    """Close its connections, and those to Sentinels."""
    if isinstance(client, AsyncCluster):
        await client.aclose()
        return
    await client.aclose(close_connection_pool=True)
    if isinstance(client.connection_pool, async_sentinel.SentinelConnectionPool):
        await client.connection_pool.sentinel_manager.aclose()


@contextmanager
def open_client(url: str, *, timeout_seconds: float) -> Iterator[redis.Redis]:
    """Give a client for a few commands in a row, which raise RedisError or OSError."""
    address = read_redis_address(url, may_be_cluster=True)
    options: dict[str, Any] = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
    }
    if address.is_cluster:
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        options |= _login(address) | _tls(address)
        try:
            with redis.RedisCluster(startup_nodes=nodes, **options) as cluster:
                yield cast("redis.Redis", cluster)
        except RedisClusterException as exc:  # the one of redis-py's errors that is no RedisError
            raise redis.ConnectionError(str(exc)) from exc
    elif address.master:
        pool = _sentinel_pool(address, options)
        with closing(pool.sentinel_manager), redis.Redis.from_pool(pool) as client:
            yield client
    else:
        with redis.Redis.from_url(url, **options) as client:
            yield client


def find_master(client: redis.Redis) -> Address | None:
    """Return which master a client was told of by Sentinels, as far as it has asked them; None without any."""
    pool = getattr(client, "connection_pool", None)  # a cluster's client has one for each node
    address: Address | None = getattr(pool, "master_address", None)
    return address


class SentinelFactory(ConnectionFactory):
    """Has django-redis use the master that Sentinels name, for reads as well: a replica's count would be late."""

    def get_connection_pool(
        self, params: Mapping[str, Any]
    ) -> sync_sentinel.SentinelConnectionPool:
        """Return a pool; django-redis keeps one for each address."""
        options = {key: value for key, value in params.items() if key != "url"}
        return _sentinel_pool(read_redis_address(params["url"]), options)


def _sentinel_pool(
    address: RedisAddress, options: Mapping[str, Any]
) -> sync_sentinel.SentinelConnectionPool:
    sentinels = _Sentinels(  # type: ignore[no-untyped-call]
        address.hosts, sentinel_kwargs=_sentinel_options(address, Retry)
    )
    return sync_sentinel.SentinelConnectionPool(
        address.master, sentinels, db=address.database, **_login(address), **options
    )


def _sentinel_options(
    address: RedisAddress, retry: type[Retry] | type[AsyncRetry]
) -> dict[str, Any]:
    return {
        "socket_timeout": SENTINEL_SECONDS,
        "socket_connect_timeout": SENTINEL_SECONDS,
        "retry": retry(NoBackoff(), 0),
        **address.sentinel_login,
    }


def _login(address: RedisAddress) -> dict[str, Any]:
    return {"username": address.username or None, "password": address.password or None}


def _tls(address: RedisAddress) -> dict[str, Any]:
    if not address.has_tls:
        return {}
    options: dict[str, Any] = {"ssl": True, "ssl_cert_reqs": "required"} | address.tls
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = options["ssl_check_hostname"] == "true"
    return options


def _is_sound(state: Mapping[str, Any]) -> bool:
    """Tell whether a Sentinel takes the master to be up."""
    return bool(state["is_master"] and not state["is_sdown"] and not state["is_odown"])


def _masters(reply: Any) -> dict[str, dict[str, Any]]:
    """Return what a Sentinel knows of its masters, by name."""
    return cast("dict[str, dict[str, Any]]", reply)


class _Sentinels(sync_sentinel.Sentinel):
    """As redis-py's, for many threads at once: theirs exchanges places in a shared list, and may lose one."""

    def discover_master(self, service_name: str) -> Address:
        for asked in list(self.sentinels):
            try:
                state = _masters(asked.sentinel_masters()).get(service_name)
            except (RedisError, OSError):
                continue
            if state and _is_sound(state):
                self.sentinels = [asked, *(each for each in self.sentinels if each is not asked)]
                return state["ip"], state["port"]
        raise sync_sentinel.MasterNotFoundError(f"No Sentinel names a master {service_name!r}")


class _AsyncSentinels(async_sentinel.Sentinel):
    """Asks all Sentinels at once, and once for all connections that want to know.

    Asked one after the other, as redis-py does, one that is silent would use up the time of each operation.
    """

    _answer: asyncio.Task[Address] | None = None

    async def discover_master(self, service_name: str) -> Address:
        if self._answer is None or self._answer.done():
            self._answer = asyncio.create_task(self._ask_all(service_name))
            self._answer.add_done_callback(lambda task: task.cancelled() or task.exception())
        # It goes on for others, and for the next time, when this operation's time is over.
        return await asyncio.shield(self._answer)

    async def _ask_all(self, service_name: str) -> Address:
        asking = [asyncio.create_task(self._ask(each, service_name)) for each in self.sentinels]
        try:
            for answer in asyncio.as_completed(asking):
                if address := await answer:
                    return address
        finally:
            for task in asking:
                task.cancel()
        raise async_sentinel.MasterNotFoundError(f"No Sentinel names a master {service_name!r}")

    async def _ask(self, asked: aio.Redis, service_name: str) -> Address | None:
        try:
            state = _masters(await asked.sentinel_masters()).get(service_name)
        except (RedisError, OSError):
            return None
        if state and _is_sound(state):
            return state["ip"], state["port"]
        return None
