"""What counting, logging and tracing cost a request, at the front door of a cached read and through Django.

One server process at a time is asked, on a core of its own, by wrk; in each repetition each has its turn. What counts
is the processor time a request. Prints JSON: `python bench/run_observed.py [--repetitions 7] [--seconds 2]`.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import (
    Load,
    Serving,
    cores,
    load,
    middle,
    report,
    run_script,
    running_parts,
    serving,
    settings_environment,
    summary,
)

PACKAGES = ("uvicorn", "prometheus-client", "opentelemetry-sdk")
OURS, BARE = "mundap.config.asgi:application", "unobserved_app:application"


def main() -> None:
    arguments = _arguments()
    with ExitStack() as stack:
        os.environ |= settings_environment(stack.enter_context(running_parts()))
        (user,) = run_script("random_chats.py", "1x40x600")["users"]
        sink = stack.enter_context(_sink())
        nowhere = stack.enter_context(open(os.devnull, "wb"))  # noqa: PTH123
        logged = {"MUNDAP_LOG_LEVEL": "INFO", "MUNDAP_LOG_FORMAT": "json"}
        servers = {
            name: stack.enter_context(
                serving(application, core=cores()[0], environment=more, log=nowhere)
            )
            for name, application, more in (
                ("not observed", BARE, {}),
                ("counted", OURS, {}),
                ("counted and logged", OURS, logged),
                ("counted and traced", OURS, {"OTEL_EXPORTER_OTLP_ENDPOINT": sink}),
            )
        }
        paths = {"front": f"/api/v1/chats/{user['chats'][0]}/", "django": "/api/v1/collections/"}
        measured = {
            door: _measure(servers, path, user["token"], arguments) for door, path in paths.items()
        }
        memory = {name: server.memory_mb() for name, server in servers.items()}
    results = {"doors": measured, "memory_mb": memory}
    print(json.dumps(report("run_observed.py", PACKAGES, **results), indent=2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2)
    return parser.parse_args()


def _measure(
    servers: dict[str, Serving], path: str, token: str, arguments: argparse.Namespace
) -> dict[str, object]:
    loads: defaultdict[str, list[Load]] = defaultdict(list)
    for repetition in range(arguments.repetitions + 1):
        for name, server in servers.items():
            headers = {"Authorization": f"Bearer {token}"}
            seconds = arguments.seconds if repetition else 1  # the first is to warm up
            seen = load(server, path, headers=headers, connections=16, seconds=seconds)
            assert seen.errors == 0, (name, seen)
            if repetition:
                loads[name].append(seen)
    bare = loads["not observed"]
    added = {
        name: middle(a.server_cpu_us - b.server_cpu_us for a, b in zip(found, bare, strict=True))
        for name, found in loads.items()
        if found is not bare
    }
    return {name: summary(each) for name, each in loads.items()} | {"added_cpu_us": added}


@contextmanager
def _sink() -> Iterator[str]:
    """Take traces, and do nothing with them."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *said: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


if __name__ == "__main__":
    main()
