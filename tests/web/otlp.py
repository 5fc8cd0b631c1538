"""A receiver of traces, by OTLP over HTTP on a real socket; it decodes what it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.serving import Quiet, in_thread


@dataclass(frozen=True)
class Span:
    """A span as it came; ids are hexadecimal."""

    name: str
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    error: str
    attributes: dict[str, Any]
    process: str
    begun: int
    ended: int


@dataclass
class Traces:
    """What has come."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def below(self, span: Span) -> list[Span]:
        children = [each for each in self.spans if each.parent == span.id]
        return sorted(children, key=lambda each: each.begun)

    def tree(self, span: Span) -> dict[str, Any]:
        """The span's children by name, each with its own."""
        return {child.name: self.tree(child) for child in self.below(span)}

    def take(self, content: bytes) -> None:
        self.received.append(content)
        for resource in ExportTraceServiceRequest.FromString(content).resource_spans:
            process = _values(resource.resource.attributes)["service.instance.id"]
            for scope in resource.scope_spans:
                self.spans += [_span(each, process) for each in scope.spans]


def _span(sent: Any, process: str) -> Span:
    return Span(
        name=sent.name,
        trace=sent.trace_id.hex(),
        id=sent.span_id.hex(),
        parent=sent.parent_span_id.hex(),
        links=tuple(link.trace_id.hex() for link in sent.links),
        error=sent.status.message,
        attributes=_values(sent.attributes),
        process=process,
        begun=sent.start_time_unix_nano,
        ended=sent.end_time_unix_nano,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@contextmanager
def receiving() -> Iterator[Traces]:
    """Receive traces until the block is left; gives what has come, and the address to send them to."""
    traces = Traces()

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            traces.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with in_thread(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        traces.url = f"http://127.0.0.1:{server.server_port}"
        yield traces
