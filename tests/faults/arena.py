"""The parts of a run: a Valkey behind one proxy a node, a chat model, and server processes over one database."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.nodes import APPLICATION, Node
from tests.faults.paced_model import serving_model
from tests.faults.proxy import Proxy
from tests.faults.redis_server import RedisServer

POOL = 10  # Django's connections of a node


@dataclass
class Arena:
    """What faults happen to."""

    redis: RedisServer
    proxies: list[Proxy]
    nodes: list[Node]
    chance: random.Random


@asynccontextmanager
async def running_arena(
    folder: Path,
    *,
    nodes: int,
    environment: Mapping[str, str],
    chance: random.Random,
    log: Path,
    application: str = APPLICATION,
) -> AsyncIterator[Arena]:
    """Run everything in this folder but the database, which `environment` names; the nodes write to `log`."""
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder))
        model = stack.enter_context(serving_model())
        arena = Arena(redis, [], [], chance)
        for number in range(nodes):
            proxy = await stack.enter_async_context(Proxy(redis.socket, chance=chance))
            node = Node(
                number,
                environment=_node_environment(model) | environment | {"REDIS_URL": proxy.url},
                application=application,
                log=log,
            )
            arena.proxies.append(proxy)
            arena.nodes.append(node)
            node.launch()
            stack.callback(node.kill)
        await asyncio.gather(*(node.until_ready() for node in arena.nodes))
        yield arena


def _node_environment(model: str) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": model,
        "OPENAI_API_KEY": "none",
        "MUNDAP_CHAT_MODEL": "paced",
        "MUNDAP_QUERY_VARIANTS": "0",
        "MUNDAP_TURNS_PER_USER": "100",
        "MUNDAP_DATABASE_POOL": str(POOL),
        "MUNDAP_THROTTLE_USER": "1000000/min",
        "MUNDAP_THROTTLE_ADDRESS": "1000000/min",
        "MUNDAP_THROTTLE_TURNS": "1000000/min",
        "MUNDAP_CACHE_CHECK_EVERY": "10",
        "MUNDAP_LOG_LEVEL": "ERROR",
    }
