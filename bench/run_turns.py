"""What a turn costs: CPU of the server process, and the time from POST to the first token.

Real PostgreSQL, Valkey and uvicorn in a home folder of this run; a model of zero latency with 100 tokens, which is not
asked to word the search; follow-up questions in existing chats, search over 6,000 passages included. The server has one
core, the load and the model the other. Prints JSON: `python bench/run_turns.py [--at-once 1 16 64] [--rounds 6]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from harness import (
    Serving,
    cores,
    report,
    run_script,
    running_parts,
    serving,
    settings_environment,
    spread,
)

PASSAGES = 6_000
USERS = 8
SEED = 20


@dataclass
class Measured:
    """One level of load."""

    first_token_ms: list[float] = field(default_factory=list)
    turn_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--rounds", type=int, default=6)
    arguments = parser.parse_args()
    random.seed(SEED)
    server_core, load_core = cores()
    with ExitStack() as stack:
        parts = stack.enter_context(running_parts())
        model = stack.enter_context(serving("zero_latency_model:app", core=load_core))
        os.environ |= settings_environment(parts, **_models(f"{model.url}/v1"))
        tokens, questions = run_script("random_shelf.py", str(PASSAGES), str(USERS))
        server = stack.enter_context(serving("mundap.config.asgi:application", core=server_core))
        chats = asyncio.run(_open_chats(server.url, tokens, max(arguments.at_once)))
        levels = [
            _level(server, chats[:at_once], questions, rounds=arguments.rounds)
            for at_once in arguments.at_once
        ]
        memory = server.memory_mb()
    about = {"passages": PASSAGES, "tokens": int(os.environ.get("TOKENS", "100"))}
    results = report("run_turns.py", ["openai"], **about, server_memory_mb=memory, levels=levels)
    print(json.dumps(results, indent=2))


def _level(
    server: Serving, chats: list[OpenChat], questions: list[str], *, rounds: int
) -> dict[str, Any]:
    """Measure one question at a time in each of these chats."""
    # Once to warm up: statements are prepared, the collection's terms are read.
    asyncio.run(_load(server.url, chats, questions, rounds=_rounds(1, len(chats))))
    before = server.cpu_seconds()
    measured = asyncio.run(_load(server.url, chats, questions, rounds=_rounds(rounds, len(chats))))
    return _summary(len(chats), measured, server.cpu_seconds() - before)


def _rounds(rounds: int, at_once: int) -> int:
    """Return enough rounds for a median when few run at once."""
    return max(rounds, 30 // at_once)


def _models(url: str) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": url,
        "OPENAI_API_KEY": "none",
        "MUNDAP_CHAT_MODEL": "zero",
        "MUNDAP_EMBEDDING_BASE_URL": url,
        "MUNDAP_EMBEDDING_API_KEY": "none",
        "MUNDAP_EMBEDDING_MODEL": "zero",
        "MUNDAP_QUERY_VARIANTS": "0",
    }


# --- load


@dataclass(frozen=True)
class OpenChat:
    """A chat and its owner's token."""

    id: str
    token: str


async def _open_chats(url: str, tokens: list[str], number: int) -> list[OpenChat]:
    """Return chats that have had their first turn, and with it their title."""
    chats = []
    for index in range(number):
        token = tokens[index % len(tokens)]
        body = {"collection": "bench", "text": "How do I begin?"}
        start = await _ask(url, "/api/v1/chats/", token, body, Measured())
        chats.append(OpenChat(start["messageMetadata"]["chat"], token))
    return chats


async def _load(url: str, chats: list[OpenChat], questions: list[str], *, rounds: int) -> Measured:
    """Ask in all chats at once, `rounds` times."""
    measured = Measured()
    for _round in range(rounds):
        await asyncio.gather(
            *(
                _ask(
                    url,
                    f"/api/v1/chats/{chat.id}/turns/",
                    chat.token,
                    {"text": random.choice(questions)},
                    measured,
                )
                for chat in chats
            )
        )
    return measured


async def _ask(url: str, path: str, token: str, body: dict[str, str], measured: Measured) -> Any:
    """Post over a bare connection and read to the end; return the stream's first part."""
    host, _colon, port = url.removeprefix("http://").partition(":")
    content = json.dumps(body).encode()
    begun = time.perf_counter()
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n"
        f"Accept: text/event-stream\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    writer.write(head.encode() + content)
    first: Any = None
    seen, is_finished, status = 0.0, False, await reader.readline()
    while line := await reader.readline():
        if line.startswith(b"data: {") and first is None:
            first = json.loads(line[6:])
        if not seen and b'"text-delta"' in line:
            seen = time.perf_counter()
        is_finished = is_finished or b'"type":"finish"' in line
        if b'"type":"error"' in line:
            measured.errors.append(line.decode().strip())
    writer.close()
    if not seen or not is_finished:
        measured.errors.append(f"no answer: {status.decode().strip()}")
    else:
        measured.first_token_ms.append((seen - begun) * 1000)
        measured.turn_ms.append((time.perf_counter() - begun) * 1000)
    return first


# --- report


def _summary(at_once: int, measured: Measured, cpu_seconds: float) -> dict[str, Any]:
    turns = len(measured.turn_ms)
    return {
        "at_once": at_once,
        "turns": turns,
        "errors": len(measured.errors),
        "first_error": measured.errors[0] if measured.errors else None,
        "server_cpu_ms_per_turn": round(cpu_seconds / max(turns, 1) * 1000, 1),
        "first_token_ms": spread(measured.first_token_ms),
        "turn_ms": spread(measured.turn_ms),
    }


if __name__ == "__main__":
    main()
