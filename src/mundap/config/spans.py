"""The spans of `tracing.py` by OpenTelemetry, which only this module imports; it is loaded where traces are sent.

A run's spans come from many processes. They share a trace without telling each other: its id is the run's, and so is
that of the span around them, which whoever ends the run sends.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import platform
from collections.abc import Mapping
from contextvars import ContextVar
from importlib.metadata import version
from typing import Self
from uuid import UUID

from django.conf import settings
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mundap.config import logs
from mundap.config.tracing import NOTHING, Kind, Span, Tracer, Value

_LOW = (1 << 64) - 1
_KINDS = {
    "internal": trace.SpanKind.INTERNAL,
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
}
# A block that is cancelled or left early has not failed.
_NO_FAILURES = (asyncio.CancelledError, GeneratorExit)
_propagator = TraceContextTextMapPropagator()
_wanted: ContextVar[UUID | None] = ContextVar("mundap_wanted_ids", default=None)


class _Ids(RandomIdGenerator):
    """Random ids, but for the span around a run."""

    def generate_trace_id(self) -> int:
        run = _wanted.get()
        return run.int if run else super().generate_trace_id()

    def generate_span_id(self) -> int:
        run = _wanted.get()
        return run.int & _LOW if run else super().generate_span_id()


class _Span:
    """One of OpenTelemetry's spans; current in its block unless it is a leaf."""

    def __init__(self, span: trace.Span, *, is_leaf: bool) -> None:
        self._span = span
        self._is_leaf = is_leaf
        self._token: contextvars.Token[otel_context.Context] | None = None

    def __enter__(self) -> Self:
        if not self._is_leaf:
            self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(self, _kind: object, exc: BaseException | None, _where: object) -> None:
        if self._token is not None:
            otel_context.detach(self._token)
        if exc is not None and not isinstance(exc, _NO_FAILURES):
            # Its words may repeat a text; OpenTelemetry's own way would send them.
            self._span.set_status(trace.StatusCode.ERROR, logs.what(exc))
        self._span.end()

    def note(self, attributes: Mapping[str, Value]) -> None:
        self._span.set_attributes({name: each for name, each in attributes.items() if each != ""})

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def header(self) -> dict[str, str]:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(self._span))
        return carrier


class _Tracer:
    """Makes spans and sends them, some seconds behind."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("mundap")
        self._sampler = provider.sampler

    def span(self, name: str, *, kind: Kind, parent: str, run: UUID | None, is_leaf: bool) -> Span:
        here = trace.get_current_span().get_span_context()
        if kind == "client" and not here.is_valid:
            return NOTHING  # a call by itself, as a worker's for each batch, tells nothing
        around: otel_context.Context | None = None
        links = []
        if parent:
            around = _propagator.extract({"traceparent": parent}, otel_context.Context())
        elif run:
            links = [trace.Link(here)] if here.is_valid and here.trace_id != run.int else []
            around = self._around(run)
        span = self._tracer.start_span(name, around, kind=_KINDS[kind], links=links)
        return _Span(span, is_leaf=is_leaf)

    def whole_run(self, run: UUID) -> Span:
        token = _wanted.set(run)
        try:
            begun = (run.int >> 80) * 1_000_000  # its first 48 bits are milliseconds
            span = self._tracer.start_span("run", otel_context.Context(), start_time=begun)
        finally:
            _wanted.reset(token)
        return _Span(span, is_leaf=True)

    def carry(self, context: contextvars.Context) -> None:
        context.run(otel_context.attach, otel_context.get_current())

    def _around(self, run: UUID) -> otel_context.Context:
        """Return the context of the span around the run's others, sampled as that will be."""
        decision = self._sampler.should_sample(None, run.int, "run").decision
        flags = trace.TraceFlags(int(decision is Decision.RECORD_AND_SAMPLE))
        found = trace.SpanContext(run.int, run.int & _LOW, is_remote=True, trace_flags=flags)
        return trace.set_span_in_context(trace.NonRecordingSpan(found), otel_context.Context())


def open_tracer() -> Tracer:
    """Return the tracer; its exporter reads OpenTelemetry's own variables. What is left is sent when we end."""
    resource = Resource.create(
        {
            "service.name": settings.TRACES_SERVICE_NAME,
            "service.version": version("mundap"),
            "service.instance.id": f"{platform.node()}:{os.getpid()}",
        }
    )
    provider = TracerProvider(resource=resource, id_generator=_Ids())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return _Tracer(provider)
