"""People who chat through a proxy, by locust: each asks, reads the answer as it is written, thinks, and asks again.

`python chatting.py URL CERTIFICATE PEOPLE SECONDS THINK_LOW THINK_HIGH HISTORY < [tokens, questions] as JSON`. Nobody
asks anew when the seconds are over, and all see their last answer through. What they asked, were told and met goes to
the history, a JSON object a line. A request that fails is made again, a question with the key that it had; a stream
that breaks is followed further where it broke. Both are counted. Times are the system's monotonic clock.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import random  # noqa: E402
import re  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
import uuid  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from contextlib import closing  # noqa: E402
from typing import Any, ClassVar, TextIO  # noqa: E402

import gevent  # noqa: E402
import requests  # noqa: E402
from locust import HttpUser, constant, task  # noqa: E402
from locust.env import Environment  # noqa: E402
from locust.exception import StopUser  # noqa: E402

from paced_model import seconds_between  # noqa: E402

QUESTIONS_A_CHAT = (3, 6)
LEAVES = 0.1  # of the answers: somebody goes away in the middle, and comes back
LEFT_AFTER_SECONDS, AWAY_SECONDS = (1.0, 5.0), (1.0, 4.0)
OLD_CHAT = 0.3  # of the times that somebody begins a new chat: an old one is opened before
ATTEMPTS = 120
ATTEMPT_SECONDS = 0.5
SPAWNED_A_SECOND = 10
REQUEST_SECONDS = 60
_LAST_STAMP = re.compile(r"\b([0-9a-f]{8})$")  # of the model's tokens in a delta
BROKEN = (requests.RequestException, OSError)


class Answer:
    """One answer as its reader had it, over any number of connections."""

    def __init__(self, key: str, question: str) -> None:
        self.key, self.question = key, question
        self.begun = time.monotonic()
        self.first_token: float | None = None
        self.names: dict[str, str] = {}
        self.text = ""
        self.final: str | None = None
        self.state = ""
        self.last_id = ""
        self.is_ended = False
        self.delays_ms: list[float] = []  # of each delta's last token since the model sent it
        self.connections = 0
        self._id = ""

    def take(self, line: bytes) -> None:
        """Take a line of the stream."""
        if line.startswith(b"id: "):
            self._id = line[4:].decode()
        elif line == b"data: [DONE]":
            self.is_ended = True
        elif line.startswith(b"data: "):
            self._take_part(json.loads(line[6:]))
            self.last_id = self._id

    def _take_part(self, part: dict[str, Any]) -> None:
        match part["type"]:
            case "start":
                self.names = {"message": part["messageId"], **part["messageMetadata"]}
            case "text-delta":
                now = time.monotonic()
                if self.first_token is None:
                    self.first_token = now - self.begun
                self.text += part["delta"]
                if self.connections == 1 and (stamp := _LAST_STAMP.search(part["delta"])):
                    delay = seconds_between(int(stamp[1], 16), now)
                    self.delays_ms.append(delay * 1000)
            case "data-final":
                self.final = part["data"]["text"]
            case "message-metadata":
                self.state = part["messageMetadata"]["status"]

    def record(self) -> dict[str, Any]:
        """Return it as it stands in the history."""
        return {
            "kind": "answer",
            "key": self.key,
            "question": self.question,
            "chat": self.names.get("chat"),
            "turn": self.names.get("turn"),
            "message": self.names.get("message"),
            "begun": self.begun,
            "seconds": time.monotonic() - self.begun,
            "first_token": self.first_token,
            "text": self.text if self.final is None else self.final,
            "state": self.state,
            "is_ended": self.is_ended,
            "connections": self.connections,
            "delays_ms": [round(delay, 1) for delay in self.delays_ms],
        }


class Person(HttpUser):
    """Somebody with an account and a browser's patience."""

    wait_time = constant(0)
    tokens: ClassVar[list[str]]
    questions: ClassVar[list[str]]
    certificate: ClassVar[str]
    think: ClassVar[tuple[float, float]]
    ends_at: ClassVar[float]
    history: ClassVar[TextIO]
    made: ClassVar[int] = 0

    def on_start(self) -> None:
        """Sign in, by a token; not all begin to ask at once."""
        # Another crowd each time: a key that was used before would give the answer of then.
        self.chance = random.Random(f"{self.history.name} {Person.made}")
        self.client.headers["Authorization"] = f"Bearer {self.tokens[Person.made]}"
        Person.made += 1
        self.client.verify = self.certificate
        self.chats: list[str] = []
        self._think(share=self.chance.random())

    @task
    def chat(self) -> None:
        """Have a conversation."""
        self._get("/api/v1/chats/", name="list")
        if self.chats and self.chance.random() < OLD_CHAT:
            self._get(f"/api/v1/chats/{self.chance.choice(self.chats)}/", name="chat")
            self._think(share=0.5)
        chat = ""
        for _number in range(self.chance.randint(*QUESTIONS_A_CHAT)):
            answer = self._ask(chat)
            chat = answer.names.get("chat", "")
            self._write(answer.record())
            self._think()
        self.chats.append(chat)

    def _think(self, *, share: float = 1.0) -> None:
        """Wait, and go home when the seconds are over: all wake up at once then, which is no load to measure."""
        until = time.monotonic() + share * self.chance.uniform(*self.think)
        gevent.sleep(max(min(until, self.ends_at) - time.monotonic(), 0))
        if time.monotonic() >= self.ends_at:
            raise StopUser

    # --- an answer
    def _ask(self, chat: str) -> Answer:
        """Ask until the question is acknowledged, and follow the answer to its end."""
        number = uuid.UUID(int=self.chance.getrandbits(128))
        answer = Answer(str(number), f"{self.chance.choice(self.questions)} ({number.hex[:12]})")
        path = f"/api/v1/chats/{chat}/turns/" if chat else "/api/v1/chats/"
        body = {"text": answer.question} | ({} if chat else {"collection": "bench"})
        leaves_after = (
            self.chance.uniform(*LEFT_AFTER_SECONDS) if self.chance.random() < LEAVES else 0.0
        )
        for _attempt in range(ATTEMPTS):
            if answer.names:
                headers = {"Last-Event-ID": answer.last_id} if answer.last_id else {}
                turn = f"/api/v1/turns/{answer.names['turn']}/stream/"
                self._follow("GET", turn, answer, name="resume", headers=headers)
            else:
                headers = {"Idempotency-Key": answer.key}
                self._follow(
                    "POST",
                    path,
                    answer,
                    name="ask",
                    headers=headers,
                    json=body,
                    leaves=leaves_after,
                )
            if answer.is_ended:
                break
            away = self.chance.uniform(*AWAY_SECONDS) if leaves_after else ATTEMPT_SECONDS
            leaves_after = 0.0
            gevent.sleep(away)
        return answer

    def _follow(
        self,
        method: str,
        path: str,
        answer: Answer,
        *,
        name: str,
        headers: dict[str, str],
        json: Any = None,
        leaves: float = 0.0,
    ) -> None:
        """Read a stream until it ends or breaks, or its reader leaves."""
        begun, has_left = time.monotonic(), False
        headers = headers | {"Accept": "text/event-stream"}
        answer.connections += 1
        try:
            begin = self.client.request(
                method,
                path,
                name=name,
                headers=headers,
                json=json,
                stream=True,
                timeout=REQUEST_SECONDS,
            )
            with closing(begin) as response:
                if response.status_code != 200:
                    self._failed(name, str(response.status_code), begun)
                    return
                for line in _lines(response):
                    answer.take(line)
                    if answer.is_ended:
                        return
                    if leaves and answer.names and time.monotonic() - begun > leaves:
                        has_left = True
                        return
        except BROKEN as exc:
            self._failed(name, type(exc).__name__, begun)
            return
        if not has_left and not answer.is_ended:
            self._failed(name, "broke off", begun)

    # --- what is not an answer
    def _get(self, path: str, *, name: str) -> None:
        for _attempt in range(ATTEMPTS):
            begun = time.monotonic()
            try:
                reply = self.client.get(path, name=name, timeout=REQUEST_SECONDS)
            except BROKEN as exc:
                self._failed(name, type(exc).__name__, begun)
            else:
                if reply.status_code == 200:
                    seconds = time.monotonic() - begun
                    self._write({"kind": "read", "name": name, "begun": begun, "seconds": seconds})
                    return
                self._failed(name, str(reply.status_code or "no reply"), begun)
            gevent.sleep(ATTEMPT_SECONDS)

    def _failed(self, name: str, what: str, begun: float) -> None:
        self._write(
            {"kind": "failed", "name": name, "what": what, "begun": begun, "at": time.monotonic()}
        )

    def _write(self, record: dict[str, Any]) -> None:
        self.history.write(json.dumps(record) + "\n")


def _lines(response: requests.Response) -> Iterator[bytes]:
    """Yield the lines of a body as they come, without waiting for more."""
    rest = b""
    for chunk in response.iter_content(chunk_size=None):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines


def main() -> None:
    url, certificate, people, seconds, low, high, history = sys.argv[1:]
    Person.tokens, Person.questions = json.load(sys.stdin)
    Person.host, Person.certificate = url, certificate
    Person.think = (float(low), float(high))
    Person.ends_at = time.monotonic() + float(seconds)
    with open(history, "w", encoding="utf-8") as Person.history:  # noqa: PTH123
        runner = Environment(user_classes=[Person], host=url).create_local_runner()
        runner.start(int(people), spawn_rate=max(SPAWNED_A_SECOND, int(people) / 10))
        gevent.sleep(float(seconds))
        while runner.user_count:
            gevent.sleep(0.2)
        runner.quit()


if __name__ == "__main__":
    main()
