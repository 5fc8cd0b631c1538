"""`sitemap:https://host/docs/sitemap.xml`, or the folder of a site: the pages that its sitemaps name."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from lxml import etree

from mundap.errors import SourceError
from mundap.library.crawling.scoping import folder_of, joined, page_at
from mundap.library.crawling.starting import check_there, split, start
from mundap.library.crawling.web import Web
from mundap.library.sources.listed import Listed, Scope, WebPage

SCHEME = "sitemap"
MAX_BYTES = 50_000_000  # of one file, as the protocol has it
MAX_FILES = 200
MAX_PAGES = 20_000
MAX_DEPTH = 3
_GZIP = b"\x1f\x8b"


def list_pages(address: str, web: Web) -> Listed:
    """Return the pages on the same host below the sitemap's folder; `#prefix` narrows them."""
    url, only = split(address, web)
    is_file = urlsplit(url).path.endswith((".xml", ".gz"))
    begin = start(folder_of(url.rpartition("/")[0] + "/") if is_file else url, web)
    named = [url] if is_file else _sitemaps(begin.base_url, web)
    urls = list(dict.fromkeys(_pages(named, web)))
    scope = Scope(begin.base_url, only=only, is_sphinx=_is_by_sphinx(urls), max_pages=MAX_PAGES)
    found: dict[str, WebPage] = {}
    for each in urls:
        page = page_at(each, scope)
        if page is not None:
            found.setdefault(page.path, page)
    _check(found, scope, urls)
    return Listed(
        tuple(sorted(found.values(), key=lambda page: page.path)),
        scope,
        title=begin.site_name,
        language=begin.head.language,
    )


def _is_by_sphinx(urls: list[str]) -> bool:
    return any(urlsplit(url).path.endswith("/genindex.html") for url in urls)


def _check(found: dict[str, WebPage], scope: Scope, urls: list[str]) -> None:
    if not found:
        example = f", but for example {urls[0]}" if urls else ""
        raise SourceError(
            f"The sitemap names no pages below {scope.base_url}{scope.only}{example}."
        )
    if len(found) > scope.max_pages:
        raise SourceError(
            f"The sitemap names {len(found):,} pages; a source may have {scope.max_pages:,}. "
            "Name a part of it after #, as in sitemap:https://host/sitemap.xml#en/5.2/"
        )


def _sitemaps(base_url: str, web: Web) -> list[str]:
    """Return the sitemaps that robots.txt names, or else the one that lies in the folder or at the site's top."""
    if named := [url for url in web.robots(base_url).sitemaps if _is_same_host(url, base_url)]:
        return named
    for url in (urljoin(base_url, "sitemap.xml"), urljoin(base_url, "/sitemap.xml")):
        if web.get(url, max_bytes=MAX_BYTES).status == 200:
            return [url]
    raise SourceError(
        f"{base_url} has no sitemap.xml, and its robots.txt names none. Name the sitemap's own address."
    )


def _is_same_host(url: str, other: str) -> bool:
    return urlsplit(joined(other, url)).netloc == urlsplit(other).netloc


def _pages(named: list[str], web: Web) -> Iterator[str]:
    """Yield the addresses of all pages, through sitemaps that name sitemaps."""
    visited: set[str] = set()
    waiting = [(url, 1) for url in named]
    while waiting:
        url, depth = waiting.pop(0)
        if url in visited:
            continue
        visited.add(url)
        if len(visited) > MAX_FILES:
            raise SourceError(f"The sitemap names more than {MAX_FILES} others.")
        reply = web.get(url, max_bytes=MAX_BYTES)
        check_there(reply)
        for is_sitemap, location in _locations(reply.content, url):
            if not is_sitemap:
                yield location
            elif depth < MAX_DEPTH and _is_same_host(location, url):
                waiting.append((location, depth + 1))


def _locations(content: bytes, url: str) -> Iterator[tuple[bool, str]]:
    """Yield each address that a sitemap has, and whether it is one of another sitemap."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=True)
    try:
        root = etree.fromstring(_plain(content, url), parser=parser)
    except etree.XMLSyntaxError as exc:
        raise SourceError(f"{url} is not a sitemap: {exc}.") from exc
    if root is None or etree.QName(root).localname not in {"urlset", "sitemapindex"}:
        raise SourceError(f"{url} is not a sitemap.")
    for entry in root.iterchildren("{*}url", "{*}sitemap"):
        location = (entry.findtext("{*}loc") or "").strip()
        if location and (joint := joined(url, location)):
            yield etree.QName(entry).localname == "sitemap", joint


def _plain(content: bytes, url: str) -> bytes:
    """Return the file, unpacked where it is a .gz."""
    if not content.startswith(_GZIP):
        return content
    unpacker = zlib.decompressobj(31)
    try:
        plain = unpacker.decompress(content, MAX_BYTES)
    except zlib.error as exc:
        raise SourceError(f"{url} is packed wrongly: {exc}.") from exc
    if not unpacker.eof:
        raise SourceError(
            f"{url} is not whole, or unpacks to more than {MAX_BYTES // 1_000_000} MB."
        )
    return plain
