"""What is set about Redis is checked when Mundap starts: each mistake is named, with what to do."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.core import checks
from kombu import Connection
from kombu.transport.redis import Channel, SentinelChannel

from mundap.config.redis_address import read_redis_address
from mundap.config.redis_checks import check_redis
from mundap.config.redis_servers import SentinelFactory, open_async_client
from mundap.errors import ConfigurationError

PASSWORD = "wonderful-pa55word"


def found() -> dict[str, str]:
    """What the checks of Django's caches say, by id, as `mundap check` runs them."""
    messages = checks.run_checks(tags=[checks.Tags.caches])
    assert all(each.hint for each in messages)
    assert PASSWORD not in str(messages)
    return {str(each.id): f"{each.msg} {each.hint}" for each in messages}


@pytest.fixture
def cache(settings) -> Callable[..., None]:
    """Changes a cache's settings; None takes an option away."""

    def change(alias: str = "default", **options: Any) -> None:
        base = settings.CACHES["default"]
        merged = {
            key: value for key, value in (base["OPTIONS"] | options).items() if value is not None
        }
        settings.CACHES = settings.CACHES | {alias: base | {"OPTIONS": merged}}

    return change


def test_the_real_settings_are_sound() -> None:
    assert found() == {}


def test_another_backend(settings) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    assert "django_redis.cache.RedisCache" in found()["mundap.E001"]


@pytest.mark.parametrize(
    ("option", "value", "check"),
    [
        ("SERIALIZER", None, "E002"),
        ("SERIALIZER", "django_redis.serializers.pickle.PickleSerializer", "E002"),
        ("SOCKET_TIMEOUT", None, "E003"),
        ("SOCKET_TIMEOUT", 0, "E003"),
        ("SOCKET_TIMEOUT", 60, "E003"),
        ("SOCKET_CONNECT_TIMEOUT", None, "E003"),
        ("SOCKET_CONNECT_TIMEOUT", "0.2", "E003"),
        ("IGNORE_EXCEPTIONS", False, "E004"),
        ("IGNORE_EXCEPTIONS", None, "E004"),
        ("CLIENT_CLASS", "django_redis.client.ShardClient", "E005"),
        ("LOG_IGNORED_EXCEPTIONS", True, "E006"),
        ("CONNECTION_POOL_KWARGS", {"socket_timeout": 60}, "E006"),
    ],
)
def test_an_option_that_does_not_fit(cache, option: str, value: Any, check: str) -> None:
    cache(**{option: value})
    assert set(found()) == {f"mundap.{check}"}
    assert option in found()[f"mundap.{check}"] or check == "E002"


def test_failures_that_nobody_hears_of(settings) -> None:
    settings.DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS = False
    assert set(found()) == {"mundap.E007"}


def test_two_caches_at_one_address(cache) -> None:
    cache("fragments", SOCKET_TIMEOUT=1)
    assert 'CACHES["fragments"]' in found()["mundap.E008"]


def test_another_cache_is_looked_at_as_well(settings, cache) -> None:
    cache("fragments", SERIALIZER=None)
    settings.CACHES["fragments"]["LOCATION"] = "redis://h/what"
    assert set(found()) == {"mundap.E002", "mundap.E010"}
    assert 'CACHES["fragments"]["LOCATION"]' in found()["mundap.E010"]


def test_sessions_in_the_cache(settings) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
    assert set(found()) == {"mundap.E009"}


@pytest.mark.parametrize("option", ["socket_connect_timeout", "socket_timeout", "socket_keepalive"])
def test_a_worker_that_waits_for_ever(settings, option: str) -> None:
    options = settings.CELERY["broker_transport_options"] | {option: None}
    settings.CELERY = settings.CELERY | {"broker_transport_options": options}
    assert option in found()["mundap.E012"]


def test_a_certificate_that_is_not_there(settings, tmp_path: Path) -> None:
    settings.REDIS_URL = f"rediss://:x@h/0?ssl_ca_certs={tmp_path}/ca.pem"
    assert "ssl_ca_certs" in found()["mundap.E011"]
    (tmp_path / "ca.pem").touch()
    assert found() == {}


