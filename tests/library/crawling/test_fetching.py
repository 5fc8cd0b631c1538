"""What came of asking for a page: new, unchanged, gone, left out, or a failure that may pass."""

from __future__ import annotations

import io
import zipfile

import pytest

from mundap.errors import FetchFailed
from mundap.library.crawling.fetching import fetch_page
from mundap.library.crawling.web import Web
from mundap.library.parsing import PageContext, format_named, parse_page
from mundap.library.sources.listed import FetchedPage, FetchKind, Scope
from tests.library.crawling.server import Site, page

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"


def fetch(web: Web, site: Site, name: str = "a.html", **options) -> FetchedPage:
    scope = {
        name: options.pop(name) for name in ("is_followed", "max_depth", "only") if name in options
    }
    base = options.pop("base", site.url)
    return fetch_page(web, site.url + name, scope=Scope(base, **scope), **options)


def links(fetched: FetchedPage) -> list[tuple[str, int]]:
    return [(link.path, link.depth) for link in fetched.links]


class TestKinds:
    def test_a_new_page(self, web: Web, site: Site):
        site.add("/a.html", page("tea"), ETag='"1"', Last_Modified="Sun, 01 Nov 2026 10:00:00 GMT")
        fetched = fetch(web, site)
        assert fetched.kind == FetchKind.NEW
        assert (fetched.content, fetched.format_name) == (page("tea").encode(), "html")
        assert (fetched.etag, fetched.last_modified) == ('"1"', "Sun, 01 Nov 2026 10:00:00 GMT")
        assert fetched.links == ()

    def test_an_unchanged_page_is_not_sent_again(self, web: Web, site: Site):
        site.add("/a.html", page("tea"), ETag='"1"')
        fetched = fetch(web, site, etag='"1"', last_modified="Sun, 01 Nov 2026 10:00:00 GMT")
        assert (fetched.kind, fetched.content) == (FetchKind.UNCHANGED, b"")
        assert site.asked[-1].headers["if-modified-since"] == "Sun, 01 Nov 2026 10:00:00 GMT"
        assert fetch(web, site, etag='"0"').kind == FetchKind.NEW

    @pytest.mark.parametrize("value", ["x" * 600, "é", "a\tb"])
    def test_what_cannot_be_sent_back_is_not_kept(self, web: Web, site: Site, value):
        site.add("/a.html", page("tea"), ETag=value, Last_Modified=value)
        fetched = fetch(web, site)
        assert (fetched.etag, fetched.last_modified) == ("", "")

    def test_where_links_are_followed_the_page_is_needed(self, web: Web, site: Site):
        site.add("/a.html", page("<a href=b.html>b</a>"), ETag='"1"')
        fetched = fetch(web, site, etag='"1"', is_followed=True)
        assert (fetched.kind, links(fetched)) == (FetchKind.NEW, [("b.html", 1)])

    @pytest.mark.parametrize("status", [404, 410])
    def test_a_page_that_is_gone(self, web: Web, site: Site, status):
        fetched = fetch(web, site.add("/a.html", page("not found"), status=status))
        assert (fetched.kind, fetched.content) == (FetchKind.GONE, b"")

    @pytest.mark.parametrize(
        ("status", "is_retryable"),
        [(400, False), (401, False), (403, False), (418, False), (204, False), (300, False), (408, True), (429, True),
         (500, True), (502, True), (503, True), (504, True)],
    )  # fmt: skip
    def test_a_page_that_is_not_given(self, web: Web, site: Site, status, is_retryable):
        site.add("/a.html", status=status, Retry_After="7")
        with pytest.raises(FetchFailed, match=str(status)) as failed:
            fetch(web, site)
        assert failed.value.is_retryable is is_retryable
        assert failed.value.retry_after_seconds == (7 if is_retryable else None)

    def test_what_robots_txt_does_not_allow(self, web: Web, site: Site):
        site.add("/robots.txt", "User-agent: *\nDisallow: /a").add("/a.html", page())
        fetched = fetch(web, site)
        assert fetched.kind == FetchKind.LEFT_OUT
        assert "robots.txt" in fetched.reason

    def test_what_lies_elsewhere_is_not_asked_for(self, web: Web, site: Site):
        fetched = fetch(web, site.add("/a.html", page()), base=site.url + "docs/")
        assert fetched.kind == FetchKind.LEFT_OUT
        assert "is not below" in fetched.reason
        assert not site.asked


