"""Sources on the web list their pages: by Sphinx's inventory, by sitemaps, by llms.txt, and by links."""

from __future__ import annotations

import gzip
import shutil
import zlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mundap.errors import SourceError
from mundap.library.crawling.fetching import fetch_page
from mundap.library.crawling.web import open_web
from mundap.library.parsing import Page, PageContext, format_named, parse_page
from mundap.library.sources import Listed, OpenedSource, open_source, sitemap, sphinx_site
from mundap.library.sources.listed import FetchKind
from tests.library.crawling.server import Site, page
from tests.serving import Quiet, in_thread

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_host")]


def opened(name: str) -> OpenedSource:
    with open_source(name) as source:
        assert source.pages == ()
        return source


def listed(name: str) -> Listed:
    found = opened(name).listed
    assert found is not None
    return found


def paths(name: str) -> list[str]:
    return [page.path for page in listed(name).pages]


def refusal(name: str) -> str:
    with pytest.raises(SourceError) as refused, open_source(name):
        pass
    return refused.value.message


def inventory(*entries: str, project: str = "Teapot", version: str = "2.1") -> bytes:
    head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: {version}\n# zlib\n"
    return head.encode() + zlib.compress("\n".join(entries).encode())


class TestSphinx:
    @pytest.fixture
    def docs(self, site: Site) -> Site:
        site.add(
            "/en/",
            page(
                "<a href='download.html?x=1'>d</a> <a href='genindex.html'>i</a> <a href='/'>up</a>"
            ),
        )
        entries = [
            "brew py:function 1 library/tea.html#$ -",
            "teapot.Pot py:class 1 library/tea.html#teapot.Pot -",
            "library/tea std:doc -1 library/tea.html Tea and pots",
            "a term with words std:term -1 glossary.html#term-$ -",
            "first.html std:doc -1 guide/$ First",
            "genindex std:label -1 genindex.html Index",
            "source py:module 0 _modules/tea.html -",
            "outside std:doc -1 https://elsewhere.example/x.html -",
            "bad std:doc -1 http://[bad -",
        ]
        return site.add("/en/objects.inv", inventory(*entries))

    def test_pages_of_the_inventory_and_of_the_start_page(self, docs: Site):
        source = opened(f"sphinx:{docs.url}en/")
        assert source.listed is not None
        assert [(page.path, page.url.removeprefix(docs.url)) for page in source.listed.pages] == [
            ("download.html", "en/download.html"),
            ("glossary.html", "en/glossary.html"),
            ("guide/first.html", "en/guide/first.html"),
            ("index.html", "en/"),
            ("library/tea.html", "en/library/tea.html"),
        ]
        about = source.about
        assert (about.title, about.slug, about.version, about.language) == (
            "Teapot",
            "teapot",
            "2.1",
            "en",
        )
        assert source.address("library/tea.html") == f"{docs.url}en/library/tea.html"
        assert source.address("index.html") == f"{docs.url}en/"

    @pytest.mark.parametrize("name", ["en", "en/objects.inv", "", "#guide/"])
    def test_where_it_is_found(self, docs: Site, name):
        docs.redirect("/", "/en/").redirect("/en", "/en/")
        found = listed(f"sphinx:{docs.url}{name}")
        assert found.base_url == docs.url + "en/"
        assert len(found.pages) == (1 if name == "#guide/" else 5)

    def test_the_first_version_of_inventories(self, docs: Site):
        text = (
            "# Sphinx inventory version 1\n# Project: Teapot\n# Version: 1.0\n"
            "brew function tea.html\npot mod pot.html\n"
        )
        docs.add("/en/objects.inv", text)
        assert paths(f"sphinx:{docs.url}en/") == [
            "download.html",
            "index.html",
            "pot.html",
            "tea.html",
        ]

    def test_a_known_project(self, docs: Site):
        docs.add(
            "/en/objects.inv", inventory("a std:doc -1 a.html -", project="Python", version="3.11")
        )
        about = opened(f"sphinx:{docs.url}en/").about
        assert (about.slug, about.licence, about.base_url) == (
            "python",
            "PSF-2.0",
            docs.url + "en/",
        )

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b"", "not one of Sphinx's"),
            (page().encode(), "not one of Sphinx's"),
            (inventory("a std:doc -1 a.html -")[:90], "is broken"),
            (b"# Sphinx inventory version 2\n#\n#\n#\nnot packed", "is broken"),
        ],
    )
    def test_inventories_that_are_none(self, docs: Site, body, said):
        assert said in refusal(f"sphinx:{docs.add('/en/objects.inv', body).url}en/")

    def test_bombs(self, docs: Site, monkeypatch):
        monkeypatch.setattr(sphinx_site, "MAX_BYTES", 10_000)
        bomb = inventory(*["a std:doc -1 a.html -"] * 1000)
        assert "unpacks to more than" in refusal(
            f"sphinx:{docs.add('/en/objects.inv', bomb).url}en/"
        )

    def test_a_passing_failure_loses_no_pages(self, docs: Site):
        docs.add("/en/", status=500)
        assert "answered 500" in refusal(f"sphinx:{docs.url}en/")

    def test_nothing_there(self, site: Site):
        assert "answered 404" in refusal(f"sphinx:{site.url}")


