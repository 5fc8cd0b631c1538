"""Three `mundap web` behind a real nginx, each over a PgBouncer that hands connections out by transaction."""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.chats.server import Api
from tests.database import database_url
from tests.faults import roles, talks
from tests.faults.arena import node_environment
from tests.faults.checker import Report, explain
from tests.faults.clients import Session, World
from tests.faults.history import History
from tests.faults.paced_model import Manner, PacedModel, serving_model
from tests.faults.people import make_people
from tests.faults.reading import Reading
from tests.nodes.judging import judge
from tests.nodes.nginx import Nginx, nginx
from tests.nodes.processes import WebProcess
from tests.pgbouncer import pgbouncer

pytestmark = [pytest.mark.nodes, pytest.mark.django_db(transaction=True)]
NODES = 3
ANSWER = Manner(words=25, milliseconds=80)
RESTART_SECONDS = 15.0
READERS = 12


@dataclass
class Stage:
    """What stands behind the proxy, and the proxy."""

    front: Nginx
    nodes: list[WebProcess]

    def api(self, token: str) -> Api:
        api = Api(self.front.url, token)
        api.http.close()
        api.http = httpx2.Client(
            base_url=f"{self.front.url}/api/v1/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=20,
            verify=_trust(self.front),
        )
        return api


def _trust(front: Nginx) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=front.certificate)


@pytest.fixture(scope="module")
def stage(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("nodes")
    with ExitStack() as stack:
        direct = database_url()
        model = stack.enter_context(serving_model(PacedModel()))
        environment = node_environment(model) | {
            "DATABASE_URL": stack.enter_context(pgbouncer(direct)),
            "MUNDAP_DIRECT_DATABASE_URL": direct,
            "MUNDAP_TRUSTED_PROXIES": "1",
            # As the tests have them: what is in the home is made by the first process.
            "MUNDAP_TOKEN_KEY": os.environ["SECRET_KEY"],
            "MUNDAP_CACHE_KEY": os.environ["SECRET_KEY"],
            "MUNDAP_SHUTDOWN_SECONDS": "10",
        }
        nodes = [
            WebProcess(number, environment=environment, log=folder / "nodes.log")
            for number in range(NODES)
        ]
        for node in nodes:
            node.launch()
            stack.callback(node.kill)
        asyncio.run(_until_ready(nodes))
        yield Stage(stack.enter_context(nginx(folder, [node.port for node in nodes])), nodes)


async def _until_ready(nodes: list[WebProcess]) -> None:
    await asyncio.gather(*(node.until_ready() for node in nodes))


def test_words_come_through_while_the_answer_is_written(stage: Stage) -> None:
    api = stage.api(make_people("u1")["u1"]["token"])
    text = f"Redis? (q-u1-1{ANSWER.suffix})"
    with api.http, api.asking(text, collection="shelf") as stream:
        begun = stream.until("text-delta")["delta"]
        chat = api.get(f"chats/{stream.part('start')['messageMetadata']['chat']}/").json()
        assert chat["active_turn"], "it was over before its first words came through"
        stream.to_end()
    assert stream.text.startswith(begun)
    assert stream.text.endswith("[1].")


def test_what_a_client_calls_its_request_goes_no_further(stage: Stage) -> None:
    api = stage.api(make_people("u3")["u3"]["token"])
    with api.http:
        claimed = "claimed-by-a-client"
        assert api.get("chats/", X_Request_ID=claimed).headers["x-request-id"] != claimed


def test_any_process_tells_of_an_answer(stage: Stage) -> None:
    api = stage.api(make_people("u1")["u1"]["token"])
    with api.http, api.asking(f"Redis? (q-u1-2{ANSWER.suffix})", collection="shelf") as stream:
        stream.until("text-delta")
        names = stream.part("start")["messageMetadata"]
        before = len(stage.front.upstreams())
        with ThreadPoolExecutor(READERS) as readers:
            texts = list(readers.map(lambda _: _followed(api, names["turn"]), range(READERS)))
        stream.to_end()
        assert set(texts) == {stream.text}
        answered_by = set(stage.front.upstreams()[before:])
        assert answered_by == {f"127.0.0.1:{node.port}" for node in stage.nodes}
        # Each read is right, whichever process had it before.
        reads = [
            api.get(f"chats/{names['chat']}/").json()["messages"][-1]["text"] for _ in range(9)
        ]
    assert len({*reads}) == 1


def _followed(api: Api, turn: str) -> str:
    with api.following(f"turns/{turn}/stream/") as stream:
        stream.to_end()
        return stream.text


def test_all_are_restarted_one_after_the_other(stage: Stage, tmp_path: Path) -> None:
    people = make_people("u1", "u2", "u3")
    report = asyncio.run(_restarted(stage, people, tmp_path / "history.jsonl"))
    assert report.is_clean, explain(report)
    assert report.states.keys() == {"complete"}


async def _restarted(stage: Stage, people: dict[str, dict[str, str]], path: Path) -> Report:
    history, chance = History(path), random.Random(1)  # noqa: S311
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=20)
    async with httpx2.AsyncClient(timeout=30, limits=limits, verify=_trust(stage.front)) as http:
        world = World(history, [stage.front.url], http, chance)
        lives = [
            asyncio.create_task(
                role(Session(world, name=f"{user}.{place}", user=user, token=one["token"]), world)
            )
            for user, one in people.items()
            for place, role in enumerate((roles.write, roles.read, _have_answers))
        ]
        try:
            for node in stage.nodes:
                start, pid = time.monotonic(), node.pid
                await node.end(within_seconds=RESTART_SECONDS)
                node.launch()
                await node.until_ready()
                # A question that was on its way may be refused with a 503, and is asked again. No answer is cut.
                end = time.monotonic()
                history.add("fault", name="node restarted", node=0, pid=pid, start=start, end=end)
        finally:
            world.is_over = True
            await asyncio.gather(*lives)
    return await judge(path, history, people=people)


async def _have_answers(session: Session, world: World) -> None:
    """Ask, each time in a new chat, and follow to the end over as many connections as it takes."""
    while not world.is_over:
        reading = Reading()
        name = talks.name_question(session, ANSWER)
        record = await session.ask(None, key=name, token=name, reading=reading)
        while not reading.turn and not world.is_over:
            await asyncio.sleep(0.1)
            record = await session.ask(None, key=name, token=name, reading=reading)
        if reading.turn:
            await talks.follow(session, record["chat"], reading.turn, reading)
