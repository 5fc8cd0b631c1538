"""An address has one path, the one that a folder of the same site would have, or it belongs elsewhere."""

from __future__ import annotations

import pytest

from mundap.library.crawling.scoping import folder_of, page_at
from mundap.library.sources.listed import Scope

BASE = "https://tea.example/docs/"


def path(url: str, **scope) -> str | None:
    page = page_at(url, Scope(BASE, **scope))
    return page.path if page else None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (BASE, "index.html"),
        ("https://tea.example/docs", "index.html"),
        ("https://TEA.example:443/docs/index.html#top", "index.html"),
        ("http://tea.example/docs/guide/tea.html", "guide/tea.html"),
        ("guide/", "guide/index.html"),
        ("guide", "guide"),
        ("a/../b%20c.html", "b c.html"),
        ("%EC%B0%A8.html", "차.html"),
        ("차.html", "차.html"),
        ("a%2Fb.html", None),
        ("%2e%2e/secret.html", None),
        ("../other/", None),
        ("https://tea.example/docs2/a.html", None),
        ("https://tea.example:8443/docs/a.html", None),
        ("https://coffee.example/docs/a.html", None),
        ("https://me@tea.example/docs/a.html", None),
        ("mailto:me@tea.example", None),
        ("\ud800.html", None),
        ("ftp://tea.example:21/docs/a.html", None),
        ("https://tea.example:port/docs/", None),
        ("/docs/a//b.html", None),
        ("%00.html", None),
        ("%ff.html", None),
        ("x" * 1001, None),
        ("차" * 300, None),
        ("page?id=3", "page?id=3"),
        ("picture.png", None),
        ("archive.zip", None),
        ("style.css", None),
        ("app.js", None),
        ("list.php", "list.php"),
        ("notes.md", "notes.md"),
        ("v1.2", "v1.2"),
        ("_static/a.html", None),
        ("_sources/a.rst.txt", None),
        ("robots.txt", None),
        ("404.html", None),
        ("genindex.html", "genindex.html"),
    ],
)
def test_paths(url: str, expected: str | None) -> None:
    assert path(url) == expected


def test_what_sphinx_makes_beside_the_pages_is_none() -> None:
    names = ["genindex.html", "search.html?q=tea", "_modules/tea.html", "a.txt", "py-modindex.html"]
    assert [path(name, is_sphinx=True) for name in names] == [None] * 5
    assert path("a.html", is_sphinx=True) == "a.html"


def test_where_links_are_followed_sessions_and_queries_are_dropped() -> None:
    page = page_at("a.html;jsessionid=1A2B?month=3&sid=4#x", Scope(BASE, is_followed=True))
    assert page is not None
    assert (page.url, page.path) == (BASE + "a.html", "a.html")


def test_a_prefix_narrows() -> None:
    assert path("guide/tea.html", only="guide/") == "guide/tea.html"
    assert path("tea.html", only="guide/") is None


def test_its_address_is_written_in_one_way() -> None:
    for url in (
        "http://tea.example:80/docs/a%20b.html",
        "https://tea.example/docs/x/../a b.html#c",
    ):
        page = page_at(url, Scope(BASE))
        assert page is not None
        assert page.url == BASE + "a%20b.html"


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("https://a.example", "https://a.example/"),
        ("https://a.example/docs", "https://a.example/docs/"),
        ("https://a.example/docs/", "https://a.example/docs/"),
        ("https://a.example/docs/index.html", "https://a.example/docs/"),
        ("https://a.example/docs/5.2", "https://a.example/docs/5.2/"),
        ("https://a.example/docs/objects.inv", "https://a.example/docs/"),
        ("https://a.example/docs/5.2/", "https://a.example/docs/5.2/"),
    ],
)
def test_the_folder_of_an_address(url: str, folder: str) -> None:
    assert folder_of(url) == folder
