"""A session of the run: it sends requests to any node, one after the other, and records what came back."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.faults.history import History, Record, shown_log, shown_message
from tests.faults.reading import Reading

REQUEST_SECONDS = 50.0  # longer than any answer, a model's silence, or a lease and a reaper's round
SHELF = "shelf"


@dataclass
class Chat:
    """What its owner's sessions know of a chat."""

    id: str
    owner: str
    questions: int = 0
    is_deleted: bool = False
    answers: list[str] = field(default_factory=list)
    turns: list[str] = field(default_factory=list)
    etags: list[str] = field(default_factory=list)


@dataclass
class World:
    """What all sessions share."""

    history: History
    nodes: Sequence[str]
    http: httpx2.AsyncClient
    chance: random.Random
    chats: list[Chat] = field(default_factory=list)
    is_over: bool = False
    is_settling: bool = False  # nothing begins that takes long
    counter: int = 0
    away: set[int] = field(default_factory=set)  # nodes that a balancer has taken out

    def next_number(self) -> int:
        """Return a number that was not used before."""
        self.counter += 1
        return self.counter

    def any_node(self) -> int:
        """Return the number of a node that new requests go to."""
        there = [number for number in range(len(self.nodes)) if number not in self.away]
        return self.chance.choice(there or range(len(self.nodes)))

    def chats_of(self, user: str) -> list[Chat]:
        """Return the chats of a user that are in use."""
        return [chat for chat in self.chats if chat.owner == user]


