"""How several server processes behind nginx bear a crowd that chats, and what becomes of it when Redis and a node die.

Three `mundap web` behind Debian's nginx with the configuration that is shipped (TLS included), one PostgreSQL, one
Valkey, a model of 20 tokens a second; the crowd is `chatting.py`. Nothing is pinned: all of it, the crowd as well,
shares the machine. Three parts: `calm`; `faults`, with the same crowd while Redis is killed and started again twice
and one node is killed and started again; `steps`, with people who think less and less. After each, what people were
told is compared with what is stored: each question once, with one answer, in the words that were read.
Prints JSON: `python bench/run_load.py [--people 200] [--seconds 300] [--think 20 60] [--parts calm,faults,steps]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
import psycopg
import redis
from tests.faults.redis_server import RedisServer
from tests.nodes.nginx import Nginx, nginx
from tests.nodes.processes import WebProcess

from harness import HERE, Parts, report, rounded, run_script, settings_environment, spread
from mundap.embedded import supervisor

NODES = 3
PASSAGES = 1_000
MODEL_PORT = 18_765
TOKENS, TOKENS_A_SECOND = 200, 20
STEPS = ((10, 30), (5, 15), (2, 6), (0, 2))  # seconds that people think, at least and at most
STEP_SECONDS = 30
SAMPLE_SECONDS = 2.0
AWAY_SECONDS = 5.0  # that Redis is, and that the killed node is
FAULTS = ((0.15, "redis"), (0.4, "node"), (0.7, "redis"))  # after which share of the time
PACKAGES = ("locust", "openai", "uvloop", "httptools", "redis")


@dataclass
class Stage:
    """Everything that runs but the crowd."""

    home: Path
    database: str
    redis: RedisServer
    nodes: list[WebProcess]
    front: Nginx
    model: int  # its process
    login: str = field(repr=False)  # tokens and questions, as the crowd reads them

    def groups(self) -> dict[str, list[psutil.Process]]:
        """Return the processes by what they are."""
        postgres = int((self.home / "run" / "postgres.lock").read_text())
        return {
            "servers": [psutil.Process(node.pid) for node in self.nodes if node.is_alive],
            "nginx": _family(psutil.Process(self.front.pid)),
            "postgres": _family(psutil.Process(postgres)),
            "redis": [psutil.Process(self.redis.pid)] if self.redis.pid else [],
            "model": [psutil.Process(self.model)],
        }


def main() -> None:
    arguments = _arguments()
    with running_stage(arguments.people) as stage:
        results: dict[str, Any] = {}
        for part in arguments.parts.split(","):
            print(f"--- {part}", file=sys.stderr)
            if part == "steps":
                results[part] = [
                    _part(stage, arguments.people, arguments.step_seconds, think=think)
                    for think in STEPS
                ]
            else:
                thread = _faults(stage, arguments.seconds) if part == "faults" else None
                results[part] = _part(
                    stage, arguments.people, arguments.seconds, think=arguments.think
                )
                if thread:
                    thread.join()
            print(json.dumps(results[part]), file=sys.stderr)
    print(
        json.dumps(
            report(
                "run_load.py",
                PACKAGES,
                nginx=_nginx_version(),
                nodes=NODES,
                passages=PASSAGES,
                tokens_an_answer=TOKENS,
                tokens_per_second=TOKENS_A_SECOND,
                **results,
            ),
            indent=2,
        )
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--step-seconds", type=float, default=STEP_SECONDS)
    parser.add_argument("--think", type=float, nargs=2, default=(20, 60), metavar="SECONDS")
    parser.add_argument("--parts", default="calm,faults,steps")
    return parser.parse_args()


# --- what runs


@contextmanager
def running_stage(people: int) -> Iterator[Stage]:
    """Run it in a home of its own."""
    home = Path(tempfile.mkdtemp(prefix="mundap-load-"))
    home.chmod(0o711)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        parts = stack.enter_context(
            supervisor.running(home, postgres=True, valkey=False, embeddings=False)
        )
        place = home / "redis"
        place.mkdir()
        redis = stack.enter_context(RedisServer(place))
        model = stack.enter_context(_running_model())
        url = f"http://127.0.0.1:{MODEL_PORT}/v1"
        environment = _environment(home, parts.database_url or "", redis.url, url)
        os.environ |= environment
        login = run_script("random_shelf.py", str(PASSAGES), str(people))
        log = home / "nodes.log"
        nodes = [WebProcess(number, environment=environment, log=log) for number in range(NODES)]
        for node in nodes:
            node.launch()
            stack.callback(node.kill)
        _until_ready(nodes)
        place = home / "nginx"
        place.mkdir()
        front = stack.enter_context(nginx(place, [node.port for node in nodes]))
        yield Stage(
            home, parts.database_url or "", redis, nodes, front, model.pid, json.dumps(login)
        )


def _environment(home: Path, database: str, redis: str, model: str) -> dict[str, str]:
    """Return what each node is told: nothing of the limits that are shipped is changed, but who is asked how often."""
    given = settings_environment(Parts(home, database, redis))
    for name in ("MUNDAP_TURNS_PER_USER", "MUNDAP_TURNS_PER_PROCESS"):
        del given[name]
    return given | {
        "OPENAI_BASE_URL": model,
        "OPENAI_API_KEY": "none",
        "MUNDAP_CHAT_MODEL": "bench",
        "MUNDAP_EMBEDDING_BASE_URL": model,
        "MUNDAP_EMBEDDING_API_KEY": "none",
        "MUNDAP_EMBEDDING_MODEL": "bench",
        "MUNDAP_QUERY_VARIANTS": "0",
        "MUNDAP_TRUSTED_PROXIES": "1",
        "MUNDAP_TOKEN_KEY": "for-the-load-only-0123456789-abcdefghijklmnopqrs",
        "MUNDAP_CACHE_KEY": "for-the-load-only-9876543210-abcdefghijklmnopqrs",
    }


@contextmanager
def _running_model() -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "uvicorn", "paced_model:app", "--port", str(MODEL_PORT)]
    pace = {"TOKENS": str(TOKENS), "TOKENS_PER_SECOND": str(TOKENS_A_SECOND)}
    with subprocess.Popen(
        [*command, "--log-level", "error", "--no-access-log"], cwd=HERE, env=os.environ | pace
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _until_ready(nodes: Sequence[WebProcess]) -> None:
    asyncio.run(_all_ready(nodes))


async def _all_ready(nodes: Sequence[WebProcess]) -> None:
    await asyncio.gather(*(node.until_ready() for node in nodes))


def _faults(stage: Stage, seconds: float) -> threading.Thread:
    """Let things die while people chat, each for a while."""

    def happen() -> None:
        begun = time.monotonic()
        for share, what in FAULTS:
            time.sleep(max(begun + share * seconds - time.monotonic(), 0))
            print(f"{what} is killed", file=sys.stderr)
            if what == "redis":
                stage.redis.kill()
                time.sleep(AWAY_SECONDS)
                stage.redis.start()
            else:
                stage.nodes[0].kill()
                time.sleep(AWAY_SECONDS)
                stage.nodes[0].launch()

    thread = threading.Thread(target=happen)
    thread.start()
    return thread


# --- a part


def _part(
    stage: Stage, people: int, seconds: float, *, think: tuple[float, float]
) -> dict[str, Any]:
    """Let the crowd chat, and return what it met, what it cost and what is stored of it."""
    history = stage.home / f"history-{time.monotonic():.0f}.jsonl"
    words = [stage.front.url, str(stage.front.certificate), str(people), str(seconds)]
    command = [sys.executable, "chatting.py", *words, *map(str, think), str(history)]
    usage = Usage(stage)
    with subprocess.Popen(command, cwd=HERE, stdin=subprocess.PIPE) as crowd:
        assert crowd.stdin
        crowd.stdin.write(stage.login.encode())
        crowd.stdin.close()
        usage.watch(psutil.Process(crowd.pid), seconds)
        crowd.wait()
    assert crowd.returncode == 0, "the crowd has failed"
    records = [json.loads(line) for line in history.read_text().splitlines()]
    answers = [each for each in records if each["kind"] == "answer"]
    return {
        "people": people,
        "seconds": seconds,
        "think_seconds": list(think),
        **_met(records, answers, seconds),
        **usage.summary(len(answers)),
        "kept": _kept(stage, answers),
    }


def _met(
    records: list[dict[str, Any]], answers: list[dict[str, Any]], seconds: float
) -> dict[str, Any]:
    failed = [each for each in records if each["kind"] == "failed"]
    firsts = [each["first_token"] * 1000 for each in answers if each["first_token"] is not None]
    return {
        "answers": len(answers),
        "answers_per_second": rounded(len(answers) / seconds),
        "states": dict(Counter(each["state"] for each in answers)),
        "errors": len(failed),
        "errors_by_kind": dict(Counter(f"{each['name']}: {each['what']}" for each in failed)),
        "first_token_ms": spread(firsts),
        "token_delay_ms": spread(delay for each in answers for delay in each["delays_ms"]),
        "read_ms": {
            name: spread(
                each["seconds"] * 1000
                for each in records
                if each["kind"] == "read" and each["name"] == name
            )
            for name in ("list", "chat")
        },
    }


def _kept(stage: Stage, answers: list[dict[str, Any]]) -> dict[str, int]:
    """Compare what people were told with what is stored, offline."""
    with psycopg.connect(stage.database) as connection:
        stored = {
            str(key): (status, question, copies, answers_, text)
            for key, status, question, copies, answers_, text in connection.execute(
                """
                SELECT turn.idempotency_key, turn.status, question.text,
                    (SELECT count(*) FROM chats_message AS each WHERE each.text = question.text),
                    (SELECT count(*) FROM chats_message AS each WHERE each.turn_id = turn.id AND role = 'assistant'),
                    answer.text
                FROM chats_turn AS turn
                    JOIN chats_message AS question ON question.id = turn.question_id
                    JOIN chats_message AS answer ON answer.id = turn.answer_id
                WHERE turn.idempotency_key = ANY(%s)
                """,
                [[each["key"] for each in answers]],
            )
        }
    acknowledged = [each for each in answers if each["turn"]]
    found = [(each, stored.get(each["key"])) for each in acknowledged]
    return {
        "acknowledged": len(acknowledged),
        "never_acknowledged": len(answers) - len(acknowledged),
        "lost": sum(row is None or row[1] != each["question"] for each, row in found),
        "doubled": sum(row is not None and (row[2], row[3]) != (1, 1) for _each, row in found),
        "not_final": sum(row is not None and row[0] == "running" for _each, row in found),
        "other_words": sum(
            row is not None and each["is_ended"] and row[4] != each["text"] for each, row in found
        ),
        "not_ended_for_reader": sum(not each["is_ended"] for each in acknowledged),
    }


# --- what it costs


@dataclass
class Sample:
    """How much was in use at a moment."""

    at: float
    cpu: dict[str, float]
    memory_mb: dict[str, float]
    busy: float
    running: int
    database: dict[str, float]
    redis_clients: int


class Usage:
    """Samples of all processes while a crowd is there."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._cpu: dict[str, dict[int, float]] = {}
        self.samples: list[Sample] = []

    def watch(self, crowd: psutil.Process, seconds: float) -> None:
        """Take samples for so long."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and crowd.is_running():
            self.samples.append(self._sample(crowd))
            time.sleep(SAMPLE_SECONDS)

    def _sample(self, crowd: psutil.Process) -> Sample:
        memory = {}
        for name, processes in (self._stage.groups() | {"crowd": [crowd]}).items():
            memory[name] = 0.0
            for process in processes:
                try:
                    times, used = process.cpu_times(), process.memory_info()
                except psutil.NoSuchProcess:  # a backend of PostgreSQL's that has ended
                    continue
                # Those that ended keep what they had used.
                self._cpu.setdefault(name, {})[process.pid] = times.user + times.system
                # PostgreSQL's processes share most of what is resident: counted once.
                memory[name] += (used.rss - used.shared) / 2**20
        whole = psutil.cpu_times()
        running, database = self._database()
        return Sample(
            at=time.monotonic(),
            cpu={name: sum(each.values()) for name, each in self._cpu.items()},
            memory_mb=memory,
            busy=sum(whole) - whole.idle - whole.iowait,
            running=running,
            database=database,
            redis_clients=self._redis_clients(),
        )

    def _database(self) -> tuple[int, dict[str, float]]:
        with psycopg.connect(self._stage.database) as connection:
            row = connection.execute(
                """
                SELECT (SELECT count(*) FROM chats_turn WHERE status = 'running'),
                    (SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND pid <> pg_backend_pid()),
                    xact_commit, tup_inserted, tup_updated, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')
                FROM pg_stat_database WHERE datname = current_database()
                """
            ).fetchone()
        assert row is not None
        running, connections, commits, inserted, updated, wal = row
        return running, {
            "connections": connections,
            "commits": commits,
            "rows_inserted": inserted,
            "rows_updated": updated,
            "wal_bytes": float(wal),
        }

    def _redis_clients(self) -> int:
        try:
            with self._stage.redis.client() as client:
                return len(client.client_list()) - 1
        except redis.RedisError:
            return 0

    def summary(self, answers: int) -> dict[str, Any]:
        """Return the shares of cores, memory, connections and writes; and what one answer and one person cost."""
        first, last = self.samples[0], self.samples[-1]
        seconds = last.at - first.at
        cpu = {name: last.cpu[name] - first.cpu.get(name, 0) for name in last.cpu}
        running = max(each.running for each in self.samples)
        memory = {
            name: {
                "at first": rounded(first.memory_mb[name]),
                "most": rounded(max(each.memory_mb[name] for each in self.samples)),
            }
            for name in first.memory_mb
        }
        grown = memory["servers"]["most"] - memory["servers"]["at first"]
        ours = ("servers", "nginx", "postgres", "redis")
        return {
            "running_answers": {
                "median": statistics.median(each.running for each in self.samples),
                "most": running,
            },
            "cores_busy": rounded((last.busy - first.busy) / seconds),
            "cpu_share_of_a_core": {name: rounded(used / seconds) for name, used in cpu.items()},
            "cpu_ms_an_answer": {
                name: rounded(cpu[name] * 1000 / max(answers, 1)) for name in ours
            },
            "memory_mb": memory,
            "memory_kb_a_running_answer": rounded(grown * 1024 / max(running, 1)),
            "postgres_connections": max(each.database["connections"] for each in self.samples),
            "redis_connections": max(each.redis_clients for each in self.samples),
            "database_per_second": {
                name: rounded((last.database[name] - first.database[name]) / seconds)
                for name in ("commits", "rows_inserted", "rows_updated", "wal_bytes")
            },
        }


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _nginx_version() -> str:
    done = subprocess.run(["/usr/sbin/nginx", "-v"], check=True, capture_output=True, text=True)
    return done.stderr.strip().rpartition("/")[2]


if __name__ == "__main__":
    main()
