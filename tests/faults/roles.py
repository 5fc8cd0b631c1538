"""What the sessions of a run do until it is over: writers, readers and strangers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

from tests.faults.clients import Chat, Session, World
from tests.faults.history import Record

CHATS_A_USER = 4
QUESTIONS_A_CHAT = 15  # then it is deleted for good, so that the first page of the list holds all
ATTEMPTS = 200
WRITER_SECONDS = (0.05, 0.4)  # between two requests of a session
READER_SECONDS = (0.02, 0.1)
STRANGER_SECONDS = (0.05, 0.15)


async def write(session: Session, world: World) -> None:
    """Ask, rename, rate, delete and restore."""
    while not world.is_over:
        await _pause(world, WRITER_SECONDS)
        chats = [chat for chat in world.chats_of(session.user) if not chat.is_deleted]
        if len(chats) < CHATS_A_USER:
            await ask_until_answered(session, world, None)
            continue
        chat = world.chance.choice(chats)
        draw = world.chance.random()
        if chat.questions >= QUESTIONS_A_CHAT:
            await _delete(session, world, chat, is_for_good=True)
        elif draw < 0.5:
            await ask_until_answered(session, world, chat)
        elif draw < 0.75:
            await session.rename(chat)
        elif draw < 0.9 and chat.answers:
            await session.rate(chat)
        elif draw >= 0.9:
            await _delete(session, world, chat, is_for_good=False)


async def ask_until_answered(session: Session, world: World, chat: Chat | None) -> None:
    """Ask a question with one key until it is acknowledged, whatever becomes of the replies."""
    key = str(UUID(int=world.chance.getrandbits(128)))
    token = f"q-{session.user}-{world.next_number()}"
    is_impatient = world.chance.random() < 0.15
    for attempt in range(ATTEMPTS):
        give_up = world.chance.uniform(0.002, 0.06) if is_impatient and attempt == 0 else 0.0
        record = await session.ask(chat, key=key, token=token, give_up=give_up)
        if record.get("turn"):
            _note(world, session, record)
            if world.chance.random() < 0.2:  # as a client does whose storage lost the reply
                await session.ask(chat, key=key, token=token)
            return
        if 400 <= record["status"] < 500 and record["status"] != 409:
            return
        if world.is_over:
            return
        await asyncio.sleep(0.2)


def _note(world: World, session: Session, record: Record) -> None:
    known = {chat.id: chat for chat in world.chats}
    chat = known.get(record["chat"])
    if chat is None:
        if not record["is_first"]:
            return  # deleted for good meanwhile
        chat = Chat(record["chat"], session.user)
        world.chats.append(chat)
    chat.questions += 1
    chat.turns.append(record["turn"])
    chat.answers.append(record["message"])


async def _delete(session: Session, world: World, chat: Chat, *, is_for_good: bool) -> None:
    """Delete a chat and, unless it is for good, bring it back a moment later."""
    chat.is_deleted = True
    await _until_acknowledged(session.delete, chat, world)
    if is_for_good or world.chance.random() < 0.2:
        world.chats.remove(chat)
        return
    await _pause(world, (0.1, 1.0))
    await _until_acknowledged(session.restore, chat, world)
    chat.is_deleted = False


async def _until_acknowledged(
    change: Callable[[Chat], Awaitable[Record]], chat: Chat, world: World
) -> None:
    for _attempt in range(ATTEMPTS):
        record = await change(chat)
        if 200 <= record["status"] < 500 or world.is_over:
            return
        await asyncio.sleep(0.1)


async def read(session: Session, world: World) -> None:
    """Read chats through both doors and the classic one, lists and streams."""
    while not world.is_over:
        await _pause(world, READER_SECONDS)
        chats = world.chats_of(session.user)
        if not chats:
            continue
        chat = world.chance.choice(chats)
        draw = world.chance.random()
        if draw < 0.65:
            record = await session.read(chat)
            if record.get("etag"):
                chat.etags = [*chat.etags[-3:], record["etag"]]
        elif draw < 0.75:
            await session.read(chat, door="?before=")  # a query string leads to Django's door
        elif draw < 0.83:
            await session.read_classic(chat)
        elif draw < 0.95 or not chat.turns:
            await session.list()
        else:
            await session.replay(chat)


async def pry(session: Session, world: World) -> None:
    """Ask for what belongs to others."""
    while not world.is_over:
        await _pause(world, STRANGER_SECONDS)
        foreign = [chat for chat in world.chats if chat.owner != session.user]
        if foreign:
            await session.pry(world.chance.choice(foreign))


async def _pause(world: World, seconds: tuple[float, float]) -> None:
    await asyncio.sleep(world.chance.uniform(*seconds))