class TestWishes:
    @pytest.mark.parametrize(
        ("head", "header", "is_read", "is_followed"),
        [
            ("<meta name=robots content=noindex>", "", False, True),
            ("<META NAME='Robots' CONTENT='NOINDEX, NOFOLLOW'>", "", False, False),
            ("<meta name=robots content=none>", "", False, False),
            ("<meta name=mundap content=nofollow>", "", True, False),
            ("<meta name=googlebot content=noindex>", "", True, True),
            ("", "noindex", False, True),
            ("", "nofollow, noarchive", True, False),
            ("", "Mundap: none", False, False),
            ("", "otherbot: noindex, nofollow", True, True),
            ("", "otherbot: nofollow\r\nX-Robots-Tag: noindex", False, True),
        ],
    )
    def test_not_to_be_indexed_or_followed(
        self, web: Web, site: Site, head, header, is_read, is_followed
    ):
        site.add("/a.html", page("<a href=b.html>b</a>", head=head), X_Robots_Tag=header)
        fetched = fetch(web, site, is_followed=True)
        assert (fetched.kind == FetchKind.NEW) is is_read
        assert bool(fetched.content) is is_read
        assert bool(fetched.links) is is_followed

    def test_links(self, web: Web, site: Site):
        body = """<a href="b.html#one">1</a> <a href="b.html?two=2">2</a> <a href="/c/">c</a> <a href="d.html"
        rel="nofollow noopener">d</a> <a href="http://elsewhere.example/">e</a> <a href="a.html#top">itself</a>
        <a href="picture.png">f</a> <a href="javascript:void(0)">g</a> <a href="http://[bad">h</a> <a>i</a>
        <map><area href="e.html"></map> <a href="mailto:a@b.example">j</a>"""
        fetched = fetch(web, site.add("/a.html", page(body)), is_followed=True, depth=4)
        assert links(fetched) == [("b.html", 5), ("c/index.html", 5), ("e.html", 5)]

    def test_links_are_meant_from_the_pages_base(self, web: Web, site: Site):
        body = page("<a href=b.html>b</a>", head="<base href='/guide/'>")
        assert links(fetch(web, site.add("/a.html", body), is_followed=True)) == [
            ("guide/b.html", 1)
        ]

    def test_a_base_that_is_none(self, web: Web, site: Site):
        body = page("<a href=b.html>b</a>", head="<base href='http://[bad'>")
        assert links(fetch(web, site.add("/a.html", body), is_followed=True)) == [("b.html", 1)]

    def test_links_end_at_the_depth(self, web: Web, site: Site):
        site.add("/a.html", page("<a href=b.html>b</a>"))
        assert fetch(web, site, is_followed=True, depth=3, max_depth=3).links == ()

    def test_links_outside_the_prefix_are_left(self, web: Web, site: Site):
        site.add("/guide/a.html", page("<a href=b.html>b</a> <a href=/c.html>c</a>"))
        fetched = fetch(web, site, "guide/a.html", is_followed=True, only="guide/")
        assert links(fetched) == [("guide/b.html", 1)]


