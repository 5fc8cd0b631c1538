"""What this process counts about itself, for Prometheus (`/metrics`). `config/metrics.py` names what is counted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import REGISTRY
from rest_framework.exceptions import MethodNotAllowed

from mundap.config.exceptions import ErrorReply, respond
from mundap.errors import ConfigurationError
from mundap.web.backlog import BacklogCollector, PoolCollector

REGISTRY.register(BacklogCollector())
REGISTRY.register(PoolCollector())
_SENT_BY_PROXIES = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")


@csrf_exempt
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer this process's numbers, in the format that is asked for; 404 to whoever may not see them."""
    if not may_see(request):
        raise Http404
    if request.method not in {"GET", "HEAD"}:
        refusal = MethodNotAllowed(str(request.method))
        code, text = refusal.default_code, str(refusal.detail)
        return respond(request, ErrorReply(405, code, text, headers={"Allow": "GET, HEAD"}))
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(
        encode(REGISTRY), content_type=content_type, headers={"Cache-Control": "no-store"}
    )


def may_see(request: HttpRequest) -> bool:
    """Whether who asks may see what concerns the operator: by the token, or from this machine where there is none."""
    if settings.METRICS_TOKEN:
        return _is_token(request.headers.get("Authorization", ""))
    # A proxy on this machine comes from loopback, too, with the whole world behind it.
    is_behind_proxy = settings.TRUSTED_PROXIES or any(
        name in request.META for name in _SENT_BY_PROXIES
    )
    return not is_behind_proxy and _is_loopback(str(request.META.get("REMOTE_ADDR") or ""))


def _is_token(header: str) -> bool:
    scheme, _space, token = header.strip().partition(" ")
    return scheme.lower() == "bearer" and constant_time_compare(token, settings.METRICS_TOKEN)


def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


@contextmanager
def shown_at(place: tuple[str, int] | None) -> Iterator[None]:
    """Show a worker's numbers at this address and port while the block runs; a worker serves nothing else.

    The same rule as above says to whom. Raises ConfigurationError where the port is taken.
    """
    if place is None:
        yield
        return
    try:
        server = _Server(place, _Handler)
    except OSError as exc:
        raise ConfigurationError(
            f"MUNDAP_WORKER_METRICS: cannot listen on {place[0]}:{place[1]}: {exc.strerror}."
        ) from exc
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    def __init__(self, place: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in place[0]:
            self.address_family = socket.AF_INET6
        super().__init__(place, handler)


class _Handler(BaseHTTPRequestHandler):
    timeout = 10

    def do_GET(self) -> None:
        """Answer the numbers, or 404."""
        address = self.client_address[0]
        header = self.headers.get("Authorization", "")
        may_see = _is_token(header) if settings.METRICS_TOKEN else _is_loopback(address)
        if self.path != "/metrics" or not may_see:
            self.send_error(404)
            return
        encode, content_type = choose_encoder(self.headers.get("Accept", ""))
        content = encode(REGISTRY)
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""
