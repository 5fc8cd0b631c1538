"""How long the first page of the list of chats takes at 10, 1,000 and 10,000 chats, beside the original; and search.

Chats of 40 messages of 600 characters, one after the other over one connection; the first request of each is not
counted. In each repetition every size and every server has its turn. Prints JSON:
`python bench/run_chat_list.py [--chats 10 1000 10000] [--repetitions 5] [--requests 40] [--peers FOLDER]`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import peers
from harness import (
    Parts,
    Serving,
    cores,
    middle,
    report,
    run_script,
    running_parts,
    serving,
    settings_environment,
)

MESSAGES, CHARACTERS = 40, 600
# The original reads every chat with all its text: more than a few requests of 1,000 chats would only take time.
ORIGINAL_REQUESTS = {10: 20, 1_000: 2}
# Words that random_chats.py put there, and how many chats of a page have them.
SEARCHES = {
    "absent": ("qwertzuiop", 0),
    "in one chat": ("zyxomatic", 1),
    "common": ("settings", 30),
    "two words": ("settings zyxomatic", 1),
    "Korean, in one chat": ("늑대거북", 1),
    "Korean, common": ("캐시", 30),
}
LIST, SESSIONS = "/api/v1/chats/", "/api/v1/chatbot/sessions/"


@dataclass(frozen=True)
class Case:
    """A request that is timed, and how often in a repetition."""

    name: str
    chats: int
    server: Serving
    path: str
    headers: Mapping[str, str]
    requests: int
    status: int = 200


@dataclass(frozen=True)
class Timed:
    """The median of one repetition's requests, what they cost the server, and the length of a reply."""

    ms: float
    server_cpu_ms: float
    reply_bytes: int


def main() -> None:
    arguments = _arguments()
    core = cores()[0]
    folder = peers.find_peers(arguments.peers)
    with ExitStack() as stack:
        parts = stack.enter_context(running_parts())
        os.environ |= settings_environment(parts)
        sizes = [f"{chats}x{MESSAGES}x{CHARACTERS}" for chats in arguments.chats]
        filled = run_script("random_chats.py", *sizes)
        ours = stack.enter_context(serving("mundap.config.asgi:application", core=core))
        cases = []
        for chats, user in zip(arguments.chats, filled["users"], strict=True):
            headers = {"Authorization": f"Bearer {user['token']}"}
            cases += _list_cases(ours, chats, headers, arguments.requests)
            if chats == max(arguments.chats):
                cases += _search_cases(ours, chats, headers, arguments.requests)
        if folder:
            cases += _original_cases(stack, folder, parts, core=core)
        timed = _measure(cases, arguments.repetitions)
    results = {
        "messages_a_chat": MESSAGES,
        "characters_a_message": CHARACTERS,
        "indexed_for_search": filled["indexed"],
        "peers": "beside ours" if folder else "left out: their folder was not found",
        "first_page": _tables(timed),
        "ratios": _ratios(timed, arguments.chats),
    }
    print(json.dumps(report("run_chat_list.py", (), **results), indent=2, ensure_ascii=False))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chats", type=int, nargs="+", default=[10, 1_000, 10_000])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--requests", type=int, default=40)
    peers.add_argument(parser)
    return parser.parse_args()


# --- what is asked


def _list_cases(
    server: Serving, chats: int, headers: Mapping[str, str], requests: int
) -> list[Case]:
    page, etag = _read_page(server, headers)
    assert len(page["results"]) == min(chats, 30)
    assert (page["next"] is None) == (chats <= 30)
    known = {**headers, "If-None-Match": etag}
    return [
        Case("list_200", chats, server, LIST, headers, requests),
        Case("list_304", chats, server, LIST, known, requests, status=304),
        Case("classic_sessions", chats, server, SESSIONS, headers, max(requests // 4, 1)),
    ]


def _search_cases(
    server: Serving, chats: int, headers: Mapping[str, str], requests: int
) -> list[Case]:
    cases = []
    for name, (words, expected) in SEARCHES.items():
        path = f"{LIST}?q={quote(words)}"
        page, _etag = _read_page(server, headers, path)
        assert len(page["results"]) == min(expected, chats), (name, len(page["results"]))
        cases.append(Case(f"search: {name}", chats, server, path, headers, max(requests // 4, 1)))
    return cases


def _original_cases(stack: ExitStack, folder: Path, parts: Parts, *, core: int) -> list[Case]:
    cases = []
    for number, (chats, requests) in enumerate(ORIGINAL_REQUESTS.items()):
        peer = stack.enter_context(
            peers.original(folder, parts, core=core, number=number, chats=chats, messages=MESSAGES)
        )
        cases.append(
            Case("original_sessions", chats, peer.server, "/sessions/", peer.headers, requests)
        )
    return cases


def _read_page(
    server: Serving, headers: Mapping[str, str], path: str = LIST
) -> tuple[dict[str, Any], str]:
    connection = _connect(server)
    connection.request("GET", path, headers=dict(headers))
    response = connection.getresponse()
    assert response.status == 200, response.status
    page: dict[str, Any] = json.loads(response.read())
    connection.close()
    return page, response.getheader("ETag", "")


# --- measuring


def _measure(cases: list[Case], repetitions: int) -> dict[str, dict[int, list[Timed]]]:
    timed: dict[str, dict[int, list[Timed]]] = defaultdict(lambda: defaultdict(list))
    for _repetition in range(repetitions):
        for case in cases:
            timed[case.name][case.chats].append(_time(case))
    return timed


def _time(case: Case) -> Timed:
    connection = _connect(case.server)
    length = _ask(connection, case)
    before = case.server.cpu_seconds()
    moments = [time.perf_counter()]
    for _request in range(case.requests):
        assert _ask(connection, case) == length
        moments.append(time.perf_counter())
    used = case.server.cpu_seconds() - before
    connection.close()
    milliseconds = [(end - begin) * 1000 for begin, end in pairwise(moments)]
    return Timed(statistics.median(milliseconds), used / case.requests * 1000, length)


def _ask(connection: http.client.HTTPConnection, case: Case) -> int:
    connection.request("GET", case.path, headers=dict(case.headers))
    response = connection.getresponse()
    content = response.read()
    assert response.status == case.status, (case.name, response.status)
    return len(content)


def _connect(server: Serving) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)


# --- report


def _tables(timed: Mapping[str, Mapping[int, list[Timed]]]) -> dict[str, Any]:
    return {
        name: {
            str(chats): {
                "ms": middle(each.ms for each in runs),
                "server_cpu_ms": middle(each.server_cpu_ms for each in runs),
                "reply_bytes": runs[0].reply_bytes,
            }
            for chats, runs in by_chats.items()
        }
        for name, by_chats in timed.items()
    }


def _ratios(
    timed: Mapping[str, Mapping[int, list[Timed]]], sizes: list[int]
) -> dict[str, dict[str, float]]:
    """Return how times compare, by the repetitions' own ratios; the slowest size against the fastest first."""
    ratios = {}
    for name in ("list_200", "list_304"):
        by_repetition = zip(*(timed[name][chats] for chats in sizes), strict=True)
        ratios[f"{name}: slowest size / fastest size"] = middle(
            max(each.ms for each in runs) / min(each.ms for each in runs) for runs in by_repetition
        )
    for chats, runs in timed.get("original_sessions", {}).items():
        for name in ("list_200", "classic_sessions"):
            if chats in timed[name]:
                ratios[f"original_sessions / {name} at {chats} chats"] = middle(
                    original.ms / mine.ms
                    for original, mine in zip(runs, timed[name][chats], strict=True)
                )
    return ratios


if __name__ == "__main__":
    main()
