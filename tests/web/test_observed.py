"""What a server and a worker leave behind of a day: lines in the log, traces, numbers; and no word of anybody."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from django.core.management import call_command
from prometheus_client.parser import text_string_to_metric_families

from mundap.accounts.models import User
from mundap.accounts.tokens import make_token
from mundap.library.models import Collection, Run
from mundap.library.services import Label, make_reference
from mundap.retrieval.indexing import index_lexical
from tests.chats.server import serving_process, wait_for
from tests.cli.conftest import COMMAND
from tests.database import database_url
from tests.pages import add_cache_page
from tests.scripted_model import ScriptedModel
from tests.web.otlp import Traces, receiving

# Which has the database set up; the day is over before a test begins.
pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parent.parent.parent
METRICS_TOKEN = "zqxmetrics-token"
REQUEST_ID = "from-the-proxy-1"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
# What must be nowhere, by where it is put in.
SECRETS = {
    name: f"zqx{name}"
    for name in (
        "question", "answer", "title", "document", "passage", "mail", "password", "searched",
        "found", "file", "content", "broken", "echoed", "token", "shared", "path", "query",
        "collection", "json", "metrics", "reset", "agent",
    )
}  # fmt: skip


@dataclass
class Day:
    """What there is to look at afterwards."""

    server_log: list[dict[str, Any]]
    worker_log: list[dict[str, Any]]
    raw: str
    traces: Traces
    numbers: str
    worker_numbers: str
    asked: dict[str, Any]
    headers: httpx2.Headers
    run: Run
    user: User
    prompts: list[dict[str, Any]]

    def lines(self, logger: str, **facts: Any) -> list[dict[str, Any]]:
        wanted = {"logger": logger} | facts
        return [line for line in self.server_log if wanted.items() <= line.items()]


@pytest.fixture(scope="module")
def day(
    django_db_setup: None,
    django_db_blocker: Any,
    _model_server: ScriptedModel,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Day]:
    folder = tmp_path_factory.mktemp("logs")
    _model_server.reset()
    with django_db_blocker.unblock():
        try:
            yield _spend(_model_server, folder)
        finally:
            _model_server.reset()
            call_command("flush", interactive=False, verbosity=0)


def _spend(model: ScriptedModel, folder: Path) -> Day:
    user = User.objects.create_user(f"{SECRETS['mail']}@example.org", SECRETS["password"])
    shelf = Collection.objects.create(
        slug="shelf", title=SECRETS["collection"], title_no=7, visibility="everyone", state="ready"
    )
    text = f"The Redis backend keeps the cache in memory on another machine, {SECRETS['passage']}."
    add_cache_page(shelf, [text], url=f"https://docs.example.org/{SECRETS['document']}/")
    index_lexical(shelf)
    notes = make_reference(user, Label(title=f"Notes {SECRETS['title']}"))
    _token, secret = make_token(user, name="test")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        worker_place = f"127.0.0.1:{taken.getsockname()[1]}"
    variables = {
        "MUNDAP_LOG_FORMAT": "json",
        "MUNDAP_METRICS_TOKEN": METRICS_TOKEN,
        "MUNDAP_WORKER_METRICS": worker_place,
        "OPENAI_BASE_URL": model.url,
        "OPENAI_API_KEY": SECRETS["token"],
        "MUNDAP_CHAT_MODEL": "scripted",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "MUNDAP_TRACE_MODEL_CALLS": "1",
    }
    logs = {name: folder / name for name in ("server", "worker")}
    with receiving() as traces:
        variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = traces.url
        with (
            logs["server"].open("wb") as server_log,
            logs["worker"].open("wb") as worker_log,
            _worker(worker_log, variables | {"MUNDAP_LOG_LEVEL": "INFO"}),
            serving_process(
                log=server_log,
                MUNDAP_LOG_LEVEL="DEBUG",
                MUNDAP_TRUSTED_PROXIES="1",
                **variables,
            ) as process,
            httpx2.Client(base_url=process.url, timeout=20) as http,
        ):
            headers = {"Authorization": f"Bearer {secret}", "User-Agent": SECRETS["agent"]}
            asked, reply_headers = _ask(http, model, headers)
            run = _upload(http, headers, notes)
            _go_wrong(http, model, headers)
            wait_for(lambda: traces.named("run") and traces.named("title"))
            numbers = http.get("/metrics", headers=_bearer(METRICS_TOKEN)).text
            worker_url = f"http://{worker_place}/metrics"
            assert httpx2.get(worker_url).status_code == 404
            worker_numbers = httpx2.get(worker_url, headers=_bearer(METRICS_TOKEN)).text
            prompts = list(model.requests)
    raw = "".join(path.read_text() for path in logs.values())
    server_lines, worker_lines = (_parsed(path) for path in logs.values())
    return Day(
        server_lines, worker_lines, raw, traces, numbers, worker_numbers, asked, reply_headers,
        run, user, prompts,
    )  # fmt: skip


def _ask(
    http: httpx2.Client, model: ScriptedModel, headers: dict[str, str]
) -> tuple[dict[str, Any], httpx2.Headers]:
    model.say(f"redis cache backend {SECRETS['searched']}")
    model.say(f"Use the Redis backend to keep the cache in memory {SECRETS['answer']} [1].")
    model.say(f"Redis {SECRETS['title']}")
    question = f"How do I use Redis as the cache backend? {SECRETS['question']}"
    reply = http.post(
        "/api/v1/chats/",
        json={"text": question, "collection": "shelf"},
        headers=headers | {"X-Request-ID": REQUEST_ID, "traceparent": PARENT},
    )
    assert reply.status_code == 200, reply.text
    path = f"/api/v1/chats/{reply.json()['chat']}/"
    for _ in range(2):  # one through each door: the first notes that the token was used
        assert http.get(path, headers=headers).status_code == 200
    assert http.get(f"{path}?q={SECRETS['query']}", headers=headers).status_code == 200
    assert {each["traceparent"].split("-")[1] for each in model.headers} == {PARENT.split("-")[1]}
    return reply.json(), reply.headers


def _upload(http: httpx2.Client, headers: dict[str, str], notes: Collection) -> Run:
    """Give a good file and one that cannot be read, and wait for the worker."""
    files = [
        ("files", (f"{SECRETS['file']}.md", f"# {SECRETS['content']}\n\nTea.".encode())),
        ("files", (f"{SECRETS['file']}.pdf", f"%PDF-1.7 {SECRETS['broken']}".encode())),
    ]
    reply = http.post(f"/api/v1/collections/{notes.slug}/files/", files=files, headers=headers)
    assert reply.status_code == 202, reply.text
    run = Run.objects.filter(pk=reply.json()["run"]["id"])
    wait_for(lambda: run.filter(state="done").exists(), seconds=60)
    return run.get()


def _go_wrong(http: httpx2.Client, model: ScriptedModel, headers: dict[str, str]) -> None:
    """Do what leaves errors behind, each with something that must not be repeated."""
    for status in (400, 401, 429):  # a model that repeats what it was asked in its error
        model.reset()
        model.fail(status, f"I do not like {SECRETS['echoed']} and {SECRETS['question']}")
        body = {"text": f"Redis {SECRETS['question']}?", "collection": "shelf"}
        assert http.post("/api/v1/chats/", json=body, headers=headers).status_code in (502, 503)
    messages = [{"role": "user", "content": f"Redis {SECRETS['question']}?"}]
    completion = {"model": "shelf", "messages": messages}
    assert http.post("/v1/chat/completions", json=completion, headers=headers).status_code == 503
    model.reset()
    model.rubbish()
    http.post("/api/v1/chats/", json=body, headers=headers)
    for path in (
        f"/api/v1/collections/shelf/search/?q={SECRETS['searched']}",
        f"/api/v1/chats/?q={SECRETS['found']}",
        f"/shared/{SECRETS['shared']}/",
        f"/accounts/password/reset/key/1-{SECRETS['reset']}/",
        f"/{SECRETS['path']}",
        "/static/css/base.css",
    ):
        assert http.get(path, headers=headers).status_code < 500
    log_in = {"email": f"{SECRETS['mail']}@example.org", "password": SECRETS["json"]}
    assert http.post("/_allauth/app/v1/auth/login", json=log_in).status_code == 400
    form = {"login": log_in["email"], "password": SECRETS["json"]}
    assert http.post("/accounts/login/", data=form).status_code == 403
    broken = f'{{"text": "{SECRETS["json"]}'.encode()
    typed = headers | {"Content-Type": "application/json"}
    assert http.post("/api/v1/chats/", content=broken, headers=typed).status_code == 400
    wrong = _bearer(f"mundap_{SECRETS['token']}")
    assert http.get("/api/v1/chats/", headers=wrong).status_code == 401
    assert http.request("PROPFIND", "/api/v1/chats/", headers=headers).status_code == 405


@contextmanager
def _worker(log: Any, variables: dict[str, str]) -> Iterator[None]:
    with subprocess.Popen(
        [*COMMAND, "worker", "--processes", "1"],
        env=os.environ | variables | {"DATABASE_URL": database_url()},
        stderr=log,
        start_new_session=True,
    ) as process:
        try:
            yield
            process.terminate()
            assert process.wait(timeout=30) == 0
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and its clock


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _parsed(path: Path) -> list[dict[str, Any]]:
    """Every line of the log is one JSON object."""
    return [json.loads(line) for line in path.read_text().splitlines()]


# --- the log


def test_nothing_that_anybody_wrote_is_logged(day: Day) -> None:
    assert SECRETS["question"] in json.dumps(day.prompts)  # it was said
    assert not {name for name, secret in SECRETS.items() if secret in day.raw}
    assert "PROPFIND" not in day.raw


def test_each_line_says_when_how_bad_and_by_whom(day: Day) -> None:
    for line in [*day.server_log, *day.worker_log]:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{12}\+00:00", line["time"])
        assert line["level"] in {"DEBUG", "INFO", "WARNING", "ERROR"}
        assert line["logger"]
        assert line["message"]
    # What served and what worked in the background write in the same way.
    assert {line["logger"].partition(".")[0] for line in day.server_log} >= {"mundap", "uvicorn"}
    assert {line["logger"].partition(".")[0] for line in day.worker_log} >= {"mundap", "celery"}


def test_a_request_has_one_line_with_its_route_and_id(day: Day) -> None:
    assert day.headers["x-request-id"] == REQUEST_ID
    (line,) = day.lines("mundap.access", request=REQUEST_ID)
    assert (line["method"], line["route"], line["status"]) == ("POST", "chats", 200)
    assert line["user"] == str(day.user.pk)
    assert line["ms"] > 0
    routes = {(each["route"], each["status"]) for each in day.lines("mundap.access")}
    assert routes >= {("chat", 200), ("unmatched", 404), ("static", 200), ("chats", 401)}
    assert all(
        each["user"] == str(day.user.pk) for each in day.lines("mundap.access", route="chat")
    )
    assert {each["method"] for each in day.lines("mundap.access", status=405)} == {"OTHER"}


def test_a_turn_s_lines_carry_its_id_and_its_request_s(day: Day) -> None:
    lines = day.lines("mundap.chats.runner", request=REQUEST_ID)
    assert [line["turn"] for line in lines] == [day.asked["turn"]]
    assert lines[0]["message"] == "A turn ended: complete"
    warned = [line for line in day.server_log if "turn" in line and line["level"] == "WARNING"]
    assert all(line["request"] for line in warned)


def test_a_worker_s_lines_carry_the_run(day: Day) -> None:
    lines = [line for line in day.worker_log if line.get("run") == str(day.run.pk)]
    assert "A run ended: done" in [line["message"] for line in lines]


# --- traces


def test_a_turn_is_one_tree(day: Day) -> None:
    (root,) = [span for span in day.traces.spans if span.parent == PARENT.split("-")[2]]
    assert root.name == "POST chats"
    assert root.trace == PARENT.split("-")[1]
    tree = day.traces.tree(root)
    assert set(tree) == {"question", "turn", "title"}
    (turn,) = [each for each in day.traces.below(root) if each.name == "turn"]
    assert [each.name for each in day.traces.below(turn)] == [
        "rewriting", "search", "evidence", "model", "citations", "store",
    ]  # fmt: skip
    assert set(tree["turn"]["rewriting"]) == {"model"}
    assert set(tree["turn"]["search"]) >= {"search.understand", "search.find", "search.judge"}
    assert "embedding" in tree["turn"]["search"]["search.understand"]
    assert set(tree["title"]) == {"model"}
    assert turn.attributes["mundap.turn"] == day.asked["turn"]
    assert turn.attributes["mundap.state"] == "complete"
    assert turn.attributes["mundap.is_answered"] is True
    (model,) = [each for each in day.traces.below(turn) if each.name == "model"]
    assert model.attributes["gen_ai.request.model"] == "scripted"
    assert model.attributes["gen_ai.usage.output_tokens"] > 0
    for span in day.traces.below(turn):
        assert turn.begun <= span.begun <= span.ended <= turn.ended


def test_a_run_is_one_tree_over_two_processes(day: Day) -> None:
    (root,) = day.traces.named("run")
    assert root.trace == day.run.pk.hex
    assert root.parent == ""
    assert root.attributes["mundap.state"] == "done"
    children = day.traces.below(root)
    assert {span.name for span in children} == {"run.ask", "run.open", "run.pages"}
    assert len({span.process for span in children}) == 2
    (ask,) = [span for span in children if span.name == "run.ask"]
    assert ask.links  # to the request
    for span in children:
        assert root.begun <= span.begun


def test_a_failure_is_told_by_its_type(day: Day) -> None:
    errors = {span.error for span in day.traces.named("model")}
    assert "mundap.errors.ModelUnavailable (model_unavailable)" in errors


def test_traces_hold_no_texts(day: Day) -> None:
    sent = b"".join(day.traces.received)
    assert not {name for name, secret in SECRETS.items() if secret.encode() in sent}


# --- numbers


def _values(numbers: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(numbers)
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def value(day: Day) -> Callable[..., float]:
    values = _values(day.numbers)
    return lambda name, **labels: values[f"mundap_{name}", tuple(sorted(labels.items()))]


def test_what_was_done_is_counted(value: Callable[..., float]) -> None:
    assert value("turns_begun_total") == 5 + 1  # in chats, and for a program
    assert value("turns_running") == 0
    assert value("turns_ended_total", state="complete") >= 1
    assert value("answers_total", result="answered") == 1
    assert value("turn_seconds_count") == 6
    assert value("first_token_seconds_count") >= 1
    assert value("requests_total", method="POST", route="chats", status="200") == 1
    assert value("requests_total", method="OTHER", route="chats", status="405") == 1
    for purpose in ("queries", "answer", "title"):
        named = {"model": "scripted", "purpose": purpose}
        assert value("model_calls_total", result="ok", **named) == 1
        assert value("model_seconds_count", **named) >= 1
    assert value("model_calls_total", result="refused_key", **(named | {"purpose": "answer"})) == 1
    assert value("model_calls_total", result="busy", **(named | {"purpose": "queries"})) >= 1
    assert value("model_tokens_total", model="scripted", direction="prompt") == 30
    assert value("model_tokens_total", model="scripted", direction="completion") > 10
    assert value("search_seconds_count", step="find") >= 1
    assert value("logins_total", result="failed") == 1
    assert value("workers") == 1
    assert value("passages") == 2
    assert value("database_pool_max", pool="django") == 20


def test_the_worker_counts_what_it_does(day: Day) -> None:
    values = _values(day.worker_numbers)
    assert values["mundap_runs_ended_total", (("state", "done"),)] >= 1
    assert values["mundap_pages_read_total", (("state", "added"),)] == 1
    assert values["mundap_pages_read_total", (("state", "failed"),)] == 1


def test_labels_hold_neither_texts_nor_people(day: Day) -> None:
    for numbers in (day.numbers, day.worker_numbers):
        assert not {name for name, secret in SECRETS.items() if secret in numbers}
        assert str(day.user.pk) not in numbers


# --- what is shown and what raises an alarm

_NAME = re.compile(r"\b((?:mundap|process)_[a-z_]+)\b(?:\{([^}]*)\})?")
_GIVEN_BY_PROMETHEUS = {"job", "instance"}


def _expressions() -> Iterator[str]:
    alerts = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    for group in alerts["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["summary"]
            yield rule["expr"]
    dashboard = json.loads((ROOT / "deploy/grafana/mundap.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def test_what_dashboard_and_alerts_ask_for_is_shown(day: Day) -> None:
    """By a process that has answered, or a worker that has worked."""
    shown: dict[str, set[str]] = {}
    for numbers in (day.numbers, day.worker_numbers):
        for family in text_string_to_metric_families(numbers):
            # Of a counter that nothing was counted by.
            shown.setdefault(f"{family.name}_total", set())
            for sample in family.samples:
                shown.setdefault(sample.name, set()).update(sample.labels)
    asked = [found for expression in _expressions() for found in _NAME.findall(expression)]
    assert len(asked) > 50
    for name, selected in asked:
        assert name in shown, name
        labels = set(re.findall(r"(\w+)=?[=!]~?\"", selected)) - _GIVEN_BY_PROMETHEUS
        assert not shown[name] or labels <= shown[name], (name, selected)
    known = set().union(*shown.values()) | _GIVEN_BY_PROMETHEUS
    for expression in _expressions():
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            assert {label.strip() for label in grouped.split(",")} <= known, expression


def test_every_alert_and_every_number_is_explained() -> None:
    described = (ROOT / "docs/monitoring.md").read_text()
    alerts = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    names = {rule["alert"] for group in alerts["groups"] for rule in group["rules"]}
    names |= {name for expression in _expressions() for name, _labels in _NAME.findall(expression)}
    names = {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}
    assert not {name for name in names if name.startswith(("mundap", "Mundap"))} - set(
        re.findall(r"`(\w+)", described)
    )
