"""How soon a reader who comes back to a running answer reads on: in its process or another, with and without Redis.

Two server processes over one database, on one core. Answers of 20 tokens a second run in the first; each one's reader
drops its connection and comes back, again and again, with nothing in hand or with the id of the last event
(`Last-Event-ID`). The model stamps its tokens with the time. Measured from before the connection: the first byte, the
first text, and the first token that was sent after that. Every text is compared with what is stored.
Prints JSON: `python bench/run_resume.py [--repetitions 50]`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any

import paced_model
import stream_client
from harness import (
    Parts,
    Serving,
    cores,
    killed_redis,
    model_environment,
    paused_redis,
    report,
    run_script,
    running_parts,
    serving,
    settings_environment,
    spread,
    stored_answers,
)
from stream_client import Followed, Reading

PASSAGES = 1_000
TURNS = 5  # at once: each has one reader at a time
TOKENS_PER_SECOND = 20
DRAFT_SECONDS = 3.0  # after which there is a draft
MOST_SECONDS = 10.0  # that a reader waits for something new
PAUSE_SECONDS = 0.15  # between leaving and coming back
FOLLOW_SECONDS = 8.0
PACKAGES = ("openai", "uvloop", "httptools", "redis")
REDIS: dict[str, Callable[[Parts], Any]] = {
    "redis running": lambda _parts: nullcontext(),
    "redis paused": paused_redis,
    "redis killed": killed_redis,
}


@dataclass
class Waits:
    """What coming back took, each time."""

    first_byte_ms: list[float] = field(default_factory=list)
    first_text_ms: list[float] = field(default_factory=list)
    new_token_ms: list[float] = field(default_factory=list)


@dataclass
class State:
    """All that was seen in one state of Redis."""

    waits: dict[str, Waits] = field(default_factory=lambda: defaultdict(Waits))
    delays_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    seen: list[tuple[str, Followed]] = field(default_factory=list)  # after which event


@dataclass(frozen=True)
class Turn:
    """A running answer, and its owner's token."""

    id: str
    answer: str
    token: str

    @property
    def path(self) -> str:
        """Where it is followed."""
        return f"/api/v1/turns/{self.id}/stream/"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=50, help="of each way to come back")
    repetitions = parser.parse_args().repetitions
    server_core, load_core = cores()
    # So long that a reader may wait for the draft each time.
    seconds = int(50 + 6 * repetitions / TURNS)
    pace = {"TOKENS": str(seconds * TOKENS_PER_SECOND), "TOKENS_PER_SECOND": f"{TOKENS_PER_SECOND}"}
    with ExitStack() as stack:
        parts = stack.enter_context(running_parts())
        model = stack.enter_context(serving("paced_model:app", core=load_core, environment=pace))
        more = model_environment(model.url) | {"MUNDAP_TURN_SECONDS": str(2 * seconds + 60)}
        os.environ |= settings_environment(parts, **more)
        tokens, questions = run_script("random_shelf.py", str(PASSAGES), str(TURNS))
        places = {
            name: stack.enter_context(serving("mundap.config.asgi:application", core=server_core))
            for name in ("same process", "other process")
        }
        bench = Bench(parts, places, tokens, questions, repetitions)
        states = {name: bench.measure(state) for name, state in REDIS.items()}
    results = {
        "tokens_per_second": TOKENS_PER_SECOND,
        "turns_at_once": TURNS,
        "repetitions": repetitions,
        "states": states,
    }
    print(json.dumps(report("run_resume.py", PACKAGES, **results), indent=2))


