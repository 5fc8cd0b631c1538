"""Servers that hang, drip, lie, break off or go on for ever; and manners towards all of them."""

from __future__ import annotations

import gzip
import ssl
import tracemalloc
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mundap.errors import FetchFailed, RobotsDisallow
from mundap.library.crawling import pace
from mundap.library.crawling.addresses import AddressRules
from mundap.library.crawling.decoding import decoded
from mundap.library.crawling.web import Limits, Web
from tests.library.crawling.conftest import LIMITS
from tests.library.crawling.server import Handler, Site, page

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"


def failure(web: Web, url: str) -> FetchFailed:
    with pytest.raises(FetchFailed) as failed:
        web.get(url)
    return failed.value


def forever(piece: bytes, *, every: float = 0.0):
    def send(handler: Handler) -> None:
        while not handler.server.ends.wait(every):
            handler.send(piece)

    return send


def hang(handler: Handler) -> None:
    handler.server.ends.wait()


def raw(*pieces: bytes):
    return lambda handler: handler.send(b"".join(pieces))


def then(first: bytes, act):
    def both(handler: Handler) -> None:
        handler.send(first)
        act(handler)

    return both


class TestBadServers:
    @pytest.mark.parametrize(
        "act",
        [
            hang,
            then(HEAD, hang),
            then(HEAD + b"\r\n", hang),
            then(HEAD + b"Content-Length: 9\r\n\r\nhalf", hang),
            then(HEAD + b"X-Slow: ", forever(b"a", every=0.05)),
            then(HEAD + b"\r\n", forever(b"a", every=0.05)),
        ],
        ids=[
            "silent",
            "in the head",
            "after it",
            "in the body",
            "drips its head",
            "drips its body",
        ],
    )
    def test_nobody_waits_for_ever(self, hasty: Web, site: Site, act):
        failed = failure(hasty, site.does("/a", act).url + "a")
        assert "did not answer in time" in failed.message
        assert failed.is_retryable

    @pytest.mark.parametrize(
        ("act", "said"),
        [
            (raw(HEAD + b"Content-Length: 1000\r\n\r\n<p>not all of it"), "broke off"),
            (raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), "broke off"),
            (raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n"), "no HTTP"),
            (raw(b""), "broke off"),
            (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "no HTTP"),
            (raw(b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"a" * 200_000 + b"\r\n\r\n"), "no HTTP"),
            (raw(HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"tea" * 99)[:-9]), "broke off"),
            (raw(HEAD + b"Content-Encoding: gzip\r\n\r\nnot packed at all"), "packed wrongly"),
        ],
        ids=["less than it said", "a chunk less", "no chunk", "nothing", "another protocol",
             "a long header", "half packed", "packed wrongly"],
    )  # fmt: skip
    def test_is_tried_again_later(self, web: Web, site: Site, act, said):
        failed = failure(web, site.does("/a", act).url + "a")
        assert said in failed.message
        assert failed.is_retryable
        assert web.get(site.add("/b", "hello").url + "b").content == b"hello"

    @pytest.mark.parametrize(
        ("act", "said"),
        [
            (then(HEAD + b"\r\n", forever(b"a" * 10_000)), "larger than"),
            (raw(HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(50_000_000))), "larger than"),
            (raw(HEAD + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(bytes(50_000_000))), "larger than"),
            (raw(HEAD + b"Content-Encoding: br\r\n\r\nabc"), "nobody asked for"),
            (raw(HEAD + b"Content-Encoding: gzip, gzip\r\n\r\nabc"), "nobody asked for"),
        ],
        ids=["endless", "a bomb", "another bomb", "another encoding", "packed twice"],
    )  # fmt: skip
    def test_is_not_tried_again(self, web: Web, site: Site, act, said):
        failed = failure(web, site.does("/a", act).url + "a")
        assert said in failed.message
        assert not failed.is_retryable

    def test_a_bomb_does_not_go_off_in_memory(self):
        bomb = gzip.compress(bytes(20_000_000))
        tracemalloc.start()
        with pytest.raises(FetchFailed, match="larger than"):
            decoded([bomb], "gzip", max_bytes=200_000, name="a")
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak_bytes < 2_000_000

    def test_more_than_it_said_is_not_taken_for_the_next_page(self, web: Web, site: Site):
        forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
        site.does("/a", raw(HEAD + b"Content-Length: 5\r\n\r\nhello" + forged))
        assert web.get(site.url + "a").content == b"hello"
        assert web.get(site.add("/b", "right").url + "b").content == b"right"

    def test_nobody_listens(self, web: Web, site: Site):
        site.server_close()
        failed = failure(web, site.url)
        assert "cannot be read" in failed.message
        assert failed.is_retryable

    @pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "bare", ""])
    def test_packed_pages(self, web: Web, site: Site, encoding):
        text = page("tea " * 10_000).encode()
        bare = zlib.compressobj(wbits=-15)
        body = {
            "deflate": zlib.compress(text),
            "bare": bare.compress(text) + bare.flush(),
            "": text,
        }
        site.add(
            "/a",
            body.get(encoding, gzip.compress(text)),
            Content_Encoding=encoding.replace("bare", "deflate"),
        )
        assert web.get(site.url + "a").content == text

    def test_certificates_are_checked(self, web: Web, site: Site, tmp_path: Path):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate(tmp_path / "own.pem"))
        site.socket = context.wrap_socket(site.socket, server_side=True)
        failed = failure(web, site.url.replace("http:", "https:"))
        assert "not safe" in failed.message
        assert not failed.is_retryable
        assert not site.asked