@pytest.mark.parametrize(
    ("url", "is_warned"),
    [
        ("redis://redis:6379/1", True),
        ("rediss://redis.example.org/0", True),
        ("redis://10.0.0.5/0", True),
        (f"redis://:{PASSWORD}@redis:6379/1", False),
        (f"redis://redis:6379/1?password={PASSWORD}", False),
        ("redis://127.0.0.1:6379/1", False),
        ("redis://[::1]/1", False),
        ("redis://localhost/1", False),
        ("unix:///run/valkey.sock?db=1", False),
        ("redis+sentinel://127.0.0.1,localhost:1/m", False),
        ("redis+sentinel://127.0.0.1,10.0.0.5/m", True),
        (f"redis+sentinel://:{PASSWORD}@10.0.0.5/m", False),
    ],
)
def test_a_password_in_production(settings, url: str, is_warned: bool) -> None:
    settings.REDIS_URL = url
    assert found() == {}
    settings.IS_PRODUCTION = True
    assert set(found()) == ({"mundap.W001"} if is_warned else set())
    # A private network may do without one.
    assert not any(message.is_serious() for message in check_redis())


WRONG = [
    ("redis://h/cache", "database that is not a number"),
    ("redis://h/1/2", "database that is not a number"),
    ("redis://h/-1", "database that is not a number"),
    ("unix:///run/valkey.sock?db=x", "database that is not a number"),
    (f"redis://:{PASSWORD}@h:port/0", "host or port"),
    (f"redis://:{PASSWORD}@h:70000/0", "host or port"),
    (f"redis://:{PASSWORD}@[::1/0", "host or port"),
    ("redis://h:0/0", "port 0"),
    (f"redis://:{PASSWORD}", "host or port"),
    (f"redis://:{PASSWORD}/@h/0", "host or port"),
    (f"redis://:1#{PASSWORD}@h/0", "# in it"),
    (f"redis://:{PASSWORD},@h/0", "comma"),
    (f"redis://:{PASSWORD} @h/0", "space"),
    ("redis:///0", "names no host"),
    ("redis://a..b/0", "host that is no name"),
    ("redis:h", "not the address of a Redis"),
    (f"http://:{PASSWORD}@h/0", "not the address of a Redis"),
    (PASSWORD, "not the address of a Redis"),
    ("unix://run/valkey.sock", "names no socket"),
    ("unix://", "names no socket"),
    ("redis://h/0?socket_timeout=60", "socket_timeout"),
    ("redis://h/0?retry_on_timeout=1", "retry_on_timeout"),
    ("redis://h/0?decode_responses=1", "decode_responses"),
    ("redis://h/0?no_such_option=1", "no_such_option"),
    ("redis://h/0?db", "options that cannot be read"),
    ("redis://h/0?ssl_cert_reqs=none", "ssl_cert_reqs"),
    ("unix:///run/valkey.sock?ssl_ca_certs=x", "ssl_ca_certs"),
    ("rediss://h/0?ssl_cert_reqs=perhaps", "unknown ssl_cert_reqs"),
    ("rediss://h/0?ssl_check_hostname=perhaps", "unknown ssl_check_hostname"),
    ("redis+sentinel://h", "which master"),
    ("redis+sentinel://h/my master/0", "space"),
    ("redis+sentinel://h/m:1/0", "which master"),
    ("redis+sentinel://h/m/x", "database that is not a number"),
    (f"redis+sentinel://:{PASSWORD},@h,h2/m", "comma"),
    (f"redis+sentinel://:{PASSWORD}@h,/m", "names no host"),
    (f"redis+sentinel://:{PASSWORD}@h:1,h:x/m", "host or port"),
    ("redis+sentinel://h:0/m", "port 0"),
    ("redis+sentinel://h/m?master=2", "master"),
    ("rediss+sentinel://h/m", "not the address of a Redis"),
    (f"redis+cluster://:{PASSWORD}@h", "MUNDAP_CACHE_REDIS_URL"),
]


@pytest.mark.parametrize(("url", "says"), WRONG)
def test_an_address_that_cannot_be_used(settings, url: str, says: str) -> None:
    settings.REDIS_URL = url
    assert says in found()["mundap.E010"]
    with pytest.raises(ConfigurationError) as refused:
        read_redis_address(url)
    assert PASSWORD not in refused.value.message
    assert refused.value.message.startswith("REDIS_URL ")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis+cluster://h/1", "only number 0"),
        ("redis+cluster://h?db=1", "db"),
        ("redis+cluster://h?ssl_ca_certs=x", "ssl_ca_certs"),
        (f"redis+cluster://:{PASSWORD}@h:x", "host or port"),
        ("rediss+cluster://h?ssl_ca_certs=/nowhere/ca.pem", "no such file"),
    ],
)
def test_an_address_for_chats_that_cannot_be_used(settings, url: str, says: str) -> None:
    settings.CACHE_REDIS_URL = url
    (what,) = found().values()
    assert what.startswith("MUNDAP_CACHE_REDIS_URL ")
    assert says in what


