"""`/metrics`: this process's numbers, for whoever has the token, or for the machine itself where there is none."""

from __future__ import annotations

import socket

import httpx2
import pytest
from django.test import Client
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from mundap.errors import ConfigurationError
from mundap.web.metrics import shown_at

URL = "/metrics"
TOKEN = "a-long-random-token"
OURS = {
    "mundap_chat_reads",
    "mundap_cache_hits",
    "mundap_cache_misses",
    "mundap_cache_fills",
    "mundap_cache_self_checks",
    "mundap_redis_breaker_open",
}


@pytest.fixture
def token(settings) -> str:
    settings.METRICS_TOKEN = TOKEN
    return f"Bearer {TOKEN}"


def test_the_machine_itself_may_ask(client: Client) -> None:
    reply = client.get(URL)
    assert reply.status_code == 200
    assert reply["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert reply["Cache-Control"] == "no-store"
    assert {family.name for family in parse(reply.content.decode())} >= OURS
    assert client.head(URL).status_code == 200


def test_what_must_never_rise_is_there_from_the_start(client: Client) -> None:
    numbers = client.get(URL).content.decode()
    assert 'mundap_cache_self_checks_total{result="different"} ' in numbers
    for reason in ("absent", "rev", "etag", "owner", "tag", "error"):
        assert f'mundap_cache_misses_total{{reason="{reason}"}} ' in numbers


def test_prometheus_gets_the_format_it_likes_best(client: Client) -> None:
    reply = client.get(URL, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert reply["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {family.name for family in parse_open(reply.content.decode())} >= OURS


@pytest.mark.parametrize(
    "address", ["192.0.2.7", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.7", "", "rubbish"]
)
def test_a_stranger_finds_nothing(client: Client, address: str) -> None:
    reply = client.get(URL, REMOTE_ADDR=address)
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "not_found"
    assert b"mundap_" not in reply.content


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_the_machine_s_own_addresses(client: Client, address: str) -> None:
    assert client.get(URL, REMOTE_ADDR=address).status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_a_proxy_on_the_machine_is_not_the_machine(client: Client, header: str) -> None:
    for value in ("127.0.0.1", "192.0.2.7", ""):
        assert client.get(URL, headers={header: value}).status_code == 404


def test_behind_a_proxy_that_adds_no_header(client: Client, settings) -> None:
    settings.TRUSTED_PROXIES = 1
    assert client.get(URL).status_code == 404


def test_with_the_token_from_anywhere(client: Client, token: str) -> None:
    for sent in (token, token.replace("Bearer", "bearer")):
        headers = {"Authorization": sent, "X-Forwarded-For": "192.0.2.7"}
        assert client.get(URL, headers=headers, REMOTE_ADDR="192.0.2.7").status_code == 200


@pytest.mark.parametrize(
    "sent", ["", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Token {TOKEN}", TOKEN, "Bearer é"]
)
def test_with_a_token_set_nothing_else_will_do(client: Client, token: str, sent: str) -> None:
    headers = {"Authorization": sent} if sent else {}
    assert client.get(URL, headers=headers).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_it_is_only_read(method: str) -> None:
    client = Client(enforce_csrf_checks=True)
    reply = client.generic(method, URL)
    assert reply.status_code == 405
    assert reply.json()["error"]["code"] == "method_not_allowed"
    assert reply["Allow"] == "GET, HEAD"
    assert client.generic(method, URL, REMOTE_ADDR="192.0.2.7").status_code == 404


def test_it_is_asked_past_the_proxy_that_speaks_https(client: Client, settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert client.get(URL).status_code == 200
    assert client.get("/healthz").status_code == 200
    assert client.get("/accounts/login/").status_code == 301


@pytest.mark.parametrize("path", ["/healthz", URL])
def test_it_is_asked_by_any_address(client: Client, settings, path: str) -> None:
    settings.ALLOWED_HOSTS = ["ask.example.org"]
    assert client.get(path, headers={"host": "10.1.2.3:8000"}).status_code == 200
    assert client.get("/accounts/login/", headers={"host": "10.1.2.3:8000"}).status_code == 400


def test_no_database_is_needed(client: Client) -> None:
    """There is no `db` here: a query would fail the test."""
    assert client.get(URL, headers={"Accept-Language": "ko"}).status_code == 200


# --- a worker, which serves nothing else


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_worker_s_numbers(host: str) -> None:
    port = free_port()
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    with shown_at((host, port)):
        reply = httpx2.get(f"{address}/metrics")
        assert (reply.status_code, reply.headers["Content-Type"][:10]) == (200, "text/plain")
        assert {family.name for family in parse(reply.text)} >= OURS
        assert httpx2.get(f"{address}/").status_code == 404
        assert httpx2.post(f"{address}/metrics").status_code == 501
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{address}/metrics")


def test_a_worker_s_numbers_want_the_token(token: str) -> None:
    port = free_port()
    with shown_at(("127.0.0.1", port)):
        address = f"http://127.0.0.1:{port}/metrics"
        assert httpx2.get(address).status_code == 404
        assert httpx2.get(address, headers={"Authorization": f"{token}x"}).status_code == 404
        assert httpx2.get(address, headers={"Authorization": token}).status_code == 200


def test_a_worker_whose_port_is_taken_says_so() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigurationError, match="MUNDAP_WORKER_METRICS"),
        shown_at(("127.0.0.1", taken.getsockname()[1])),
    ):
        pass
