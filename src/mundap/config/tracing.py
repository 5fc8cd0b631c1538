"""Spans: how long each step of an answer took, sent to where `OTEL_EXPORTER_OTLP_ENDPOINT` says.

Where it says nothing, a span is one and the same object that does nothing, and OpenTelemetry is not even imported
(`spans.py` does that). Spans carry ids, counts, times and names of models, never a text.
"""

from __future__ import annotations

import contextvars
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Literal, Protocol, Self, cast
from uuid import UUID

from django.conf import settings

from mundap.config import logs

Value = str | int | float | bool
Kind = Literal["internal", "server", "client"]


class Span(AbstractContextManager["Span", None], Protocol):
    """A step, from entering the block to leaving it."""

    def note(self, attributes: Mapping[str, Value]) -> None:
        """Add attributes; empty ones are left out."""

    def rename(self, name: str) -> None:
        """Give it another name."""

    def header(self) -> dict[str, str]:
        """Return the header that lets another process continue it."""


class _Nothing(AbstractContextManager["Span", None]):
    """A span where no traces are sent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def note(self, attributes: Mapping[str, Value]) -> None:
        """Do nothing."""

    def rename(self, name: str) -> None:
        """Do nothing."""

    def header(self) -> dict[str, str]:
        """Return nothing."""
        return {}


NOTHING: Span = _Nothing()


class Tracer(Protocol):
    """What `spans.py` makes of the settings."""

    def span(self, name: str, *, kind: Kind, parent: str, run: UUID | None, is_leaf: bool) -> Span:
        """Return a new span."""

    def whole_run(self, run: UUID) -> Span:
        """Return the span around a run's others."""

    def carry(self, context: contextvars.Context) -> None:
        """Let what runs in the context have the present span around it."""


def is_on() -> bool:
    """Whether traces are sent anywhere."""
    return bool(settings.TRACES_ENDPOINT)


@cache
def _tracer() -> Tracer:
    return cast("Tracer", import_module("mundap.config.spans").open_tracer())


def span(
    name: str,
    attributes: Mapping[str, Value] = MappingProxyType({}),
    *,
    kind: Kind = "internal",
    parent: str = "",
    run: UUID | None = None,
    is_leaf: bool = False,
) -> Span:
    """Return a span of what the block does, within the one around it, `parent` (a traceparent) or a run's trace.

    A leaf has none within it. A block that yields from a generator must be one: it may be left from another context.
    """
    if not is_on():
        return NOTHING
    made = _tracer().span(name, kind=kind, parent=parent, run=run, is_leaf=is_leaf)
    made.note(attributes)
    return made


def note_run(run: UUID, attributes: Mapping[str, Value]) -> None:
    """Send the span around a run's others, once it is over: it began when its id, a UUIDv7, was made."""
    if is_on():
        with _tracer().whole_run(run) as made:
            made.note(attributes)


def context_of_its_own() -> contextvars.Context:
    """Return a context for a task that outlives its request: nothing of that but the ids in the log, and the span."""
    context = contextvars.Context()
    context.run(logs.ids.set, logs.ids.get())
    if is_on():
        _tracer().carry(context)
    return context
