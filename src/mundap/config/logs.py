"""What a line of the log is: when, how bad, who says it, which request, turn or run it is about, and what happened.

Never what anybody wrote: neither texts nor titles, names of files, keys, tokens or addresses. What libraries say of an
exception may repeat all of these, so of an exception its type, its code and its place are logged, and not its words.
"""

from __future__ import annotations

import errno
import json
import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from django.http import HttpRequest

from mundap.errors import MundapError

_NOBODY: Mapping[str, str] = MappingProxyType({})
ids: ContextVar[Mapping[str, str]] = ContextVar("mundap_log_ids", default=_NOBODY)
"""What the lines of this context are about: `request`, `turn`, `run`, each an id."""

# Built-in ones that speak of code, and of values only by their type.
_ABOUT_CODE = (AttributeError, ImportError, NameError, NotImplementedError, TypeError)


@contextmanager
def about(**named: object) -> Iterator[None]:
    """Let the lines of the block carry these ids, beside those they have."""
    token = ids.set({**ids.get(), **{name: str(each) for name, each in named.items()}})
    try:
        yield
    finally:
        ids.reset(token)


def route_of(request: HttpRequest) -> str:
    """Return the name of the route that a request took; its path may hold what is nobody's business."""
    match = request.resolver_match
    if match is None:
        return "static" if request.path_info.startswith("/static/") else "unmatched"
    return match.view_name or match.route


def what(exc: BaseException) -> str:
    """Return the exception's type, and its code where it has one."""
    kind = type(exc)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    code: object = None
    if isinstance(exc, MundapError):
        code = exc.code
    elif kind in _ABOUT_CODE:
        code = exc
    elif isinstance(exc, OSError) and exc.errno:
        code = errno.errorcode.get(exc.errno, exc.errno)
    else:
        code = getattr(exc, "sqlstate", None) or getattr(exc, "status_code", None)
    return f"{name} ({code})" if code else name


def _trace(exc: BaseException, seen: set[int]) -> Iterator[str]:
    """Yield the lines of a traceback, its causes first."""
    seen.add(id(exc))
    earlier = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    if earlier is not None and id(earlier) not in seen:
        yield from _trace(earlier, seen)
        yield "which led to:"
    for entry in traceback.format_tb(exc.__traceback__):
        yield from entry.rstrip().splitlines()
    yield what(exc)
    for each in getattr(exc, "exceptions", ()):  # of a group
        if isinstance(each, BaseException) and id(each) not in seen:
            yield from _trace(each, seen)


def _message(record: logging.LogRecord) -> str:
    try:
        return _said(record)
    except (KeyError, TypeError, ValueError):
        # Words that do not fit; logging's own way would show them all.
        return str(record.msg)


def _said(record: logging.LogRecord) -> str:
    """Return what a record says, without what it must not."""
    if record.name == "asyncio":  # the lines after the first show the task with its exception
        return record.getMessage().partition("\n")[0]
    args = record.args
    if isinstance(args, Mapping):
        if exc := record.exc_info and record.exc_info[1]:  # Celery's, with its words
            args = {**args, "exc": what(exc), "traceback": ""}
        return str(record.msg) % args
    if not args:
        return str(record.msg)
    request = getattr(record, "request", None)
    return str(record.msg) % tuple(_plain(each, request) for each in args)


def _plain(value: object, request: object) -> object:
    if isinstance(value, BaseException):
        return what(value)
    if isinstance(request, HttpRequest) and isinstance(value, str) and value.startswith("/"):
        return route_of(request)
    return value


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _facts(record: logging.LogRecord) -> Mapping[str, Any]:
    """Return what a record gives as values: `extra={"facts": {…}}`."""
    facts: Mapping[str, Any] = getattr(record, "facts", _NOBODY)
    return facts


def _exception(record: logging.LogRecord) -> list[str]:
    exc = record.exc_info and record.exc_info[1]
    return list(_trace(exc, set())) if exc else []


class TextFormatter(logging.Formatter):
    """A line for people: `time LEVEL logger [request=… turn=…]: message`, a traceback indented below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        named = " ".join(f"{name}={each}" for name, each in ids.get().items())
        where = f"{record.name} [{named}]" if named else record.name
        message = _message(record).replace("\n", "\\n").replace("\r", "\\r")
        line = f"{_time(record)} {record.levelname} {where}: {message}"
        return "\n    ".join([line, *_exception(record)])


class JsonFormatter(logging.Formatter):
    """A line for programs: one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            **ids.get(),
            **_facts(record),
        }
        if exception := _exception(record):
            line["exception"] = exception
        return json.dumps(line, ensure_ascii=False, default=str)


FORMATS: Mapping[str, type[logging.Formatter]] = {"text": TextFormatter, "json": JsonFormatter}


# What does not follow from the level that is set.
_LOGGERS: Mapping[str, Mapping[str, Any]] = {
    # A client's own mistakes (401, 404 …) are answered, and stand in the access log.
    "django.request": {"level": "ERROR"},
    "django.security.DisallowedHost": {"level": "CRITICAL"},
    # A line for each call of a model, which is counted instead.
    "httpx2": {"level": "WARNING"},
    # The clock's hints, several lines a second; what fails is an error.
    "celery.app.trace": {"level": "WARNING"},
    "celery.beat": {"level": "WARNING"},
    "celery.worker.strategy": {"level": "WARNING"},
    # The access log is ours (config/observed.py); all else comes here, in one format.
    "uvicorn": {"handlers": [], "propagate": True},
    "uvicorn.access": {"handlers": [], "level": "WARNING", "propagate": True},
}


def logging_settings(*, level: str, line: str) -> dict[str, Any]:
    """Return Django's LOGGING: everything to standard error, in the format `line`, from `level` on."""
    formatter = FORMATS[line]
    # Other people's libraries write down whole requests at DEBUG, with all that is in them.
    others = "INFO" if level == "DEBUG" else level
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"{formatter.__module__}.{formatter.__qualname__}"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": others},
        "loggers": {
            **_LOGGERS,
            "mundap": {"level": level},
            "uvicorn.error": {"handlers": [], "level": others, "propagate": True},
        },
    }
