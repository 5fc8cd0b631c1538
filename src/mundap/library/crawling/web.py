"""Asks web servers: where it is allowed, at a pace they can bear, never longer or for more than is reasonable."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from importlib.metadata import version
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpcore2
from django.conf import settings

from mundap.errors import FetchFailed, RobotsDisallow
from mundap.library.crawling import pace, robots
from mundap.library.crawling.addresses import SAFE, AddressRules, Target
from mundap.library.crawling.connecting import Deadline, GuardedBackend, Resolve, resolve
from mundap.library.crawling.decoding import ACCEPTED, decoded
from mundap.library.crawling.robots import RobotsCache, SiteRules

MAX_REDIRECTS = 5
MAX_CONNECTIONS = 20
REDIRECTS = {301, 302, 303, 307, 308}
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_RETRY_AFTER_SECONDS = 30.0


# One for the process: reading the machine's certificates takes longer than many a page.
_certificates = cache(httpcore2.default_ssl_context)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much at most."""

    connect_seconds: float = 10.0
    silence_seconds: float = 20.0  # until the first byte, and between two
    page_seconds: float = 60.0
    pace_seconds: float = 30.0  # that one waits here for the host's next free moment
    max_bytes: int = 20_000_000


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer; `url` is the address that gave it. Only a reply of status 200 has content.

    `leads_to` is where it redirects, if that was not followed.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    content: bytes = b""
    leads_to: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer that is being received."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes] = field(repr=False)