class TestOnePageOneAddress:
    def test_a_page_that_moved_is_read_where_it_is_now(self, web: Web, site: Site):
        fetched = fetch(web, site.redirect("/a.html", "/b.html", 301), depth=2)
        assert (fetched.kind, links(fetched)) == (FetchKind.LEFT_OUT, [("b.html", 3)])
        assert "leads to" in fetched.reason
        assert site.paths == ["/a.html"], "the other page is fetched by itself"

    def test_a_page_that_moved_away(self, web: Web, site: Site):
        fetched = fetch(web, site.redirect("/a.html", "https://elsewhere.example/login"))
        assert (fetched.kind, fetched.links) == (FetchKind.LEFT_OUT, ())
        assert "not of this source" in fetched.reason

    def test_pages_that_lead_on_and_on_end(self, web: Web, site: Site):
        assert fetch(web, site.redirect("/a.html", "/b.html"), depth=20).links == ()

    def test_another_name_of_the_same_page_is_followed(self, web: Web, site: Site):
        site.redirect("/a.html", "/a.html?session=1").add("/a.html?session=1", page("tea"))
        fetched = fetch(web, site, is_followed=True)
        assert fetched.kind == FetchKind.NEW
        assert b"tea" in fetched.content

    def test_a_page_that_leads_to_itself(self, web: Web, site: Site):
        with pytest.raises(FetchFailed, match="in a circle"):
            fetch(web, site.redirect("/a.html", "/a.html"))

    def canonical(self, to: str) -> str:
        return page("tea", head=f"<link rel=canonical href='{to}'>")

    def test_a_page_with_another_canonical_address(self, web: Web, site: Site):
        site.add("/a.html", self.canonical("b.html")).add("/b.html", self.canonical("b.html"))
        fetched = fetch(web, site)
        assert (fetched.kind, links(fetched)) == (FetchKind.LEFT_OUT, [("b.html", 1)])
        assert fetch(web, site, "b.html").kind == FetchKind.NEW

    @pytest.mark.parametrize(
        "to",
        ["a.html", "/", "missing.html", "https://elsewhere.example/a.html", "http://[bad", "b.html", "moved.html"],
        ids=["itself", "the start page", "not there", "elsewhere", "none", "one that names this one", "moved"],
    )  # fmt: skip
    def test_a_canonical_address_that_is_not_believed(self, web: Web, site: Site, to):
        site.add("/a.html", self.canonical(to)).add("/b.html", self.canonical("a.html"))
        site.redirect("/moved.html", "/a.html").add("/", page())
        assert fetch(web, site).kind == FetchKind.NEW


def archive(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name in names:
            file.writestr(name, "tea")
    return made.getvalue()


class TestContent:
    @pytest.mark.parametrize(
        ("name", "declared", "body", "expected"),
        [
            ("a.html", "text/html", page("x").encode(), "html"),
            ("a", "", page("x").encode(), "html"),
            ("a", "text/html", b"<p>only a piece</p>", "html"),
            ("a", "application/pdf", page("sign in").encode(), "html"),
            ("a.md", "text/plain", b"# Tea", "markdown"),
            ("a.md", "application/octet-stream", b"# Tea", "markdown"),
            ("a.md", "text/html", b"\xef\xbb\xbf <!-- x --><!DOCTYPE html><html>", "html"),
            ("a", "text/markdown; charset=utf-8", b"# Tea", "markdown"),
            ("a.rst", "text/plain", b"Tea\n===", "restructuredtext"),
            ("a", "text/plain", b"Tea", "text"),
            ("a", "application/octet-stream", b"Tea", ""),
            ("a.html", "image/png", b"\x89PNG\r\n\x1a\n\x00\x00", ""),
            ("a", "text/plain", b"\x89PNG\r\n\x1a\n\x00\x00", ""),
            ("a.html", "text/html", archive("a"), ""),
            ("a", "application/javascript", b"let tea = 1", ""),
            ("a", "text/css", b"a {}", ""),
            ("a", "application/json", b"{}", ""),
            ("a.docx", "", b"no archive", ""),
            ("a", "application/pdf", b"no pdf", ""),
        ],
    )
    def test_bytes_say_more_than_the_server(
        self, web: Web, site: Site, name, declared, body, expected
    ):
        fetched = fetch(web, site.add(f"/{name}", body, Content_Type=declared), name)
        assert fetched.format_name == expected
        assert fetched.kind == (FetchKind.NEW if expected else FetchKind.LEFT_OUT)

    def test_a_declared_charset_is_used(self, web: Web, site: Site):
        tea = "따뜻한 차 한 잔을 마시며 문서를 읽는다."
        site.add("/a.html", page(tea).encode("euc-kr"), Content_Type="text/html; charset=EUC-KR")
        site.add(
            "/b.html", page("ů").encode("iso-8859-2"), Content_Type="text/html; charset=iso-8859-2"
        )
        site.add("/c.html", page(tea).encode(), Content_Type="text/html; charset=iso-8859-1")
        site.add("/d.html", page(tea).encode("euc-kr"), Content_Type="text/html; charset=nonsense")
        for name, text in {"a.html": tea, "b.html": "ů", "c.html": tea, "d.html": tea}.items():
            content = fetch(web, site, name).content
            html = format_named("html")
            assert html is not None
            assert text in parse_page(content, html, PageContext(name, None, {}, {})).text, name