def test_sentinels_are_asked_for_the_same_master_by_all(settings) -> None:
    url = f"redis+sentinel://me:p%40w@a,b:7000,[::1]/My.master/3?sentinel_password={PASSWORD}"
    settings.REDIS_URL = url
    assert found() == {}
    address = read_redis_address(url)
    assert address.hosts == (("a", 26379), ("b", 7000), ("::1", 26379))

    channel = object.__new__(SentinelChannel)
    broker = Connection(address.broker_url, transport_options=address.broker_options)
    channel.connection = SimpleNamespace(client=broker, default_port=26379)
    vars(channel).update(address.broker_options)
    cache = SentinelFactory({}).get_connection_pool({"url": url})
    ours = open_async_client(url, connections=1, operation_seconds=1, client_name="test")
    for pool in (channel._sentinel_managed_pool(), cache, ours.connection_pool):
        options = pool.connection_kwargs
        user = (options["username"], options["password"], options["db"])
        assert (*user, pool.service_name) == ("me", "p@w", 3, "My.master")
        asked = [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]
        assert [(one["host"], one["port"]) for one in asked] == list(address.hosts)
        for one in asked:
            assert one["password"] == PASSWORD
            assert one["socket_timeout"] <= 1


GOOD = [
    ("redis://redis:6379/1", ("redis", 6379, 1, "", "")),
    ("redis://redis", ("redis", 6379, 0, "", "")),
    ("redis://redis?db=3", ("redis", 6379, 3, "", "")),
    ("redis://me:p%40%2Fw@redis:7000/2", ("redis", 7000, 2, "me", "p@/w")),
    ("redis://redis/2?username=me&password=p%40w", ("redis", 6379, 2, "me", "p@w")),
    ("redis://:p@[::1]:7000/2", ("::1", 7000, 2, "", "p")),
    ("rediss://:p@redis:6380/4?ssl_cert_reqs=none", ("redis", 6380, 4, "", "p")),
    ("rediss://:p@redis:6380/4", ("redis", 6380, 4, "", "p")),
    ("rediss://redis/4?ssl_check_hostname=false&ssl_ca_certs=/ca.pem", ("redis", 6379, 4, "", "")),
    ("unix:///run/valkey.sock", ("/run/valkey.sock", 0, "", "")),
    ("unix:///run/valkey.sock?db=3", ("/run/valkey.sock", 3, "", "")),
    ("unix://:p%40w@/run/valkey.sock?db=3", ("/run/valkey.sock", 3, "", "p@w")),
    ("unix:///a%20b.sock?db=3&password=p%40w", ("/a b.sock", 3, "", "p@w")),
]


@pytest.mark.parametrize(("url", "expected"), GOOD)
def test_redis_py_and_celery_mean_the_same(url: str, expected: tuple[Any, ...]) -> None:
    for connection in connections(url):
        where = getattr(connection, "path", None)
        place = (where,) if where else (connection.host, connection.port)
        user = (connection.username or "", connection.password or "")
        assert (*place, connection.db, *user) == expected


@pytest.mark.parametrize(
    ("query", "required", "is_host_checked"),
    [
        ("", ssl.CERT_REQUIRED, True),
        ("?ssl_cert_reqs=optional", ssl.CERT_OPTIONAL, True),
        ("?ssl_cert_reqs=none", ssl.CERT_NONE, False),
        ("?ssl_check_hostname=false", ssl.CERT_REQUIRED, False),
    ],
)
def test_a_server_s_certificate_is_looked_at(
    query: str, required: ssl.VerifyMode, is_host_checked: bool
) -> None:
    for connection in connections(f"rediss://redis/0{query}"):
        assert connection.cert_reqs == required
        assert bool(connection.check_hostname) == is_host_checked


def connections(url: str) -> list[Any]:
    """The connections that redis-py and Celery would open to an address; none is opened."""
    channel = object.__new__(Channel)
    broker = Connection(read_redis_address(url).broker_url)
    channel.connection = SimpleNamespace(client=broker, default_port=6379)
    pools = [redis.ConnectionPool.from_url(url), channel._get_pool()]
    return [pool.connection_class(**pool.connection_kwargs) for pool in pools]
