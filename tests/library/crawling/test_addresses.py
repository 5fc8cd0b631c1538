"""Nobody's neighbours are asked: not by name, by number, by a changed answer or by a redirect."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from mundap.errors import FetchFailed
from mundap.library.crawling.addresses import AddressRules, is_neighbour, is_public
from mundap.library.crawling.connecting import Deadline, GuardedBackend
from mundap.library.crawling.web import Web
from tests.library.crawling.conftest import LIMITS
from tests.library.crawling.server import Site

UNSPECIFIED = "0.0.0.0"  # noqa: S104
PUBLIC = ["8.8.8.8", "151.101.0.223", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
NEIGHBOURS = ["127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.0.1", "::1", "fd00::1",
              "::ffff:10.0.0.1"]  # fmt: skip
NOBODYS = [
    UNSPECIFIED, "0.1.2.3", "169.254.169.254", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "192.0.0.170", "192.88.99.1", "::", "fe80::1", "ff02::1", "::ffff:169.254.169.254", "::ffff:0.0.0.0",
    "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::1", "2002:808:808::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "3fff::1", "100::1", "fec0::1", "5f00::1",
]  # fmt: skip


class TestAddresses:
    @pytest.mark.parametrize("address", PUBLIC)
    def test_public_ones_may_be_asked(self, address):
        assert is_public(ip_address(address))

    @pytest.mark.parametrize("address", NEIGHBOURS)
    def test_neighbours_only_as_hosts_of_ones_own(self, address):
        assert not is_public(ip_address(address))
        assert is_neighbour(ip_address(address))

    @pytest.mark.parametrize("address", NOBODYS)
    def test_others_never(self, address):
        assert not is_public(ip_address(address))
        assert not is_neighbour(ip_address(address))


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "asked"),
        [
            ("HTTPS://Docs.Example.ORG", "https://docs.example.org/"),
            (
                "https://docs.example.org.:443/a b?q=ü#part",
                "https://docs.example.org/a%20b?q=%C3%BC",
            ),
            ("http://docs.example.org:80/a%2Fb%20c", "http://docs.example.org/a%2Fb%20c"),
            ("https://문서.example/가", "https://xn--z92bu1i.example/%EA%B0%80"),
            ("http://[2606:4700::1111]/", "http://[2606:4700::1111]/"),
            ("http://own.example:8000/x", "http://own.example:8000/x"),
            ("http://a.corp.example:9/", "http://a.corp.example:9/"),
        ],
    )
    def test_are_written_in_one_way(self, url, asked):
        rules = AddressRules(["own.example:8000", ".corp.example"])
        assert str(rules.target(url)) == asked

    @pytest.mark.parametrize(
        "url",
        [
            "ftp://docs.example.org/", "file:///etc/passwd", "gopher://x/", "javascript:alert(1)", "//x/", "", "x",
            "https:///etc", "https://me:secret@docs.example.org/", "https://docs.example.org@127.0.0.1/",
            "http://127.0.0.1\\@docs.example.org/", "https://docs.example.org:8080/", "http://own.example:8001/",
            "http://corp.example:9/", "https://docs.example.org:port/", "http://[fe80::1%25eth0]:22/",
            "http://[::1/", "http://a..b/", "http://a b/", "http://a/" + "x" * 2000, "http://-/",
            "http://a/\ud800", "http://\ud800/", "http://ex%41mple/",
        ],
    )  # fmt: skip
    def test_that_are_none_or_not_to_be_asked(self, url):
        with pytest.raises(FetchFailed) as refused:
            AddressRules(["own.example:8000", ".corp.example"]).target(url)
        assert not refused.value.is_retryable


def backend(*answers: str, own: tuple[str, ...] = ()) -> GuardedBackend:
    """Connects where a resolver leads that gives one answer after the other."""
    left = list(answers)
    return GuardedBackend(
        AddressRules(own), lambda _host, _port: [ip_address(left.pop(0))], Deadline()
    )


class TestConnections:
    """On real sockets: each of these answers reaches the site of the test where nothing checks it."""

    @pytest.mark.parametrize("answer", ["127.0.0.1", UNSPECIFIED, "::ffff:127.0.0.1", "127.1.2.3"])
    def test_names_that_lead_to_this_machine(self, site: Site, answer):
        with pytest.raises(FetchFailed, match="not a public address"):
            backend(answer).connect_tcp("docs.example.org", site.server_port, 5)

    def test_an_own_host_does_not_lead_everywhere(self, site: Site):
        own = ("docs.example.org",)
        backend("127.0.0.1", own=own).connect_tcp("docs.example.org", site.server_port, 5).close()
        with pytest.raises(FetchFailed, match="not a public address"):
            backend(UNSPECIFIED, own=own).connect_tcp("docs.example.org", site.server_port, 5)

    def test_what_was_checked_is_what_is_connected_to(self, site: Site):
        """A name that answers differently the second time: there is no second time within a connection."""
        guarded = backend("127.0.0.1", UNSPECIFIED, own=("docs.example.org",))
        stream = guarded.connect_tcp("docs.example.org", site.server_port, 5)
        assert stream.get_extra_info("server_addr") == ("127.0.0.1", site.server_port)
        stream.close()
        with pytest.raises(FetchFailed, match="not a public address"):
            guarded.connect_tcp("docs.example.org", site.server_port, 5)

    def test_the_next_address_is_tried(self, site: Site):
        # Nobody listens at the first one.
        addresses = [ip_address("::1"), ip_address("127.0.0.1")]
        guarded = GuardedBackend(
            AddressRules(["docs.example.org"]), lambda _host, _port: addresses, Deadline()
        )
        stream = guarded.connect_tcp("docs.example.org", site.server_port, 5)
        assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
        stream.close()


class TestRequests:
    @pytest.mark.parametrize(
        "host",
        ["127.0.0.2", "2130706434", "0x7f000002", "017700000002", "127.2", "0x7f.2", "①27.0.0.2", "127。0。0。2",
         "127.0.0.2.", "[::ffff:127.0.0.2]", "[::1]", "localhost", "LOCALHOST.", "169.254.169.254",
         "[64:ff9b::7f00:2]"],
    )  # fmt: skip
    def test_this_machine_by_other_names(self, web: Web, host):
        with pytest.raises(FetchFailed, match="not a public address") as refused:
            web.get(f"http://{host}/")
        assert not refused.value.is_retryable

    @pytest.mark.parametrize(
        "location",
        [
            "http://127.0.0.2/",
            "http://0/",
            "//[::1]/",
            "http://localhost/",
            "http://169.254.169.254/latest/",
        ],
    )
    def test_redirects_to_neighbours(self, web: Web, site: Site, location):
        site.redirect("/a", location)
        with pytest.raises(FetchFailed, match="not a public address"):
            web.get(site.url + "a")

    @pytest.mark.parametrize(
        "location",
        [
            "file:///etc/passwd",
            "http://me:pw@127.0.0.1/",
            "http://docs.example.org:22/",
            "http://[bad",
            "ftp://x/",
        ],
    )
    def test_redirects_to_what_is_not_asked(self, web: Web, site: Site, location):
        site.redirect("/a", location)
        with pytest.raises(FetchFailed) as refused:
            web.get(site.url + "a")
        assert not refused.value.is_retryable

    def test_proxies_of_the_environment_are_not_used(self, web: Web, site: Site, monkeypatch):
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        assert web.get(site.add("/a", "hello").url + "a").content == b"hello"

    def test_names_that_nobody_has(self, db):
        def resolve(host: str, port: int) -> list:
            raise FetchFailed(f"There is no host {host}.")

        with (
            Web(AddressRules(), delay_seconds=0, limits=LIMITS, resolve=resolve) as web,
            pytest.raises(FetchFailed, match="There is no host"),
        ):
            web.get("https://docs.example.org/")
