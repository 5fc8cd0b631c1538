"""The address of Redis, read strictly, and written again in the way Celery reads it.

It names one server; or Sentinels and the master that they know; or, for what our own client keeps, nodes of a cluster.
How redis-py gets there is in `redis_servers.py`.

Three libraries read it, each with its own silence. redis-py takes a database that is not a number for number 0, and an
option in the address beats the timeouts that a client is given. kombu ignores a socket's database, fails at `?db=`, and
does not look at the server's certificate with `rediss://` unless it is told to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from redis.backoff import NoBackoff
from redis.retry import Retry

from mundap.errors import ConfigurationError

DEFAULT_PORT = 6379
SENTINEL_PORT = 26379
SCHEMES = ("redis", "rediss", "unix", "redis+sentinel")
CLUSTER_SCHEMES = ("redis+cluster", "rediss+cluster")
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS_OPTIONS = (*TLS_FILES, "ssl_cert_reqs", "ssl_check_hostname")
_OPTIONS = ("db", "username", "password")
_SENTINEL_LOGIN = ("sentinel_username", "sentinel_password")
_SENTINEL_SECONDS = 1.0  # that one gets to answer a worker
_FORMS = (
    "Write it as redis://:password@host:6379/0, rediss://…, unix:///path/to/socket?db=0 "
    "or redis+sentinel://:password@host:26379,host2:26379/name-of-the-master/0."
)
_CLUSTER_FORM = "A cluster is written as redis+cluster://:password@host:6379,host2:6379."
_QUOTING = "Special characters in a password are written as %40 (@), %3A (:), %2F (/), %23 (#), %3F (?), %2C (a comma)."


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is.

    `hosts` has one (host, port), or those of all Sentinels or of some nodes of a cluster; it is empty with `path`, a
    socket's. `master` is the name that Sentinels know, else empty.
    """

    scheme: str
    hosts: tuple[tuple[str, int], ...]
    path: str
    master: str
    database: int
    username: str
    password: str = field(repr=False)
    tls: dict[str, str]
    sentinel_login: dict[str, str] = field(repr=False)

    @property
    def is_cluster(self) -> bool:
        """Whether the keys are spread over the nodes of a cluster."""
        return self.scheme in CLUSTER_SCHEMES

    @property
    def has_tls(self) -> bool:
        """Whether the connections are encrypted."""
        return self.scheme.startswith("rediss")

    @property
    def is_local(self) -> bool:
        """Whether nothing leaves the machine: a socket, or loopback addresses."""
        return all(_is_loopback(host) for host, _port in self.hosts)

    @property
    def is_authenticated(self) -> bool:
        """Whether the server can tell us from others: by a password, or a certificate of our own."""
        return bool(self.password or "ssl_certfile" in self.tls)

    @property
    def broker_url(self) -> str:
        """The same address for Celery; that of a cluster is of no use to it."""
        user = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"
        user = "" if user == ":@" else user
        if self.path:
            return f"redis+socket://{user}{quote(self.path)}?virtual_host={self.database}"
        scheme = "sentinel" if self.master else self.scheme
        tls = {"ssl_cert_reqs": "required"} | self.tls if self.has_tls else {}
        query = f"?{urlencode(tls)}" if tls else ""
        # Each of several has everything: Celery goes on with the next one alone.
        return ";".join(
            f"{scheme}://{user}{f'[{host}]' if ':' in host else host}:{port}/{self.database}{query}"
            for host, port in self.hosts
        )

    @property
    def broker_options(self) -> dict[str, Any]:
        """What Celery has to be told beside the address: which master to ask the Sentinels for, and how."""
        if not self.master:
            return {}
        asking = {
            "socket_connect_timeout": _SENTINEL_SECONDS,
            "socket_timeout": _SENTINEL_SECONDS,
            "retry": Retry(NoBackoff(), 0),  # else a silent one is asked again and again for 10 s
        }
        return {"master_name": self.master, "sentinel_kwargs": asking | self.sentinel_login}


