"""Limits on requests a minute, a user and an address, counted in Redis.

They fail open: without Redis nobody is refused, and no request waits longer than one socket timeout for it.
What must hold without Redis (log-in attempts) is counted in Postgres by `accounts/attempts.py`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from mundap.config.addresses import client_address
from mundap.errors import LimitReached

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_REST_AFTER_FAILURE_SECONDS = 2.0


class _Breaker:
    """Remembers for a moment that a Redis did not answer, so that not every request waits for its timeout."""

    def __init__(self) -> None:
        self._left_alone_until: dict[str, float] = {}  # by the server's address

    def is_open(self) -> bool:
        return time.monotonic() < self._left_alone_until.get(_redis_address(), 0.0)

    def open(self) -> None:
        until = time.monotonic() + _REST_AFTER_FAILURE_SECONDS
        self._left_alone_until = {_redis_address(): until}


def _redis_address() -> str:
    return str(settings.CACHES["default"]["LOCATION"])


_breaker = _Breaker()


def parse_rate(rate: str) -> tuple[int, int]:
    """Return (amount, seconds) of a rate such as `600/min`. Raises ImproperlyConfigured."""
    amount, _slash, period = rate.partition("/")
    if not amount.strip().isdigit() or period.strip()[:1] not in _SECONDS:
        raise ImproperlyConfigured(f"{rate!r} is not a rate; write it as in 600/min.")
    return int(amount), _SECONDS[period.strip()[0]]


def seconds_to_wait(scope: str, whose: str) -> float | None:
    """Count a request; None while it is within the scope's rate, else the seconds until the next period."""
    rates = cast("Mapping[str, str]", settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"])
    amount, period = parse_rate(rates[scope])
    now = time.time()
    count = _count(f"rate:{scope}:{whose}:{int(now // period)}", timeout=period + 1)
    if count is None or count <= amount:
        return None
    return period - now % period


def require_rate(scope: str, whose: str) -> None:
    """Count a request outside REST framework. Raises LimitReached with the time to wait."""
    wait = seconds_to_wait(scope, whose)
    if wait is not None:
        raise LimitReached(
            _("Too many requests. Try again later."), extra={"retry_after_seconds": int(wait) + 1}
        )


def _count(key: str, *, timeout: int) -> int | None:
    """Return the key's count after adding one, or None when Redis does not answer."""
    if _breaker.is_open():
        return None
    # `add` is None, not False, when the connection failed and the failure was ignored.
    is_first = cache.add(key, 1, timeout=timeout)
    if is_first:
        return 1
    if is_first is None:
        _breaker.open()
        return None
    try:
        count: int | None = cache.incr(key)
    except ValueError:  # emptied or expired in between
        return 1
    return count


class UserThrottle(BaseThrottle):
    """Bounds the requests of a signed-in user; `scope` names the rate."""

    scope = "user"

    def __init__(self) -> None:
        self._wait: float | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count the request and tell whether it may go on; anonymous ones are the AddressThrottle's."""
        if request.user.is_authenticated:
            self._wait = seconds_to_wait(self.scope, str(request.user.pk))
        return self._wait is None

    def wait(self) -> float | None:
        """Return the seconds until the next request may succeed."""
        return self._wait


class TurnThrottle(UserThrottle):
    """Bounds the questions of a user, which cost a model's time."""

    scope = "turns"


class AddressThrottle(UserThrottle):
    """Bounds the requests of an address that is not signed in."""

    scope = "address"

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count an anonymous request and tell whether it may go on."""
        if not request.user.is_authenticated:
            self._wait = seconds_to_wait(self.scope, client_address(request._request))  # noqa: SLF001
        return self._wait is None