def urlset(*locations: str) -> str:
    entries = "".join(
        f"<url><loc>{each}</loc><lastmod>2026-11-01</lastmod></url>" for each in locations
    )
    return f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{entries}</urlset>'


def index(*locations: str) -> str:
    entries = "".join(f"<sitemap><loc>{each}</loc></sitemap>" for each in locations)
    return f"<sitemapindex xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>{entries}</sitemapindex>"


class TestSitemaps:
    def test_pages_of_the_host_below_the_sitemap(self, site: Site):
        here = f"{site.url}docs/"
        site.add("/docs/", page(title="Tea — Tea shop"))
        site.add(
            "/docs/sitemap.xml",
            urlset(f"{here}b.html", here, f"{here}a/", f"{here}b.html#x", f"{site.url}top.html",
                   "https://elsewhere.example/docs/", "http://[bad", f"{here}x.png", f"{here}q?id=1&amp;x=2", " "),
        )  # fmt: skip
        source = opened(f"sitemap:{here}sitemap.xml")
        assert source.listed is not None
        found = [page.path for page in source.listed.pages]
        assert found == ["a/index.html", "b.html", "index.html", "q?id=1&x=2"]
        assert (source.about.title, source.about.slug) == ("Tea shop", "tea-shop")
        assert paths(f"sitemap:{here}sitemap.xml#a/") == ["a/index.html"]

    def test_through_others_to_a_depth(self, site: Site):
        site.add("/sitemap.xml", index(f"{site.url}1.xml", "https://elsewhere.example/x.xml"))
        site.add("/1.xml", index(f"{site.url}2.xml.gz", f"{site.url}sitemap.xml"))
        site.add("/2.xml.gz", gzip.compress(urlset(f"{site.url}a.html").encode()))
        assert paths(f"sitemap:{site.url}sitemap.xml") == ["a.html"]
        site.add("/2.xml.gz", index(f"{site.url}3.xml"))
        assert "names no pages" in refusal(f"sitemap:{site.url}sitemap.xml")
        assert "/3.xml" not in site.paths

    def test_found_by_robots_txt_or_by_its_name(self, site: Site):
        site.add("/sitemap.xml", urlset(f"{site.url}docs/a.html", f"{site.url}b.html"))
        assert paths(f"sitemap:{site.url}docs/") == ["docs/a.html".removeprefix("docs/")]
        site.add("/docs/sitemap.xml", urlset(f"{site.url}docs/c.html"))
        assert paths(f"sitemap:{site.url}docs/") == ["c.html"]
        site.add(
            "/robots.txt",
            f"Sitemap: {site.url}map.xml\nSitemap: https://elsewhere.example/x.xml\nSitemap: http://[bad",
        )
        site.add("/map.xml", urlset(f"{site.url}docs/d.html"))
        assert paths(f"sitemap:{site.url}docs/") == ["d.html"]

    def test_what_sphinx_makes_beside_the_pages_is_left_out(self, site: Site):
        names = ("a.html", "genindex.html", "search.html")
        site.add("/sitemap.xml", urlset(*[site.url + name for name in names]))
        assert paths(f"sitemap:{site.url}sitemap.xml") == ["a.html"]

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b"", "is not a sitemap"),
            (page().encode(), "is not a sitemap"),
            (b"<urlset/>", "names no pages"),
            (gzip.compress(urlset("x").encode())[:-9], "not whole"),
            (gzip.compress(bytes(100_000)), "unpacks to more than"),
        ],
        ids=["nothing", "a page", "an empty one", "half of one", "a bomb"],
    )  # fmt: skip
    def test_sitemaps_that_are_none(self, site: Site, monkeypatch, body, said):
        monkeypatch.setattr(sitemap, "MAX_BYTES", 50_000)
        assert said in refusal(f"sitemap:{site.add('/sitemap.xml', body).url}sitemap.xml")

    def test_files_of_this_machine_are_not_put_into_it(self, site: Site, tmp_path: Path):
        (tmp_path / "secret").write_text(f"{site.url}secret.html", "utf-8")
        head = f'<!DOCTYPE urlset [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]>'
        body = f"{head}<urlset><url><loc>&x;</loc></url><url><loc>{site.url}a.html</loc></url></urlset>"
        assert paths(f"sitemap:{site.add('/sitemap.xml', body).url}sitemap.xml") == ["a.html"]

    def test_more_than_is_reasonable(self, site: Site, monkeypatch):
        monkeypatch.setattr(sitemap, "MAX_PAGES", 8)
        monkeypatch.setattr(sitemap, "MAX_FILES", 3)
        site.add("/sitemap.xml", urlset(*[f"{site.url}{number}.html" for number in range(9)]))
        message = refusal(f"sitemap:{site.url}sitemap.xml")
        assert "names 9 pages; a source may have 8" in message
        assert "after #" in message
        site.add("/sitemap.xml", index(*[f"{site.url}{number}.xml" for number in range(9)]))
        for number in range(9):
            site.add(f"/{number}.xml", urlset())
        assert "more than 3 others" in refusal(f"sitemap:{site.url}sitemap.xml")

    def test_nothing_there(self, site: Site):
        assert "has no sitemap.xml" in refusal(f"sitemap:{site.url}")
        assert "answered 404" in refusal(f"sitemap:{site.url}sitemap.xml")