def read_redis_address(
    url: str, *, name: str = "REDIS_URL", may_be_cluster: bool = False
) -> RedisAddress:
    """Return the parts of an address. Raises ConfigurationError, which says what is wrong and never repeats it."""
    forms = f"{_FORMS} {_CLUSTER_FORM}" if may_be_cluster else _FORMS
    parts = _split(url, name, forms)
    if parts.scheme in CLUSTER_SCHEMES and not may_be_cluster:
        raise ConfigurationError(
            f"{name} is the address of a cluster, which Celery and the request rates cannot use. Set "
            "MUNDAP_CACHE_REDIS_URL to it, and REDIS_URL to one server or to Sentinels."
        )
    if parts.scheme not in {*SCHEMES, *CLUSTER_SCHEMES} or "://" not in url:
        raise ConfigurationError(f"{name} is not the address of a Redis. {forms}")
    if parts.fragment:
        raise ConfigurationError(f"{name} has a # in it. {_QUOTING}")
    options = _options(parts, name)
    is_socket = parts.scheme == "unix"
    master, database = _master_and_database(parts, name)
    return RedisAddress(
        scheme=parts.scheme,
        hosts=() if is_socket else _hosts(parts, name),
        path=_socket_path(parts, name) if is_socket else "",
        master=master,
        database=_database(options.get("db", database), name),
        username=unquote(parts.username or "") or options.get("username", ""),
        password=unquote(parts.password or "") or options.get("password", ""),
        tls={key: value for key, value in options.items() if key in _TLS_OPTIONS},
        sentinel_login={
            key.removeprefix("sentinel_"): options[key] for key in _SENTINEL_LOGIN if key in options
        },
    )


def _split(url: str, name: str, forms: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise ConfigurationError(
            f"{name} has a host or port that cannot be read. {forms} {_QUOTING}"
        ) from exc
    hosts = parts.netloc.rpartition("@")[2]
    single = url.replace(hosts, hosts.replace(",", "")) if _has_several_hosts(parts) else url
    if re.search(r"[\s,]", single):
        # A comma would make two servers of it in django-redis.
        raise ConfigurationError(f"{name} has a space or a comma in it. {_QUOTING}")
    return parts


def _options(parts: SplitResult, name: str) -> dict[str, str]:
    """Return the options. Those that would overrule our own timeouts, or fail at the first use, are refused."""
    try:
        options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError as exc:
        raise ConfigurationError(f"{name} has options that cannot be read. {_QUOTING}") from exc
    known = {
        "rediss": (*_OPTIONS, *_TLS_OPTIONS),
        "redis+sentinel": (*_OPTIONS, *_SENTINEL_LOGIN),
        "redis+cluster": ("username", "password"),
        "rediss+cluster": ("username", "password", *_TLS_OPTIONS),
    }.get(parts.scheme, _OPTIONS)
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


def _has_several_hosts(parts: SplitResult) -> bool:
    return "+" in parts.scheme


def _hosts(parts: SplitResult, name: str) -> tuple[tuple[str, int], ...]:
    hosts = parts.netloc.rpartition("@")[2]
    default = SENTINEL_PORT if parts.scheme == "redis+sentinel" else DEFAULT_PORT
    return tuple(
        _host_and_port(each, name, default)
        for each in (hosts.split(",") if _has_several_hosts(parts) else [hosts])
    )


def _host_and_port(text: str, name: str, default_port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = unquote(parts.hostname or ""), parts.port
    except ValueError as exc:
        raise ConfigurationError(
            f"{name} has a host or port that cannot be read. {_FORMS} {_QUOTING}"
        ) from exc
    try:
        host.encode("idna")
    except UnicodeError as exc:
        raise ConfigurationError(f"{name} has a host that is no name of one. {_FORMS}") from exc
    if not host:
        raise ConfigurationError(f"{name} names no host. {_FORMS} {_QUOTING}")
    if port == 0:
        raise ConfigurationError(f"{name} has the port 0. Name the one that Redis listens on.")
    return host, default_port if port is None else port


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _master_and_database(parts: SplitResult, name: str) -> tuple[str, str]:
    """Return the master's name, empty without Sentinels, and the database as it is written."""
    if parts.scheme == "unix":
        return "", ""
    path = parts.path[1:]
    if parts.scheme in CLUSTER_SCHEMES and path not in {"", "0"}:
        raise ConfigurationError(
            f"{name} has a database; a cluster has only number 0. Leave it out."
        )
    if parts.scheme != "redis+sentinel":
        return "", path
    master, _slash, database = path.partition("/")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", master):
        raise ConfigurationError(
            f"{name} does not say which master the Sentinels are asked for. {_FORMS}"
        )
    return master, database


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