def certificate(file: Path) -> Path:
    """Write a certificate for 127.0.0.1 that nobody vouches for, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


class TestRedirects:
    def test_are_followed(self, web: Web, site: Site):
        site.redirect("/a", "b", 301).redirect("/b", "/c/", 307).add("/c/", "there")
        reply = web.get(site.url + "a")
        assert (reply.url, reply.content) == (site.url + "c/", b"there")

    def test_in_a_circle_are_named(self, web: Web, site: Site):
        site.redirect("/a", "/b").redirect("/b", "/a")
        failed = failure(web, site.url + "a")
        assert f"in a circle: {site.url}a → {site.url}b → {site.url}a" in failed.message
        assert not failed.is_retryable

    def test_without_end(self, web: Web, site: Site):
        for number in range(20):
            site.redirect(f"/{number}", f"/{number + 1}")
        assert "more than 5 times" in failure(web, site.url + "0").message
        assert len(site.paths) == 6


class TestRobots:
    def test_what_it_does_not_allow_is_not_asked(self, web: Web, site: Site):
        site.add("/robots.txt", "User-agent: *\nDisallow: /secret\nAllow: /secret/but*\n")
        site.add("/secret/but-not-this", "fine").add("/a").redirect("/b", "/secret/x")
        with pytest.raises(RobotsDisallow, match="does not allow it"):
            web.get(site.url + "secret/x")
        with pytest.raises(RobotsDisallow):
            web.get(site.url + "b")
        assert web.get(site.url + "secret/but-not-this").content == b"fine"
        assert site.paths == ["/b", "/secret/but-not-this"]

    def test_our_own_name_counts(self, web: Web, site: Site):
        site.add("/robots.txt", "User-agent: *\nAllow: /\n\nUser-agent: mundap\nDisallow: /\n")
        with pytest.raises(RobotsDisallow):
            web.get(site.url)

    @pytest.mark.parametrize("status", [401, 403, 404, 410])
    def test_a_site_without_one_allows_everything(self, web: Web, site: Site, status):
        site.add("/robots.txt", status=status).add("/a", "hello")
        assert web.get(site.url + "a").content == b"hello"

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_while_it_cannot_be_read_nothing_is(self, web: Web, site: Site, status):
        site.add("/robots.txt", status=status, Retry_After="0").add("/a")
        failed = failure(web, site.url + "a")
        assert "robots.txt cannot be read, so nothing of" in failed.message
        assert failed.is_retryable
        assert failed.retry_after_seconds
        failure(web, site.url + "a")
        assert [asked.path for asked in site.asked] == ["/robots.txt"], "not even it, for a minute"

    def test_it_is_asked_for_once(self, web: Web, site: Site):
        for name in ("a", "b", "c"):
            web.get(site.add(f"/{name}").url + name)
        assert [asked.path for asked in site.asked] == ["/robots.txt", "/a", "/b", "/c"]

    def test_its_delay_is_kept_up_to_a_bound(self, web: Web, site: Site):
        site.add("/robots.txt", "User-agent: *\nCrawl-delay: 3600\n").add("/a")
        web.get(site.url + "a")
        failed = failure(web, site.url + "a")
        assert failed.is_retryable
        assert not failed.was_asked
        assert 5 < failed.retry_after_seconds <= 10

    def test_endless_ones_are_cut(self, db, site: Site):
        rules = b"User-agent: *\nDisallow: /a\n"
        site.add("/robots.txt", rules + b"#" * 600_000 + b"\nDisallow: /b\n").add("/b", "fine")
        limits = Limits(max_bytes=1_000_000, pace_seconds=0)
        with Web(AddressRules(["127.0.0.1"]), delay_seconds=0, limits=limits) as web:
            assert web.get(site.url + "b").content == b"fine"
            with pytest.raises(RobotsDisallow):
                web.get(site.url + "a")


class TestManners:
    def test_who_asks_says_so(self, db, site: Site):
        rules = AddressRules(["127.0.0.1"])
        with Web(rules, delay_seconds=0, contact="https://ask.example/about", limits=LIMITS) as web:
            web.get(site.add("/a").url + "a")
        headers = site.asked[-1].headers
        assert headers["user-agent"].startswith("Mundap/")
        assert headers["user-agent"].endswith(" (+https://ask.example/about)")
        assert headers["host"] == site.url.split("/")[2]
        assert "cookie" not in headers

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize("is_date", [False, True])
    def test_a_host_that_wants_a_rest_gets_it_from_all(self, web: Web, site: Site, status, is_date):
        until = format_datetime(datetime.now(UTC) + timedelta(seconds=100))
        site.add("/a", status=status, Retry_After=until if is_date else "100").add("/b")
        failed = failure(web, site.url + "a")
        assert failed.is_retryable
        assert failed.was_asked
        assert 90 < failed.retry_after_seconds <= 100
        with Web(AddressRules(["127.0.0.1"]), delay_seconds=0, limits=LIMITS) as another:
            failed = failure(another, site.url + "b")
        assert not failed.was_asked
        assert 90 < failed.retry_after_seconds <= 100
        assert site.paths == ["/a"]

    @pytest.mark.parametrize(
        "text", ["²", "-5", "soon", "Mon, 01 Jan 0001 00:00:00 -0000", "9" * 400, ""]
    )
    def test_what_is_no_time_is_some_time(self, web: Web, site: Site, text):
        failed = failure(web, site.add("/a", status=503, Retry_After=text).url + "a")
        assert failed.is_retryable
        assert 0 < failed.retry_after_seconds <= pace.MAX_HOLD_OFF_SECONDS

    def test_nobody_is_left_alone_for_ever(self, web: Web, site: Site):
        site.add("/a", status=503, Retry_After="999999999")
        assert failure(web, site.url + "a").retry_after_seconds == pace.MAX_HOLD_OFF_SECONDS


@pytest.mark.django_db
class TestPace:
    def test_one_after_the_other(self):
        def reserve(host: str, patience: float = 100) -> tuple[bool, int]:
            is_ours, seconds = pace.reserve(host, delay_seconds=10, patience_seconds=patience)
            return is_ours, round(seconds, -1)

        assert [reserve("a") for _ in range(3)] == [(True, 0), (True, 10), (True, 20)]
        assert reserve("b") == (True, 0)
        assert reserve("a", patience=15) == (False, 30)
        assert reserve("a") == (True, 30), "what was not reserved is free"

    def test_a_rest_is_not_shortened(self):
        pace.hold_off("a", 100)
        pace.hold_off("a", 1)
        is_ours, seconds = pace.reserve("a", delay_seconds=0, patience_seconds=5)
        assert not is_ours
        assert seconds > 90