class TestLlms:
    def test_links_below_the_file(self, site: Site):
        text = f"""# Tea shop
> All about tea.
## Docs
- [Brewing](guide/brewing.md): how to
- [Pots]({site.url}pots.html)
- [Again](guide/brewing.md#part), [elsewhere](https://elsewhere.example/a.md), [bad](http://[bad)
`[code](code.md)`
"""
        site.add("/llms.txt", text, Content_Type="text/plain")
        source = opened(f"llms:{site.url}llms.txt")
        assert source.listed is not None
        assert [page.path for page in source.listed.pages] == ["guide/brewing.md", "pots.html"]
        assert source.about.title == "Tea shop"
        assert paths(f"llms:{site.url}#guide/") == ["guide/brewing.md"]

    def test_all_pages_in_one_file(self, site: Site):
        text = f"""Welcome.

# Brewing
Source: {site.url}guide/brewing.html

Boil water.
```sh
# no heading
```
## Time
# Pots #
Round.
# Pots
Square.
# Outside
URL: https://elsewhere.example/x
"""
        site.add("/docs/llms-full.txt", text).add("/docs/guide/brewing.html", page())
        found = listed(f"llms:{site.url}docs/llms-full.txt")
        contents = {page.path: (page.content or b"").decode() for page in found.pages}
        assert list(contents) == ["brewing.md", "index.md", "outside.md", "pots-2.md", "pots.md"]
        assert contents["index.md"] == "Welcome."
        assert contents["brewing.md"].startswith("# Brewing")
        assert contents["brewing.md"].endswith("## Time")
        assert contents["pots-2.md"] == "# Pots\nSquare."
        assert {page.format_name for page in found.pages} == {"markdown"}
        site.add("/llms-full.txt", text)
        top = {page.path: page.url for page in listed(f"llms:{site.url}llms-full.txt").pages}
        assert top["guide/brewing.html"] == f"{site.url}guide/brewing.html", (
            "where it says that it is published"
        )
        assert top["pots.md"] == f"{site.url}llms-full.txt"

    def test_nothing_there(self, site: Site):
        assert "answered 404" in refusal(f"llms:{site.url}llms.txt")
        assert "names no pages" in refusal(f"llms:{site.add('/llms.txt', '# Tea').url}llms.txt")


def crawled(name: str, *, most: int = 100) -> dict[str, tuple[FetchKind, bytes]]:
    """Return every page of a web source by its path, as a run would have it."""
    found: dict[str, tuple[FetchKind, bytes]] = {}
    source = listed(name)
    waiting = list(source.pages)
    with open_web() as web:
        while waiting and len(found) < most:
            place = waiting.pop(0)
            if place.path not in found:
                fetched = fetch_page(web, place.url, scope=source.scope, depth=place.depth)
                found[place.path] = (fetched.kind, fetched.content)
                waiting += fetched.links
    return found


