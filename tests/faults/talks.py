"""Sessions that follow answers while they are written: leave, come back elsewhere, stop, edit, ask anew, go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.faults.clients import Chat, Session, World
from tests.faults.history import Record, token_of
from tests.faults.paced_model import FAULTS, Manner
from tests.faults.reading import Reading

CHATS_A_USER = 6
QUESTIONS_A_CHAT = 12
ATTEMPTS = 200
PAUSE_SECONDS = (0.05, 0.4)
PATIENCE_SECONDS = (0.2, 2.0)  # of a reader before it leaves
FOLLOW_SECONDS = 70.0  # far more than an answer, a model's silence, a lease and a reaper's round
STOP_AFTER_SECONDS = (0.1, 1.5)
STOPPED_SECONDS = 40.0
BROKEN_SHARE = 0.25
UNFINISHED = ("interrupted", "stopped", "failed")


@dataclass
class Post:
    """What a session is about to ask for; `chat` is None for a first question, `message` set for a new version."""

    chat: Chat | None
    token: str
    what: str = ""
    message: str = ""


async def talk(session: Session, world: World) -> None:
    """Have answers written, and follow each to its end."""
    while not world.is_over:
        await asyncio.sleep(world.chance.uniform(*PAUSE_SECONDS))
        chats = world.chats_of(session.user)
        chat = world.chance.choice(chats) if len(chats) >= CHATS_A_USER else None
        if chat and chat.questions >= QUESTIONS_A_CHAT:
            world.chats.remove(chat)
            continue
        await _have_answered(session, world, await _choose(session, world, chat))


def name_question(session: Session, manner: Manner) -> str:
    """Return a name that no other question has, and that asks for an answer in this manner."""
    return f"q-{session.user}-{session.world.next_number()}{manner.suffix}"


async def _choose(session: Session, world: World, chat: Chat | None) -> Post:
    """Return what somebody might ask for who looks at the chat: mostly the next question."""
    new = Post(chat, name_question(session, _any_manner(world)))
    if chat is None or world.chance.random() < 0.4:
        return new
    await session.read(chat)
    last = session.last_exchange.get(chat.id, [])
    if len(last) < 2:
        return new
    question, answer = last
    name = token_of(question["text"]) or ""
    if answer["state"] in UNFINISHED and world.chance.random() < 0.6:
        return Post(chat, name, "continue", answer["id"])
    if world.chance.random() < 0.5:
        return Post(chat, name, "regenerate", answer["id"])
    return Post(chat, new.token, "edit", question["id"])


def _any_manner(world: World) -> Manner:
    chance = world.chance
    words, milliseconds = chance.choice(
        (
            (12, 10),
            (chance.randint(20, 40), chance.randint(50, 100)),
            (chance.randint(60, 90), 100),
        )
    )
    fault = chance.choice(FAULTS)
    if chance.random() > BROKEN_SHARE or (fault == "silent" and world.is_settling):
        return Manner(words, milliseconds)
    return Manner(words, milliseconds, fault, chance.choice((1, words // 2, words)))


async def _have_answered(session: Session, world: World, post: Post) -> None:
    """Post with one key until it is acknowledged or refused, then see to the answer."""
    key = str(UUID(int=world.chance.getrandbits(128)))
    for _attempt in range(ATTEMPTS):
        reading = Reading()
        record = await _post(session, post, key=key, reading=reading, give_up=_patience(world))
        if record.get("turn"):
            _note(session, world, post, record)
            await _attend(session, world, post, record, reading)
            return
        if record.get("code") == "turn_in_progress" and post.chat:
            # Another tab was first: this one follows what runs, and asks again later.
            await follow(session, post.chat.id, record["running"], Reading())
        elif 400 <= record["status"] < 500:
            return
        if world.is_over:
            return
        await asyncio.sleep(0.2)


async def _post(
    session: Session, post: Post, *, key: str, reading: Reading | None, give_up: float = 0.0
) -> Record:
    how: dict[str, Any] = {"key": key, "token": post.token, "reading": reading, "give_up": give_up}
    if post.chat and post.what:
        return await session.revise(post.chat, post.what, message=post.message, **how)
    return await session.ask(post.chat, **how)


def _note(session: Session, world: World, post: Post, record: Record) -> None:
    if post.chat is None:
        post.chat = Chat(record["chat"], session.user)
        world.chats.append(post.chat)
    post.chat.questions += 1
    post.chat.turns.append(record["turn"])
    post.chat.answers.append(record["message"])


async def _attend(
    session: Session, world: World, post: Post, record: Record, reading: Reading
) -> None:
    """Follow the answer to its end; and perhaps in a second tab, ask for it again, stop it."""
    chat, turn, key = record["chat"], record["turn"], record["key"]
    doings: list[Coroutine[Any, Any, Any]] = [follow(session, chat, turn, reading)]
    if world.chance.random() < 0.4:
        doings.append(follow(session, chat, turn, Reading()))
    if world.chance.random() < 0.2:
        # The first question's post knew no chat, and its repetition is the same.
        again = Post(None if record.get("is_first") else post.chat, post.token, post.what)
        again.message = post.message
        doings.append(_post(session, again, key=key, reading=None))
    if world.chance.random() < 0.35:
        doings.append(_stop(session, chat, turn))
    await asyncio.gather(*doings)


async def follow(session: Session, chat: str, turn: str, reading: Reading) -> None:
    """Read a turn to its end, leaving and coming back: behind what was read, or from the beginning."""
    world, begun = session.world, time.monotonic()
    while not reading.is_ended:
        way = world.chance.random()
        if way < 0.15:
            other = Reading()
            record = await session.follow_chat(chat, reading=other, give_up=_patience(world))
            if other.turn == turn:
                reading = other
        else:
            reading = Reading() if way < 0.35 else reading
            record = await session.follow(chat, turn, reading=reading, give_up=_patience(world))
        if time.monotonic() - begun > FOLLOW_SECONDS:
            world.history.add("op", **record | {"op": "wait", "status": 0, "error": "timeout"})
            return
        if not record["status"] and record.get("error") != "left":
            await asyncio.sleep(0.1)


async def _stop(session: Session, chat: str, turn: str) -> None:
    """Stop a turn after a while, asking until it has ended."""
    await asyncio.sleep(session.world.chance.uniform(*STOP_AFTER_SECONDS))
    end = time.monotonic() + STOPPED_SECONDS
    while time.monotonic() < end:
        record = await session.stop(chat, turn)
        if record.get("state", "running") != "running":
            return
        await asyncio.sleep(0.05)


def _patience(world: World) -> float:
    """Return after how long a reader leaves; 0 for one that stays."""
    return world.chance.uniform(*PATIENCE_SECONDS) if world.chance.random() < 0.6 else 0.0