@dataclass(frozen=True)
class Bench:
    """The servers, and who asks them."""

    parts: Parts
    places: dict[str, Serving]
    tokens: list[str]
    questions: list[str]
    repetitions: int

    def measure(self, redis: Callable[[Parts], Any]) -> dict[str, Any]:
        """Come back to answers in this state of Redis; they are begun and stopped with Redis running."""
        state = State()
        turns = stream_client.run(self._begin())
        stream_client.run(self._follow(turns, state, redis))
        with redis(self.parts):
            stream_client.run(self._come_back(turns, state))
        stream_client.run(self._stop(turns))
        with redis(self.parts):
            stream_client.run(self._come_back_to_ended(turns, state))
        return self._summary(state)

    async def _begin(self) -> list[Turn]:
        url = self.places["same process"].url
        turns = []
        for token, question in zip(self.tokens, self.questions, strict=False):
            body = {"collection": "bench", "text": question}
            reading = await stream_client.ask(
                url, "/api/v1/chats/", stream_client.streaming(token), body
            )
            await reading.has_text
            await reading.leave()
            begun = stream_client.followed(reading)
            assert begun.turn, begun
            turns.append(Turn(begun.turn, begun.answer, token))
        await asyncio.sleep(DRAFT_SECONDS)
        return turns

    async def _follow(self, turns: list[Turn], state: State, redis: Callable[[Parts], Any]) -> None:
        """Follow the turns while the state begins, and note the delay of each token that was sent from then on."""
        readings = {
            name: [
                await stream_client.ask(server.url, turn.path, stream_client.streaming(turn.token))
                for turn in turns
            ]
            for name, server in self.places.items()
        }
        await asyncio.sleep(FOLLOW_SECONDS / 2)
        with redis(self.parts):
            begun = time.monotonic()
            await asyncio.sleep(FOLLOW_SECONDS)
            for reading in itertools.chain(*readings.values()):
                await reading.leave()
        for name, each in readings.items():
            state.delays_ms[name] += _delays_ms(each, since=begun)

    async def _come_back(self, turns: list[Turn], state: State) -> None:
        for name, server in self.places.items():
            for is_fresh in (True, False):
                kind = "nothing in hand" if is_fresh else "the last event in hand"
                waits = state.waits[f"{name}, {kind}"]
                await asyncio.gather(
                    *(self._reader(server, turn, waits, state, is_fresh=is_fresh) for turn in turns)
                )

    async def _reader(
        self, server: Serving, turn: Turn, waits: Waits, state: State, *, is_fresh: bool
    ) -> None:
        """Come back to the turn, one time after the other, as soon as something new was read."""
        after = ""
        if not is_fresh:
            after = stream_client.followed(await _come_back_once(server, turn, after)).last_id
        for _repetition in range(-(-self.repetitions // TURNS)):
            await asyncio.sleep(PAUSE_SECONDS)
            reading = await _come_back_once(server, turn, after)
            seen = stream_client.followed(reading)
            state.seen.append((after, seen))
            waits.first_byte_ms.append(reading.first_byte_ms)
            waits.first_text_ms.append(reading.first_text_ms)
            waits.new_token_ms.append(_new_token_ms(reading, seen))
            after = "" if is_fresh else seen.last_id

    async def _stop(self, turns: list[Turn]) -> None:
        url = self.places["same process"].url
        for turn in turns:
            headers = {"Authorization": f"Bearer {turn.token}"}
            stopped = await stream_client.ask(url, f"/api/v1/turns/{turn.id}/stop/", headers, {})
            await stopped.ended
            assert stream_client.status_of(stopped) == 200, stopped.arrivals

    async def _come_back_to_ended(self, turns: list[Turn], state: State) -> None:
        for name, server in self.places.items():
            waits = state.waits[f"{name}, an ended answer"]
            for repetition in range(self.repetitions):
                turn = turns[repetition % TURNS]
                headers = stream_client.streaming(turn.token)
                reading = await stream_client.ask(server.url, turn.path, headers)
                await reading.ended
                state.seen.append(("", stream_client.followed(reading)))
                waits.first_byte_ms.append(reading.first_byte_ms)
                waits.first_text_ms.append(reading.first_text_ms)

    def _summary(self, state: State) -> dict[str, Any]:
        stored = stored_answers(self.parts, {seen.answer for _after, seen in state.seen})
        wrong = 0
        for after, seen in state.seen:
            characters = int(after.rpartition("-")[2] or 0)
            _state, text = stored.get(seen.answer, ("", ""))
            wrong += not (seen.text and text.startswith(seen.text, characters))
        return {
            "times_come_back": len(state.seen),
            "texts_that_are_not_what_is_stored": wrong,
            "errors": sum(len(seen.errors) for _after, seen in state.seen),
            "coming_back": {
                name: {what: spread(values) for what, values in vars(waits).items() if values}
                for name, waits in state.waits.items()
            },
            "delay_ms_of_tokens_for_followers": {
                name: spread(delays) for name, delays in state.delays_ms.items()
            },
        }


async def _come_back_once(server: Serving, turn: Turn, after: str) -> Reading:
    """Read the turn until a token has come that was sent after the reader came, and leave."""
    headers = stream_client.streaming(turn.token) | ({"Last-Event-ID": after} if after else {})
    reading = await stream_client.ask(server.url, turn.path, headers)
    arrivals = 0
    while time.monotonic() - reading.begun < MOST_SECONDS and not reading.ended.done():
        await asyncio.sleep(0.01)
        if len(reading.arrivals) > arrivals:
            arrivals = len(reading.arrivals)
            if _new_token_ms(reading, stream_client.followed(reading)):
                break
    await reading.leave()
    return reading


def _new_token_ms(reading: Reading, seen: Followed) -> float:
    """Return how long the first token took that was sent after the reader came; 0 where none was seen."""
    for at, delta in seen.deltas:
        sent = paced_model.stamps(delta)[-1]
        if paced_model.seconds_between(sent, reading.begun) < 0:
            return (at - reading.begun) * 1000
    return 0.0


def _delays_ms(readings: list[Reading], *, since: float) -> list[float]:
    return [
        paced_model.seconds_between(stamp, at) * 1000
        for reading in readings
        for at, delta in stream_client.followed(reading).deltas
        for stamp in paced_model.stamps(delta)
        if paced_model.seconds_between(stamp, since) < 0
    ]


if __name__ == "__main__":
    main()