class Session:
    """One client of one user."""

    def __init__(self, world: World, *, name: str, user: str, token: str) -> None:
        self.world = world
        self.name = name
        self.user = user
        self._headers = {"Authorization": f"Bearer {token}"}
        self._etags: dict[str, str] = {}
        self.last_exchange: dict[str, list[dict[str, Any]]] = {}  # of the chats that it has read

    # --- what it may do
    async def ask(
        self,
        chat: Chat | None,
        *,
        key: str,
        token: str,
        give_up: float = 0.0,
        reading: Reading | None = None,
    ) -> Record:
        """Post a question, as JSON or as a stream; leave after `give_up` seconds, as if the reply were lost."""
        path = f"chats/{chat.id}/turns/" if chat else "chats/"
        body = {"text": question_of(token)} | ({} if chat else {"collection": SHELF})
        record: Record = {"op": "ask", "key": key, "token": token, "is_first": chat is None}
        record["chat"] = chat.id if chat else None
        headers = {"Idempotency-Key": key}
        if reading or self.world.chance.random() < 0.5:
            headers["Accept"] = "text/event-stream"
        return await self._send(
            "POST", path, record, json=body, headers=headers, give_up=give_up, reading=reading
        )

    async def revise(
        self,
        chat: Chat,
        what: str,
        *,
        message: str,
        key: str,
        token: str,
        give_up: float = 0.0,
        reading: Reading | None = None,
    ) -> Record:
        """Edit a question, or have an answer `regenerate`d or `continue`d; `token` names the question then."""
        record = {"op": "revise", "what": what, "chat": chat.id, "key": key, "token": token}
        body = {"text": question_of(token)} if what == "edit" else {}
        headers = {"Idempotency-Key": key}
        if reading:
            headers["Accept"] = "text/event-stream"
        path = f"messages/{message}/{what}/"
        return await self._send(
            "POST", path, record, json=body, headers=headers, give_up=give_up, reading=reading
        )

    async def follow(
        self, chat: str, turn: str, *, reading: Reading, give_up: float = 0.0
    ) -> Record:
        """Go on reading a turn's stream, at any node."""
        headers = {"Last-Event-ID": reading.last_event_id} if reading.last_event_id else {}
        record = {"op": "follow", "chat": chat, "turn": turn, "after": reading.last_event_id}
        return await self._send(
            "GET",
            f"turns/{turn}/stream/",
            record,
            headers=headers,
            give_up=give_up,
            reading=reading,
        )

    async def follow_chat(self, chat: str, *, reading: Reading, give_up: float = 0.0) -> Record:
        """Read whatever is being answered in a chat, as useChat does when it comes back."""
        record = {"op": "follow chat", "chat": chat}
        path = f"chats/{chat}/stream"
        return await self._send("GET", path, record, give_up=give_up, reading=reading)

    async def stop(self, chat: str, turn: str) -> Record:
        """Ask any node to stop a turn."""
        record = {"op": "stop", "chat": chat, "turn": turn}
        return await self._send("POST", f"turns/{turn}/stop/", record, json={})

    async def read(self, chat: Chat, *, door: str = "") -> Record:
        """Read a chat, with the entity tag that it knows or without."""
        headers, known = {}, []
        if chat.id in self._etags and self.world.chance.random() < 0.5:
            known = [self._etags[chat.id]]
            headers["If-None-Match"] = known[0]
        record = {"op": "read", "chat": chat.id, "known": known}
        return await self._send("GET", f"chats/{chat.id}/{door}", record, headers=headers)

    async def read_classic(self, chat: Chat) -> Record:
        """Read a chat's classic log."""
        return await self._send("GET", f"chatbot/{chat.id}/", {"op": "classic", "chat": chat.id})

    async def list(self) -> Record:
        """Read the list of chats."""
        headers = {}
        if "list" in self._etags and self.world.chance.random() < 0.5:
            headers["If-None-Match"] = self._etags["list"]
        record = {"op": "list", "chat": None, "known": list(headers.values())}
        return await self._send("GET", "chats/", record, headers=headers)

    async def replay(self, chat: Chat) -> Record:
        """Follow a turn's stream from its beginning."""
        turn = self.world.chance.choice(chat.turns)
        record = {"op": "replay", "chat": chat.id, "turn": turn}
        return await self._send("GET", f"turns/{turn}/stream/", record)

    async def rename(self, chat: Chat) -> Record:
        """Give a chat a title that no other has."""
        title = f"title {self.world.next_number()}"
        record = {"op": "title", "chat": chat.id, "register": "title", "value": title}
        return await self._send("PATCH", f"chats/{chat.id}/", record, json={"title": title})

    async def rate(self, chat: Chat) -> Record:
        """Rate an answer, with a comment that no other has."""
        message = self.world.chance.choice(chat.answers)
        comment = f"comment {self.world.next_number()}"
        record = {"op": "rate", "chat": chat.id, "register": message, "value": comment}
        body = {"rating": self.world.chance.choice(("up", "down")), "comment": comment}
        return await self._send("PUT", f"messages/{message}/feedback/", record, json=body)

    async def delete(self, chat: Chat) -> Record:
        """Delete a chat."""
        return await self._send("DELETE", f"chats/{chat.id}/", {"op": "delete", "chat": chat.id})

    async def restore(self, chat: Chat) -> Record:
        """Bring a chat back."""
        return await self._send(
            "POST", f"chats/{chat.id}/restore/", {"op": "restore", "chat": chat.id}, json={}
        )

    async def pry(self, chat: Chat) -> Record:
        """Try to get at somebody else's chat."""
        etag = {"If-None-Match": self.world.chance.choice(chat.etags)} if chat.etags else {}
        turn = chat.turns[-1] if chat.turns else chat.id
        answer = chat.answers[-1] if chat.answers else chat.id
        ways: list[tuple[str, str, dict[str, str], Any]] = [
            ("GET", f"chats/{chat.id}/", {}, None),
            ("GET", f"chats/{chat.id}/", etag, None),
            ("GET", f"chats/{chat.id}/?before=", {}, None),
            ("GET", f"chatbot/{chat.id}/", {}, None),
            ("GET", f"turns/{turn}/stream/", {}, None),
            ("GET", f"chats/{chat.id}/stream", {}, None),
            ("PATCH", f"chats/{chat.id}/", {}, {"title": "mine"}),
            ("POST", f"chats/{chat.id}/turns/", {}, {"text": "Redis?"}),
            ("POST", f"turns/{turn}/stop/", {}, {}),
            ("POST", f"messages/{answer}/regenerate/", {}, {}),
            ("POST", f"messages/{answer}/continue/", {}, {}),
        ]
        # Mostly the read that the cache answers.
        place = self.world.chance.choice((0, 0, 0, 1, 1, *range(len(ways))))
        method, path, headers, body = ways[place]
        record = {"op": "stranger", "chat": chat.id, "path": f"{method} {path}"}
        return await self._send(method, path, record, headers=headers, json=body)

    # --- how it is sent and recorded
    async def _send(
        self,
        method: str,
        path: str,
        record: Record,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        give_up: float = 0.0,
        reading: Reading | None = None,
    ) -> Record:
        node = self.world.any_node()
        reading = reading or Reading()
        # Sent last, so that a key of its own wins.
        record = {"session": self.name, "user": self.user, "node": node, "status": 0} | record
        record["start"] = time.monotonic()
        try:
            async with asyncio.timeout(give_up or REQUEST_SECONDS):
                request = self.world.http.stream(
                    method,
                    f"{self.world.nodes[node]}/api/v1/{path}",
                    headers=self._headers | dict(headers or {}),
                    json=json,
                )
                async with request as response:
                    await self._take(response, record, reading)
        except TimeoutError:
            record |= {"status": 0, "error": "left" if give_up else "timeout"}
        except httpx2.HTTPError as exc:
            record |= {"status": 0, "error": type(exc).__name__}
        if reading.names:
            record |= reading.record()
        record["end"] = time.monotonic()
        self.world.history.add("op", **record)
        return record

    async def _take(self, response: httpx2.Response, record: Record, reading: Reading) -> None:
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            async for line in response.aiter_lines():
                if reading.take(line):
                    record["status"] = response.status_code
            return
        content = await response.aread()
        record["status"] = response.status_code
        match record["op"]:
            case "read" | "title" | "restore" if response.status_code in (200, 304):
                self._take_chat(response, content, record)
            case "classic" if response.status_code == 200:
                self._take_log(content, record)
            case "list" if response.status_code in (200, 304):
                self._take_list(response, content, record)
            case "ask" | "revise" | "stop":
                _take_turn(content, record)

    def _take_chat(self, response: httpx2.Response, content: bytes, record: Record) -> None:
        etag = response.headers["etag"]
        record |= {"etag": etag, "rev": int(etag.strip('"').partition("-")[0])}
        self._etags[record["chat"]] = etag
        if response.status_code == 200:
            chat = json.loads(content)
            record["rev"] = chat["rev"]
            self.last_exchange[chat["id"]] = chat["messages"][-2:]
            record["digest"] = self.world.history.add_body(
                content,
                chat=chat["id"],
                title=chat["title"],
                messages=[shown_message(message) for message in chat["messages"]],
            )

    def _take_log(self, content: bytes, record: Record) -> None:
        chat = json.loads(content)
        record["digest"] = self.world.history.add_body(
            content, chat=chat["id"], title=chat["title"], messages=shown_log(chat["chatlog"])
        )

    def _take_list(self, response: httpx2.Response, content: bytes, record: Record) -> None:
        record["etag"] = self._etags["list"] = response.headers["etag"]
        if response.status_code == 200:
            page = json.loads(content)
            record["chats"] = [[chat["id"], chat["rev"]] for chat in page["results"]]
            record["is_whole"] = page["next"] is None


def question_of(token: str) -> str:
    """Return the text of the question with this name."""
    return f"How do I keep the cache in memory with Redis? ({token})"


def _take_turn(content: bytes, record: Record) -> None:
    """Take a turn as one document; a refusal has none."""
    try:
        turn = json.loads(content)
    except ValueError:
        return
    if "turn" in turn:
        record |= {"turn": turn["turn"], "chat": turn["chat"], "message": turn["message"]["id"]}
        record["acked"] = time.monotonic()
        record["state"] = turn["status"]
        if turn["status"] != "running":
            record |= {"text": turn["message"]["text"], "is_ended": True}
    elif "error" in turn:
        record["code"] = turn["error"]["code"]
        record["running"] = turn["error"].get("turn", "")
