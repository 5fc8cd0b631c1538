"""Limits on requests a minute, a user and an address, counted in Redis.

They fail open: without Redis nobody is refused, and no request waits longer than one socket timeout for it.
What must hold without Redis (log-in attempts) is counted in Postgres by `accounts/attempts.py`.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _
from django_redis import get_redis_connection
from redis.exceptions import ResponseError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from mundap.config import metrics
from mundap.config.addresses import client_address
from mundap.config.breaker import Breaker
from mundap.config.shared_counts import get_shared_counts
from mundap.errors import LimitReached

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_logger = logging.getLogger(__name__)


@functools.cache
def _breaker(_address: str) -> Breaker:
    """Return the breaker of the Redis at this address: after one failure nobody else waits for its timeout."""
    return Breaker(failures=1)


def parse_rate(rate: str) -> tuple[int, int]:
    """Return (amount, seconds) of a rate such as `600/min`. Raises ImproperlyConfigured."""
    amount, _slash, period = rate.partition("/")
    if not amount.strip().isdigit() or period.strip()[:1] not in _SECONDS:
        raise ImproperlyConfigured(f"{rate!r} is not a rate; write it as in 600/min.")
    return int(amount), _SECONDS[period.strip()[0]]


def seconds_to_wait(scope: str, whose: str) -> float | None:
    """Count a request; None while it is within the scope's rate, else the seconds until the next period."""
    window = _window(scope, whose)
    count = _count(window)
    if count is None or count <= window.amount:
        return None
    metrics.refusals.labels(scope).inc()
    return window.seconds_left


@dataclass(frozen=True, slots=True)
class _Window:
    """A running period: the key it is counted under and for how long, and how many requests it allows."""

    key: str
    key_seconds: int
    seconds_left: float
    amount: int


def forget(whose: str) -> None:
    """Forget what was counted of them in the running periods."""
    cache.delete_many([_name(scope, whose, _period(scope)) for scope in _rates()])


def _window(scope: str, whose: str) -> _Window:
    amount, period = parse_rate(_rates()[scope])
    elapsed = time.time() % period
    key: str = cache.make_key(_name(scope, whose, period))
    return _Window(key, period + 1, period - elapsed, amount)


def _rates() -> Mapping[str, str]:
    return cast("Mapping[str, str]", settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"])


def _period(scope: str) -> int:
    return parse_rate(_rates()[scope])[1]


def _name(scope: str, whose: str, period: int) -> str:
    return f"rate:{scope}:{whose}:{int(time.time() // period)}"


def is_within_rate(scope: str, whose: str) -> bool:
    """Count a request in front of Django, and tell whether it may go on there; it waits for nothing.

    One that may not is handed to Django, which counts under the same key and refuses it.
    """
    window = _window(scope, whose)
    count = get_shared_counts().add(window.key, seconds_kept=window.key_seconds)
    return count <= window.amount


def require_rate(scope: str, whose: str) -> None:
    """Count a request outside REST framework. Raises LimitReached with the time to wait."""
    wait = seconds_to_wait(scope, whose)
    if wait is not None:
        raise LimitReached(
            _("Too many requests. Try again later."), extra={"retry_after_seconds": int(wait) + 1}
        )


def _count(window: _Window) -> int | None:
    """Return the key's count after adding one, or None when Redis did not count.

    Not through the cache framework: django-redis ignores a Redis that is away, but not a value that it cannot read.
    """
    breaker = _breaker(str(settings.CACHES["default"]["LOCATION"]))
    if not breaker.admits():
        return None
    try:
        # The key has its end before it has a count, so that none is left behind. Not a transaction: the replies of one
        # cannot be told from rubbish of the same length.
        pipeline = get_redis_connection("default").pipeline(transaction=False)
        pipeline.set(window.key, 0, ex=window.key_seconds, nx=True)
        count = int(pipeline.incr(window.key).execute()[1])
    except ResponseError as exc:  # it answers: full, read-only, or something else is under this key
        _logger.info("Redis did not count a request: %s", exc)
        return None
    except Exception as exc:  # noqa: BLE001 - at replies that make no sense, redis-py raises anything
        if not breaker.is_open:
            _logger.warning("Redis does not count requests, so none is refused: %r", exc)
        breaker.fail()
        return None
    breaker.succeed()
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
