"""A line of the log: what is in it, and what never is, whatever a library says."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import httpx2
import openai
import psycopg
import pytest
from django.db import IntegrityError
from django.test import RequestFactory
from django.urls import resolve

from mundap.config import env, logs
from mundap.errors import ConfigurationError, NotFound

SECRET = "zqxsecret"


def line(record: logging.LogRecord) -> tuple[str, dict[str, object]]:
    """The record as text and as JSON, which may not hold the secret."""
    texts = [made().format(record) for made in (logs.TextFormatter, logs.JsonFormatter)]
    assert all(SECRET not in text for text in texts), texts
    return texts[0], json.loads(texts[1])


def record(
    message: str, *args: object, name: str = "mundap.x", exc: BaseException | None = None
) -> logging.LogRecord:
    exc_info = (type(exc), exc, exc.__traceback__) if exc else None
    level = logging.WARNING
    return logging.getLogger(name).makeRecord(name, level, __file__, 1, message, args, exc_info)


def raised(*errors: Exception) -> Exception:
    """The last of these, each caused by the one before."""
    cause: Exception | None = None
    for each in errors:
        try:
            raise each from cause
        except Exception as caught:  # noqa: BLE001 - whatever a library raises
            cause = caught
    assert cause is not None
    return cause


def refusal() -> openai.BadRequestError:
    response = httpx2.Response(400, request=httpx2.Request("POST", f"http://x/{SECRET}"))
    return openai.BadRequestError(f"You said {SECRET}", response=response, body=None)


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ([ValueError(SECRET)], "ValueError"),
        ([KeyError(SECRET)], "KeyError"),
        ([NotFound(SECRET)], "mundap.errors.NotFound (not_found)"),
        ([FileNotFoundError(2, "No such file", SECRET)], "FileNotFoundError (ENOENT)"),
        ([refusal()], "openai.BadRequestError (400)"),
        ([AttributeError("'NoneType' object has no attribute 'pk'")], "no attribute 'pk'"),
        (
            [psycopg.errors.CheckViolation(SECRET), IntegrityError(SECRET)],
            "psycopg.errors.CheckViolation (23514)",
        ),
        ([ValueError(SECRET), KeyError(SECRET), RuntimeError(SECRET)], "which led to:"),
        ([ExceptionGroup(SECRET, [ValueError(SECRET), OSError(SECRET)])], "OSError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_exception_is_told_by_type_code_and_place(errors: list[Exception], told: str) -> None:
    text, document = line(record("It failed: %s", errors[-1], exc=raised(*errors)))
    assert told in text
    assert __file__ in text
    assert told in json.dumps(document["exception"])


def test_causes_that_go_in_a_circle_end() -> None:
    one, other = ValueError(SECRET), KeyError(SECRET)
    one.__cause__, other.__cause__ = other, one
    text, _document = line(record("It failed", exc=one))
    assert text.count("which led to:") == 1


def test_celery_s_words_of_a_failed_task() -> None:
    exc = raised(ValueError(SECRET))
    said = {"name": "mundap.task", "exc": repr(exc), "traceback": SECRET, "id": "1"}
    _text, document = line(
        record("Task %(name)s[%(id)s] raised: %(exc)s\n%(traceback)s", said, exc=exc)
    )
    assert document["message"] == "Task mundap.task[1] raised: ValueError\n"


def test_asyncio_s_words_of_a_task_that_nobody_waited_for() -> None:
    said = f"Task exception was never retrieved\nfuture: <Task exception=ValueError('{SECRET}')>"
    text, _document = line(record(said, name="asyncio"))
    assert text.endswith("WARNING asyncio: Task exception was never retrieved")


@pytest.mark.parametrize(
    ("path", "route"), [(f"/shared/{SECRET}/", None), (f"/{SECRET}", "unmatched")]
)
def test_django_s_words_name_the_route_and_not_the_path(path: str, route: str | None) -> None:
    request = RequestFactory().get(path)
    if route is None:
        request.resolver_match = resolve(path)
        route = request.resolver_match.view_name
    said = record("Internal Server Error: %s", path, name="django.request")
    said.request = request
    text, _document = line(said)
    assert text.endswith(f": Internal Server Error: {route}")


def test_a_line_is_one_line() -> None:
    text, document = line(record("One\r\n2026-01-01 ERROR two %s", "그래요\n"))
    assert "\n" not in text
    assert text.endswith("One\\r\\n2026-01-01 ERROR two 그래요\\n")
    assert document["message"] == "One\r\n2026-01-01 ERROR two 그래요\n"


def test_words_that_do_not_fit_are_left_out() -> None:
    assert line(record("%d %s", SECRET))[1]["message"] == "%d %s"


def test_ids_are_those_of_the_place() -> None:
    with logs.about(request="r"):
        with logs.about(turn="t"):
            text, document = line(record("inside"))
        outer = line(record("outside"))[1]
    assert "mundap.x [request=r turn=t]: inside" in text
    assert (document["request"], document["turn"]) == ("r", "t")
    assert "turn" not in outer
    assert "request" not in line(record("nowhere"))[1]


def test_other_people_s_libraries_are_not_heard_at_debug() -> None:
    made = logs.logging_settings(level="DEBUG", line="json")
    assert made["root"]["level"] == "INFO"
    assert made["loggers"]["mundap"]["level"] == "DEBUG"


@pytest.mark.parametrize(
    "text", ["9808", ":9808", "localhost:", "localhost:0", "localhost:x", "localhost:70000"]
)
def test_a_listener_that_is_none_is_refused(monkeypatch, text: str) -> None:
    monkeypatch.setenv("MUNDAP_WORKER_METRICS", text)
    with pytest.raises(ConfigurationError, match="MUNDAP_WORKER_METRICS"):
        env.listener("MUNDAP_WORKER_METRICS")


def test_what_sends_traces_is_not_imported_where_none_are_sent() -> None:
    """redis-py looks for OpenTelemetry by itself; what is ours, and what sends, stays out."""
    program = (
        "import sys, django; django.setup(); from mundap.chats import runner\n"
        "from mundap.config import tracing\n"
        "with tracing.span('x') as span: span.note({'a': 1})\n"
        "assert span is tracing.NOTHING\n"
        "assert not {'mundap.config.spans', 'opentelemetry.exporter'} & set(sys.modules)"
    )
    variables = {"DJANGO_SETTINGS_MODULE": "mundap.config.settings", "SECRET_KEY": "x"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], env=variables, capture_output=True
    )
    assert done.returncode == 0, done.stderr