class Web:
    """A client for the web, to be kept; threads may share it. Closed by `with`."""

    def __init__(
        self,
        rules: AddressRules,
        *,
        delay_seconds: float,
        contact: str = "",
        limits: Limits | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        """`delay_seconds` lies between two requests to a host; `contact` is whom its owners can write to."""
        self.rules = rules
        self.limits = limits or Limits()
        self._delay_seconds = delay_seconds
        self._agent = f"{robots.AGENT}/{version('mundap')}"
        if contact:
            self._agent += f" (+{quote(contact, safe=f'{SAFE}?# ')})"
        self._robots = RobotsCache(self._read_robots)
        self._deadline = Deadline()
        self._pool = httpcore2.ConnectionPool(
            ssl_context=_certificates(),
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=15.0,
            network_backend=GuardedBackend(rules, resolve, self._deadline),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.close()

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        follows: Callable[[str], bool] | None = None,
    ) -> Reply:
        """Return what the address gives, redirects followed as long as `follows` wants the next address.

        Any status is returned, but those that pass (429, 503, …), which raise FetchFailed, as does everything that goes
        wrong. Raises RobotsDisallow where the site does not want to be asked.
        """
        return self._get(url, headers or {}, max_bytes, follows, is_polite=True)

    def robots(self, url: str) -> SiteRules:
        """Return what the robots.txt of the address's site says. Raises FetchFailed."""
        return self._robots.of(self.rules.target(url))

    def _get(
        self,
        url: str,
        headers: Mapping[str, str],
        max_bytes: int | None,
        follows: Callable[[str], bool] | None,
        *,
        is_polite: bool,
    ) -> Reply:
        visited: list[str] = []
        while True:
            target = self.rules.target(url)
            delay_seconds = self._allowed_delay(target) if is_polite else self._delay_seconds
            reply = self._read(target, headers, max_bytes or self.limits.max_bytes, delay_seconds)
            visited.append(str(target))
            location = reply.headers.get("location", "")
            if reply.status not in REDIRECTS or not location:
                return reply
            url = str(self.rules.target(location, base=str(target)))
            if url in visited:
                raise FetchFailed(f"It redirects in a circle: {' → '.join([*visited, url])}.")
            if follows is not None and not follows(url):
                return replace(reply, leads_to=url)
            if len(visited) > MAX_REDIRECTS:
                raise FetchFailed(f"It redirects more than {MAX_REDIRECTS} times: {visited[0]}.")

    def _allowed_delay(self, target: Target) -> float:
        """Return the pace that the site wants. Raises RobotsDisallow where it does not want the page to be read."""
        rules = self._robots.of(target)
        if not rules.allows(target):
            raise RobotsDisallow(f"The robots.txt of {target.place} does not allow it: {target}")
        return max(self._delay_seconds, rules.delay_seconds)

    def _read_robots(self, place: Target) -> bytes | None:
        reply = self._get(str(place), {}, None, None, is_polite=False)
        return reply.content if reply.status == 200 else None

    def _read(
        self, target: Target, headers: Mapping[str, str], max_bytes: int, delay_seconds: float
    ) -> Reply:
        with self.open("GET", target, headers=headers, delay_seconds=delay_seconds) as opened:
            content = b""
            if opened.status == 200:
                encoding = opened.headers.get("content-encoding", "")
                content = decoded(opened.chunks, encoding, max_bytes=max_bytes, name=str(target))
            return Reply(str(target), opened.status, opened.headers, content)

    @contextmanager
    def open(
        self,
        method: str,
        target: Target,
        *,
        headers: Mapping[str, str],
        content: bytes = b"",
        delay_seconds: float | None = None,
        seconds: float | None = None,
    ) -> Iterator[Opened]:
        """Give the answer of exactly this address: no redirects, no robots.txt, but at its host's pace.

        Everything has to be read within `seconds`. Raises FetchFailed.
        """
        delay = self._delay_seconds if delay_seconds is None else delay_seconds
        self._wait_for(target, delay)
        sent = {
            "Host": target.place,
            "User-Agent": self._agent,
            "Accept-Encoding": ACCEPTED,
        } | dict(headers)
        url = httpcore2.URL(
            scheme=target.scheme, host=target.host, port=target.port, target=target.path
        )
        timeouts = {
            "connect": self.limits.connect_seconds,
            "read": self.limits.silence_seconds,
            "write": self.limits.silence_seconds,
            "pool": self.limits.page_seconds,
        }
        with (
            _as_failed(target),
            self._deadline.within(seconds or self.limits.page_seconds),
            self._pool.stream(
                method,
                url,
                headers=list(sent.items()),
                content=content or None,
                extensions={"timeout": timeouts},
            ) as response,
        ):
            found: dict[str, str] = {}
            for name, value in response.headers:
                _add_header(found, _text(name).lower(), _text(value))
            self._check_passing(target, response.status, found)
            yield Opened(response.status, found, response.iter_stream())

    def _wait_for(self, target: Target, delay_seconds: float) -> None:
        is_ours, seconds = pace.reserve(
            target.place,
            delay_seconds=delay_seconds,
            patience_seconds=self.limits.pace_seconds,
        )
        if not is_ours:
            raise FetchFailed(
                f"{target.place} is not asked again before {seconds:.0f} seconds are over.",
                is_retryable=True,
                retry_after_seconds=seconds,
                was_asked=False,
            )
        if seconds:
            time.sleep(seconds)

    def _check_passing(self, target: Target, status: int, headers: Mapping[str, str]) -> None:
        """Raise FetchFailed for a status that may be another one later; the whole host is left alone if it says so."""
        if status not in _PASSING:
            return
        seconds = _retry_after(headers.get("retry-after", ""))
        if status in {429, 503}:
            seconds = seconds or _RETRY_AFTER_SECONDS
            pace.hold_off(target.place, seconds)
        raise FetchFailed(
            f"{target.place} answered {status} for {target}.",
            is_retryable=True,
            retry_after_seconds=seconds,
        )


def open_web() -> Web:
    """Return a client as the settings have it."""
    return Web(
        AddressRules(settings.CRAWL_OWN_HOSTS),
        delay_seconds=settings.CRAWL_DELAY_SECONDS,
        contact=settings.CRAWL_CONTACT,
    )


def _add_header(headers: dict[str, str], name: str, value: str) -> None:
    """Add a header; of X-Robots-Tag each one counts, of the others the first."""
    if name == "x-robots-tag" and name in headers:
        value = f"{headers.pop(name)}\n{value}"
    headers.setdefault(name, value)


def _text(header: bytes) -> str:
    """Return what stands in a header; some servers write UTF-8 there, which nothing allows."""
    try:
        return header.decode("utf-8")
    except UnicodeDecodeError:
        return header.decode("latin-1")


def _retry_after(text: str) -> float | None:
    """Return the seconds that a Retry-After header means, which is a number or a date."""
    if text.isascii() and text.strip().isdigit():
        return min(float(text), pace.MAX_HOLD_OFF_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
        seconds = (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), pace.MAX_HOLD_OFF_SECONDS)


@contextmanager
def _as_failed(target: Target) -> Iterator[None]:
    """Turn what can go wrong on the way into FetchFailed."""
    try:
        yield
    except httpcore2.TimeoutException as exc:
        raise FetchFailed(
            f"{target.place} did not answer in time ({target}).", is_retryable=True
        ) from exc
    except httpcore2.ConnectError as exc:
        # The pool drops the cause; the exception that stood there is its only argument.
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in exc.args):
            raise FetchFailed(
                f"The connection to {target.place} is not safe: {exc}. A certificate of your own belongs among this "
                "machine's certificates."
            ) from exc
        raise FetchFailed(f"{target.place} cannot be reached: {exc}.", is_retryable=True) from exc
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as exc:
        raise FetchFailed(
            f"The answer of {target.place} broke off or is no HTTP: {exc} ({target}).",
            is_retryable=True,
        ) from exc
