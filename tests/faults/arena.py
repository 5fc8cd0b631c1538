"""The parts of a run: a Valkey behind one proxy a node, a chat model, and server processes over one database."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.nodes import APPLICATION, Node
from tests.faults.paced_model import PacedModel, serving_model
from tests.faults.proxy import Proxy
from tests.faults.redis_server import RedisServer

POOL = 10  # Django's connections of a node
# That a model may be silent: longer than a node is stopped, which then goes on with what its model said meanwhile.
SILENCE_SECONDS = 22
SHUTDOWN_SECONDS = 3  # that a node's answers get to end: some do, some are cut


@dataclass
class Arena:
    """What faults happen to."""

    redis: RedisServer
    proxies: list[Proxy]
    nodes: list[Node]
    chance: random.Random
    model: PacedModel


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
        model = PacedModel()
        address = stack.enter_context(serving_model(model))
        arena = Arena(redis, [], [], chance, model)
        for number in range(nodes):
            proxy = await stack.enter_async_context(Proxy(redis.socket, chance=chance))
            node = Node(
                number,
                environment=node_environment(address) | environment | {"REDIS_URL": proxy.url},
                application=application,
                log=log,
            )
            arena.proxies.append(proxy)
            arena.nodes.append(node)
            node.launch()
            stack.callback(node.kill)
        await asyncio.gather(*(node.until_ready() for node in arena.nodes))
        yield arena


def node_environment(model: str) -> dict[str, str]:
    """Return the settings of a node that is asked by sessions, with the model at this address."""
    return {
        "OPENAI_BASE_URL": model,
        "OPENAI_API_KEY": "none",
        "MUNDAP_CHAT_MODEL": "paced",
        "MUNDAP_QUERY_VARIANTS": "0",
        "MUNDAP_TURNS_PER_USER": "100",
        "MUNDAP_MODEL_SILENCE_SECONDS": str(SILENCE_SECONDS),
        "MUNDAP_SHUTDOWN_SECONDS": str(SHUTDOWN_SECONDS),
        "MUNDAP_DATABASE_POOL": str(POOL),
        "MUNDAP_THROTTLE_USER": "1000000/min",
        "MUNDAP_THROTTLE_ADDRESS": "1000000/min",
        "MUNDAP_THROTTLE_TURNS": "1000000/min",
        "MUNDAP_CACHE_CHECK_EVERY": "10",
        "MUNDAP_LOG_LEVEL": "ERROR",
    }
