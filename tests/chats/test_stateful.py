"""Any sequence of posts, changes and reads, while Redis is emptied, rolled back, changed and stopped: hypothesis.

A real server process over real Postgres and a Valkey of the test's own. What a person did is kept in plain lists here;
every read, through whichever door, must show exactly that. A failure prints the steps, and a blob that repeats them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import httpx2
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mundap.accounts.models import User
from mundap.accounts.tokens import make_token
from mundap.answers.answering import shorten
from mundap.library.models import Collection
from tests.chats.conftest import QUESTION, make_chat
from tests.chats.server import wait_for
from tests.conftest import PASSWORD
from tests.database import database_url
from tests.faults.nodes import Node
from tests.faults.redis_server import RedisServer

EXAMPLES, EXAMPLES_WITH_PAUSES, STEPS = 70, 3, 30
NAMES = ("alice", "bob")
# Tokens are answered in front of Django, unless a query string leads behind it; sessions are Django's.
DOORS = {"front": ("token", ""), "django": ("token", "?before="), "session": ("session", "")}
names = st.sampled_from(NAMES)
doors = st.sampled_from(sorted(DOORS))
places = st.integers(0, 7)  # of a chat among those there are
words = st.text("abc 가나é.!?", max_size=20)


@dataclass
class Stage:
    """What the examples share."""

    url: str
    redis: RedisServer
    headers: dict[tuple[str, str], dict[str, str]]
    http: httpx2.Client
    anchor: str  # a chat of alice's that no example touches
    bodies: dict[str, bytes] = field(default_factory=dict)  # by entity tag


@dataclass
class Said:
    """A message as it must be shown."""

    role: str
    text: str
    id: str | None = None
    feedback: Mapping[str, str] | None = None
    versions: int = 1


@dataclass
class Known:
    """A chat as it must be shown."""

    id: str
    owner: str
    title: str
    pinned: bool = False
    messages: list[Said] = field(default_factory=list)
    is_deleted: bool = False
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # key, text, turn
    rev: int = 0
    etag: str = ""

    @property
    def stranger(self) -> str:
        """The other one."""
        return next(name for name in NAMES if name != self.owner)


class Conversations(RuleBasedStateMachine):
    """Two people, their chats, and a Redis that cannot be relied on."""

    stage: ClassVar[Stage]

    def __init__(self) -> None:
        super().__init__()
        self.chats: list[Known] = []
        self.last: Known | None = None
        self.old_values: dict[bytes, bytes] = {}
        self.is_paused = False

    def teardown(self) -> None:
        for chat in self.chats:  # lists stay short
            self.send("DELETE", chat.owner, f"chats/{chat.id}/")
        with self.stage.redis.client() as redis:
            redis.flushall()

    # --- what people do: each rule says what it must change
    @rule(who=names, text=words)
    def ask_first(self, who: str, text: str) -> None:
        text = f"{QUESTION} {text}".strip()
        key = uuid4().hex
        reply = self.ask(who, "chats/", text, key)
        turn = reply.json()
        chat = Known(turn["chat"], who, turn["title"])
        self.chats.append(chat)
        _note(chat, text, key, turn)

    @precondition(lambda self: self.chats)
    @rule(place=places, text=words)
    def ask_next(self, place: int, text: str) -> None:
        chat, text, key = self.chat(place), f"{QUESTION} {text}".strip(), uuid4().hex
        reply = self.ask(chat.owner, f"chats/{chat.id}/turns/", text, key)
        if chat.is_deleted:
            assert reply.status_code == 404
        else:
            _note(chat, text, key, reply.json())

    @precondition(lambda self: self.chats)
    @rule(place=places, text=words)
    def edit(self, place: int, text: str) -> None:
        """Ask the last question in other words."""
        chat = self.chat(place)
        question, answer = chat.messages[-2:]
        if question.id is None:
            return  # it was never shown, so nobody could edit it
        text = f"{QUESTION} {text}".strip()
        path = f"messages/{question.id}/edit/"
        reply = self.send("POST", chat.owner, path, json={"text": text})
        if chat.is_deleted:
            assert reply.status_code == 404
            return
        if len(chat.messages) == 2 and chat.title == shorten(question.text):
            chat.title = shorten(text)  # nobody has named it: it is called by its first question
        new = reply.json()["message"]
        chat.messages[-2:] = [
            Said("user", text, versions=question.versions + 1),
            Said("assistant", new["text"], new["id"], versions=answer.versions + 1),
        ]

    @precondition(lambda self: self.chats)
    @rule(place=places)
    def regenerate(self, place: int) -> None:
        """Have the last question answered anew."""
        chat = self.chat(place)
        answer = chat.messages[-1]
        reply = self.send("POST", chat.owner, f"messages/{answer.id}/regenerate/", json={})
        if chat.is_deleted:
            assert reply.status_code == 404
            return
        new = reply.json()["message"]
        chat.messages[-1] = Said("assistant", new["text"], new["id"], versions=answer.versions + 1)

    @precondition(lambda self: self.chats)
    @rule(place=places, is_same=st.booleans())
    def repeat_a_key(self, place: int, is_same: bool) -> None:
        chat = self.chat(place)
        first = len(chat.asked) == 1
        key, text, turn = chat.asked[-1]
        path = "chats/" if first else f"chats/{chat.id}/turns/"
        reply = self.ask(chat.owner, path, text if is_same else f"{text}?", key)
        if not is_same:
            assert reply.status_code == 422
        elif chat.is_deleted:
            assert reply.status_code == 404
        else:
            assert reply.json()["turn"] == turn

    @precondition(lambda self: self.chats)
    @rule(place=places, title=words, pinned=st.booleans())
    def change(self, place: int, title: str, pinned: bool) -> None:
        chat = self.chat(place)
        title = title.strip() or "untitled"
        reply = self.send(
            "PATCH", chat.owner, f"chats/{chat.id}/", json={"title": title, "pinned": pinned}
        )
        if chat.is_deleted:
            assert reply.status_code == 404
            return
        chat.title, chat.pinned = title, pinned
        self.compare(chat, reply)

    @precondition(lambda self: self.chats)
    @rule(place=places, which=places, rating=st.sampled_from(("up", "down", "")))
    def rate(self, place: int, which: int, rating: str) -> None:
        chat = self.chat(place)
        answers = [said for said in chat.messages if said.role == "assistant"]
        said = answers[which % len(answers)]
        comment = uuid4().hex
        reply = self.send(
            "PUT",
            chat.owner,
            f"messages/{said.id}/feedback/",
            json={"rating": rating, "comment": comment},
        )
        assert reply.status_code == (404 if chat.is_deleted else 200)
        if not chat.is_deleted:
            said.feedback = {"rating": rating, "comment": comment} if rating else None

    @precondition(lambda self: self.chats)
    @rule(place=places)
    def delete(self, place: int) -> None:
        chat = self.chat(place)
        reply = self.send("DELETE", chat.owner, f"chats/{chat.id}/")
        assert reply.status_code == (404 if chat.is_deleted else 204)
        chat.is_deleted = True

    @precondition(lambda self: self.chats)
    @rule(place=places)
    def restore(self, place: int) -> None:
        chat = self.chat(place)
        chat.is_deleted = False
        self.compare(chat, self.send("POST", chat.owner, f"chats/{chat.id}/restore/", json={}))

    # --- what they see
    @invariant()
    def the_chat_that_was_used_last_is_shown(self) -> None:
        if self.last:
            self.compare(self.last, self.knock(self.last.owner, self.last))

    @precondition(lambda self: self.chats)
    @rule(place=places, door=doors, is_known=st.booleans())
    def read(self, place: int, door: str, is_known: bool) -> None:
        chat = self.chat(place)
        known = {"If-None-Match": chat.etag} if is_known and chat.etag else {}
        self.compare(chat, self.knock(chat.owner, chat, door, known))

    @precondition(lambda self: self.chats)
    @rule(place=places)
    def read_twice(self, place: int) -> None:
        """The second is answered by Redis, if that works."""
        for _time in range(2):
            self.compare(self.chat(place), self.knock(self.chat(place).owner, self.chat(place)))

    @precondition(lambda self: self.chats)
    @rule(place=places)
    def read_classic(self, place: int) -> None:
        chat = self.chat(place)
        reply = self.send("GET", chat.owner, f"chatbot/{chat.id}/")
        if chat.is_deleted:
            assert reply.status_code == 404
            return
        log = reply.json()["chatlog"][1:]
        texts = [entry["USER" if "USER" in entry else "AI"] for entry in log]
        assert texts == [said.text for said in chat.messages]
        assert reply.json()["title"] == chat.title

    @precondition(lambda self: self.chats)
    @rule(place=places, door=doors, is_known=st.booleans())
    def read_as_a_stranger(self, place: int, door: str, is_known: bool) -> None:
        chat = self.chat(place)
        known = {"If-None-Match": chat.etag} if is_known and chat.etag else {}
        assert self.knock(chat.stranger, chat, door, known).status_code == 404
        assert self.send("GET", chat.stranger, f"chatbot/{chat.id}/").status_code == 404

    @rule(who=names)
    def list_chats(self, who: str) -> None:
        shown = self.send("GET", who, "chats/").json()["results"]
        known = {chat.id for chat in self.chats}
        shown = [each for each in shown if each["id"] in known]
        mine = [chat for chat in self.chats if chat.owner == who and not chat.is_deleted]
        titles = {chat.id: (chat.title, chat.pinned) for chat in mine}
        assert {each["id"]: (each["title"], each["pinned"]) for each in shown} == titles
        for each in shown:
            assert each["rev"] >= next(chat.rev for chat in mine if chat.id == each["id"])

    # --- what becomes of Redis
    @precondition(lambda self: not self.is_paused)
    @rule()
    def empty_redis(self) -> None:
        with self.stage.redis.client() as redis:
            redis.flushall()

    @precondition(lambda self: not self.is_paused)
    @rule(place=places)
    def evict(self, place: int) -> None:
        with self.stage.redis.client() as redis:
            for key in self.keys()[place::8]:
                redis.delete(key)

    @precondition(lambda self: not self.is_paused)
    @rule()
    def keep_values(self) -> None:
        self.old_values |= self.values()

    @precondition(lambda self: not self.is_paused)
    @rule()
    def bring_back_old_values(self) -> None:
        self.write(self.old_values)

    @precondition(lambda self: not self.is_paused)
    @rule(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def flip_a_bit(self, where: float, bit: int) -> None:
        self.write({key: _flipped(value, where, bit) for key, value in self.values().items()})

    @precondition(lambda self: not self.is_paused)
    @rule(where=st.floats(0, 1))
    def truncate(self, where: float) -> None:
        self.write({key: value[: int(where * len(value))] for key, value in self.values().items()})

    @precondition(lambda self: not self.is_paused)
    @rule(shift=places)
    def swap_values(self, shift: int) -> None:
        """Values move to other chats' keys, other people's among them."""
        found = self.values()
        moved = list(found.values())
        shift = shift % len(moved) if moved else 0
        self.write(dict(zip(found, moved[shift:] + moved[:shift], strict=True)))

    @precondition(lambda self: not self.is_paused)
    @rule(rubbish=st.binary(max_size=200))
    def put_rubbish(self, rubbish: bytes) -> None:
        self.write(dict.fromkeys(self.keys(), rubbish))

    @precondition(lambda self: not self.is_paused)
    @rule()
    def change_types(self) -> None:
        with self.stage.redis.client() as redis:
            for key in self.keys():
                redis.delete(key)
                redis.rpush(key, "a")

    # --- how it is done
    def chat(self, place: int) -> Known:
        self.last = self.chats[place % len(self.chats)]
        return self.last

    def send(self, method: str, who: str, path: str, **how: Any) -> httpx2.Response:
        """Send with a token unless `headers` say otherwise; nothing that happens to Redis is an error."""
        headers = self.stage.headers[who, "token"] | how.pop("headers", {})
        reply = self.stage.http.request(method, path, headers=headers, **how)
        assert reply.status_code < 500, reply.text
        return reply

    def ask(self, who: str, path: str, text: str, key: str) -> httpx2.Response:
        body = {"text": text} | ({"collection": "shelf"} if path == "chats/" else {})
        return self.send("POST", who, path, json=body, headers={"Idempotency-Key": key})

    def knock(
        self, who: str, chat: Known, door: str = "front", known: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        """Read a chat through a door."""
        kind, query = DOORS[door]
        headers = self.stage.headers[who, kind] | dict(known or {})
        reply = self.stage.http.get(f"chats/{chat.id}/{query}", headers=headers)
        assert reply.status_code < 500, reply.text
        return reply

    def compare(self, chat: Known, reply: httpx2.Response) -> None:
        """Check that the reply shows the chat as it must be; a 304 stands for the body of its tag."""
        if chat.is_deleted:
            assert reply.status_code == 404
            return
        assert reply.status_code in (200, 304)
        etag = reply.headers["ETag"]
        content = reply.content if reply.status_code == 200 else self.stage.bodies[etag]
        assert self.stage.bodies.setdefault(etag, content) == content
        body = json.loads(content)
        assert (body["id"], body["title"], body["pinned"]) == (chat.id, chat.title, chat.pinned)
        assert [message["position"] for message in body["messages"]] == list(
            range(len(chat.messages))
        )
        for message, said in zip(body["messages"], chat.messages, strict=True):
            said.id = said.id or message["id"]
            shown = (message["role"], message["text"], message["id"], message["feedback"])
            assert Said(*shown, versions=len(message["versions"])) == said
        assert body["rev"] >= chat.rev
        chat.rev, chat.etag = body["rev"], etag

    def keys(self) -> list[bytes]:
        with self.stage.redis.client() as redis:
            return sorted(redis.scan_iter("mundap1:*:body", count=1000))

    def values(self) -> dict[bytes, bytes]:
        with self.stage.redis.client() as redis:
            found = {key: redis.get(key) for key in self.keys() if redis.type(key) == b"string"}
        return {key: value for key, value in found.items() if value is not None}

    def write(self, values: Mapping[bytes, bytes]) -> None:
        with self.stage.redis.client() as redis:
            for key, value in values.items():
                redis.set(key, value, ex=600)


class ConversationsWithPauses(Conversations):
    """The same while Redis is stopped and goes on again; the server then leaves it alone for two seconds."""

    @initialize(who=names)
    def ask_and_pause(self, who: str) -> None:
        self.ask_first(who, "")
        self.read_twice(0)
        self.pause_redis()

    @precondition(lambda self: not self.is_paused)
    @rule()
    def pause_redis(self) -> None:
        self.is_paused = True
        self.stage.redis.pause()

    @precondition(lambda self: self.is_paused)
    @rule()
    def resume_redis(self) -> None:
        self.is_paused = False
        self.stage.redis.resume()
        wait_for(self.is_redis_used)

    def is_redis_used(self) -> bool:
        """Tell whether a read makes the server ask Redis again."""
        self.send("GET", "alice", f"chats/{self.stage.anchor}/")
        return _count(_metrics(self.stage), 'mundap_redis_breaker_open{client="quick"}') == 0

    def teardown(self) -> None:
        if self.is_paused:
            self.resume_redis()
        super().teardown()


def _note(chat: Known, text: str, key: str, turn: Mapping[str, Any]) -> None:
    answer = turn["message"]
    chat.asked.append((key, text, turn["turn"]))
    chat.messages += [Said("user", text), Said("assistant", answer["text"], answer["id"])]


def _flipped(value: bytes, where: float, bit: int) -> bytes:
    if not value:
        return value
    place = int(where * len(value))
    return value[:place] + bytes([value[place] ^ (1 << bit)]) + value[place + 1 :]


@pytest.fixture
def stage(shelf: Collection, transactional_db: None, tmp_path: Path) -> Iterator[Stage]:
    """A server process that has a Valkey of its own, and two people who are signed in in both ways."""
    variables = {"DATABASE_URL": database_url(), "MUNDAP_CACHE_CHECK_EVERY": "3"}
    with RedisServer(tmp_path) as redis:
        node = Node(0, environment=variables | {"REDIS_URL": redis.url}, log=tmp_path / "node.log")
        node.launch()
        try:
            asyncio.run(node.until_ready())
            with httpx2.Client(base_url=f"{node.url}/api/v1/", timeout=20) as http:
                yield _set(http, redis, shelf, url=node.url)
        finally:
            node.kill()


def _set(http: httpx2.Client, redis: RedisServer, shelf: Collection, *, url: str) -> Stage:
    headers, people = {}, {}
    for name in NAMES:
        user = people[name] = User.objects.create_user(f"{name}@example.org", PASSWORD)
        secret = make_token(user, name="test")[1]
        headers[name, "token"] = {"Authorization": f"Bearer {secret}"}
        known = {"email": user.email, "password": PASSWORD}
        session = http.post(f"{url}/_allauth/app/v1/auth/login", json=known).json()["meta"]
        headers[name, "session"] = {"X-Session-Token": session["session_token"]}
    anchor = make_chat(people["alice"], shelf, QUESTION, "Yes.")
    return Stage(url, redis, headers, http, str(anchor.pk))


def test_every_read_shows_what_was_done(stage: Stage) -> None:
    _run(Conversations, stage, examples=EXAMPLES)
    counted = _metrics(stage)
    assert _count(counted, "mundap_cache_hits_total") > 0  # or nothing was tried
    assert _count(counted, 'mundap_cache_misses_total{reason="tag"}') > 0
    assert _count(counted, 'mundap_cache_self_checks_total{result="different"}') == 0


def test_a_paused_redis_changes_nothing(stage: Stage) -> None:
    _run(ConversationsWithPauses, stage, examples=EXAMPLES_WITH_PAUSES)
    assert _count(_metrics(stage), 'mundap_cache_misses_total{reason="error"}') > 0


def _run(machine: type[Conversations], stage: Stage, *, examples: int) -> None:
    machine.stage = stage
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def _metrics(stage: Stage) -> str:
    return stage.http.get(f"{stage.url}/metrics").text


def _count(metrics: str, name: str) -> float:
    lines = [line for line in metrics.splitlines() if line.startswith(f"{name} ")]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0
