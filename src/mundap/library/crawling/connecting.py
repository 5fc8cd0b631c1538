"""Connects to exactly the address that was checked, and to no other one; no read outlasts its page's deadline."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import httpcore2

from mundap.errors import FetchFailed
from mundap.library.crawling.addresses import Address, AddressRules

Resolve = Callable[[str, int], list[Address]]
"""Returns a host's addresses, the preferred one first; raises FetchFailed."""

MAX_TRIED = 3  # of a host's addresses
_NOT_THERE = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses that the system's resolver has for the host."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as exc:
        is_passing = isinstance(exc, socket.gaierror) and exc.errno not in _NOT_THERE
        raise FetchFailed(f"There is no host {host} ({exc}).", is_retryable=is_passing) from exc
    names = dict.fromkeys(str(place[0]).partition("%")[0] for *_, place in found)
    return [ip_address(name) for name in names]


class Deadline(threading.local):
    """Until when the page that this thread asks for has to be here."""

    ends_at = float("inf")

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let everything that this thread reads in the block end with it."""
        self.ends_at = time.monotonic() + seconds
        try:
            yield
        finally:
            self.ends_at = float("inf")

    def bounded(self, timeout: float | None) -> float:
        """Return how long one step may take. Raises httpcore2.ReadTimeout where no time is left."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("the page's time is over")
        return min(left, timeout if timeout is not None else 60.0)


class GuardedBackend(httpcore2.NetworkBackend):
    """Looks a host up itself, checks what it finds, and connects to what it checked.

    Checking a name and leaving the connection to look it up again would let it answer differently the second time.
    """

    def __init__(self, rules: AddressRules, resolve: Resolve, deadline: Deadline) -> None:
        self._rules = rules
        self._resolve = resolve
        self._deadline = deadline
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Return a connection to one of the host's addresses that may be connected to."""
        addresses = self._rules.allowed(host, port, self._resolve(host, port))[:MAX_TRIED]
        for is_last, address in zip(
            [*[False] * (len(addresses) - 1), True], addresses, strict=True
        ):
            try:
                stream = self._sockets.connect_tcp(
                    str(address),
                    port,
                    self._deadline.bounded(timeout),
                    local_address,
                    socket_options,
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if is_last:
                    raise
                continue
            return _BoundedStream(stream, self._deadline)
        raise AssertionError("unreachable: there is a last address")


class _BoundedStream(httpcore2.NetworkStream):
    """A connection whose every step ends with the page's deadline: a server that drips keeps nobody waiting."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.bounded(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.bounded(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        bounded = self._deadline.bounded(timeout)
        return _BoundedStream(
            self._stream.start_tls(ssl_context, server_hostname, bounded), self._deadline
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
