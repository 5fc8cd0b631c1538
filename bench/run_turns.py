"""What a turn costs: CPU of the server process, and the time from POST to the first token; and the original design.

Real PostgreSQL, Valkey and uvicorn in a home folder of this run; a model of zero latency with 100 tokens, which is not
asked to word the search; follow-up questions in existing chats, search over 6,000 passages included. The original does
not search and does not stream: it asks the same model for the answer and for a title, and sends the whole. Both take
turns in each round. The server has one core, the load and the model the other. After all of it every answer is compared
with what is stored. Prints JSON: `python bench/run_turns.py [--at-once 1 16 64] [--rounds 6] [--held 64 256] [--peers
FOLDER]`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psutil

import peers
import stream_client
import zero_latency_model
from harness import (
    Parts,
    Serving,
    cores,
    model_environment,
    report,
    rounded,
    run_script,
    running_parts,
    serving,
    settings_environment,
    spread,
    stored_answers,
)
from peers import Original
from stream_client import Followed, Reading

PASSAGES = 6_000
USERS = 8
SEED = 20
HELD_SECONDS = 600  # that the held answers would take
PACKAGES = ("openai", "uvloop", "httptools")

Round = Callable[[], Coroutine[Any, Any, list[Reading]]]


@dataclass
class Measured:
    """One server under one level of load."""

    readings: list[Reading] = field(default_factory=list)
    cpu_seconds: float = 0.0


def main() -> None:
    arguments = _arguments()
    random.seed(SEED)
    server_core, load_core = cores()
    folder = peers.find_peers(arguments.peers)
    most = max(arguments.at_once)
    with ExitStack() as stack:
        parts = stack.enter_context(running_parts())
        model = stack.enter_context(serving("zero_latency_model:app", core=load_core))
        os.environ |= settings_environment(parts, **model_environment(model.url))
        os.environ["LLM_BASE_URL"] = f"{model.url}/v1"  # as the original calls it
        tokens, questions = run_script("random_shelf.py", str(PASSAGES), str(USERS))
        ours = stack.enter_context(serving("mundap.config.asgi:application", core=server_core))
        chats = stream_client.run(_open_chats(ours.url, tokens, most))
        original = folder and stack.enter_context(
            peers.original(folder, parts, core=server_core, chats=most, messages=2)
        )
        seen: list[Followed] = []
        levels = [
            _level(ours, chats[:at_once], questions, original, seen, arguments.rounds)
            for at_once in arguments.at_once
        ]
        results = {
            "passages": PASSAGES,
            "tokens": zero_latency_model.TOKENS,
            "peers": "beside ours; the original neither searches nor streams"
            if original
            else "left out: their folder was not found",
            "server_memory_mb": ours.memory_mb(),
            "levels": levels,
            "answers": _answers(parts, seen),
            "original_answers": original and _original_answers(original, most, levels),
        }
        if arguments.held:
            results["held_streams"] = _held(parts, tokens, questions, sorted(arguments.held))
    print(json.dumps(report("run_turns.py", PACKAGES, **results), indent=2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument(
        "--held", type=int, nargs="*", default=[64, 256], help="streams to measure memory with"
    )
    peers.add_argument(parser)
    return parser.parse_args()


# --- levels


def _level(
    ours: Serving,
    chats: list[OpenChat],
    questions: list[str],
    original: Original | None,
    seen: list[Followed],
    rounds: int,
) -> dict[str, Any]:
    """Measure one question at a time in each of these chats, and as many in the original's."""
    at_once = len(chats)
    servers: dict[str, tuple[Serving, Round]] = {
        "ours": (ours, lambda: _ask_all(ours.url, chats, questions))
    }
    if original:
        servers["original"] = (
            original.server,
            lambda: _ask_original(original, at_once, questions),
        )
    found = {name: Measured() for name in servers}
    # Once to warm up: statements are prepared, the collection's terms are read.
    for number in range(-1, max(rounds, 30 // at_once)):
        for name, (server, ask_round) in servers.items():
            before = server.cpu_seconds()
            readings = stream_client.run(ask_round())
            if name == "ours":
                followed = [stream_client.followed(each) for each in readings]
                seen += followed
            if number >= 0:
                found[name].readings += readings
                found[name].cpu_seconds += server.cpu_seconds() - before
    return {"at_once": at_once} | {
        name: _summary(measured, is_streamed=name == "ours") for name, measured in found.items()
    }


@dataclass(frozen=True)
class OpenChat:
    """A chat and its owner's token."""

    id: str
    token: str


async def _open_chats(url: str, tokens: list[str], number: int) -> list[OpenChat]:
    """Return chats that have had their first turn, and with it their title."""
    chats = []
    for token in itertools.islice(itertools.cycle(tokens), number):
        body = {"collection": "bench", "text": "How do I begin?"}
        reading = await _whole(url, "/api/v1/chats/", stream_client.streaming(token), body)
        chats.append(OpenChat(stream_client.followed(reading).chat, token))
    return chats


async def _ask_all(url: str, chats: list[OpenChat], questions: list[str]) -> list[Reading]:
    return await asyncio.gather(
        *(
            _whole(
                url,
                f"/api/v1/chats/{chat.id}/turns/",
                stream_client.streaming(chat.token),
                {"text": random.choice(questions)},
            )
            for chat in chats
        )
    )


async def _ask_original(original: Original, at_once: int, questions: list[str]) -> list[Reading]:
    return await asyncio.gather(
        *(
            _whole(
                original.server.url,
                f"/chat/{chat}/",
                original.headers,
                {"user_input": random.choice(questions)},
            )
            for chat in _original_chats(original, at_once)
        )
    )


async def _whole(url: str, path: str, headers: dict[str, str], body: dict[str, str]) -> Reading:
    reading = await stream_client.ask(url, path, headers, body)
    await reading.ended
    return reading


def _original_chats(original: Original, number: int) -> range:
    """Return the ids of its chats, which were made at once."""
    return range(int(original.chat), int(original.chat) + number)


def _summary(measured: Measured, *, is_streamed: bool) -> dict[str, Any]:
    answered = [each for each in measured.readings if not _error(each, is_streamed=is_streamed)]
    errors = [_error(each, is_streamed=is_streamed) for each in measured.readings]
    result = {
        "turns": len(answered),
        "errors": len(measured.readings) - len(answered),
        "first_error": next((error for error in errors if error), None),
        "server_cpu_ms_per_turn": rounded(measured.cpu_seconds / max(len(answered), 1) * 1000),
        "turn_ms": spread(each.whole_ms for each in answered),
    }
    if is_streamed:
        result["first_token_ms"] = spread(each.first_text_ms for each in answered)
    return result


def _error(reading: Reading, *, is_streamed: bool) -> str:
    """Return what is wrong with a response; nothing where it has the whole answer."""
    if not is_streamed:
        is_whole = zero_latency_model.TEXT.encode() in stream_client.body_of(reading)
        return "" if is_whole else f"status {stream_client.status_of(reading)}"
    seen = stream_client.followed(reading)
    if seen.errors:
        return seen.errors[0]
    return "" if seen.state == "complete" and seen.text else f"no answer: {seen.state}"


# --- no answer lost


def _answers(parts: Parts, seen: Sequence[Followed]) -> dict[str, int]:
    """Return whether every answer that was streamed is stored, complete and with the same text."""
    stored = stored_answers(parts, (each.answer for each in seen))
    return {
        "streamed": len(seen),
        "stored_complete": sum(state == "complete" for state, _text in stored.values()),
        "equal_to_stored": sum(stored.get(each.answer) == ("complete", each.text) for each in seen),
    }


def _original_answers(
    original: Original, number: int, levels: Sequence[dict[str, Any]]
) -> dict[str, int]:
    """Return how many answers the original has, beside those that it gave."""
    stored = stream_client.run(_read_original(original, number))
    made = number  # each chat was made with one
    warm_up = sum(level["at_once"] for level in levels)
    given = sum(level["original"]["turns"] for level in levels)
    return {"given": given + warm_up, "stored": stored - made}


async def _read_original(original: Original, number: int) -> int:
    stored = 0
    for chat in _original_chats(original, number):
        reading = await stream_client.ask(original.server.url, f"/chat/{chat}/", original.headers)
        await reading.ended
        log = json.loads(stream_client.body_of(reading))["chatlog"]
        stored += sum("AI" in each for each in log)
    return stored


# --- memory


def _held(
    parts: Parts, tokens: list[str], questions: list[str], levels: Sequence[int]
) -> dict[str, Any]:
    """Return the memory of a server of its own with so many answers under way, each with its reader."""
    server_core, load_core = cores()
    pace = {"TOKENS": str(HELD_SECONDS), "TOKENS_PER_SECOND": "1"}
    with ExitStack() as stack:
        model = stack.enter_context(serving("paced_model:app", core=load_core, environment=pace))
        environment = model_environment(model.url) | {
            "MUNDAP_TURN_SECONDS": str(HELD_SECONDS),
            "MUNDAP_SHUTDOWN_SECONDS": "0",
        }
        server = stack.enter_context(
            serving("mundap.config.asgi:application", core=server_core, environment=environment)
        )
        return stream_client.run(_hold(server, tokens, questions, levels))


async def _hold(
    server: Serving, tokens: list[str], questions: list[str], levels: Sequence[int]
) -> dict[str, Any]:
    # The first answer reads the collection's terms, and opens what stays open.
    held = [await _begin(server, tokens[0], questions[0])]
    memory = {0: _memory_kb(server)}
    for level in levels:
        while len(held) <= level:
            number = len(held)
            token, question = tokens[number % len(tokens)], questions[number % len(questions)]
            held.append(await _begin(server, token, question))
        memory[level] = _memory_kb(server)
    for reading in held:
        await reading.leave()
    steps = itertools.pairwise(memory.items())
    return {
        "server_memory_mb": {str(level): rounded(kb / 1024) for level, kb in memory.items()},
        "kb_per_stream": {
            f"{low} to {high}": rounded((more - less) / (high - low))
            for (low, less), (high, more) in steps
        },
    }


async def _begin(server: Serving, token: str, question: str) -> Reading:
    """Return an answer's stream that has begun."""
    body = {"collection": "bench", "text": question}
    reading = await stream_client.ask(
        server.url, "/api/v1/chats/", stream_client.streaming(token), body
    )
    await reading.has_text
    return reading


def _memory_kb(server: Serving) -> float:
    return float(psutil.Process(server.pid).memory_info().rss) / 1024


if __name__ == "__main__":
    main()
