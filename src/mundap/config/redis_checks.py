"""The boot check of everything that is set about Redis, as Django system checks (tag `caches`).

django-redis is silent about most of it: it pickles unless told otherwise, an option that it does not know is ignored,
and connections are kept by address alone, so that a second cache at the same address gets the first one's timeouts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error

from mundap.config.redis_address import TLS_FILES, RedisAddress, read_redis_address
from mundap.errors import ConfigurationError

BACKEND = "django_redis.cache.RedisCache"
SERIALIZER = "django_redis.serializers.json.JSONSerializer"
CLIENT = "django_redis.client.DefaultClient"
FACTORY = "mundap.config.redis_servers.SentinelFactory"
SESSIONS = "mundap.accounts.session_store"
MAX_TIMEOUT_SECONDS = 2.0
_TIMEOUTS = ("SOCKET_CONNECT_TIMEOUT", "SOCKET_TIMEOUT")
_KNOWN_OPTIONS = {
    "SERIALIZER",
    "CLIENT_CLASS",
    "IGNORE_EXCEPTIONS",
    "CONNECTION_FACTORY",
    *_TIMEOUTS,
}


def check_redis(app_configs: object = None, **_: Any) -> list[CheckMessage]:
    """Return what is wrong with the settings about Redis; nothing is connected to."""
    caches: Mapping[str, Mapping[str, Any]] = settings.CACHES
    found: list[CheckMessage] = []
    if caches.get("default", {}).get("BACKEND") != BACKEND:
        found.append(
            Error(
                'CACHES["default"] is not django-redis, so each process would count requests by itself.',
                hint=f"Set its BACKEND to {BACKEND}.",
                id="mundap.E001",
            )
        )
    for alias, cache in caches.items():
        if cache.get("BACKEND") == BACKEND:
            found += _check_options(alias, cache.get("OPTIONS", {}))
    return [
        *found,
        *_check_shared(caches),
        *_check_sessions(),
        *_check_broker(),
        *_check_addresses(caches),
    ]


def _check_options(alias: str, options: Mapping[str, Any]) -> Iterator[CheckMessage]:
    where = f'CACHES["{alias}"]["OPTIONS"]'
    if options.get("SERIALIZER") != SERIALIZER:
        yield Error(
            f"{where} does not say that values are JSON; whoever can write a pickle to Redis can run code here.",
            hint=f"Set SERIALIZER to {SERIALIZER}.",
            id="mundap.E002",
        )
    for name in _TIMEOUTS:
        value = options.get(name)
        # django-redis takes 0 for none, and none is for ever.
        if not isinstance(value, int | float) or not 0 < value <= MAX_TIMEOUT_SECONDS:
            yield Error(
                f"{where} has no short {name}, so a Redis that is silent would hold up every request.",
                hint=f"Set {name} to seconds above 0 and up to {MAX_TIMEOUT_SECONDS:g}, as in 0.2.",
                id="mundap.E003",
            )
    if options.get("IGNORE_EXCEPTIONS") is not True:
        yield Error(
            f"{where} does not ignore exceptions, so that without Redis requests would fail.",
            hint="Set IGNORE_EXCEPTIONS to True.",
            id="mundap.E004",
        )
    if options.get("CLIENT_CLASS", CLIENT) != CLIENT:
        yield Error(
            f"{where} names a client that has not been tested without Redis.",
            hint=f"Leave CLIENT_CLASS out, or set it to {CLIENT}.",
            id="mundap.E005",
        )
    if options.get("CONNECTION_FACTORY", FACTORY) != FACTORY:
        yield Error(
            f"{where} makes connections in a way that has not been tested without Redis.",
            hint=f"Leave CONNECTION_FACTORY out; with Sentinels set it to {FACTORY}.",
            id="mundap.E013",
        )
    if unknown := sorted(set(options) - _KNOWN_OPTIONS):
        yield Error(
            f"{where} has {', '.join(unknown)}, which is ignored there or overrules what is checked here.",
            hint="Leave it out. Logging is DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS, a setting of its own.",
            id="mundap.E006",
        )


def _check_shared(caches: Mapping[str, Mapping[str, Any]]) -> Iterator[CheckMessage]:
    if not getattr(settings, "DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS", False):
        yield Error(
            "Failures of Redis that are ignored are not logged, so nobody would hear of them.",
            hint="Set DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS to True.",
            id="mundap.E007",
        )
    seen: dict[object, str] = {}
    for alias, cache in caches.items():
        if cache.get("BACKEND") != BACKEND:
            continue
        location = cache.get("LOCATION")
        first = seen.setdefault(location if isinstance(location, str) else repr(location), alias)
        if first != alias:
            yield Error(
                f'CACHES["{alias}"] has the address of CACHES["{first}"]. django-redis keeps connections by address '
                "alone: whichever is used first sets the timeouts of both.",
                hint=f'Use "{first}" for both, or give "{alias}" another database number.',
                id="mundap.E008",
            )


def _check_sessions() -> Iterator[CheckMessage]:
    if settings.SESSION_ENGINE != SESSIONS:
        yield Error(
            "Sessions are not kept in the database alone: an emptied Redis would sign people out, and an old copy "
            "could keep a session alive that was signed out.",
            hint=f"Set SESSION_ENGINE to {SESSIONS}.",
            id="mundap.E009",
        )


def _check_broker() -> Iterator[CheckMessage]:
    options = cast("Mapping[str, Any]", settings.CELERY.get("broker_transport_options", {}))
    names = ("socket_connect_timeout", "socket_timeout", "socket_keepalive")
    if missing := [name for name in names if not options.get(name)]:
        yield Error(
            f'CELERY["broker_transport_options"] has no {", ".join(missing)}: a worker would wait for ever for a '
            "Redis that went away without a word.",
            hint="Set the timeouts to some seconds (above the 1 that a worker waits for a task), keepalive to True.",
            id="mundap.E012",
        )


def _check_addresses(caches: Mapping[str, Mapping[str, Any]]) -> Iterator[CheckMessage]:
    """Check each address once; the cache's is REDIS_URL unless somebody wrote another one there."""
    addresses = {settings.REDIS_URL: "REDIS_URL"}
    for alias, cache in caches.items():
        if cache.get("BACKEND") == BACKEND:
            name = f'CACHES["{alias}"]["LOCATION"]'
            location = cache.get("LOCATION")
            for url in [location] if isinstance(location, str) else location or []:
                addresses.setdefault(str(url), name)
    for url, name in addresses.items():
        yield from _check_url(url, name)
    if settings.CACHE_REDIS_URL:
        yield from _check_url(
            settings.CACHE_REDIS_URL, "MUNDAP_CACHE_REDIS_URL", may_be_cluster=True
        )


def _check_url(url: str, name: str, *, may_be_cluster: bool = False) -> Iterator[CheckMessage]:
    try:
        address = read_redis_address(url, name=name, may_be_cluster=may_be_cluster)
    except ConfigurationError as exc:
        what, _, todo = exc.message.partition(". ")
        yield Error(f"{what}.", hint=todo, id="mundap.E010")
    else:
        yield from _check_address(address, name)


def _check_address(address: RedisAddress, name: str) -> Iterable[CheckMessage]:
    for option in TLS_FILES:
        if option in address.tls and not Path(address.tls[option]).is_file():
            yield Error(
                f"{name} says {option}={address.tls[option]}, and there is no such file.",
                hint="Correct the path, or make the file readable.",
                id="mundap.E011",
            )
    if settings.IS_PRODUCTION and not address.is_local and not address.is_authenticated:
        yield checks.Warning(
            f"{name} has no password, and the server is on another machine: whoever reaches its port can read what "
            "is cached and give the workers tasks.",
            hint="Set requirepass (or a user) on the server and write redis://:password@host:6379/0.",
            id="mundap.W001",
        )