class TestSites:
    def test_links_below_the_path_are_followed(self, site: Site):
        site.add(
            "/docs/",
            page(
                "<a href=a/>a</a> <a href='b.html?x=1'>b</a> <a href=/up.html>up</a>",
                title="T | Tea",
            ),
        )
        site.redirect("/docs", "/docs/").redirect("/docs/a/", "/docs/a/start.html")
        site.add(
            "/docs/a/start.html",
            page("<a href=../missing.html>m</a> <a href=../index.html>home</a>"),
        )
        site.add("/docs/b.html", page("<a href=b.html?x=2>next</a>"))
        found = {path: kind.value for path, (kind, _) in crawled(f"site:{site.url}docs").items()}
        assert found == {
            "index.html": "new",
            "b.html": "new",
            "a/index.html": "left_out",
            "a/start.html": "new",
            "missing.html": "gone",
        }
        assert opened(f"site:{site.url}docs").about.title == "Tea"

    def test_calendars_end(self, site: Site):
        for month in range(40):
            next_month = f"<a href='/{month + 1}/'>next</a> <a href='?day={month}'>day</a>"
            site.add(f"/{month}/", page(next_month))
        site.add("/", page("<a href='/0/'>calendar</a>"))
        assert list(crawled(f"site:{site.url}"))[-1] == "19/index.html"
        assert not any("?" in path for path in site.paths)

    def test_a_start_page_that_leads_below_itself(self, site: Site):
        site.redirect("/docs/", "/docs/guide/start.html").add("/docs/guide/start.html", page())
        found = listed(f"site:{site.url}docs/")
        assert found.base_url == f"{site.url}docs/"
        assert [page.path for page in found.pages] == ["guide/start.html"]

    def test_nothing_there(self, site: Site):
        assert "answered 404" in refusal(f"site:{site.url}")
        assert "no page below" in refusal(f"site:{site.add('/', page()).url}#guide/")


class _Files(Quiet, SimpleHTTPRequestHandler):
    pass


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and where a usual web server has it."""
    handler = partial(_Files, directory=str(tmp_path))
    with in_thread(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield tmp_path, f"http://127.0.0.1:{server.server_port}/"


def test_a_site_is_the_same_by_folder_inventory_sitemap_and_links(files):
    folder, url = files
    shutil.copytree(Path(__file__).parent.parent / "data" / "built", folder, dirs_exist_ok=True)
    sub = folder / "guide"
    sub.mkdir()
    (sub / "tea time.html").write_text(
        page("<h1>Tea time</h1><p>At five.", title="Tea time — Teapot"), "utf-8"
    )
    (sub / "pots.html").write_text(
        page("<h1>Töpfe</h1><p>Runde.", title="Töpfe").replace("UTF", ""), "utf-8"
    )
    start = folder / "index.html"
    start.write_text(start.read_text("utf-8").replace(
        "</body>", "<a href='guide/tea%20time.html'>t</a><a href='guide/pots.html'>p</a></body>"), "utf-8")  # fmt: skip
    (folder / "objects.inv").write_bytes(
        inventory(
            "a std:doc -1 index.html -",
            "b std:doc -1 guide/tea%20time.html -",
            "c std:doc -1 guide/pots.html -",
        )
    )
    with open_source(f"dir:{folder}") as source:
        by_folder = {page.path: parsed(page.path, page.file.read_bytes()) for page in source.pages}
    assert set(by_folder) == {"index.html", "guide/tea time.html", "guide/pots.html"}
    names = [f"{url}{path.replace(' ', '%20')}" for path in by_folder]
    (folder / "sitemap.xml").write_text(urlset(*names, f"{url}genindex.html"), "utf-8")
    for name in (f"sphinx:{url}", f"sitemap:{url}", f"site:{url}"):
        by_web = {path: parsed(path, content) for path, (_kind, content) in crawled(name).items()}
        assert by_web == by_folder, name


def parsed(path: str, content: bytes) -> tuple[str, str]:
    html = format_named("html")
    assert html is not None
    found: Page = parse_page(content, html, PageContext(path, Path(), {}, {}))
    return found.title, found.text
