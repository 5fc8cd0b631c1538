"""Turns of other processes: their text comes through Redis as it is written, and from Postgres where Redis fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from redis.asyncio import Redis
from uuid_utils.compat import uuid7

from mundap.accounts.models import User
from mundap.chats import reaper, relay, turns
from mundap.chats.followed import Followed
from mundap.chats.models import Chat, Message, State, Turn, TurnDraft
from mundap.chats.relay import Outbox
from mundap.chats.runner import Runner
from mundap.chats.selectors import TurnView
from mundap.chats.turn_stream import key_of
from mundap.chats.turns import Ending
from mundap.config import redis_client
from mundap.config.threads import in_database_thread
from mundap.library.models import Collection
from tests.chats.conftest import make_chat

pytestmark = pytest.mark.django_db(transaction=True)
RETRIEVAL = {"queries": ["redis"], "passages": [{"number": 1, "passage": "p"}]}


@pytest.fixture
def turn(users: dict[str, User], shelf: Collection) -> Turn:
    """A turn that some other process runs; it has no draft."""
    chat = make_chat(users["alice"], shelf, "Redis?", "")
    question, answer = Message.objects.filter(chat=chat).order_by("position")
    Message.objects.filter(pk=answer.pk).update(state=State.RUNNING)
    return Turn.objects.create(
        chat=chat, owner=chat.owner, idempotency_key="k", request_hash=b"x" * 32, runner="another",
        lease_until=timezone.now() + timedelta(minutes=5), question=question, answer=answer,
    )  # fmt: skip


class Written(Followed):
    """What the other process has written so far."""

    def write(self, text: str) -> None:
        self.text += text


class Node:
    """The process that runs the turn, and one that reads it, over one Redis."""

    def __init__(self, turn: Turn, redis: Redis) -> None:
        self.turn = turn
        self.redis = redis
        self.outbox = Outbox()
        self.written = Written()
        self.written.retrieval = dict(RETRIEVAL)
        self.runner = Runner()

    async def write(self, text: str) -> None:
        """Write, and send until it is there: on a busy machine Redis may take too long for the first attempt."""
        self.written.write(text)
        async with asyncio.timeout(20):
            while True:
                await self.outbox.send({self.turn.pk: self.written})
                if self.outbox._sent[self.turn.pk].characters == len(self.written.text):
                    return
                await asyncio.sleep(0.1)

    async def finish(self, text: str) -> None:
        ending = Ending(State.COMPLETE, text)
        assert await in_database_thread(turns.finish, self.turn.pk, ending, runner="another")
        self.outbox.end(self.turn.pk)
        await self.outbox.send({})

    async def save_draft(self) -> None:
        draft = {"text": self.written.text}
        await in_database_thread(
            TurnDraft.objects.update_or_create, turn_id=self.turn.pk, defaults=draft
        )

    def read(self, owner: User) -> AsyncGenerator[TurnView | None, None]:
        return self.runner.watch(owner, self.turn.pk)


@asynccontextmanager
async def opened(turn: Turn) -> AsyncIterator[Node]:
    redis_client.open_clients()
    redis = Redis.from_url(django_settings.REDIS_URL)
    node = Node(turn, redis)
    try:
        yield node
    finally:
        await redis.delete(key_of(turn.pk))
        await redis.aclose()
        await node.runner.close(grace_seconds=0)
        await redis_client.close_clients()


async def until(
    views: AsyncGenerator[TurnView | None, None], condition: Callable[[TurnView], bool]
) -> TurnView:
    """Return the first view of which this is true; each text goes on where the one before it ended."""
    seen = ""
    async with asyncio.timeout(20):
        async for view in views:
            if view is not None:
                assert view.text.startswith(seen)
                seen = view.text
                if condition(view):
                    return view
    raise AssertionError(f"it ended with {seen!r}")


def has(text: str) -> Callable[[TurnView], bool]:
    return lambda view: view.text == text


def is_final(view: TurnView) -> bool:
    return view.is_final


async def test_text_comes_as_it_is_written_and_then_the_stored_end(turn: Turn) -> None:
    async with opened(turn) as node, aclosing(node.read(turn.owner)) as views:
        await node.write("Use ")
        first = await until(views, has("Use "))
        assert first.retrieval == RETRIEVAL
        await node.write("the Redis ")
        await node.write("backend.")
        await until(views, has("Use the Redis backend."))
        # So it did not come from there.
        assert not await in_database_thread(TurnDraft.objects.exists)
        await node.finish("Use the Redis backend. [1]")
        final = await until(views, is_final)
        assert final.text == "Use the Redis backend. [1]"
        assert 0 < await node.redis.ttl(key_of(turn.pk)) <= 300


async def test_readers_that_come_late_or_twice_see_everything(turn: Turn) -> None:
    async with opened(turn) as node:
        await node.write("Use ")
        async with aclosing(node.read(turn.owner)) as early:
            await until(early, has("Use "))
            await node.write("Redis.")
            async with aclosing(node.read(turn.owner)) as late:
                await until(late, has("Use Redis."))
            await until(early, has("Use Redis."))  # the other one's leaving changes nothing
            await node.finish("Use Redis.")
            assert (await until(early, is_final)).status is State.COMPLETE
        assert not node.runner._mirrors.by_turn


async def emptied(node: Node) -> None:
    await node.redis.delete(key_of(node.turn.pk))


async def filled_with_rubbish(node: Node) -> None:
    key = key_of(node.turn.pk)
    await node.redis.xadd(key, {"e": b'{"from": 4, "text": "EVIL"}', "s": b"x" * 32}, id="2-0")
    await node.redis.xadd(key, {"unknown": b""}, id="3-0")


async def replaced_by_a_list(node: Node) -> None:
    await emptied(node)
    await node.redis.rpush(key_of(node.turn.pk), "x")


async def filled_from_another_turn(node: Node) -> None:
    other = uuid7()
    written = Written()
    written.write("Someone else's words, much longer than ours.")
    await node.outbox.send({node.turn.pk: node.written, other: written})
    stolen = (await node.redis.xrange(key_of(other)))[0][1]
    await node.redis.xadd(key_of(node.turn.pk), stolen, id="9-0")
    await node.redis.delete(key_of(other))


@pytest.mark.parametrize(
    "fault", [emptied, filled_with_rubbish, replaced_by_a_list, filled_from_another_turn]
)
async def test_whatever_happens_in_redis_no_wrong_text_is_shown(
    turn: Turn, fault: Callable[[Node], Awaitable[Any]]
) -> None:
    """One reader was there before, one comes after; both end with the stored text, by the draft if need be."""
    async with opened(turn) as node, aclosing(node.read(turn.owner)) as before:
        await node.write("Use ")
        await until(before, has("Use "))
        await fault(node)
        node.written.write("the Redis ")
        await node.outbox.send({turn.pk: node.written})
        node.written.write("backend.")
        await node.outbox.send({turn.pk: node.written})
        await node.save_draft()
        async with aclosing(node.read(turn.owner)) as after:
            await until(after, has("Use the Redis backend."))
        await until(before, has("Use the Redis backend."))
        await node.finish("Use the Redis backend.")
        await until(before, is_final)


async def test_a_lost_word_of_the_end_is_missed_by_nobody(turn: Turn, monkeypatch) -> None:
    monkeypatch.setattr(relay, "CHECK_SECONDS", 0.5)
    async with opened(turn) as node, aclosing(node.read(turn.owner)) as views:
        await node.write("Use ")
        await until(views, has("Use "))
        await in_database_thread(
            turns.finish, turn.pk, Ending(State.STOPPED, "Use "), runner="another"
        )
        assert (await until(views, is_final)).status is State.STOPPED


async def test_an_end_that_comes_while_a_batch_is_under_way_is_told(
    turn: Turn, monkeypatch
) -> None:
    monkeypatch.setattr(relay, "CHECK_SECONDS", 60.0)  # so that nothing else tells of it
    async with opened(turn) as node, aclosing(node.read(turn.owner)) as views:
        await node.write("Use ")
        await until(views, has("Use "))
        node.written.write("Redis.")
        running: dict[UUID, Followed] = {turn.pk: node.written}
        ending = Ending(State.COMPLETE, "Use Redis.")
        assert await in_database_thread(turns.finish, turn.pk, ending, runner="another")
        sending = asyncio.create_task(node.outbox.send(running))
        await asyncio.sleep(0)  # it waits for Redis now
        del running[turn.pk]
        node.outbox.end(turn.pk)
        await sending
        await node.outbox.send(running)
        assert (await until(views, is_final)).status is State.COMPLETE
        assert not node.outbox._sent


async def test_nobody_waits_for_a_text_that_nobody_fetches(turn: Turn) -> None:
    """They are sent away, and come again."""
    async with opened(turn) as node, aclosing(node.read(turn.owner)) as views:
        await node.write("Use ")
        await until(views, has("Use "))
        task = node.runner._mirrors.by_turn[turn.pk].task
        assert task
        task.cancel()
        async with asyncio.timeout(20):
            assert not [view async for view in views if view and view.is_final]


async def test_a_chat_deleted_meanwhile_ends_the_reading(turn: Turn) -> None:
    async with opened(turn) as node, aclosing(node.read(turn.owner)) as views:
        await node.write("Use ")
        await until(views, has("Use "))
        chats = Chat.objects.filter(pk=turn.chat_id)
        await in_database_thread(chats.update, deleted_at=timezone.now())
        node.outbox.end(turn.pk)
        await node.outbox.send({})
        assert (await until(views, is_final)).status is State.INTERRUPTED


async def test_what_did_not_get_there_is_sent_again_whole(turn: Turn, monkeypatch) -> None:
    monkeypatch.setattr(relay, "PAUSE_SECONDS", 0.0)
    async with opened(turn) as node:
        await node.redis.rpush(key_of(turn.pk), "in the way")
        node.written.write("Use ")
        await node.outbox.send({turn.pk: node.written})
        await emptied(node)
        await node.write("Redis.")
        async with aclosing(node.read(turn.owner)) as views:
            view = await until(views, has("Use Redis."))
            assert view.retrieval == RETRIEVAL


async def test_many_turns_cost_one_round_trip(turn: Turn) -> None:
    async with opened(turn) as node:
        texts: dict[UUID, Followed] = {uuid7(): Written() for _ in range(50)}
        for text in texts.values():
            assert isinstance(text, Written)
            text.write("x" * 100)
        commands = (await node.redis.info("stats"))["total_reads_processed"]
        await node.outbox.send(texts)
        assert (await node.redis.info("stats"))["total_reads_processed"] - commands < 30  # not 100
        for key in texts:
            assert await node.redis.xlen(key_of(key)) == 1
            await node.redis.delete(key_of(key))


@pytest.mark.parametrize("drafted", ["Use ", "Use the Redis backend, which"])
async def test_a_dead_process_leaves_the_longer_of_draft_and_stream(
    turn: Turn, drafted: str
) -> None:
    """The text that readers elsewhere have seen is not taken back."""
    streamed = "Use the Redis "
    async with opened(turn) as node, aclosing(node.read(turn.owner)) as views:
        await node.write(streamed)
        await until(views, has(streamed))
        draft = {"text": drafted}
        await in_database_thread(
            TurnDraft.objects.update_or_create, turn_id=turn.pk, defaults=draft
        )
        past = timezone.now() - timedelta(seconds=1)
        await in_database_thread(Turn.objects.filter(pk=turn.pk).update, lease_until=past)
        await reaper.reap()
        final = await until(node.read(turn.owner), is_final)
        assert (final.status, final.text) == (
            State.INTERRUPTED,
            max(drafted, streamed, key=len),
        )
