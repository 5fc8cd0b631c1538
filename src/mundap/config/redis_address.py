"""The address of Redis, read strictly, and written again in the way Celery reads it.

Three libraries read it, each with its own silence. redis-py takes a database that is not a number for number 0, and an
option in the address beats the timeouts that a client is given. kombu ignores a socket's database, fails at `?db=`, and
does not look at the server's certificate with `rediss://` unless it is told to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from mundap.errors import ConfigurationError

DEFAULT_PORT = 6379
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS_OPTIONS = (*TLS_FILES, "ssl_cert_reqs", "ssl_check_hostname")
_OPTIONS = ("db", "username", "password")
_FORMS = "Write it as redis://:password@host:6379/0, rediss://… or unix:///path/to/socket?db=0."
_QUOTING = "Special characters in a password are written as %40 (@), %3A (:), %2F (/), %23 (#), %3F (?), %2C (a comma)."


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is; `path` is a socket's, and then there is no host."""

    scheme: str
    host: str
    port: int
    path: str
    database: int
    username: str
    password: str = field(repr=False)
    tls: dict[str, str]

    @property
    def is_local(self) -> bool:
        """Whether nothing leaves the machine: a socket, or a loopback address."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_authenticated(self) -> bool:
        """Whether the server can tell us from others: by a password, or a certificate of our own."""
        return bool(self.password or "ssl_certfile" in self.tls)

    @property
    def broker_url(self) -> str:
        """The same address for Celery."""
        user = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"
        user = "" if user == ":@" else user
        if self.path:
            return f"redis+socket://{user}{quote(self.path)}?virtual_host={self.database}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        tls = {"ssl_cert_reqs": "required"} | self.tls if self.scheme == "rediss" else {}
        query = f"?{urlencode(tls)}" if tls else ""
        return f"{self.scheme}://{user}{host}:{self.port}/{self.database}{query}"


def read_redis_address(url: str, *, name: str = "REDIS_URL") -> RedisAddress:
    """Return the parts of an address. Raises ConfigurationError, which says what is wrong and never repeats it."""
    if re.search(r"[\s,]", url):
        # A comma would make two servers of it in django-redis.
        raise ConfigurationError(f"{name} has a space or a comma in it. {_QUOTING}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise ConfigurationError(
            f"{name} has a host or port that cannot be read. {_FORMS} {_QUOTING}"
        ) from exc
    if parts.scheme not in {"redis", "rediss", "unix"} or "://" not in url:
        raise ConfigurationError(f"{name} is not the address of a Redis. {_FORMS}")
    if parts.fragment:
        raise ConfigurationError(f"{name} has a # in it. {_QUOTING}")
    options = _options(parts, name)
    is_socket = parts.scheme == "unix"
    return RedisAddress(
        scheme=parts.scheme,
        host="" if is_socket else _host(parts, name),
        port=0 if is_socket else _port(port, name),
        path=_socket_path(parts, name) if is_socket else "",
        database=_database(options.get("db", "" if is_socket else parts.path[1:]), name),
        username=unquote(parts.username or "") or options.get("username", ""),
        password=unquote(parts.password or "") or options.get("password", ""),
        tls={key: value for key, value in options.items() if key in _TLS_OPTIONS},
    )


def _options(parts: SplitResult, name: str) -> dict[str, str]:
    """Return the options. Those that would overrule our own timeouts, or fail at the first use, are refused."""
    try:
        options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError as exc:
        raise ConfigurationError(f"{name} has options that cannot be read. {_QUOTING}") from exc
    known = (*_OPTIONS, *_TLS_OPTIONS) if parts.scheme == "rediss" else _OPTIONS
    if unknown := sorted(key for key in options if key not in known):
        raise ConfigurationError(
            f"{name} has an option that cannot be used: {', '.join(unknown)}. Leave it out; "
            f"known with {parts.scheme}:// are {', '.join(known)}. Timeouts are set by Mundap."
        )
    if options.get("ssl_cert_reqs", "required") not in {"none", "optional", "required"}:
        raise ConfigurationError(
            f"{name} has an unknown ssl_cert_reqs. Use none, optional or required."
        )
    if options.get("ssl_check_hostname", "true") not in {"true", "false"}:
        raise ConfigurationError(f"{name} has an unknown ssl_check_hostname. Use true or false.")
    return options


def _host(parts: SplitResult, name: str) -> str:
    host = unquote(parts.hostname or "")
    try:
        host.encode("idna")
    except UnicodeError as exc:
        raise ConfigurationError(f"{name} has a host that is no name of one. {_FORMS}") from exc
    if not host:
        raise ConfigurationError(f"{name} names no host. {_FORMS} {_QUOTING}")
    return host


def _port(port: int | None, name: str) -> int:
    if port == 0:
        raise ConfigurationError(f"{name} has the port 0. Name the one that Redis listens on.")
    return DEFAULT_PORT if port is None else port


def _socket_path(parts: SplitResult, name: str) -> str:
    if parts.hostname or parts.path in {"", "/"}:
        raise ConfigurationError(
            f"{name} names no socket. Write it with three slashes, as in unix:///path/to/socket?db=0."
        )
    return unquote(parts.path)


def _database(text: str, name: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"[0-9]{1,5}", text):
        raise ConfigurationError(
            f"{name} has a database that is not a number. Redis numbers them from 0, as in redis://host:6379/0."
        )
    return int(text)
